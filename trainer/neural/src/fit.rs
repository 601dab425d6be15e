//! Rows → trained network: minibatches, a learning rate schedule, early stopping on validation rows.
//!
//! Every random choice comes from the caller's generator, in a fixed order: the same generator, rows and settings give
//! the same bits. Reported epochs and steps count from 1; steps count over the whole training.

use crate::adam::{Adam, AdamConfig};
use crate::backend::{self, Batch};
use crate::error::NeuralError;
use crate::kfac::{Kfac, KfacConfig};
use crate::learner::{Gradients, Weights};
use crate::loss::{Loss, LossGradient};
use crate::network::FloatNetwork;
use crate::normal;
use crate::schedule::Schedule;
use crate::shape::NetworkShape;
use crate::weighted_rows::{Rows, gather};
use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// Optimizer and its hyperparameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// First-order.
    Adam(AdamConfig),
    /// Second-order.
    Kfac(KfacConfig),
}

/// Training hyperparameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct FitConfig {
    /// Maximum number of epochs.
    pub epochs: usize,
    /// Batch size, rows.
    pub batch_rows: usize,
    pub optimizer: Optimizer,
    pub schedule: Schedule,
    /// Early stopping: epochs without a lower validation loss.
    pub patience: usize,
    /// Loss for targets that are values; flags and classes use cross-entropy.
    pub loss: Loss,
    /// Weight of each output in the loss for targets that are values; empty: all 1.
    pub output_weights: Vec<f32>,
    /// Standard deviation of Gaussian noise added to the input, but not to the targets (Vincent et al. 2010).
    pub noise: f32,
    /// Share of the input values set to 0; the targets keep them.
    pub masking: f32,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self {
            epochs: 60,
            batch_rows: 256,
            optimizer: Optimizer::Adam(AdamConfig::default()),
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
        setting(self.schedule.is_valid(), "schedule", format!("{:?}", self.schedule), "rates above 0, at most 10")?;
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

/// One point of a learning curve, taken after an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Epochs done.
    pub epoch: usize,
    /// Maximum number of epochs.
    pub epochs: usize,
    /// Steps done.
    pub step: usize,
    /// Training time by the caller's clock, without validation, seconds.
    pub seconds: f64,
    /// Mean loss over the epoch's batches, each before its own step.
    pub(crate) training_loss: f64,
    /// Validation loss after this epoch.
    pub validation_loss: f64,
    /// Lowest validation loss so far.
    pub best_loss: f64,
}

/// Callbacks of a training.
pub struct Watch<'a> {
    /// Validation loss of a network, without dropout and noise; lower is better.
    pub validate: &'a mut dyn FnMut(&FloatNetwork) -> f64,
    /// Called after every epoch.
    pub progress: &'a mut dyn FnMut(&CurvePoint),
    /// Seconds since a fixed but arbitrary time.
    pub clock: &'a dyn Fn() -> f64,
}

/// Result of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fitted {
    /// The network with the lowest validation loss.
    pub network: FloatNetwork,
    /// Its epoch, from 1.
    pub best_epoch: usize,
    /// One point per epoch.
    pub curve: Vec<CurvePoint>,
}

/// Trains a randomly initialized network.
///
/// # Errors
/// [`NeuralError`] for invalid rows or settings, divergence, or a failing backend.
pub fn fit(
    shape: &NetworkShape,
    rows: Rows<'_>,
    config: &FitConfig,
    rng: &mut Rng,
    watch: Watch<'_>,
) -> Result<Fitted, NeuralError> {
    config.check()?;
    if !shape.is_valid() {
        let expected = "widths above 0, additions of an earlier layer of the same width";
        return Err(NeuralError::setting("layers", format!("{shape:?}"), expected));
    }
    rows.check(shape.inputs, shape.outputs())?;
    if !config.output_weights.is_empty() && config.output_weights.len() != shape.outputs() {
        let expected = format!("0 or {}, one per output", shape.outputs());
        return Err(NeuralError::setting("output-weights", config.output_weights.len(), expected));
    }
    Training::start(shape, rows, config, rng).run(watch)
}

/// Trains with early stopping on the same loss over `validation`.
///
/// # Errors
/// As [`fit`].
pub(crate) fn fit_validated(
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
    steps_done: usize,
}

