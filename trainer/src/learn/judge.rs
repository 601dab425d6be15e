//! A trained network and benign rows → calibration and evidence limits, for `serve` and by hand alike.
//!
//! Limits are counted on rows judged as tomorrow's will be: by a network that did not train on them, and by a
//! calibration made of others. There are two ways to such rows.
//!
//! - **Unseen rows**: captures, feature files, a store that was not trained on. The network itself judges them.
//! - **The rows of its own training**, where a store is all there is. Two more networks are trained, each on half, and
//!   each judges the half that it has not seen. What is held out of one training is a few hours of a small fleet, too
//!   little to tell how often a day brings a burst, and how odd its rows are.

use super::{LearnError, Quantized, Thresholds, quantize, scores, transforms};
use crate::calibrate::limits::{BenignFlow, Calibrated, Unlabelled, Watch, evidence_limits};
use crate::calibrate::{CalibrateError, DRIFT_NATS, calibrate};
use crate::dataset::stored::Sampled;
use crate::dataset::{Row, benign};
use crate::quantize::convert::QuantizeConfig;
use crate::release::build::artifacts;
use crate::train::rows::{TrainingRow, split};
use crate::train::run::TrainRun;
use crate::train::{self, Progress, Trained};
use lapwing_shared::features::FeatureVector;

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
    let all: Vec<usize> = (0..rows.len()).collect();
    let parts = quarters(&[(&all, &scores)], run.config.seed);
    let thresholds = thresholds(rows, &parts, Unlabelled::default())?;
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

/// Four parts, or two of each network's rows where there are two networks; neighbouring rows stay together.
fn quarters(judged: &[(&[usize], &[u32])], seed: u64) -> Vec<Part> {
    let mut parts = Vec::new();
    for (places, scores) in judged {
        let all: Vec<usize> = (0..places.len()).collect();
        let (one, other) = split(&all, 0.5, seed);
        let halves = [one, other];
        let pieces: Vec<Vec<usize>> = if judged.len() > 1 {
            halves.into()
        } else {
            halves.iter().flat_map(|half| <[_; 2]>::from(split(half, 0.5, seed))).collect()
        };
        parts.extend(pieces.iter().map(|piece| Part {
            places: piece.iter().map(|row| places[*row]).collect(),
            scores: piece.iter().map(|row| scores[*row]).collect(),
        }));
    }
    parts
}

/// Limits counted on every part, judged by a calibration of the others: a burst that the calibration has seen is no
/// surprise to it, and tomorrow's burst is one that it has not seen. The release's own calibration is by all of them.
fn thresholds(rows: &[&Row], parts: &[Part], unlabelled: Unlabelled) -> Result<Thresholds, CalibrateError> {
    let without = |left_out: usize| -> Vec<u32> {
        let others = parts.iter().enumerate().filter(|(part, _)| *part != left_out);
        others.flat_map(|(_, part)| &part.scores).copied().collect()
    };
    let calibration = calibrate(&without(parts.len()))?;
    let watch = |(number, part): (usize, &Part)| -> Result<Calibrated, CalibrateError> {
        let mut scores = vec![None; rows.len()];
        part.places.iter().zip(&part.scores).for_each(|(place, score)| scores[*place] = Some(*score));
        Ok((Watch::new(benign_flows(rows, &scores)), calibrate(&without(number))?))
    };
    let watches = parts.iter().enumerate().map(watch).collect::<Result<Vec<_>, _>>()?;
    let days = watches.iter().map(|(watch, _)| watch.days()).sum();
    let limits = evidence_limits(&watches, unlabelled, DRIFT_NATS)?;
    Ok(Thresholds { calibration, limits, days })
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
