//! A training run and its candidate → a signed release file with its model card.
//!
//! Every release is made by [`make_release`]: the command line calls it with a run read from a file, [`Pipeline`] calls
//! it for `serve` with a run that it has just trained on the rows of a store.

use crate::calibrate::DRIFT_NATS;
use crate::candidate::{Candidate, by_halves};
use crate::card::{CardFiles, CardInput};
use crate::dataset::Row;
use crate::dataset::stored::Sampled;
use crate::gate::{self, Detector};
use crate::order::{AgentShare, Guard, MadeRelease, MakeError, Order, ReleaseMaker, StageProgress};
use crate::quantize::scores;
use crate::release::build::{ReleaseTerms, held_file, manifest, release_file};
use crate::release::class_profiles;
use crate::release::keys::ReleaseKey;
use crate::train::run::TrainRun;
use crate::train::training_rows::{TrainingRow, benign, cap_agent_share};
use crate::train::{self, TrainConfig, transforms};
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::features::{FeatureVector, SchemaId};
use lapwing_store::TrainingRow as StoredRow;
use std::collections::{BTreeMap, BTreeSet};

/// Group, version and dates of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Identity {
    pub group: String,
    /// Version, greater than every earlier one of the group.
    pub version: u64,
    /// Creation time, seconds since the epoch.
    pub created_s: u64,
    /// Time from which agents reject it, seconds since the epoch.
    pub expires_s: u64,
    /// Lowest version to which agents that accept it ever go back; 0: none.
    pub floor: u64,
}

/// Inputs of a release.
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Parts<'a> {
    pub run: &'a TrainRun,
    /// Quantized network of the run, with thresholds.
    pub candidate: &'a Candidate,
    /// Rows with attack labels, possibly none, for the classes that alerts can resemble and the card's figures.
    pub labelled: &'a [Row],
    /// Previous release and attacks that the gate replays.
    pub guard: &'a Guard,
    /// Command that reproduces it, for the card.
    pub command: String,
}

/// Builds, checks, signs and documents a release. If the gate finds a reason to hold it back, or without a key, it is not
/// signed.
///
/// # Errors
/// When the two engines differ, a part violates the manifest's rules, or the key cannot sign.
pub fn make_release(
    parts: &Parts<'_>,
    identity: &Identity,
    key: Option<&ReleaseKey>,
) -> Result<MadeRelease, MakeError> {
    let Parts { run, candidate, labelled, guard, command } = parts;
    let kinds = class_profiles(labelled.iter(), &run.scaling);
    let classes = kinds.iter().map(|kind| kind.name.to_string()).collect();
    let artifacts = &candidate.quantized.artifacts;
    let terms = ReleaseTerms {
        group: identity.group.clone(),
        version: identity.version,
        created_s: identity.created_s,
        expires_s: identity.expires_s,
        floor: identity.floor,
        calibration: candidate.thresholds.calibration.clone(),
        evidence_drift_nats: DRIFT_NATS,
        limits: candidate.thresholds.limits.clone(),
        kinds,
    };
    let manifest = manifest(run, artifacts, &candidate.held_out, &terms).map_err(failed)?;
    let detector = Detector::new(&manifest, &artifacts.int8);
    let gate = gate::check(&detector, guard.earlier(), &guard.labelled).map_err(failed)?;
    let held = key.is_none() || (guard.hold && gate.holds());
    let file = match key.filter(|_| !held) {
        Some(key) => release_file(&manifest, artifacts, key),
        None => held_file(&manifest, artifacts),
    }
    .map_err(failed)?;
    let card = CardFiles::make(&CardInput {
        group: &identity.group,
        version: identity.version,
        expires_s: identity.expires_s,
        key: key.map_or("on another machine", ReleaseKey::name),
        file_bytes: file.len(),
        run,
        quantized: &candidate.quantized.report,
        thresholds: &candidate.thresholds,
        benign: &candidate.scores,
        attacks: &attack_scores(run, &artifacts.int8, labelled)?,
        gate: &gate,
        command: command.clone(),
    })
    .map_err(failed)?;
    Ok(MadeRelease { file, card: Some(card), classes, gate, held, shares: Vec::new() })
}

