//! Benign feature rows → scaling and f32 autoencoder, reproducibly: the same rows, config and seed give the same bits.
//!
//! 1. Agents over their share are thinned; neighbouring rows are split into training and validation together. Suspect
//!    rows stay out of training.
//! 2. Scaling is fitted on training rows; from here on the network sees what it will see on a gateway, int8 quanta.
//! 3. A first, short pass finds the rows that the network reconstructs worst; `contamination` of them are dropped.
//! 4. The last pass starts from fresh weights, without those rows, and keeps the best weights of the validation rows.

pub mod network;
pub mod rows;
pub mod run;
pub mod scaling_fit;

use fastrand::Rng;
pub use lapwing_neural::Loss;
use lapwing_neural::{
    AdamConfig, CurvePoint, Engine, FitConfig, Fitted, NetworkShape, NeuralError, Optimizer, Rows, Schedule, Watch, fit,
};
use lapwing_shared::features::{FEATURES, FeatureVector};
use lapwing_shared::verdict::network::{LATENT, LAYERS, WIDTH};
use lapwing_shared::verdict::scaling::{INPUT_QUANTA_PER_UNIT, QuantizedInput, Scaling, Transform};
use lapwing_tables::Matrix;
use network::{FloatNetwork, GatewayNetwork};
use rows::TrainingRow;
use serde::{Deserialize, Serialize};

/// Fewest rows that anything can be learnt from.
pub const ROWS_MIN: usize = 64;
/// The first pass takes this share of the epochs.
const FIRST_PASS_SHARE: usize = 3;

/// Everything that decides the outcome besides the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Widths of the hidden layers; the narrowest is the latent one.
    pub hidden: Vec<usize>,
    /// ReLU on the latent layer, too.
    pub latent_relu: bool,
    /// Most epochs of the last pass.
    pub epochs: usize,
    /// Rows a step.
    pub batch_rows: usize,
    /// Highest learning rate; it rises over the first tenth and falls as a cosine (Loshchilov & Hutter 2017).
    pub learning_rate: f64,
    /// Epochs without a better validation error before training stops.
    pub patience: usize,
    /// Share of rows held out for validation and calibration.
    pub validation_share: f64,
    /// Standard deviation of the noise on the input, scaled units; the target stays clean.
    pub noise: f32,
    /// What is minimised, over scaled units.
    pub loss: Loss,
    /// Share of the training rows, those reconstructed worst, that the last pass does without.
    pub contamination: f64,
    /// Largest share of the rows that one agent may give.
    pub max_agent_share: f64,
    /// Seed of every random choice.
    pub seed: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            hidden: vec![24, 8, 24],
            latent_relu: false,
            epochs: 60,
            batch_rows: 256,
            learning_rate: 3e-3,
            patience: 8,
            validation_share: 0.15,
            noise: 0.0,
            loss: Loss::Huber { delta: 1.0 },
            contamination: 0.005,
            max_agent_share: 0.5,
            seed: 1,
        }
    }
}

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Too little to learn from.
    #[error(
        "{found} rows to train on after thinning, expected at least {ROWS_MIN}: collect more, or raise max-agent-share"
    )]
    Rows {
        /// Rows left.
        found: usize,
    },
    /// A setting out of its range.
    #[error("train setting {name} is {found}, expected {expected}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// The network could not be trained.
    #[error(transparent)]
    Network(#[from] NeuralError),
    /// A saved run cannot be read or written.
    #[error("training run {path}: {reason}")]
    Saved {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
}

/// Where the training stands; told once an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// 1: finding outliers; 2: the last pass.
    pub pass: u8,
    /// Epochs done in this pass.
    pub epoch: usize,
    /// Most epochs of this pass.
    pub epochs: usize,
    /// Mean squared validation error now, scaled units squared.
    pub validation_error: f64,
    /// Best one of this pass.
    pub best_error: f64,
}

/// A trained network, with what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Best weights of the last pass.
    pub network: FloatNetwork,
    /// Scaling; score weights are fitted to this network's validation residuals.
    pub scaling: Scaling,
    /// Places of the validation rows in the caller's rows: never trained on.
    pub validation: Vec<usize>,
    /// Places of the rows of the last pass.
    pub training: Vec<usize>,
    /// What happened.
    pub report: TrainReport,
}

