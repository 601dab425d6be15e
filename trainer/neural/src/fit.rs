//! Rows → weights: minibatches, a learning rate a step, early stopping on validation rows, best weights kept.
//!
//! Every random choice comes from the caller's generator, in a fixed order: the same generator, rows and settings give
//! the same bits. Epochs and steps count from 1 in what is told, and steps run over the whole training.

use crate::adam::{Adam, AdamConfig};
use crate::backend::{self, Batch};
use crate::error::NeuralError;
use crate::kfac::{Kfac, KfacConfig};
use crate::learner::{Gradients, Weights};
use crate::loss::Loss;
use crate::network::FloatNetwork;
use crate::normal;
use crate::plain;
use crate::rows::{Rows, gathered};
use crate::schedule::Schedule;
use crate::shape::NetworkShape;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// Who turns gradients into steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// First-order.
    Adam(AdamConfig),
    /// Second-order.
    Kfac(KfacConfig),
}

/// Who takes batches forward and back. Both give the same gradients but for rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// Products by hand, without a tensor library.
    #[default]
    Plain,
    /// burn's tensors.
    Burn,
}

/// Everything that decides the outcome besides the rows, the first weights and the generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FitConfig {
    /// Most passes over the rows.
    pub epochs: usize,
    /// Rows a step.
    pub batch_rows: usize,
    /// Steps from gradients.
    pub optimizer: Optimizer,
    /// Forward and back.
    pub engine: Engine,
    /// Learning rate of each step.
    pub schedule: Schedule,
    /// Epochs without a better validation loss before training stops.
    pub patience: usize,
    /// Distance for outputs that are values; flags and classes have their own.
    pub loss: Loss,
    /// How much each output counts where outputs are values; empty: all alike.
    pub output_weights: Vec<f32>,
    /// Standard deviation of the noise on the input; targets stay clean (Vincent et al. 2010).
    pub noise: f32,
    /// Share of the input values set to 0; targets stay clean.
    pub masking: f32,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self {
            epochs: 60,
            batch_rows: 256,
            optimizer: Optimizer::Adam(AdamConfig::default()),
            engine: Engine::default(),
            schedule: Schedule::WarmUpCosine { highest: 3e-3 },
            patience: 8,
            loss: Loss::Squared,
            output_weights: Vec::new(),
            noise: 0.0,
            masking: 0.0,
        }
    }
}

impl FitConfig {
    pub(crate) fn check(&self) -> Result<(), NeuralError> {
        let setting = |holds: bool, name, found: String, expected: &str| {
            if holds { Ok(()) } else { Err(NeuralError::setting(name, found, expected)) }
        };
        setting(self.epochs >= 1, "epochs", self.epochs.to_string(), "1 or more")?;
        setting(self.batch_rows >= 1, "batch-rows", self.batch_rows.to_string(), "1 or more")?;
        setting(self.schedule.is_valid(), "schedule", format!("{:?}", self.schedule), "rates from over 0 to 10")?;
        setting((0.0..=10.0).contains(&self.noise), "noise", self.noise.to_string(), "0 to 10")?;
        setting((0.0..1.0).contains(&self.masking), "masking", self.masking.to_string(), "0 to less than 1")?;
        let delta = if let Loss::Huber { delta } = self.loss { delta } else { 1.0 };
        setting((1e-3..=1e3).contains(&delta), "loss.huber.delta", delta.to_string(), "0.001 to 1000")?;
        match &self.optimizer {
            Optimizer::Adam(_) => Ok(()),
            Optimizer::Kfac(config) => config.check(),
        }
    }
}

/// One point of a learning curve: after an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Epochs done.
    pub epoch: usize,
    /// Most epochs there can be.
    pub epochs: usize,
    /// Steps done.
    pub step: usize,
    /// Seconds of training, by the caller's clock; validation is not counted.
    pub seconds: f64,
    /// Mean loss of the epoch's batches, as they were when each was learnt.
    pub training_loss: f64,
    /// Validation loss now.
    pub validation_loss: f64,
    /// The best one until now.
    pub best_loss: f64,
}

