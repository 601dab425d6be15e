//! Benign feature rows → scaling and f32 autoencoder; the same rows, settings and seed give the same bits.
//!
//! 1. Rows of agents above their share are subsampled; neighbouring rows go to training or validation together. Suspect
//!    rows are excluded from training.
//! 2. Scaling is fitted on training rows; the network then sees the same int8 quanta as on a gateway.
//! 3. A short first pass finds the rows that the network reconstructs worst; a share of `contamination` is dropped.
//! 4. The second pass starts from new weights, without those rows, and keeps the weights with the best validation error.

pub mod network;
pub mod training_rows;
pub mod run;
mod scaling_fit;

use fastrand::Rng;
pub use lapwing_neural::Loss;
use lapwing_neural::{
    AdamConfig, CurvePoint, FitConfig, Fitted, NetworkShape, NeuralError, Optimizer, Rows, Schedule, Watch, fit,
};
use lapwing_shared::features::schema::SCHEMA;
use lapwing_shared::features::{FEATURES, FeatureVector};
use lapwing_shared::verdict::network::{LATENT, LAYERS, WIDTH};
use lapwing_shared::verdict::scaling::{INPUT_QUANTA_PER_UNIT, QuantizedInput, Scaling, Transform};
use lapwing_tables::Matrix;
use network::{FloatNetwork, GatewayNetwork};
use serde::{Deserialize, Serialize};
use training_rows::{Split, TrainingRow};

/// Minimum number of rows to train on.
pub(crate) const ROWS_MIN: usize = 64;
/// The first pass has the number of epochs divided by this.
const FIRST_PASS_DIVISOR: usize = 3;

/// Transform of every feature as the schema defines it.
pub fn transforms() -> [Transform; FEATURES] {
    std::array::from_fn(|index| Transform::of(&SCHEMA[index]))
}

/// Settings of a training; together with the rows they determine the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Widths of the hidden layers; the narrowest is the latent one.
    pub hidden: Vec<usize>,
    /// Whether the latent layer has a ReLU.
    pub latent_relu: bool,
    /// Maximum number of epochs of the second pass.
    pub epochs: usize,
    /// Batch size.
    pub batch_rows: usize,
    /// Highest learning rate; it rises over the first tenth and falls as a cosine (Loshchilov & Hutter 2017).
    pub learning_rate: f64,
    /// Epochs without a better validation error before training stops.
    pub patience: usize,
    /// Share of rows held out for validation and calibration.
    pub validation_share: f64,
    /// Standard deviation of the noise on the input, scaled units; the target stays clean.
    pub noise: f32,
    /// Loss function, in scaled units.
    pub loss: Loss,
    /// Share of training rows, those reconstructed worst, to drop before the second pass.
    pub contamination: f64,
    /// Maximum share of rows of one agent.
    pub max_agent_share: f64,
    /// Rows from which the others may be cut to an agent's size.
    pub min_agent_rows: usize,
    /// Random seed.
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
            min_agent_rows: 100,
            seed: 1,
        }
    }
}

/// Why training failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum TrainError {
    /// Too few rows.
    #[error(
        "not enough data: {found} rows after subsampling, expected at least {ROWS_MIN}; collect more, or raise \
         max-agent-share or min-agent-rows"
    )]
    Rows { found: usize },
    /// A setting is out of range.
    #[error("training setting {name} is {found}, expected {expected}")]
    Setting { name: &'static str, found: String, expected: String },
    /// The network cannot be trained.
    #[error(transparent)]
    Network(#[from] NeuralError),
    /// A saved run cannot be read or written.
    #[error("training run {path}: {reason}")]
    Saved { path: String, reason: String },
}

/// Progress of a training, reported after every epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochProgress {
    /// 1: finding outliers; 2: final training.
    pub pass: u8,
    /// Completed epochs of this pass.
    pub epoch: usize,
    /// Maximum number of epochs of this pass.
    pub epochs: usize,
    /// Mean squared validation error, scaled units squared.
    pub validation_error: f64,
    /// Best validation error of this pass.
    pub(crate) best_error: f64,
}

/// A trained network with its scaling and rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Best weights of the second pass.
    pub network: FloatNetwork,
    /// Scaling; score weights are fitted to the network's validation residuals.
    pub scaling: Scaling,
    /// Indices of the validation rows in the caller's rows.
    pub validation: Vec<usize>,
    /// Indices of the rows of the second pass.
    pub training: Vec<usize>,
    pub(crate) report: TrainReport,
}

