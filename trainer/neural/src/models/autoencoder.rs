//! Benign rows → ensemble of autoencoders → reconstruction error, the anomaly score.
//!
//! Ensemble members differ in their initial weights. With contamination, a short first training finds the rows with the
//! largest reconstruction error, and the final training excludes them. A column's squared residual is weighted by its
//! inverse mean on validation rows, to a power: 0 gives all columns the same weight, 1 the same contribution. With a
//! codebook, the score is the product of reconstruction error and squared distance to the nearest code, so that neither
//! factor needs a unit.

use super::codebook::{CODES, Codebook};
use super::{Watcher, generator};
use crate::error::NeuralError;
use crate::fit::{CurvePoint, FitConfig, Fitted, fit_validated};
use crate::loss::Loss;
use crate::network::FloatNetwork;
use crate::shape::NetworkShape;
use crate::weighted_rows::Rows;
use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

/// The first training of a contaminated set runs this fraction of the epochs.
const FIRST_PASS_DIVISOR: usize = 3;
/// Lower limit of a column's mean squared residual, relative to the mean over columns. It limits the weight of constant
/// columns.
const RESIDUAL_FLOOR: f64 = 1e-3;

/// Hyperparameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct AutoencoderConfig {
    /// Widths of the hidden layers; the narrowest is the latent layer.
    pub hidden: Vec<usize>,
    /// Whether the latent layer has ReLU.
    pub latent_relu: bool,
    /// Ensemble size, 1 to 50.
    pub members: usize,
    /// Share of the training rows with the largest reconstruction error to exclude, 0 to 0.2.
    pub contamination: f64,
    /// Power of the inverse mean residual in a column's weight, 0 to 1.
    pub residual_power: f64,
    /// Codebook size, at most `CODES`; 0: no codebook.
    pub codes: usize,
    pub fit: FitConfig,
}

impl Default for AutoencoderConfig {
    fn default() -> Self {
        Self {
            hidden: vec![24, 8, 24],
            latent_relu: false,
            members: 1,
            contamination: 0.0,
            residual_power: 0.5,
            codes: 0,
            fit: FitConfig { loss: Loss::Huber { delta: 1.0 }, ..FitConfig::default() },
        }
    }
}

/// A fitted ensemble, with a codebook if configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Autoencoder {
    members: Vec<FloatNetwork>,
    /// One per member and column.
    weights: Vec<Vec<f32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    codebook: Option<Codebook>,
}

/// Course of a fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AutoencoderReport {
    /// Number of training rows excluded, by member.
    pub(crate) dropped_rows: Vec<usize>,
    /// Learning curves, by member.
    pub curves: Vec<Vec<CurvePoint>>,
}

impl AutoencoderConfig {
    /// Trains on benign rows, with early stopping and column weights from benign validation rows.
    ///
    /// # Errors
    /// [`NeuralError`] for settings out of range, invalid rows, or divergence.
    pub fn fit(
        &self,
        benign: &Matrix,
        validation: &Matrix,
        seed: u64,
        watcher: &mut Watcher<'_>,
    ) -> Result<(Autoencoder, AutoencoderReport), NeuralError> {
        self.check()?;
        let codebook = if self.codes > 0 { Some(Codebook::fit(benign, self.codes, seed)?) } else { None };
        let mut model = Autoencoder { members: Vec::new(), weights: Vec::new(), codebook };
        let mut report = AutoencoderReport { dropped_rows: Vec::new(), curves: Vec::new() };
        for member in 0..self.members {
            let (fitted, dropped) = self.member(member, benign, validation, seed, watcher)?;
            model.weights.push(column_weights(&fitted.network, validation, self.residual_power));
            model.members.push(fitted.network);
            report.dropped_rows.push(dropped);
            report.curves.push(fitted.curve);
        }
        Ok((model, report))
    }

    fn check(&self) -> Result<(), NeuralError> {
        let setting = |holds: bool, name, found: String, expected: &str| {
            if holds { Ok(()) } else { Err(NeuralError::setting(name, found, expected)) }
        };
        setting((1..=50).contains(&self.members), "members", self.members.to_string(), "1 to 50")?;
        setting(!self.hidden.is_empty(), "hidden", format!("{:?}", self.hidden), "at least one width")?;
        let share = self.contamination;
        setting((0.0..=0.2).contains(&share), "contamination", share.to_string(), "0 to 0.2")?;
        let power = self.residual_power;
        setting((0.0..=1.0).contains(&power), "residual-power", power.to_string(), "0 to 1")?;
        setting(self.codes <= CODES, "codes", self.codes.to_string(), "0 to 4096")
    }