/// Judges and watches a training.
pub struct Watch<'a> {
    /// Validation loss of a network; lower is better. Never sees dropout or noise.
    pub validate: &'a mut dyn FnMut(&FloatNetwork) -> f64,
    /// Told after every epoch.
    pub progress: &'a mut dyn FnMut(&CurvePoint),
    /// Seconds since any fixed time.
    pub clock: &'a dyn Fn() -> f64,
}

/// What a training leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fitted {
    /// The best weights.
    pub network: FloatNetwork,
    /// Epoch of the best weights, from 1.
    pub best_epoch: usize,
    /// One point an epoch.
    pub curve: Vec<CurvePoint>,
}

/// Trains a network of random weights.
///
/// # Errors
/// [`NeuralError`] for rows or settings that cannot be, divergence, or a failing backend.
pub fn fit(
    shape: &NetworkShape,
    rows: Rows<'_>,
    config: &FitConfig,
    rng: &mut Rng,
    watch: Watch<'_>,
) -> Result<Fitted, NeuralError> {
    config.check()?;
    if !shape.is_valid() {
        return Err(NeuralError::setting("layers", format!("{shape:?}"), "widths over 0 and additions that meet"));
    }
    rows.check(shape.inputs, shape.outputs())?;
    if !config.output_weights.is_empty() && config.output_weights.len() != shape.outputs() {
        let expected = format!("0 or {}, as many as outputs", shape.outputs());
        return Err(NeuralError::setting("output-weights", config.output_weights.len(), expected));
    }
    Training::start(shape, rows, config, rng).run(watch)
}

/// Trains with validation rows of the same kind, judged by the same loss.
///
/// # Errors
/// As [`fit`].
pub fn fit_validated(
    shape: &NetworkShape,
    rows: Rows<'_>,
    validation: Rows<'_>,
    config: &FitConfig,
    rng: &mut Rng,
    progress: &mut dyn FnMut(&CurvePoint),
    clock: &dyn Fn() -> f64,
) -> Result<Fitted, NeuralError> {
    validation.check(shape.inputs, shape.outputs())?;
    let mut validate = |network: &FloatNetwork| validation.loss(network, config.loss, &config.output_weights);
    fit(shape, rows, config, rng, Watch { validate: &mut validate, progress, clock })
}

enum Stepper {
    Adam(Adam),
    Kfac(Box<Kfac>),
}

struct Training<'a> {
    weights: Weights,
    rows: Rows<'a>,
    config: &'a FitConfig,
    rng: &'a mut Rng,
    stepper: Stepper,
    step: usize,
}

impl<'a> Training<'a> {
    fn start(shape: &NetworkShape, rows: Rows<'a>, config: &'a FitConfig, rng: &'a mut Rng) -> Self {
        let stepper = match config.optimizer {
            Optimizer::Adam(adam) => Stepper::Adam(Adam::new(adam)),
            Optimizer::Kfac(kfac) => Stepper::Kfac(Box::new(Kfac::new(kfac))),
        };
        Self { weights: Weights::random(shape, rng), rows, config, rng, stepper, step: 0 }
    }

    fn run(mut self, watch: Watch<'_>) -> Result<Fitted, NeuralError> {
        let epochs = self.config.epochs;
        let (mut best, mut best_loss, mut best_epoch) = (self.weights.folded(), f64::INFINITY, 0);
        let (mut curve, mut seconds) = (Vec::new(), 0.0);
        for epoch in 1..=epochs {
            let start = (watch.clock)();
            let training_loss = self.epoch()?;
            seconds += (watch.clock)() - start;
            let network = self.weights.folded();
            let validation_loss = (watch.validate)(&network);
            if !validation_loss.is_finite() {
                return Err(NeuralError::Diverged { epoch, learning_rate: self.config.schedule.highest() });
            }
            if validation_loss < best_loss {
                (best, best_loss, best_epoch) = (network, validation_loss, epoch);
            }
            let point =
                CurvePoint { epoch, epochs, step: self.step, seconds, training_loss, validation_loss, best_loss };
            (watch.progress)(&point);
            curve.push(point);
            if epoch - best_epoch >= self.config.patience.max(1) {
                break;
            }
        }
        Ok(Fitted { network: best, best_epoch, curve })
    }

