//! Benign rows → autoencoders → how badly a row is reconstructed: the anomaly score.
//!
//! Several autoencoders from different first weights may be averaged. With contamination, a short first pass finds the
//! rows that are reconstructed worst; the last pass starts anew without them. A column's squared residual is weighted by
//! the inverse of its mean on validation rows, to a power: 0 counts columns alike, 1 makes all equally loud. With codes,
//! the score is the product of that error and the squared distance to the nearest code: both must find a row ordinary,
//! and neither needs a unit.

use super::codebook::{CODES, Codebook};
use super::{Watcher, generator};
use crate::error::NeuralError;
use crate::fit::{CurvePoint, FitConfig, Fitted, fit_validated};
use crate::loss::Loss;
use crate::network::FloatNetwork;
use crate::rows::Rows;
use crate::shape::NetworkShape;
use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

/// The first pass takes this part of the epochs.
const FIRST_PASS_PART: usize = 3;
/// Mean squared residuals below this part of the columns' mean count as this: a constant column is not infinitely loud.
const RESIDUAL_FLOOR: f64 = 1e-3;

/// Settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AutoencoderConfig {
    /// Widths of the hidden layers; the narrowest is the latent one.
    pub hidden: Vec<usize>,
    /// ReLU on the latent layer, too.
    pub latent_relu: bool,
    /// How many are averaged, 1 to 50.
    pub members: usize,
    /// Share of the training rows, those reconstructed worst, that the last pass does without; 0 to 0.2.
    pub contamination: f64,
    /// Power of the residuals' inverse in the score, 0 to 1.
    pub residual_power: f64,
    /// Codes whose distance is the score's other factor, 0 (none) to [`CODES`].
    pub codes: usize,
    /// Training.
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

/// The model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Autoencoder {
    members: Vec<FloatNetwork>,
    /// One a member and column.
    weights: Vec<Vec<f32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    codebook: Option<Codebook>,
}

/// What a fit came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AutoencoderReport {
    /// Training rows left out as the worst-reconstructed ones, by member.
    pub dropped_rows: Vec<usize>,
    /// Losses by member.
    pub curves: Vec<Vec<CurvePoint>>,
}

impl AutoencoderConfig {
    /// Learns from benign rows, and stops by other benign rows.
    ///
    /// # Errors
    /// [`NeuralError`] for settings out of range, rows that cannot be learnt from, or divergence.
    pub fn fit(
        &self,
        benign: &Matrix,
        validation: &Matrix,
        seed: u64,
        watcher: &mut Watcher<'_>,
    ) -> Result<(Autoencoder, AutoencoderReport), NeuralError> {
        let setting = |holds: bool, name, found: String, expected: &str| {
            if holds { Ok(()) } else { Err(NeuralError::setting(name, found, expected)) }
        };
        setting((1..=50).contains(&self.members), "members", self.members.to_string(), "1 to 50")?;
        setting(!self.hidden.is_empty(), "hidden", format!("{:?}", self.hidden), "at least one width")?;
        let dropped = self.contamination;
        setting((0.0..=0.2).contains(&dropped), "contamination", dropped.to_string(), "0 to 0.2")?;
        let power = self.residual_power;
        setting((0.0..=1.0).contains(&power), "residual-power", power.to_string(), "0 to 1")?;
        setting(self.codes <= CODES, "codes", self.codes.to_string(), "0 to 4096")?;
        let codebook = if self.codes > 0 { Some(Codebook::fit(benign, self.codes, seed)?) } else { None };
        let mut model = Autoencoder { members: Vec::new(), weights: Vec::new(), codebook };
        let mut report = AutoencoderReport { dropped_rows: Vec::new(), curves: Vec::new() };
        for member in 0..self.members {
            let (fitted, dropped) = self.member(member, benign, validation, seed, watcher)?;
            model.weights.push(score_weights(&fitted.network, validation, power));
            model.members.push(fitted.network);
            report.dropped_rows.push(dropped);
            report.curves.push(fitted.curve);
        }
        Ok((model, report))
    }