/// Statistics of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct TrainReport {
    pub rows: usize,
    /// Rows removed by subsampling agents above their share.
    #[serde(rename = "thinned_rows")]
    pub subsampled_rows: usize,
    /// Suspect rows excluded from training and not held out.
    #[serde(default)]
    pub(crate) suspect_rows: usize,
    /// Rows dropped as worst reconstructed.
    pub dropped_rows: usize,
    /// Rows of the second pass.
    pub training_rows: usize,
    /// Held-out rows.
    pub(crate) validation_rows: usize,
    /// Mean squared validation error of every epoch of the second pass, scaled units squared.
    pub validation_errors: Vec<f64>,
    /// Epoch of the best weights, from 1.
    pub best_epoch: usize,
}

/// Trains on benign rows, sorted by agent and time, or by time.
///
/// # Errors
/// [`TrainError`] for too few rows, a setting out of range, or divergence.
pub fn train(
    rows: &[TrainingRow],
    transforms: &[Transform; FEATURES],
    config: &TrainConfig,
    progress: &mut dyn FnMut(EpochProgress),
) -> Result<Trained, TrainError> {
    check(config)?;
    train_split(rows, split_rows(rows, config, config.validation_share), transforms, config, progress)
}

/// Indices of the rows that [`train`] holds out.
pub(crate) fn held_out(rows: &[TrainingRow], config: &TrainConfig) -> Vec<usize> {
    split_rows(rows, config, config.validation_share).validation
}

/// Subsamples the largest agents and splits the rest.
fn split_rows(rows: &[TrainingRow], config: &TrainConfig, held_out: f64) -> Split {
    let capped = training_rows::cap_agent_share(rows, config);
    training_rows::split(&capped, held_out, config.seed)
}

/// Trains twice, each time on one half of the rows with the other half held out, so every row is held out once.
///
/// # Errors
/// As [`train`].
pub(crate) fn train_halves(
    rows: &[TrainingRow],
    transforms: &[Transform; FEATURES],
    config: &TrainConfig,
    progress: &mut dyn FnMut(EpochProgress),
) -> Result<[Trained; 2], TrainError> {
    check(config)?;
    let split = split_rows(rows, config, 0.5);
    let swapped = Split { training: split.validation.clone(), validation: split.training.clone() };
    let first = train_split(rows, split, transforms, config, progress)?;
    Ok([first, train_split(rows, swapped, transforms, config, progress)?])
}

/// Trains on one part of a split and validates on the other.
fn train_split(
    rows: &[TrainingRow],
    split: Split,
    transforms: &[Transform; FEATURES],
    config: &TrainConfig,
    progress: &mut dyn FnMut(EpochProgress),
) -> Result<Trained, TrainError> {
    let Split { mut training, validation } = split;
    let used = training.len() + validation.len();
    training.retain(|row| !rows[*row].suspect);
    let suspect_rows = used - training.len() - validation.len();
    if used < ROWS_MIN || training.is_empty() || validation.is_empty() {
        return Err(TrainError::Rows { found: used });
    }
    let plain: Vec<&FeatureVector> = training.iter().map(|row| &rows[*row].features).collect();
    let mut scaling = scaling_fit::fit(&plain, transforms);
    let quantize = |indices: &[usize]| -> Vec<QuantizedInput> {
        indices.iter().map(|row| scaling.quantize(&rows[*row].features)).collect()
    };
    let (inputs, held_out) = (quantize(&training), quantize(&validation));
    let mut pass = Pass { number: 1, inputs, held_out, config, progress };
    let first =
        if config.contamination > 0.0 { Some(pass.run(config.epochs.div_ceil(FIRST_PASS_DIVISOR))?) } else { None };
    let keep = first.map_or_else(|| vec![true; training.len()], |first| pass.without_worst(&first.network));
    let mut kept = keep.iter().copied();
    pass.inputs.retain(|_| kept.next().unwrap_or(true));
    pass.number = 2;
    let last = pass.run(config.epochs)?;
    let residuals: Vec<_> = pass.held_out.iter().map(|input| residual(&last.network, input)).collect();
    scaling_fit::fit_weights(&mut scaling, &residuals);
    let training: Vec<usize> = training.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(row, _)| *row).collect();
    let report = TrainReport {
        rows: rows.len(),
        subsampled_rows: rows.len() - used,
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
    progress: &'a mut dyn FnMut(EpochProgress),
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
        let mut report = |point: &CurvePoint| {
            let (validation_error, best_error) = (point.validation_loss, point.best_loss);
            progress(EpochProgress { pass, epoch: point.epoch, epochs, validation_error, best_error });
        };
        let watch = Watch { validate: &mut validate, progress: &mut report, clock: &|| 0.0 };
        Ok(fit(&shape, Rows::to_reconstruct(&rows), &config, &mut rng, watch)?)
    }

    /// False for the share of rows that the network reconstructs worst, true for the others.
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
        ..FitConfig::default()
    }
}

#[cfg(test)]
mod tests;