    /// One pass over the rows; the mean loss of its batches.
    fn epoch(&mut self) -> Result<f64, NeuralError> {
        let mut order: Vec<usize> = (0..self.rows.input.rows()).collect();
        self.rng.shuffle(&mut order);
        let steps = self.config.epochs * order.len().div_ceil(self.config.batch_rows);
        let mut sum = 0.0;
        for places in order.chunks(self.config.batch_rows) {
            let rate = self.config.schedule.rate(self.step, steps);
            sum += self.learn(places, rate)? * places.len() as f64;
            self.step += 1;
        }
        Ok(sum / order.len() as f64)
    }

    fn learn(&mut self, places: &[usize], rate: f64) -> Result<f64, NeuralError> {
        let gradients = self.gradients(places, Purpose::Step)?;
        self.weights.observe(&gradients);
        if let Stepper::Kfac(kfac) = &self.stepper
            && kfac.is_statistics_due()
        {
            let sampled = self.gradients(places, Purpose::Statistics)?;
            if let Stepper::Kfac(kfac) = &mut self.stepper {
                kfac.observe(&sampled, places.len());
            }
        }
        match &mut self.stepper {
            Stepper::Adam(adam) => adam.step(&mut self.weights, &gradients, rate),
            Stepper::Kfac(kfac) => kfac.step(&mut self.weights, &gradients, rate)?,
        }
        Ok(gradients.loss)
    }

    fn gradients(&mut self, places: &[usize], purpose: Purpose) -> Result<Gradients, NeuralError> {
        let goal = self.rows.goal(places, self.config.loss, &self.config.output_weights);
        let batch = self.batch(places);
        let (rows, rng) = (places.len(), &mut *self.rng);
        let mut judge = |outputs: &[f32]| match purpose {
            Purpose::Step => {
                let judged = goal.judge(outputs, rows);
                (judged.value, judged.gradient)
            }
            Purpose::Statistics => (0.0, goal.sample(outputs, rows, rng)),
        };
        let probe = purpose == Purpose::Statistics;
        match self.config.engine {
            Engine::Plain => Ok(plain::gradients(&self.weights, batch, probe, &mut judge)),
            Engine::Burn => backend::gradients(&self.weights, batch, probe, &mut judge),
        }
    }

    /// The rows as the network sees them: with noise, masked, and with dropout drawn.
    fn batch(&mut self, places: &[usize]) -> Batch {
        let FitConfig { noise, masking, .. } = *self.config;
        let mut input = gathered(self.rows.input, places);
        if noise > 0.0 {
            input.iter_mut().for_each(|value| *value += noise * normal(self.rng));
        }
        if masking > 0.0 {
            let rng = &mut *self.rng;
            input.iter_mut().filter(|_| rng.f32() < masking).for_each(|value| *value = 0.0);
        }
        let rng = &mut *self.rng;
        let kept = self.weights.shape.layers.iter().map(|layer| {
            let grown = 1.0 / (1.0 - layer.dropout);
            let keep = |_| if rng.f32() < layer.dropout { 0.0 } else { grown };
            (layer.dropout > 0.0).then(|| (0..places.len() * layer.outputs).map(keep).collect())
        });
        let kept = kept.collect();
        Batch { rows: places.len(), input, kept }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Purpose {
    Step,
    Statistics,
}