/// int8 scores of the labelled attack rows, by class.
fn attack_scores(run: &TrainRun, int8: &[u8], labelled: &[Row]) -> Result<Vec<(String, Vec<u32>)>, MakeError> {
    let mut by_class: BTreeMap<&str, Vec<FeatureVector>> = BTreeMap::new();
    for row in labelled {
        if let Some(class) = &row.attack {
            by_class.entry(class).or_default().push(row.features);
        }
    }
    let scored = |(class, rows): (&str, Vec<FeatureVector>)| {
        Ok((class.to_owned(), scores(int8, &run.scaling, rows.iter()).map_err(failed)?))
    };
    by_class.into_iter().map(scored).collect()
}

/// Trains on the rows of a store and makes the release, for `serve`.
pub struct Pipeline {
    /// Training settings; the order's seed overrides their seed.
    pub config: TrainConfig,
}

impl ReleaseMaker for Pipeline {
    fn schema(&self) -> SchemaId {
        schema_id()
    }

    fn make(
        &self,
        order: &Order,
        rows: Vec<StoredRow>,
        progress: &mut dyn FnMut(StageProgress),
    ) -> Result<MadeRelease, MakeError> {
        let agents: BTreeSet<i64> = rows.iter().map(|row| row.agent).collect();
        let sampled = Sampled::new(rows, order.unlabelled);
        let Guard { max_agent_share, min_agent_rows, .. } = order.guard;
        let config = TrainConfig { seed: order.seed, max_agent_share, min_agent_rows, ..self.config.clone() };
        let run = train_sampled(&sampled, &config, &mut |step| progress(epoch("train", &step)))?;
        let mut halves = |step: train::EpochProgress| progress(epoch("limits", &step));
        let candidate = by_halves(&run, &sampled, &[], &mut halves).map_err(failed)?;
        let thresholds = &candidate.thresholds;
        progress(stage("quantize", candidate.quantized.report.summary()));
        progress(stage("calibrate", format!("{} rows", thresholds.calibration.rows)));
        progress(stage("limits", format!("counted on {:.1} days of {} agents", thresholds.days, agents.len())));
        let key = order.key.as_deref().map(ReleaseKey::load).transpose().map_err(failed)?;
        let command = "lapwing-trainer retrain, while serve runs on the same store".into();
        let parts = Parts { run: &run, candidate: &candidate, labelled: &[], guard: &order.guard, command };
        let made = make_release(&parts, &order.identity(), key.as_ref())?;
        Ok(MadeRelease { shares: shares(&sampled, &agents, &config), ..made })
    }
}

/// Trains on the rows of a store.
fn train_sampled(
    sampled: &Sampled,
    config: &TrainConfig,
    progress: &mut dyn FnMut(train::EpochProgress),
) -> Result<TrainRun, MakeError> {
    let rows: Vec<TrainingRow> = benign(&sampled.rows).collect();
    let trained = train::train(&rows, &transforms(), config, progress).map_err(failed)?;
    Ok(TrainRun::new(&rows, config, &trained).of_samples(true))
}

/// Rows given and used of each agent. Sites are numbered in the order of the agents' ids.
fn shares(sampled: &Sampled, agents: &BTreeSet<i64>, config: &TrainConfig) -> Vec<AgentShare> {
    let rows: Vec<TrainingRow> = benign(&sampled.rows).collect();
    let mut shares: Vec<AgentShare> =
        agents.iter().map(|agent| AgentShare { agent: *agent, given: 0, used: 0 }).collect();
    let mut count = |site: u32, add: fn(&mut AgentShare)| shares.get_mut(site as usize).into_iter().for_each(add);
    rows.iter().for_each(|row| count(row.agent, |share| share.given += 1));
    cap_agent_share(&rows, config).into_iter().for_each(|row| count(rows[row].agent, |share| share.used += 1));
    shares
}

impl Order {
    fn identity(&self) -> Identity {
        Identity {
            group: self.group.to_string(),
            version: self.version,
            created_s: self.created_s,
            expires_s: self.expires_s,
            floor: self.floor,
        }
    }
}

fn failed(error: impl std::fmt::Display) -> MakeError {
    MakeError::Training(error.to_string())
}

fn stage(stage: &'static str, note: String) -> StageProgress {
    StageProgress { stage, done: 0, total: 0, note }
}

fn epoch(stage: &'static str, step: &train::EpochProgress) -> StageProgress {
    StageProgress {
        stage,
        done: step.epoch as u64,
        total: step.epochs as u64,
        note: format!("pass {}, validation error {:.4}, best {:.4}", step.pass, step.validation_error, step.best_error),
    }
}