/// What happened in a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// Rows given.
    pub rows: usize,
    /// Rows taken out because their agent gave too many.
    pub thinned_rows: usize,
    /// Suspect rows that were not held out: not trained on.
    #[serde(default)]
    pub suspect_rows: usize,
    /// Rows dropped as the worst-reconstructed ones.
    pub dropped_rows: usize,
    /// Rows of the last pass.
    pub training_rows: usize,
    /// Rows held out.
    pub validation_rows: usize,
    /// Mean squared validation error of every epoch of the last pass, scaled units squared.
    pub validation_errors: Vec<f64>,
    /// Epoch of the best weights, from 1.
    pub best_epoch: usize,
}

/// Trains on benign rows, given agent by agent in order of time, or in order of time alone.
///
/// # Errors
/// [`TrainError`] for too few rows, a setting out of range, or divergence.
pub fn train(
    rows: &[TrainingRow],
    transforms: &[Transform; FEATURES],
    config: &TrainConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<Trained, TrainError> {
    check(config)?;
    learn(rows, sides(rows, config, config.validation_share), transforms, config, progress)
}

/// Places of the rows that [`train`] holds out of these rows.
pub fn held_out(rows: &[TrainingRow], config: &TrainConfig) -> Vec<usize> {
    sides(rows, config, config.validation_share).1
}

/// Places of the rows to train on and to hold out, without those of loud agents.
fn sides(rows: &[TrainingRow], config: &TrainConfig, held_out: f64) -> (Vec<usize>, Vec<usize>) {
    let kept = rows::cap_agent_share(rows, config.max_agent_share, config.seed);
    rows::split(&kept, held_out, config.seed)
}

/// Trains twice, each time on half of the rows, the other half being held out: between them, every row is held out once.
///
/// # Errors
/// As [`train`].
pub fn train_halves(
    rows: &[TrainingRow],
    transforms: &[Transform; FEATURES],
    config: &TrainConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<[Trained; 2], TrainError> {
    check(config)?;
    let (one, other) = sides(rows, config, 0.5);
    let first = learn(rows, (one.clone(), other.clone()), transforms, config, progress)?;
    Ok([first, learn(rows, (other, one), transforms, config, progress)?])
}

fn learn(
    rows: &[TrainingRow],
    (mut training, validation): (Vec<usize>, Vec<usize>),
    transforms: &[Transform; FEATURES],
    config: &TrainConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<Trained, TrainError> {
    let kept = training.len() + validation.len();
    training.retain(|row| !rows[*row].suspect);
    let suspect_rows = kept - training.len() - validation.len();
    if kept < ROWS_MIN || training.is_empty() || validation.is_empty() {
        return Err(TrainError::Rows { found: kept });
    }
    let plain: Vec<&FeatureVector> = training.iter().map(|row| &rows[*row].features).collect();
    let mut scaling = scaling_fit::fit(&plain, transforms);
    let quantize = |places: &[usize]| -> Vec<QuantizedInput> {
        places.iter().map(|row| scaling.quantize(&rows[*row].features)).collect()
    };
    let (inputs, held_out) = (quantize(&training), quantize(&validation));
    let mut pass = Pass { number: 1, inputs, held_out, config, progress };
    let first =
        if config.contamination > 0.0 { Some(pass.run(config.epochs.div_ceil(FIRST_PASS_SHARE))?) } else { None };
    let keep = first.map_or_else(|| vec![true; training.len()], |first| pass.without_worst(&first.network));
    let mut index = 0;
    pass.inputs.retain(|_| {
        index += 1;
        keep[index - 1]
    });
    pass.number = 2;
    let last = pass.run(config.epochs)?;
    let residuals: Vec<_> = pass.held_out.iter().map(|input| residual(&last.network, input)).collect();
    scaling_fit::fit_weights(&mut scaling, &residuals);
    let training: Vec<usize> = training.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(row, _)| *row).collect();
    let report = TrainReport {
        rows: rows.len(),
        thinned_rows: rows.len() - kept,
        suspect_rows,
        dropped_rows: keep.iter().filter(|keep| !**keep).count(),
        training_rows: training.len(),
        validation_rows: validation.len(),
        validation_errors: last.curve.iter().map(|point| point.validation_loss).collect(),
        best_epoch: last.best_epoch,
    };
    Ok(Trained { network: last.network, scaling, validation, training, report })
}

fn check(config: &TrainConfig) -> Result<(), TrainError> {
    let setting = |holds: bool, name, found: String, expected: &str| {
        if holds { Ok(()) } else { Err(TrainError::Setting { name, found, expected: expected.into() }) }
    };
    let hidden = &config.hidden;
    let widths = (1..LAYERS).contains(&hidden.len()) && hidden.iter().all(|width| (1..=WIDTH).contains(width));
    let latent = hidden.iter().min().is_some_and(|width| *width <= LATENT);
    setting(widths && latent, "hidden", format!("{hidden:?}"), "1 to 7 widths of 1 to 256, the narrowest at most 32")?;
    setting(config.epochs >= 1, "epochs", config.epochs.to_string(), "1 or more")?;
    setting(config.batch_rows >= 1, "batch-rows", config.batch_rows.to_string(), "1 or more")?;
    let rate = config.learning_rate;
    setting(rate > 0.0 && rate <= 1.0, "learning-rate", rate.to_string(), "more than 0, at most 1")?;
    let share = config.validation_share;
    setting((0.01..=0.5).contains(&share), "validation-share", share.to_string(), "0.01 to 0.5")?;
    let noise = config.noise;
    setting((0.0..=2.0).contains(&noise), "noise", noise.to_string(), "0 to 2")?;
    let delta = if let Loss::Huber { delta } = config.loss { delta } else { 1.0 };
    setting((0.01..=100.0).contains(&delta), "loss.huber.delta", delta.to_string(), "0.01 to 100")?;
    let dropped = config.contamination;
    setting((0.0..=0.2).contains(&dropped), "contamination", dropped.to_string(), "0 to 0.2")?;
    let agent = config.max_agent_share;
    setting(agent > 0.0 && agent <= 1.0, "max-agent-share", agent.to_string(), "more than 0, at most 1")
}

fn residual(network: &FloatNetwork, input: &QuantizedInput) -> [f32; FEATURES] {
    let mut quanta = network.reconstruct(input);
    quanta.iter_mut().zip(input).for_each(|(quantum, value)| *quantum -= f32::from(*value));
    quanta
}

fn squared_error(network: &FloatNetwork, input: &QuantizedInput) -> f64 {
    let unit = f64::from(INPUT_QUANTA_PER_UNIT);
    residual(network, input).iter().map(|quanta| (f64::from(*quanta) / unit).powi(2)).sum::<f64>() / FEATURES as f64
}

struct Pass<'a> {
    number: u8,
    inputs: Vec<QuantizedInput>,
    held_out: Vec<QuantizedInput>,
    config: &'a TrainConfig,
    progress: &'a mut dyn FnMut(Progress),
}

impl Pass<'_> {
    fn run(&mut self, epochs: usize) -> Result<Fitted, TrainError> {
        let mut rng = Rng::with_seed(self.config.seed.wrapping_mul(2).wrapping_add(u64::from(self.number)));
        let shape = NetworkShape::autoencoder(FEATURES, &self.config.hidden, self.config.latent_relu);
        let values = self.inputs.iter().flatten().map(|quantum| f32::from(*quantum) / INPUT_QUANTA_PER_UNIT).collect();
        let rows = Matrix::from_values(FEATURES, values).unwrap_or_default();
        let config = fit_config(self.config, epochs);
        let (held_out, progress, pass) = (&self.held_out, &mut self.progress, self.number);
        let mut validate = |network: &FloatNetwork| {
            let total: f64 = held_out.iter().map(|input| squared_error(network, input)).sum();
            total / held_out.len().max(1) as f64
        };
        let mut told = |point: &CurvePoint| {
            let (validation_error, best_error) = (point.validation_loss, point.best_loss);
            progress(Progress { pass, epoch: point.epoch, epochs, validation_error, best_error });
        };
        let watch = Watch { validate: &mut validate, progress: &mut told, clock: &|| 0.0 };
        Ok(fit(&shape, Rows::to_reconstruct(&rows), &config, &mut rng, watch)?)
    }

    /// True for every row but the share that the network reconstructs worst.
    fn without_worst(&self, network: &FloatNetwork) -> Vec<bool> {
        let errors: Vec<f64> = self.inputs.iter().map(|input| squared_error(network, input)).collect();
        let mut order: Vec<usize> = (0..errors.len()).collect();
        order.sort_by(|a, b| errors[*b].total_cmp(&errors[*a]));
        let dropped = (errors.len() as f64 * self.config.contamination).ceil() as usize;
        let mut keep = vec![true; errors.len()];
        order.iter().take(dropped).for_each(|row| keep[*row] = false);
        keep
    }
}

fn fit_config(config: &TrainConfig, epochs: usize) -> FitConfig {
    FitConfig {
        epochs,
        batch_rows: config.batch_rows,
        optimizer: Optimizer::Adam(AdamConfig::default()),
        schedule: Schedule::WarmUpCosine { highest: config.learning_rate },
        patience: config.patience,
        loss: config.loss,
        noise: config.noise,
        // Its order of additions does not depend on the build, so the same seed gives the same release.
        engine: Engine::Burn,
        ..FitConfig::default()
    }
}

#[cfg(test)]
mod tests;