    /// Trains one member; also returns the number of rows excluded.
    fn member(
        &self,
        member: usize,
        benign: &Matrix,
        validation: &Matrix,
        seed: u64,
        watcher: &mut Watcher<'_>,
    ) -> Result<(Fitted, usize), NeuralError> {
        let shape = NetworkShape::autoencoder(benign.columns(), &self.hidden, self.latent_relu);
        let mut train = |rows: &Matrix, part: u64, config: &FitConfig| {
            let mut rng = generator(seed, 2 * member as u64 + part);
            let mut progress = |point: &CurvePoint| (watcher.progress)(member, point);
            let (rows, validation) = (Rows::to_reconstruct(rows), Rows::to_reconstruct(validation));
            fit_validated(&shape, rows, validation, config, &mut rng, &mut progress, watcher.clock)
        };
        if self.contamination == 0.0 {
            return Ok((train(benign, 1, &self.fit)?, 0));
        }
        let short = FitConfig { epochs: self.fit.epochs.div_ceil(FIRST_PASS_DIVISOR), ..self.fit.clone() };
        let first = train(benign, 0, &short)?.network;
        let errors = row_errors(&first, benign, &vec![1.0; benign.columns()]);
        let dropped = (benign.rows() as f64 * self.contamination).ceil() as usize;
        let mut order: Vec<usize> = (0..errors.len()).collect();
        order.sort_by(|a, b| errors[*a].total_cmp(&errors[*b]).then(a.cmp(b)));
        order.truncate(benign.rows().saturating_sub(dropped));
        order.sort_unstable();
        Ok((train(&benign.select_rows(&order), 1, &self.fit)?, benign.rows() - order.len()))
    }
}

impl Autoencoder {
    /// Number of columns of the training rows.
    pub fn columns(&self) -> usize {
        self.weights.first().map_or(0, Vec::len)
    }

    /// The ensemble's networks.
    pub fn members(&self) -> &[FloatNetwork] {
        &self.members
    }

    /// Weights of the squared residuals: one per member and column.
    pub fn weights(&self) -> &[Vec<f32>] {
        &self.weights
    }

    /// The codebook, if the score uses one.
    pub fn codebook(&self) -> Option<&Codebook> {
        self.codebook.as_ref()
    }

    /// True if networks, weights and codebook have matching sizes and finite values. Check this before using a model
    /// read from a file.
    pub fn is_valid(&self) -> bool {
        let columns = self.columns();
        let network_fits = |network: &FloatNetwork| network.is_valid(columns) && network.outputs() == columns;
        let weights_fit =
            |weights: &Vec<f32>| weights.len() == columns && weights.iter().all(|value| value.is_finite());
        self.codebook.as_ref().is_none_or(|codebook| codebook.is_valid(columns))
            && self.members.len() == self.weights.len()
            && !self.members.is_empty()
            && self.members.iter().all(network_fits)
            && self.weights.iter().all(weights_fit)
    }

    /// One score per row, higher = more anomalous: the mean of the members' weighted squared residuals, times the
    /// squared distance to the nearest code if there is a codebook.
    ///
    /// # Errors
    /// [`NeuralError::Rows`] for rows of another width.
    pub fn scores(&self, rows: &Matrix) -> Result<Vec<f32>, NeuralError> {
        NeuralError::check_width(rows.columns(), self.columns())?;
        let mut scores = vec![0.0_f32; rows.rows()];
        for (network, weights) in self.members.iter().zip(&self.weights) {
            let errors = row_errors(network, rows, weights);
            scores.iter_mut().zip(errors).for_each(|(sum, error)| *sum += error / self.members.len() as f32);
        }
        if let Some(codebook) = &self.codebook {
            scores.iter_mut().zip(rows.iter()).for_each(|(score, row)| *score *= codebook.distance(row));
        }
        Ok(scores)
    }

    /// Latent representation by the first member: rows × latent values.
    ///
    /// # Panics
    /// If the rows do not have [`Self::columns`] columns, which is a programming error.
    pub fn latent(&self, rows: &Matrix) -> Matrix {
        self.members.first().map(|network| network.latent_of(rows)).unwrap_or_default()
    }
}

/// Weighted mean squared residual of every row.
fn row_errors(network: &FloatNetwork, rows: &Matrix, weights: &[f32]) -> Vec<f32> {
    let outputs = network.outputs_of(rows);
    let error = |(row, output): (&[f32], &[f32])| {
        let terms = row.iter().zip(output).zip(weights);
        let sum: f64 = terms.map(|((value, output), weight)| f64::from(weight * (value - output).powi(2))).sum();
        (sum / weights.len().max(1) as f64) as f32
    };
    rows.iter().zip(outputs.iter()).map(error).collect()
}

/// Inverse mean squared residuals to a power, scaled to mean 1.
fn column_weights(network: &FloatNetwork, rows: &Matrix, power: f64) -> Vec<f32> {
    let outputs = network.outputs_of(rows);
    let mut means = vec![0.0_f64; rows.columns()];
    for (row, output) in rows.iter().zip(outputs.iter()) {
        for ((mean, value), output) in means.iter_mut().zip(row).zip(output) {
            *mean += f64::from(value - output).powi(2) / rows.rows() as f64;
        }
    }
    let floor = (means.iter().sum::<f64>() / means.len().max(1) as f64 * RESIDUAL_FLOOR).max(f64::MIN_POSITIVE);
    let weights: Vec<f64> = means.iter().map(|mean| mean.max(floor).powf(-power)).collect();
    let mean = weights.iter().sum::<f64>() / weights.len().max(1) as f64;
    weights.iter().map(|weight| (weight / mean) as f32).collect()
}
