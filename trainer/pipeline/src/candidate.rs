//! A trained network and benign rows → both artifacts, calibration and evidence limits: a candidate for a release.
//!
//! Limits are counted on rows that the scoring network was not trained on, as in production. There are two sources:
//!
//! - **Unseen rows** ([`from_unseen_rows`]): captures, feature files, a store that was not used for training. The network
//!   scores them itself.
//! - **The rows of its own training** ([`by_halves`]), if there is only the store. Two more networks are trained, each
//!   on one half of the rows, and each scores the other half. The validation rows of a single training cover only a few
//!   hours of a small fleet, too little to estimate how often bursts occur and how anomalous their rows are.

use crate::calibrate::limits::{BenignFlow, Traffic, evidence_limits};
use crate::calibrate::{CalibrateError, DRIFT_NATS, calibrate};
use crate::dataset::Row;
use crate::dataset::stored::Sampled;
use crate::quantize::{QuantizeConfig, QuantizeError, Quantized, artifacts, quantize, scores};
use crate::train::run::TrainRun;
use crate::train::training_rows::{TrainingRow, benign, split};
use crate::train::{self, EpochProgress, TrainError, Trained, transforms};
use lapwing_shared::features::FeatureVector;
use lapwing_shared::release::manifest::{LIMIT_KNOTS, LimitKnot};
use lapwing_shared::verdict::calibration::{Calibration, Knot, SURPRISE_LIMIT_NATS};
use lapwing_shared::verdict::network::NetworkError;
use lapwing_store::Unlabelled;

/// Benign score distribution and evidence limits.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Thresholds {
    /// Score → surprise.
    pub calibration: Calibration,
    /// False-alert budget → evidence limit.
    pub limits: heapless::Vec<LimitKnot, LIMIT_KNOTS>,
    /// Time covered by the counted alerts, summed over the sites, days.
    pub days: f64,
}