    fn member(
        &self,
        member: usize,
        benign: &Matrix,
        validation: &Matrix,
        seed: u64,
        watcher: &mut Watcher<'_>,
    ) -> Result<(Fitted, usize), NeuralError> {
        let shape = NetworkShape::autoencoder(benign.columns(), &self.hidden, self.latent_relu);
        let mut pass = |rows: &Matrix, part: u64, config: &FitConfig| {
            let mut rng = generator(seed, 2 * member as u64 + part);
            let mut progress = |point: &CurvePoint| (watcher.progress)(member, point);
            let held = Rows::to_reconstruct(validation);
            fit_validated(&shape, Rows::to_reconstruct(rows), held, config, &mut rng, &mut progress, watcher.clock)
        };
        if self.contamination == 0.0 {
            return Ok((pass(benign, 1, &self.fit)?, 0));
        }
        let short = FitConfig { epochs: self.fit.epochs.div_ceil(FIRST_PASS_PART), ..self.fit.clone() };
        let first = pass(benign, 0, &short)?.network;
        let errors = row_errors(&first, benign, &vec![1.0; benign.columns()]);
        let dropped = (benign.rows() as f64 * self.contamination).ceil() as usize;
        let mut order: Vec<usize> = (0..errors.len()).collect();
        order.sort_by(|a, b| errors[*a].total_cmp(&errors[*b]).then(a.cmp(b)));
        order.truncate(benign.rows().saturating_sub(dropped));
        order.sort_unstable();
        Ok((pass(&benign.select_rows(&order), 1, &self.fit)?, benign.rows() - order.len()))
    }
}

impl Autoencoder {
    /// Columns that rows must have.
    pub fn columns(&self) -> usize {
        self.weights.first().map_or(0, Vec::len)
    }

    /// The networks.
    pub fn members(&self) -> &[FloatNetwork] {
        &self.members
    }

    /// Weights of the squared residuals in the score: one a member and column.
    pub fn weights(&self) -> &[Vec<f32>] {
        &self.weights
    }

    /// The codes, where the score has that factor.
    pub fn codebook(&self) -> Option<&Codebook> {
        self.codebook.as_ref()
    }

    /// True when every network fits its weights; whoever reads a model from a file asks this first.
    pub fn is_valid(&self) -> bool {
        let columns = self.columns();
        let fits = |network: &FloatNetwork| network.is_valid(columns) && network.outputs() == columns;
        let weights = |weights: &Vec<f32>| weights.len() == columns && weights.iter().all(|weight| weight.is_finite());
        let paired = self.members.len() == self.weights.len() && !self.members.is_empty();
        let coded = self.codebook.as_ref().is_none_or(|book| book.is_valid(columns));
        coded && paired && self.members.iter().all(fits) && self.weights.iter().all(weights)
    }

    /// One score a row, higher = more anomalous: the mean of the members' weighted squared residuals, times the squared
    /// distance to the nearest code where there are codes.
    ///
    /// # Errors
    /// [`NeuralError::Rows`] for rows of another width.
    pub fn scores(&self, rows: &Matrix) -> Result<Vec<f32>, NeuralError> {
        if rows.columns() != self.columns() {
            let expected = format!("{}, as in training", self.columns());
            return Err(NeuralError::Rows { what: "columns", found: rows.columns(), expected });
        }
        let mut scores = vec![0.0_f32; rows.rows()];
        for (network, weights) in self.members.iter().zip(&self.weights) {
            let errors = row_errors(network, rows, weights);
            scores.iter_mut().zip(errors).for_each(|(sum, error)| *sum += error / self.members.len() as f32);
        }
        if let Some(book) = &self.codebook {
            scores.iter_mut().zip(rows.iter()).for_each(|(score, row)| *score *= book.distance(row));
        }
        Ok(scores)
    }

    /// The latent values of the first member: rows × latent values.
    ///
    /// # Panics
    /// When rows are not as wide as in training: a mistake of the program; [`Self::scores`] refuses them.
    pub fn latent(&self, rows: &Matrix) -> Matrix {
        self.members.first().map(|network| network.latent_of(rows)).unwrap_or_default()
    }
}

/// Weighted mean squared residual of every row.
fn row_errors(network: &FloatNetwork, rows: &Matrix, weights: &[f32]) -> Vec<f32> {
    let outputs = network.outputs_of(rows);
    let error = |(row, output): (&[f32], &[f32])| {
        let parts = row.iter().zip(output).zip(weights);
        let sum: f64 = parts.map(|((value, output), weight)| f64::from(weight * (value - output).powi(2))).sum();
        (sum / weights.len().max(1) as f64) as f32
    };
    rows.iter().zip(outputs.iter()).map(error).collect()
}

/// Inverse mean squared residuals to a power, with mean 1.
fn score_weights(network: &FloatNetwork, rows: &Matrix, power: f64) -> Vec<f32> {
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
