//! A trained network and benign rows → calibration and evidence limits, for `serve` and by hand alike.
//!
//! Limits are counted on rows judged by a network that did not train on them, as tomorrow's will be. There are two ways
//! to such rows.
//!
//! - **Unseen rows**: captures, feature files, a store that was not trained on. The network itself judges them.
//! - **The rows of its own training**, where a store is all there is. Two more networks are trained, each on half, and
//!   each judges the half that it has not seen. What is held out of one training is a few hours of a small fleet, too
//!   little to tell how often a day brings a burst, and how odd its rows are.

use super::{LearnError, Quantized, Thresholds, quantize, scores, transforms};
use crate::calibrate::limits::{BenignFlow, Unlabelled, Watch, evidence_limits};
use crate::calibrate::{CalibrateError, DRIFT_NATS, calibrate};
use crate::dataset::stored::Sampled;
use crate::dataset::{Row, benign};
use crate::quantize::convert::QuantizeConfig;
use crate::release::build::artifacts;
use crate::train::rows::{TrainingRow, split};
use crate::train::run::TrainRun;
use crate::train::{self, Progress, Trained};
use lapwing_shared::features::FeatureVector;
use lapwing_shared::verdict::calibration::{Calibration, Knot, SURPRISE_LIMIT_NATS};

/// Quanta of a nat in which surprises are handed to the judge.
const SURPRISE_QUANTA: f32 = 1e6;

/// A network that can be released, and what is known of it.
pub struct Judged {
    /// Its two forms, and what quantization cost.
    pub quantized: Quantized,
    /// When it alerts.
    pub thresholds: Thresholds,
    /// Benign rows that it did not train on: golden vectors come from them.
    pub held_out: Vec<FeatureVector>,
    /// Its scores of these.
    pub scores: Vec<u32>,
}

/// Rows judged by one network, with its scores.
struct Part {
    places: Vec<usize>,
    scores: Vec<u32>,
}

/// Judges rows that the network's training did not see.
///
/// # Errors
/// When there are too few.
pub fn judge(run: &TrainRun, rows: &[&Row], attacks: &[FeatureVector]) -> Result<Judged, LearnError> {
    let held_out: Vec<FeatureVector> = rows.iter().map(|row| row.features).collect();
    let quantized = quantize(run, &held_out, attacks)?;
    let scores = scores(&quantized.artifacts.int8, &run.scaling, held_out.iter())?;
    let whole = Part { places: (0..rows.len()).collect(), scores: scores.clone() };
    let thresholds = thresholds(rows, &[whole], Unlabelled::default())?;
    Ok(Judged { quantized, thresholds, held_out, scores })
}

/// Judges rows of the kind that the network was trained on, these or newer ones of the same store, by two halves.
///
/// # Errors
/// When there are too few.
pub fn judge_by_halves(
    run: &TrainRun,
    sampled: &Sampled,
    attacks: &[FeatureVector],
    progress: &mut dyn FnMut(Progress),
) -> Result<Judged, LearnError> {
    let training: Vec<TrainingRow> = benign(&sampled.rows).collect();
    let held_out: Vec<FeatureVector> =
        train::held_out(&training, &run.config).into_iter().map(|row| training[row].features).collect();
    let quantized = quantize(run, &held_out, attacks)?;
    let own = scores(&quantized.artifacts.int8, &run.scaling, held_out.iter())?;
    let halves = train::train_halves(&training, &transforms(), &run.config, progress)?;
    let judged = halves.iter().map(|half| half_scores(run, &training, half)).collect::<Result<Vec<_>, _>>()?;
    let judged: Vec<_> = halves.iter().zip(&judged).map(|(half, scores)| (&*half.validation, &**scores)).collect();
    let rows: Vec<&Row> = sampled.rows.iter().collect();
    let thresholds = thresholds(&rows, &quarters(&judged, run.config.seed), sampled.unlabelled)?;
    Ok(Judged { quantized, thresholds, held_out, scores: own })
}

/// Scores of what a half's network has not seen.
fn half_scores(run: &TrainRun, rows: &[TrainingRow], half: &Trained) -> Result<Vec<u32>, LearnError> {
    let half_run = TrainRun::new(rows, &run.config, half);
    let artifacts = artifacts(&half_run, &half_run.range_rows(), &QuantizeConfig::default())?;
    let unseen = half.validation.iter().map(|row| &rows[*row].features);
    Ok(scores(&artifacts.int8, &half_run.scaling, unseen)?)
}

/// Two parts of what each half's network has judged; neighbouring rows stay together.
fn quarters(judged: &[(&[usize], &[u32])], seed: u64) -> Vec<Part> {
    let mut parts = Vec::new();
    for (places, scores) in judged {
        let (one, other) = split(&(0..places.len()).collect::<Vec<_>>(), 0.5, seed);
        parts.extend([one, other].map(|rows| Part {
            places: rows.iter().map(|row| places[*row]).collect(),
            scores: rows.iter().map(|row| scores[*row]).collect(),
        }));
    }
    parts
}

/// Limits counted on all parts together, in the order of time, so that no burst is torn; each row is judged by the
/// calibration of the other parts, where there are others: a burst that the calibration has seen is no surprise to it,
/// and tomorrow's burst is one that it has not seen. The release's own calibration is by all of them.
fn thresholds(rows: &[&Row], parts: &[Part], unlabelled: Unlabelled) -> Result<Thresholds, CalibrateError> {
    let without = |left_out: usize| -> Vec<u32> {
        let others = parts.iter().enumerate().filter(|(part, _)| *part != left_out);
        others.flat_map(|(_, part)| &part.scores).copied().collect()
    };
    let calibration = calibrate(&without(parts.len()))?;
    let mut surprises = vec![None; rows.len()];
    for (number, part) in parts.iter().enumerate() {
        let others = if parts.len() > 1 { calibrate(&without(number))? } else { calibration.clone() };
        for (place, score) in part.places.iter().zip(&part.scores) {
            surprises[*place] = Some((others.surprise_nats(*score) * SURPRISE_QUANTA).round() as u32);
        }
    }
    let watch = Watch::new(benign_flows(rows, &surprises));
    let days = watch.days();
    let limits = evidence_limits(&[(watch, surprise_itself())], unlabelled, DRIFT_NATS)?;
    Ok(Thresholds { calibration, limits, days })
}

/// The calibration of scores that are surprises already, in [`SURPRISE_QUANTA`].
fn surprise_itself() -> Calibration {
    let knot = |surprise_nats: f32| Knot { score: (surprise_nats * SURPRISE_QUANTA).round() as u32, surprise_nats };
    Calibration { knots: [0.0, SURPRISE_LIMIT_NATS].map(knot).into_iter().collect(), rows: 0 }
}

/// Rows with their scores, those without one not being judged; each file counts as one site.
pub fn benign_flows(rows: &[&Row], scores: &[Option<u32>]) -> Vec<BenignFlow> {
    let flow = |(row, score): (&&Row, &Option<u32>)| BenignFlow {
        site: row.file,
        at: row.at,
        source: row.ends.0,
        destination: row.ends.1,
        service_port: row.service_port,
        score: *score,
        stands_for: row.stands_for,
        under_release: row.under_release,
    };
    rows.iter().zip(scores).map(flow).collect()
}
