//! `serve`'s way to a release: everything from the store's rows, with nobody there to name files.

use super::judge::{Judged, judge_by_halves};
use super::{Naming, cost, release, transforms};
use crate::card::{CardFiles, CardInput};
use crate::dataset::benign;
use crate::dataset::stored::Sampled;
use crate::release::keys::ReleaseKey;
use crate::serve::make::{MadeRelease, MakeError, Order, Progress, ReleaseMaker, Rows};
use crate::train::rows::TrainingRow;
use crate::train::run::TrainRun;
use crate::train::{self, TrainConfig};
use lapwing_shared::features::SchemaId;
use lapwing_shared::features::schema::schema_id;
use std::collections::BTreeSet;

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
        let sampled = Sampled::new(rows.collect::<Result<Vec<_>, _>>()?, order.unlabelled);
        let config = TrainConfig { seed: order.seed, ..self.config.clone() };
        let run = trained(&sampled, &config, &mut |step| progress(epoch("train", &step)))?;
        let mut told = |step: train::Progress| progress(epoch("limits", &step));
        let judged = judge_by_halves(&run, &sampled, &[], &mut told).map_err(failed)?;
        let thresholds = &judged.thresholds;
        progress(stage("quantize", cost(&judged.quantized.report)));
        progress(stage("calibrate", format!("{} rows", thresholds.calibration.rows)));
        progress(stage("limits", format!("counted on {:.1} days of {} agents", thresholds.days, agents(&sampled))));
        let key = ReleaseKey::load(&order.key).map_err(failed)?;
        let naming = Naming {
            group: order.group.to_string(),
            version: order.version,
            created_s: order.created_s,
            expires_s: order.expires_s,
        };
        let artifacts = &judged.quantized.artifacts;
        let kinds = heapless::Vec::new();
        let file =
            release(&run, artifacts, &judged.held_out, thresholds.clone(), kinds, naming, &key).map_err(failed)?;
        let card = card(order, &key, file.len(), &run, &judged)?;
        Ok(MadeRelease { file, card: Some(card) })
    }
}

/// The training of a store's rows.
fn trained(
    sampled: &Sampled,
    config: &TrainConfig,
    progress: &mut dyn FnMut(train::Progress),
) -> Result<TrainRun, MakeError> {
    let rows: Vec<TrainingRow> = benign(&sampled.rows).collect();
    let trained = train::train(&rows, &transforms(), config, progress).map_err(failed)?;
    Ok(TrainRun::new(&rows, config, &trained).of_samples(true))
}

fn agents(sampled: &Sampled) -> usize {
    sampled.rows.iter().map(|row| row.file).collect::<BTreeSet<_>>().len()
}

fn failed(error: impl std::fmt::Display) -> MakeError {
    MakeError::Training(error.to_string())
}

/// The card of a release made from the store's rows, among which there are no labelled attacks.
fn card(
    order: &Order,
    key: &ReleaseKey,
    file_bytes: usize,
    run: &TrainRun,
    judged: &Judged,
) -> Result<CardFiles, MakeError> {
    let made = CardFiles::make(&CardInput {
        group: order.group.as_str(),
        version: order.version,
        expires_s: order.expires_s,
        key: key.name(),
        file_bytes,
        run,
        quantized: &judged.quantized.report,
        thresholds: &judged.thresholds,
        benign: &judged.scores,
        attacks: &[],
        command: "lapwing-trainer retrain, while serve runs on the same store".into(),
    });
    made.map_err(failed)
}

fn stage(stage: &'static str, note: String) -> Progress {
    Progress { stage, done: 0, total: 0, note }
}

fn epoch(stage: &'static str, step: &train::Progress) -> Progress {
    Progress {
        stage,
        done: step.epoch as u64,
        total: step.epochs as u64,
        note: format!("pass {}, validation error {:.4}, best {:.4}", step.pass, step.validation_error, step.best_error),
    }
}
