//! A finished training → one JSON file with weights, scaling, settings, seed, data digest, code version and report.

use super::network::{FloatNetwork, GatewayNetwork};
use super::{TrainConfig, TrainError, TrainReport, Trained};
use crate::train::training_rows::TrainingRow;
use lapwing_shared::features::FEATURES;
use lapwing_shared::release::digest::Hex;
use lapwing_shared::verdict::scaling::{QuantizedInput, Scaling};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Format number; readers reject any other.
pub(crate) const RUN_FORMAT: u32 = 2;

/// Maximum number of training rows in the file for quantization: enough for the ranges of the layers.
pub(crate) const RANGE_ROWS: usize = 2048;

/// Program and version, as in `origin.code` of a manifest.
pub(crate) const CODE_VERSION: &str = concat!("lapwing-trainer ", env!("CARGO_PKG_VERSION"));

/// Everything needed to make a release of a training and to reproduce it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct TrainRun {
    /// `RUN_FORMAT`.
    pub(crate) format: u32,
    /// `CODE_VERSION` of the code that trained.
    pub code: String,
    /// SHA-256 of the given rows, hexadecimal (`training_rows::digest`).
    pub data_sha256: String,
    /// Settings, including the seed.
    pub(crate) config: TrainConfig,
    /// The rows came from a store; on the same store, thresholds are set by two halves ([`crate::candidate`]).
    #[serde(default)]
    pub sampled: bool,
    pub report: TrainReport,
    /// Scaling with score weights.
    pub scaling: Scaling,
    pub network: FloatNetwork,
    /// At most [`RANGE_ROWS`] evenly spaced, quantized rows of the second pass, [`FEATURES`] values each. Quantization
    /// takes the layers' ranges from them, so that the rows that set thresholds do not influence the network.
    #[serde(default)]
    range_rows: Vec<Vec<i8>>,
}

impl TrainRun {
    /// Collects the results of a training on these rows.
    pub fn new(rows: &[TrainingRow], config: &TrainConfig, trained: &Trained) -> Self {
        let every = trained.training.len().div_ceil(RANGE_ROWS).max(1);
        let selected = trained.training.iter().step_by(every);
        let range_rows = selected.map(|row| trained.scaling.quantize(&rows[*row].features).to_vec()).collect();
        Self {
            format: RUN_FORMAT,
            code: CODE_VERSION.into(),
            data_sha256: Hex(&super::training_rows::digest(rows)).to_string(),
            config: config.clone(),
            sampled: false,
            report: trained.report.clone(),
            scaling: trained.scaling.clone(),
            network: trained.network.clone(),
            range_rows,
        }
    }

    /// Sets whether the rows came from a store.
    #[must_use]
    pub fn of_samples(self, sampled: bool) -> Self {
        Self { sampled, ..self }
    }

    /// True if it was trained on exactly these rows.
    pub fn is_of(&self, rows: &[TrainingRow]) -> bool {
        self.data_sha256 == Hex(&super::training_rows::digest(rows)).to_string()
    }

    /// Training rows from which quantization takes the layers' ranges.
    pub(crate) fn range_rows(&self) -> Vec<QuantizedInput> {
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
    /// [`TrainError::Saved`] when the file cannot be read, has another format, or contains invalid weights.
    pub fn load(path: &Path) -> Result<Self, TrainError> {
        let failed = |reason: String| TrainError::Saved { path: path.display().to_string(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let run: Self = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        if run.format != RUN_FORMAT {
            return Err(failed(format!("format {}, expected {RUN_FORMAT}", run.format)));
        }
        if !run.network.fits_gateway() || !run.scaling.is_valid() {
            return Err(failed("invalid weights or scaling".into()));
        }
        if run.range_rows.is_empty() || run.range_rows.iter().any(|row| row.len() != FEATURES) {
            return Err(failed(format!("range-rows: expected at least one row of {FEATURES} values")));
        }
        Ok(run)
    }
}
