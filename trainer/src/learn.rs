//! From rows to a signed release: what `serve`, `train`, `calibrate` and `release` do alike.

use crate::calibrate::limits::{BenignFlow, Calibrated, Unlabelled, Watch, evidence_limits};
use crate::calibrate::{CalibrateError, DRIFT_NATS, calibrate};
use crate::card::{CardFiles, CardInput};
use crate::dataset::Row;
use crate::dataset::stored::ends;
use crate::quantize::convert::QuantizeConfig;
use crate::quantize::report::{QuantizeReport, compare};
use crate::release::build::{Artifacts, ReleaseError, ReleaseTerms, artifacts, manifest, release_file};
use crate::release::keys::ReleaseKey;
use crate::release::kinds::profile;
use crate::serve::make::{MadeRelease, MakeError, Order, Progress, ReleaseMaker, Rows};
use crate::train::rows::TrainingRow;
use crate::train::run::TrainRun;
use crate::train::{self, TrainConfig};
use lapwing_shared::features::schema::{SCHEMA, schema_id};
use lapwing_shared::features::{FEATURES, FeatureVector, SchemaId};
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

/// Calibrates on benign flows that were not trained on.
///
/// # Errors
/// When there are too few.
pub fn thresholds(flows: Vec<BenignFlow>) -> Result<Thresholds, CalibrateError> {
    let scores: Vec<u32> = flows.iter().filter_map(|flow| flow.score).collect();
    let calibration = calibrate(&scores)?;
    let watch = Watch::new(flows);
    let days = watch.days();
    let limits = evidence_limits(&[(watch, calibration.clone())], Unlabelled::default(), DRIFT_NATS)?;
    Ok(Thresholds { calibration, limits, days })
}

