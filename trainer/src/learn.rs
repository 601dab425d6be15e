//! From rows to a signed release: what `serve`, `train`, `calibrate` and `release` do alike.

pub mod judge;
mod maker;

pub use maker::Learner;

use crate::calibrate::{CalibrateError, DRIFT_NATS};
use crate::dataset::Row;
use crate::quantize::convert::QuantizeConfig;
use crate::quantize::report::{QuantizeReport, compare};
use crate::release::build::{Artifacts, ReleaseError, ReleaseTerms, artifacts, manifest, release_file};
use crate::release::keys::ReleaseKey;
use crate::release::kinds::profile;
use crate::train::TrainError;
use crate::train::run::TrainRun;
use lapwing_shared::features::schema::SCHEMA;
use lapwing_shared::features::{FEATURES, FeatureVector};
use lapwing_shared::release::manifest::{KINDS, KindProfile, LIMIT_KNOTS, LimitKnot};
use lapwing_shared::verdict::calibration::Calibration;
use lapwing_shared::verdict::network::{Inference, Int8Network, NetworkError, Scratch};
use lapwing_shared::verdict::scaling::{QuantizedInput, Scaling, Transform};
use std::collections::BTreeMap;

/// Transform of every feature, as the schema suggests it.
pub fn transforms() -> [Transform; FEATURES] {
    std::array::from_fn(|index| Transform::of(&SCHEMA[index]))
}

/// Scores of rows under a network, as an agent computes them.
///
/// # Errors
/// When the artifact is none.
pub fn scores<'a>(
    artifact: &[u8],
    scaling: &Scaling,
    rows: impl Iterator<Item = &'a FeatureVector>,
) -> Result<Vec<u32>, NetworkError> {
    let network = Int8Network::parse(artifact)?;
    let (mut scratch, mut inference) = (Scratch::default(), Inference::default());
    let score = |row: &FeatureVector| {
        let input = scaling.quantize(row);
        network.run(&input, &mut scratch, &mut inference);
        scaling.score(&input, &inference.reconstruction)
    };
    Ok(rows.map(score).collect())
}

/// Benign score distribution and evidence thresholds.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Thresholds {
    /// Score → surprise.
    pub calibration: Calibration,
    /// Knob → evidence threshold.
    pub limits: heapless::Vec<LimitKnot, LIMIT_KNOTS>,
    /// Time that alerts were counted on for them, summed over the sites, days.
    pub days: f64,
}

/// Why there is no release of a training.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// A half of the rows gave no network.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// There are no thresholds.
    #[error(transparent)]
    Calibrate(#[from] CalibrateError),
    /// It cannot be quantized.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The quantized network is none.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// Profiles of the attack kinds among labelled rows, most frequent kinds first.
pub fn kinds<'a>(labelled: impl Iterator<Item = &'a Row>, scaling: &Scaling) -> heapless::Vec<KindProfile, KINDS> {
    let mut by_kind: BTreeMap<&str, Vec<QuantizedInput>> = BTreeMap::new();
    for row in labelled {
        if let Some(kind) = &row.attack {
            by_kind.entry(kind).or_default().push(scaling.quantize(&row.features));
        }
    }
    let mut kinds: Vec<_> = by_kind.into_iter().collect();
    kinds.sort_by_key(|(_, rows)| std::cmp::Reverse(rows.len()));
    kinds.into_iter().filter_map(|(name, rows)| profile(name, &rows, scaling)).take(KINDS).collect()
}

/// A network in both forms, and what quantization cost.
pub struct Quantized {
    /// The artifacts.
    pub artifacts: Artifacts,
    /// int8 against f32.
    pub report: QuantizeReport,
}

/// Quantizes with rows of the training as calibration set; the cost is measured on `held_out` rows.
///
/// # Errors
/// When the network does not fit the encoding.
pub fn quantize(
    run: &TrainRun,
    held_out: &[FeatureVector],
    attacks: &[FeatureVector],
) -> Result<Quantized, ReleaseError> {
    let quantize =
        |rows: &[FeatureVector]| -> Vec<QuantizedInput> { rows.iter().map(|row| run.scaling.quantize(row)).collect() };
    let artifacts = artifacts(run, &run.range_rows(), &QuantizeConfig::default())?;
    let report = compare(&run.network, &artifacts.int8, &run.scaling, &quantize(held_out), &quantize(attacks))?;
    Ok(Quantized { artifacts, report })
}

/// What a release says besides network and thresholds.
pub struct Naming {
    /// Group of agents.
    pub group: String,
    /// Version.
    pub version: u64,
    /// Now, seconds since the epoch.
    pub created_s: u64,
    /// When it is no longer taken, seconds since the epoch.
    pub expires_s: u64,
}

/// Puts everything together and signs it.
///
/// # Errors
/// When the engines differ, a part breaks the manifest's rules, or the key cannot sign.
pub fn release(
    run: &TrainRun,
    artifacts: &Artifacts,
    golden_from: &[FeatureVector],
    thresholds: Thresholds,
    kinds: heapless::Vec<KindProfile, KINDS>,
    naming: Naming,
    key: &ReleaseKey,
) -> Result<Vec<u8>, ReleaseError> {
    let terms = ReleaseTerms {
        group: naming.group,
        version: naming.version,
        created_s: naming.created_s,
        expires_s: naming.expires_s,
        calibration: thresholds.calibration,
        evidence_drift_nats: DRIFT_NATS,
        limits: thresholds.limits,
        kinds,
    };
    release_file(&manifest(run, artifacts, golden_from, &terms)?, artifacts, key)
}

/// One line on what quantization cost.
pub fn cost(report: &QuantizeReport) -> String {
    let against = match report.against {
        crate::quantize::report::Against::LabelledAttacks => "labelled attacks",
        crate::quantize::report::Against::PerturbedRows => "perturbed rows",
    };
    format!(
        "int8 against f32: rank correlation {:.4}, AUC {:.4} against {:.4} on {against}, {} bytes",
        report.rank_correlation, report.auc_int8, report.auc_f32, report.size_bytes
    )
}

#[cfg(test)]
mod tests;