impl<'a> Training<'a> {
    fn start(shape: &NetworkShape, rows: Rows<'a>, config: &'a FitConfig, rng: &'a mut Rng) -> Self {
        let stepper = match config.optimizer {
            Optimizer::Adam(adam) => Stepper::Adam(Adam::new(adam)),
            Optimizer::Kfac(kfac) => Stepper::Kfac(Box::new(Kfac::new(kfac))),
        };
        Self { weights: Weights::random(shape, rng), rows, config, rng, stepper, steps_done: 0 }
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
                CurvePoint { epoch, epochs, step: self.steps_done, seconds, training_loss, validation_loss, best_loss };
            (watch.progress)(&point);
            curve.push(point);
            if epoch - best_epoch >= self.config.patience.max(1) {
                break;
            }
        }
        Ok(Fitted { network: best, best_epoch, curve })
    }

    /// Trains one epoch and returns the mean loss of its batches.
    fn epoch(&mut self) -> Result<f64, NeuralError> {
        let mut order: Vec<usize> = (0..self.rows.input.rows()).collect();
        self.rng.shuffle(&mut order);
        let steps = self.config.epochs * order.len().div_ceil(self.config.batch_rows);
        let mut sum = 0.0;
        for indices in order.chunks(self.config.batch_rows) {
            let rate = self.config.schedule.rate(self.steps_done, steps);
            sum += self.step(indices, rate)? * indices.len() as f64;
            self.steps_done += 1;
        }
        Ok(sum / order.len() as f64)
    }

    /// Takes one optimizer step and returns the batch's loss before it.
    fn step(&mut self, indices: &[usize], rate: f64) -> Result<f64, NeuralError> {
        let gradients = self.gradients(indices, Purpose::Step)?;
        self.weights.update_running_averages(&gradients);
        if let Stepper::Kfac(kfac) = &self.stepper
            && kfac.is_curvature_due()
        {
            let sampled = self.gradients(indices, Purpose::Curvature)?;
            if let Stepper::Kfac(kfac) = &mut self.stepper {
                kfac.update_curvature(&sampled, indices.len());
            }
        }
        match &mut self.stepper {
            Stepper::Adam(adam) => adam.step(&mut self.weights, &gradients, rate),
            Stepper::Kfac(kfac) => kfac.step(&mut self.weights, &gradients, rate)?,
        }
        Ok(gradients.loss)
    }

    fn gradients(&mut self, indices: &[usize], purpose: Purpose) -> Result<Gradients, NeuralError> {
        let objective = self.rows.objective(indices, self.config.loss, &self.config.output_weights);
        let batch = self.batch(indices);
        let (rows, rng) = (indices.len(), &mut *self.rng);
        let mut loss = |outputs: &[f32]| match purpose {
            Purpose::Step => objective.loss(outputs, rows),
            Purpose::Curvature => LossGradient { loss: 0.0, gradient: objective.sampled_gradient(outputs, rows, rng) },
        };
        backend::gradients(&self.weights, batch, purpose == Purpose::Curvature, &mut loss)
    }

    /// Adds noise and masking to the rows and draws the dropout masks.
    fn batch(&mut self, indices: &[usize]) -> Batch {
        let FitConfig { noise, masking, .. } = *self.config;
        let mut input = gather(self.rows.input, indices);
        if noise > 0.0 {
            input.iter_mut().for_each(|value| *value += noise * normal(self.rng));
        }
        if masking > 0.0 {
            let rng = &mut *self.rng;
            input.iter_mut().filter(|_| rng.f32() < masking).for_each(|value| *value = 0.0);
        }
        let rng = &mut *self.rng;
        let dropout_masks = self.weights.shape.layers.iter().map(|layer| {
            let scale = 1.0 / (1.0 - layer.dropout);
            let factor = |_| if rng.f32() < layer.dropout { 0.0 } else { scale };
            (layer.dropout > 0.0).then(|| (0..indices.len() * layer.outputs).map(factor).collect())
        });
        let dropout_masks = dropout_masks.collect();
        Batch { rows: indices.len(), input, dropout_masks }
    }
}

/// What a gradient is for.
#[derive(Clone, Copy, PartialEq)]
enum Purpose {
    Step,
    /// K-FAC's curvature estimate, with targets drawn from the network's own predictions.
    Curvature,
}