/// Rows of captures with their scores; each file counts as one site.
pub fn benign_flows(rows: &[&Row], scores: &[u32]) -> Vec<BenignFlow> {
    let flow = |(row, score): (&&Row, &u32)| BenignFlow {
        site: row.file,
        at: row.at,
        source: row.ends.0,
        destination: row.ends.1,
        service_port: row.service_port,
        score: Some(*score),
        stands_for: row.stands_for,
    };
    rows.iter().zip(scores).map(flow).collect()
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

/// Makes releases for `serve`.
pub struct Learner {
    /// Training settings; the order's seed goes before theirs.
    pub config: TrainConfig,
}

impl ReleaseMaker for Learner {
    fn schema(&self) -> SchemaId {
        schema_id()
    }

    fn make(
        &self,
        order: &Order,
        rows: Rows<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<MadeRelease, MakeError> {
        let mut stored = rows.collect::<Result<Vec<_>, _>>()?;
        // Agent by agent, so that rows are held out as stretches of one agent's time.
        stored.sort_by_key(|row| (row.agent, row.at));
        let training: Vec<TrainingRow> = stored
            .iter()
            .map(|row| TrainingRow { features: row.features, agent: site(row), suspect: row.suspect })
            .collect();
        let config = TrainConfig { seed: order.seed, ..self.config.clone() };
        let trained =
            train::train(&training, &transforms(), &config, &mut |step| progress(epoch(&step))).map_err(failed)?;
        let run = TrainRun::new(&training, &config, &trained);
        let held_out: Vec<FeatureVector> = trained.validation.iter().map(|row| training[*row].features).collect();
        progress(stage("quantize", String::new()));
        let quantized = quantize(&run, &held_out, &[]).map_err(failed)?;
        progress(stage("quantize", cost(&quantized.report)));
        let scores = scores(&quantized.artifacts.int8, &run.scaling, held_out.iter()).map_err(failed)?;
        let (watches, calibration) = crossed(&stored, &training, &config, progress)?;
        progress(stage("calibrate", format!("{} rows", calibration.rows)));
        let days = watches.iter().map(|(watch, _)| watch.days()).sum();
        progress(stage("limits", format!("counted on {days:.1} days of {} agents", agents(&training))));
        let unlabelled = Unlabelled { under_release: under_release(&stored), ..order.unlabelled };
        let limits = evidence_limits(&watches, unlabelled, DRIFT_NATS).map_err(failed)?;
        let thresholds = Thresholds { calibration, limits, days };
        let key = ReleaseKey::load(&order.key).map_err(failed)?;
        let naming = Naming {
            group: order.group.to_string(),
            version: order.version,
            created_s: order.created_s,
            expires_s: order.expires_s,
        };
        let kinds = heapless::Vec::new();
        let file =
            release(&run, &quantized.artifacts, &held_out, thresholds.clone(), kinds, naming, &key).map_err(failed)?;
        let card = stored_card(order, &key, file.len(), &run, &quantized.report, (&thresholds, &scores));
        Ok(MadeRelease { file, card: Some(card?) })
    }
}

fn site(row: &crate::store::TrainingRow) -> u32 {
    u32::try_from(row.agent).unwrap_or(u32::MAX)
}

/// Share of the flows that were judged by a release: of the time, about that share.
fn under_release(stored: &[crate::store::TrainingRow]) -> f64 {
    let flows = |judged: bool| -> f64 {
        stored.iter().filter(|row| !judged || row.score.is_some()).map(|row| f64::from(row.flows)).sum()
    };
    flows(true) / flows(false).max(1.0)
}

/// Every row under a network that did not train on it and a calibration that did not see it, to count alerts on, as
/// tomorrow's rows will be judged; and the calibration by all of these scores. What is held out of one training is a few
/// hours of a small fleet, too little to tell how often a day brings a burst, and how odd its rows are; and a burst that
/// the calibration has seen is no surprise to it.
fn crossed(
    stored: &[crate::store::TrainingRow],
    training: &[TrainingRow],
    config: &TrainConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<Calibrated>, Calibration), MakeError> {
    let mut told = |step: train::Progress| progress(Progress { stage: "limits", ..epoch(&step) });
    let halves = train::train_halves(training, &transforms(), config, &mut told).map_err(failed)?;
    let mut parts = Vec::new();
    for half in &halves {
        let run = TrainRun::new(training, config, half);
        let artifacts = artifacts(&run, &run.range_rows(), &QuantizeConfig::default()).map_err(failed)?;
        let (one, other) = train::rows::split(&half.validation, 0.5, config.seed);
        for rows in [one, other] {
            let features = rows.iter().map(|row| &training[*row].features);
            let scores = scores(&artifacts.int8, &run.scaling, features).map_err(failed)?;
            parts.push((rows, scores));
        }
    }
    let without = |left_out: usize| -> Vec<u32> {
        let others = parts.iter().enumerate().filter(|(part, _)| *part != left_out);
        others.flat_map(|(_, (_, scores))| scores).copied().collect()
    };
    let watch = |(part, (rows, scores)): (usize, &(Vec<usize>, Vec<u32>))| {
        let calibration = calibrate(&without(part)).map_err(failed)?;
        Ok((Watch::new(sampled_flows(rows, stored, scores)), calibration))
    };
    let watches = parts.iter().enumerate().map(watch).collect::<Result<_, MakeError>>()?;
    Ok((watches, calibrate(&without(parts.len())).map_err(failed)?))
}

fn agents(rows: &[TrainingRow]) -> usize {
    rows.iter().map(|row| row.agent).collect::<std::collections::BTreeSet<_>>().len()
}

fn failed(error: impl std::fmt::Display) -> MakeError {
    MakeError::Training(error.to_string())
}

/// All rows, of which those with these places are to be judged, by these scores.
fn sampled_flows(judged: &[usize], stored: &[crate::store::TrainingRow], scores: &[u32]) -> Vec<BenignFlow> {
    let scores: BTreeMap<usize, u32> = judged.iter().copied().zip(scores.iter().copied()).collect();
    let flow = |(place, row): (usize, &crate::store::TrainingRow)| {
        let (source, destination) = ends(row.hosts);
        let score = scores.get(&place).copied();
        BenignFlow { site: site(row), at: row.at, source, destination, service_port: 0, score, stands_for: row.flows }
    };
    stored.iter().enumerate().map(flow).collect()
}

/// The card of a release made from the store's rows, among which there are no labelled attacks.
fn stored_card(
    order: &Order,
    key: &ReleaseKey,
    file_bytes: usize,
    run: &TrainRun,
    quantized: &QuantizeReport,
    (thresholds, benign): (&Thresholds, &[u32]),
) -> Result<CardFiles, MakeError> {
    let made = CardFiles::make(&CardInput {
        group: order.group.as_str(),
        version: order.version,
        expires_s: order.expires_s,
        key: key.name(),
        file_bytes,
        run,
        quantized,
        thresholds,
        benign,
        attacks: &[],
        command: "lapwing-trainer retrain, while serve runs on the same store".into(),
    });
    made.map_err(failed)
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

fn stage(stage: &'static str, note: String) -> Progress {
    Progress { stage, done: 0, total: 0, note }
}

fn epoch(step: &train::Progress) -> Progress {
    Progress {
        stage: "train",
        done: step.epoch as u64,
        total: step.epochs as u64,
        note: format!("pass {}, validation error {:.4}, best {:.4}", step.pass, step.validation_error, step.best_error),
    }
}
