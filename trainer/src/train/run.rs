//! A finished training as one JSON file: weights, scaling, config, seed, data digest, code version, report.

use super::network::{FloatNetwork, GatewayNetwork};
use super::{TrainConfig, TrainError, TrainReport, Trained};
use crate::train::rows::TrainingRow;
use lapwing_shared::features::FEATURES;
use lapwing_shared::release::digest::Hex;
use lapwing_shared::verdict::scaling::{QuantizedInput, Scaling};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Number of the format; a reader refuses any other.
pub const RUN_FORMAT: u32 = 2;

/// Training rows kept for quantization, at most: enough for the ranges of the layers, little enough for a file.
pub const RANGE_ROWS: usize = 2048;

/// The code that trains, as `origin.code` of a manifest names it.
pub const CODE_VERSION: &str = concat!("lapwing-trainer ", env!("CARGO_PKG_VERSION"));

/// Everything needed to make a release of a training, and to repeat it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TrainRun {
    /// [`RUN_FORMAT`].
    pub format: u32,
    /// [`CODE_VERSION`] of the code that trained.
    pub code: String,
    /// SHA-256 of the rows given, hexadecimal ([`super::rows::digest`]).
    pub data_sha256: String,
    /// The settings, with the seed.
    pub config: TrainConfig,
    /// The rows are what a store's agents sampled: its thresholds on the same store are by two halves
    /// ([`crate::learn::judge`]).
    #[serde(default)]
    pub sampled: bool,
    /// What happened.
    pub report: TrainReport,
    /// Scaling with score weights.
    pub scaling: Scaling,
    /// The weights.
    pub network: FloatNetwork,
    /// Evenly spaced rows of the last pass as the network reads them, [`FEATURES`] values each, at most [`RANGE_ROWS`].
    /// Quantization takes the layers' ranges from them, so that the rows that set thresholds have no part in the network.
    #[serde(default)]
    range_rows: Vec<Vec<i8>>,
}

impl TrainRun {
    /// Puts together what belongs to a training over these rows.
    pub fn new(rows: &[TrainingRow], config: &TrainConfig, trained: &Trained) -> Self {
        let every = trained.training.len().div_ceil(RANGE_ROWS).max(1);
        let kept = trained.training.iter().step_by(every);
        let range_rows = kept.map(|row| trained.scaling.quantize(&rows[*row].features).to_vec()).collect();
        Self {
            format: RUN_FORMAT,
            code: CODE_VERSION.into(),
            data_sha256: Hex(&super::rows::digest(rows)).to_string(),
            config: config.clone(),
            sampled: false,
            report: trained.report.clone(),
            scaling: trained.scaling.clone(),
            network: trained.network.clone(),
            range_rows,
        }
    }

    /// Says whether the rows are what a store's agents sampled.
    #[must_use]
    pub fn of_samples(self, sampled: bool) -> Self {
        Self { sampled, ..self }
    }

    /// True when it was trained on these very rows.
    pub fn is_of(&self, rows: &[TrainingRow]) -> bool {
        self.data_sha256 == Hex(&super::rows::digest(rows)).to_string()
    }

    /// The rows that quantization takes the layers' ranges from; all of them were trained on.
    pub fn range_rows(&self) -> Vec<QuantizedInput> {
        self.range_rows.iter().filter_map(|row| row.as_slice().try_into().ok()).collect()
    }

    /// Writes the file.
    ///
    /// # Errors
    /// [`TrainError::Saved`].
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let failed = |reason: String| TrainError::Saved { path: path.display().to_string(), reason };
        let text = serde_json::to_string(self).map_err(|error| failed(error.to_string()))?;
        std::fs::write(path, text).map_err(|error| failed(error.to_string()))
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`TrainError::Saved`] when it cannot be read, is of another format, or its numbers make no network.
    pub fn load(path: &Path) -> Result<Self, TrainError> {
        let failed = |reason: String| TrainError::Saved { path: path.display().to_string(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let run: Self = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        if run.format != RUN_FORMAT {
            return Err(failed(format!("format {}, expected {RUN_FORMAT}", run.format)));
        }
        if !run.network.fits_gateway() || !run.scaling.is_valid() {
            return Err(failed("weights or scaling are not those of a network".into()));
        }
        if run.range_rows.is_empty() || run.range_rows.iter().any(|row| row.len() != FEATURES) {
            return Err(failed(format!("range-rows: expected at least one row of {FEATURES} values")));
        }
        Ok(run)
    }
}