/// Why a trained network cannot become a candidate.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum CandidateError {
    /// Training on half of the rows failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error(transparent)]
    Calibrate(#[from] CalibrateError),
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// The engine rejects the quantized network.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// Quanta per nat of the surprises that the evidence tracker gets as scores.
const SURPRISE_QUANTA: f32 = 1e6;

/// A network that can be released, with its thresholds.
pub struct Candidate {
    /// Both forms of the network, and the quantization loss.
    pub quantized: Quantized,
    /// Calibration and evidence limits.
    pub thresholds: Thresholds,
    /// Benign rows that it was not trained on; some become golden vectors.
    pub(crate) held_out: Vec<FeatureVector>,
    /// Its int8 scores of the held-out rows.
    pub scores: Vec<u32>,
}

/// Rows with the scores of one network.
struct ScoredPart {
    /// Indices of the rows.
    rows: Vec<usize>,
    scores: Vec<u32>,
}

/// Calibrates a network on rows that it was not trained on: captures, feature files, or another store.
///
/// # Errors
/// When there are too few rows.
pub fn from_unseen_rows(run: &TrainRun, rows: &[&Row], attacks: &[FeatureVector]) -> Result<Candidate, CandidateError> {
    let held_out: Vec<FeatureVector> = rows.iter().map(|row| row.features).collect();
    let quantized = quantize(run, &held_out, attacks)?;
    let scores = scores(&quantized.artifacts.int8, &run.scaling, held_out.iter())?;
    let whole = ScoredPart { rows: (0..rows.len()).collect(), scores: scores.clone() };
    let thresholds = thresholds(rows, &[whole], Unlabelled::default())?;
    Ok(Candidate { quantized, thresholds, held_out, scores })
}

/// Calibrates a network on the rows of its own training, or newer rows of the same store, with two more networks that
/// are each trained on half of the rows and score the other half.
///
/// # Errors
/// When there are too few rows.
pub fn by_halves(
    run: &TrainRun,
    sampled: &Sampled,
    attacks: &[FeatureVector],
    progress: &mut dyn FnMut(EpochProgress),
) -> Result<Candidate, CandidateError> {
    let training: Vec<TrainingRow> = benign(&sampled.rows).collect();
    let held_out: Vec<FeatureVector> =
        train::held_out(&training, &run.config).into_iter().map(|row| training[row].features).collect();
    let quantized = quantize(run, &held_out, attacks)?;
    let own = scores(&quantized.artifacts.int8, &run.scaling, held_out.iter())?;
    let halves = train::train_halves(&training, &transforms(), &run.config, progress)?;
    let scored = halves.iter().map(|half| score_other_half(run, &training, half)).collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<&Row> = sampled.rows.iter().collect();
    let thresholds = thresholds(&rows, &quarters(&scored, run.config.seed), sampled.unlabelled)?;
    Ok(Candidate { quantized, thresholds, held_out, scores: own })
}

/// Scores the other half with a half's network.
fn score_other_half(run: &TrainRun, rows: &[TrainingRow], half: &Trained) -> Result<ScoredPart, CandidateError> {
    let half_run = TrainRun::new(rows, &run.config, half);
    let artifacts = artifacts(&half_run, &half_run.range_rows(), &QuantizeConfig::default())?;
    let unseen = half.validation.iter().map(|row| &rows[*row].features);
    let scores = scores(&artifacts.int8, &half_run.scaling, unseen)?;
    Ok(ScoredPart { rows: half.validation.clone(), scores })
}

/// Splits each half into two parts; neighbouring rows stay together.
fn quarters(halves: &[ScoredPart], seed: u64) -> Vec<ScoredPart> {
    let mut parts = Vec::new();
    for half in halves {
        let split = split(&(0..half.rows.len()).collect::<Vec<_>>(), 0.5, seed);
        parts.extend([split.training, split.validation].map(|indices| ScoredPart {
            rows: indices.iter().map(|index| half.rows[*index]).collect(),
            scores: indices.iter().map(|index| half.scores[*index]).collect(),
        }));
    }
    parts
}

/// Counts alerts on all parts together in order of time, so that bursts stay whole. The surprise of each row comes from
/// the calibration of the other parts, if any, because a calibration that has seen a burst underestimates how surprising
/// a new burst is. The release's own calibration uses all parts.
fn thresholds(rows: &[&Row], parts: &[ScoredPart], unlabelled: Unlabelled) -> Result<Thresholds, CalibrateError> {
    let without = |left_out: usize| -> Vec<u32> {
        let others = parts.iter().enumerate().filter(|(part, _)| *part != left_out);
        others.flat_map(|(_, part)| &part.scores).copied().collect()
    };
    let calibration = calibrate(&without(parts.len()))?;
    let mut surprises = vec![None; rows.len()];
    for (number, part) in parts.iter().enumerate() {
        let others = if parts.len() > 1 { calibrate(&without(number))? } else { calibration.clone() };
        for (row, score) in part.rows.iter().zip(&part.scores) {
            surprises[*row] = Some((others.surprise_nats(*score) * SURPRISE_QUANTA).round() as u32);
        }
    }
    let traffic = Traffic::new(benign_flows(rows, &surprises));
    let limits = evidence_limits(&traffic, &identity_calibration(), unlabelled, DRIFT_NATS)?;
    Ok(Thresholds { calibration, limits, days: traffic.days() })
}

/// Calibration of scores that are already surprises, in [`SURPRISE_QUANTA`].
fn identity_calibration() -> Calibration {
    let knot = |surprise_nats: f32| Knot { score: (surprise_nats * SURPRISE_QUANTA).round() as u32, surprise_nats };
    Calibration { knots: [0.0, SURPRISE_LIMIT_NATS].map(knot).into_iter().collect(), rows: 0 }
}

/// Rows with their scores; each file counts as one site.
pub fn benign_flows(rows: &[&Row], scores: &[Option<u32>]) -> Vec<BenignFlow> {
    let flow = |(row, score): (&&Row, &Option<u32>)| BenignFlow {
        site: row.site,
        at: row.at,
        source: row.source,
        destination: row.destination,
        service_port: row.service_port,
        score: *score,
        weight: row.weight,
        under_release: row.under_release,
    };
    rows.iter().zip(scores).map(flow).collect()
}

#[cfg(test)]
#[path = "candidate_tests.rs"]
mod tests;
