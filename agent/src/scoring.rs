//! Feature vectors → scores → verdicts → alerts, samples and output files.
//!
//! The scoring stage runs on its own thread, so that neither an engine that allocates nor a slow disk delays packets. Rows
//! arrive in micro-batches; results do not depend on their boundaries.

mod files;
mod habit_keeper;
mod trial;

use crate::detector::{Engine, EngineError};
use crate::output::OutputError;
use crate::output::features::RowVerdict;
use crate::sampler::Sampler;
use files::Alerts;
pub(crate) use files::Files;
pub(crate) use habit_keeper::HabitKeeper;
use lapwing_shared::context::irregular::Notice;
use lapwing_shared::features::flow_rows::Row;
use lapwing_shared::flow::record::FlowRecord;
use lapwing_shared::messages::{Alert, ReleaseHealth, Samples};
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::release::trial::{TrialMonitor, TrialVerdict};
use lapwing_shared::units::Timestamp;
use lapwing_shared::verdict::concealment::{ConcealmentAlerts, ConcealmentCounters};
use lapwing_shared::verdict::habits::{HabitCounters, Habits};
use lapwing_shared::verdict::kinds::KindFinder;
use lapwing_shared::verdict::network::Inference;
use lapwing_shared::verdict::scaling::{QuantizedInput, RowScaler, Scaling};
use lapwing_shared::verdict::tracker::{EvidenceTracker, Policy, Scored, TrackerCounters};
use trial::{Incumbent, vote};

/// Rows of a micro-batch.
pub(crate) const BATCH_ROWS: usize = 64;

/// A release that the detector may use: its manifest, and an engine that reproduced its golden vectors.
pub(crate) struct Installed {
    pub(crate) manifest: Box<Manifest>,
    /// Its network.
    pub(crate) engine: Box<dyn Engine>,
    /// Judges the release while it is on trial.
    pub(crate) trial: Option<Box<TrialMonitor>>,
}

/// How far capture time had come between two rows of a batch, and what was noticed then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// Rows of the batch before it.
    pub(crate) rows_before: usize,
    /// The time.
    pub(crate) at: Timestamp,
    /// Hosts that had sent a first flow by then, as [`lapwing_shared::context::hosts::HostTable::new_sources`].
    pub(crate) new_sources: u64,
    /// A host whose packets hide their ports.
    pub(crate) notice: Option<Notice>,
}

/// Receives alerts, samples and trial verdicts.
pub(crate) trait Listener: Send {
    /// An alert was opened, updated or closed.
    fn alert(&mut self, alert: Box<Alert>);
    /// A flow record was made; called before the verdict on it.
    fn record(&mut self, _: &FlowRecord) {}
    /// An interval's sample is complete; a large one takes several batches.
    fn samples(&mut self, samples: Samples);
    /// Limit on sampled rows per day, if there is one.
    fn rows_per_day(&self) -> Option<u32> {
        None
    }
    /// The trial of a release has ended.
    fn trial(&mut self, version: u64, verdict: TrialVerdict);
}

/// Counters of the stage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ScoringCounters {
    pub(crate) scored: u64,
    /// Rows not scored because the engine failed.
    pub(crate) engine_faults: u64,
    /// Counters of the tracker.
    pub(crate) tracker: TrackerCounters,
    /// Counters of alerts about hidden ports.
    pub(crate) concealment: ConcealmentCounters,
    /// Correction that is subtracted from every surprise at this site, nats.
    pub(crate) correction_nats: f32,
    /// Rows of the release in use.
    pub(crate) release: ReleaseHealth,
    /// What is usual at this site.
    pub(crate) habits: HabitCounters,
}

/// Tables computed from a release and the false-alert budget.
struct Derived {
    scaler: RowScaler,
    finder: KindFinder,
    limit_nats: f32,
}

impl Derived {
    fn new(installed: Option<&Installed>, alerts_per_day: f32) -> Self {
        let no_scaling = Scaling { features: heapless::Vec::new() };
        let manifest = installed.map(|installed| &installed.manifest);
        let scaling = manifest.map_or(&no_scaling, |manifest| &manifest.scaling);
        Self {
            scaler: RowScaler::new(scaling),
            finder: KindFinder::new(manifest.map_or(&[], |manifest| &manifest.kinds), scaling),
            limit_nats: manifest.map_or(0.0, |manifest| manifest.evidence_limit(alerts_per_day)),
        }
    }
}

pub(crate) struct Scoring<L> {
    installed: Option<Installed>,
    /// The release before the one on trial.
    incumbent: Option<Incumbent>,
    /// Of the release in use.
    derived: Derived,
    /// False-alert budget, false alerts a day.
    alerts_per_day: f32,
    tracker: EvidenceTracker,
    habit_keeper: Option<Box<dyn HabitKeeper>>,
    concealment: ConcealmentAlerts,
    sampler: Sampler,
    files: Files,
    listener: L,
    inputs: Box<[QuantizedInput; BATCH_ROWS]>,
    outputs: Box<[Inference; BATCH_ROWS]>,
    scored: u64,
    engine_faults: u64,
    /// Version and rows of the release in use.
    health: ReleaseHealth,
}

impl<L: Listener> Scoring<L> {
    /// A stage without a release: it samples rows and writes files, but does not score.
    pub(crate) fn new(
        alerts_per_day: f32,
        tracker: EvidenceTracker,
        sampler: Sampler,
        files: Files,
        listener: L,
    ) -> Self {
        Self {
            installed: None,
            incumbent: None,
            derived: Derived::new(None, alerts_per_day),
            alerts_per_day,
            tracker,
            habit_keeper: None,
            concealment: ConcealmentAlerts::default(),
            sampler,
            files,
            listener,
            inputs: Box::new([[0; lapwing_shared::features::FEATURES]; BATCH_ROWS]),
            outputs: Box::new([Inference::default(); BATCH_ROWS]),
            scored: 0,
            engine_faults: 0,
            health: ReleaseHealth::default(),
        }
    }

    /// Scores with a release from the next row on. Returns the one that is no longer needed, so that it can be dropped
    /// elsewhere; the release before one on trial is kept, to judge the same rows.
    pub(crate) fn install(&mut self, mut installed: Installed) -> Option<Installed> {
        let correction_nats = self.tracker.correction_nats();
        self.tracker.release_changed();
        let derived = Derived::new(Some(&installed), self.alerts_per_day);
        let before = std::mem::replace(&mut self.derived, derived);
        let kept = self.incumbent.take();
        if let Some(trial) = &mut installed.trial {
            self.tracker.reported_hosts().for_each(|host| trial.exclude(host));
        }
        let is_on_trial = installed.trial.is_some();
        self.health = ReleaseHealth { version: installed.manifest.version, ..ReleaseHealth::default() };
        match self.installed.replace(installed) {
            Some(previous) if is_on_trial && previous.trial.is_none() => {
                self.incumbent = Some(Incumbent::new(previous, before.scaler, before.limit_nats, correction_nats));
                kept.map(Incumbent::into_installed)
            }
            previous => {
                self.incumbent = kept.filter(|_| is_on_trial);
                previous
            }
        }
    }

    /// Uses another false-alert budget from the next row on. A release on trial is judged with it, too; the one before it keeps
    /// its own limit.
    pub(crate) fn set_budget(&mut self, alerts_per_day: f32) {
        self.alerts_per_day = alerts_per_day;
        if let Some(installed) = &self.installed {
            self.derived.limit_nats = installed.manifest.evidence_limit(alerts_per_day);
        }
    }

    /// Stops scoring; returns the previous release.
    pub(crate) fn remove(&mut self) -> Option<Installed> {
        self.incumbent = None;
        self.health = ReleaseHealth::default();
        self.installed.take()
    }

    /// Version in use, 0 without one, and the engine's name.
    pub(crate) fn release(&self) -> (u64, &'static str) {
        self.installed.as_ref().map_or((0, ""), |installed| (installed.manifest.version, installed.engine.name()))
    }

    /// Counters since the start.
    pub(crate) fn counters(&self) -> ScoringCounters {
        ScoringCounters {
            scored: self.scored,
            engine_faults: self.engine_faults,
            tracker: self.tracker.counters(),
            concealment: self.concealment.counters(),
            correction_nats: self.tracker.correction_nats(),
            release: self.health,
            habits: self.tracker.habits().map(Habits::counters).unwrap_or_default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn listener_mut(&mut self) -> &mut L {
        &mut self.listener
    }

    /// Takes a batch of at most [`BATCH_ROWS`] rows, in time order, and the marks between them.
    ///
    /// # Errors
    /// When a file cannot be written. An engine fault is counted and ends a trial, but is not an error.
    pub(crate) fn process(&mut self, rows: &[Row], marks: &[Mark]) -> Result<(), OutputError> {
        let rows = rows.get(..BATCH_ROWS).unwrap_or(rows);
        let scored = !rows.is_empty() && self.infer(rows).is_ok();
        let mut marks = marks.iter().peekable();
        for (index, row) in rows.iter().enumerate() {
            while let Some(mark) = marks.next_if(|mark| mark.rows_before <= index) {
                self.mark(mark)?;
            }
            self.finish_row(row, scored.then_some(index))?;
        }
        marks.try_for_each(|mark| self.mark(mark))
    }

    /// Takes what was noticed, with or without a release, and the time.
    fn mark(&mut self, mark: &Mark) -> Result<(), OutputError> {
        let version = self.release().0;
        let Self { concealment, files, listener, .. } = self;
        let mut alerts = Alerts { files, listener, failure: None };
        if let Some(notice) = &mark.notice {
            concealment.note(notice, version, &mut |alert| alerts.write(alert));
        }
        concealment.advance(mark.at, version, &mut |alert| alerts.write(alert));
        alerts.failure.map_or(Ok(()), Err)?;
        self.write_habits(Some(mark.at));
        self.advance(mark)
    }

    /// Capture time has reached a mark: closes episodes without new evidence, and checks the rate of new sources.
    fn advance(&mut self, mark: &Mark) -> Result<(), OutputError> {
        let Self { installed: Some(installed), tracker, derived, files, listener, .. } = self else {
            return Ok(());
        };
        let mut alerts = Alerts { files, listener, failure: None };
        let policy = policy(installed, derived);
        if mark.at > tracker.clock() {
            tracker.advance(mark.at, &policy, &mut |alert| alerts.write(alert));
        }
        // The total is of the newest report, and a notice comes between two reports.
        if mark.notice.is_none() {
            tracker.count_sources(mark.at, mark.new_sources, &policy, &mut |alert| alerts.write(alert));
        }
        alerts.failure.map_or(Ok(()), Err)
    }

    /// Closes every episode, sends the last sample, flushes the files.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn finish(&mut self) -> Result<(), OutputError> {
        let version = self.release().0;
        let mut alerts = Alerts { files: &mut self.files, listener: &mut self.listener, failure: None };
        self.concealment.flush(version, &mut |alert| alerts.write(alert));
        alerts.failure.map_or(Ok(()), Err)?;
        if let Self { installed: Some(installed), tracker, derived, files, listener, .. } = self {
            let mut alerts = Alerts { files, listener, failure: None };
            tracker.flush(&policy(installed, derived), &mut |alert| alerts.write(alert));
            alerts.failure.map_or(Ok(()), Err)?;
        }
        self.write_habits(None);
        self.send_samples();
        self.files.flush()
    }

    /// Runs the engine; `Err` without a release or after an engine fault.
    fn infer(&mut self, rows: &[Row]) -> Result<(), ()> {
        let installed = self.installed.as_mut().ok_or(())?;
        for (input, row) in self.inputs.iter_mut().zip(rows) {
            *input = self.derived.scaler.quantize(&row.features);
        }
        let outcome: Result<(), EngineError> =
            installed.engine.run_batch(&self.inputs[..rows.len()], &mut self.outputs[..rows.len()]);
        if let Some(incumbent) = &mut self.incumbent {
            incumbent.judge(rows);
        }
        outcome.map_err(|error| {
            // At most one line per batch; the first fault ends a trial.
            tracing::error!(release = installed.manifest.version, %error, "engine fault");
            self.engine_faults += rows.len() as u64;
            if let Some(mut trial) = installed.trial.take() {
                self.incumbent = None;
                self.listener.trial(installed.manifest.version, trial.engine_fault());
            }
        })
    }

    fn send_samples(&mut self) {
        while let Some(samples) = self.sampler.take() {
            self.listener.samples(samples);
        }
        self.sampler.limit(self.listener.rows_per_day());
    }

    fn finish_row(&mut self, row: &Row, scored: Option<usize>) -> Result<(), OutputError> {
        self.listener.record(&row.record);
        let verdict = match scored {
            Some(index) => Some(self.score_row(row, index)?),
            None => None,
        };
        if self.sampler.is_complete_at(row.record.made) {
            self.send_samples();
        }
        let hides_ports =
            self.concealment.is_open_for(&row.record.source) || self.concealment.is_open_for(&row.record.destination);
        let in_episode = hides_ports || verdict.is_some_and(|verdict| verdict.suspect);
        self.sampler.offer(row, verdict.map(|verdict| verdict.score), in_episode);
        if let Some(records) = &mut self.files.records {
            records.write(&row.record)?;
        }
        if let Some(features) = &mut self.files.features {
            features.write(&row.record, &row.features, verdict)?;
        }
        Ok(())
    }

    fn score_row(&mut self, row: &Row, index: usize) -> Result<RowVerdict, OutputError> {
        let Self { installed, incumbent, tracker, derived, files, listener, inputs, outputs, scored, health, .. } =
            self;
        let Some(installed) = installed else { return Ok(RowVerdict::default()) };
        let (input, reconstruction) = (&inputs[index], &outputs[index].reconstruction);
        let score = derived.scaler.score(input, reconstruction);
        let flow = Scored {
            at: row.record.made,
            source: row.record.source,
            destination: row.record.destination,
            service_port: row.record.destination_port,
            followed: row.followed,
            row: &row.features,
            input,
            reconstruction,
            score,
        };
        let mut alerts = Alerts { files, listener, failure: None };
        let policy = policy(installed, derived);
        let verdict = tracker.process(&flow, &policy, &mut |alert| alerts.write(alert));
        if let Some(failure) = alerts.failure {
            return Err(failure);
        }
        *scored += 1;
        health.count_row(verdict.surprise_nats);
        if let Some(trial) = &mut installed.trial
            && let Some(row) = vote(row, index, verdict.surprise_nats, incumbent.as_ref())
            && let Some(outcome) = trial.row(&row)
        {
            (installed.trial, *incumbent) = (None, None);
            listener.trial(installed.manifest.version, outcome);
        }
        Ok(RowVerdict { score, surprise_nats: verdict.surprise_nats, suspect: verdict.suspect })
    }
}

fn policy<'a>(installed: &'a Installed, derived: &'a Derived) -> Policy<'a> {
    let manifest = &installed.manifest;
    Policy {
        scaling: &manifest.scaling,
        scaler: &derived.scaler,
        calibration: &manifest.calibration,
        kinds: &manifest.kinds,
        finder: &derived.finder,
        drift_nats: manifest.evidence_drift_nats,
        limit_nats: derived.limit_nats,
        release: manifest.version,
    }
}

#[cfg(test)]
#[path = "scoring/trial_tests.rs"]
mod tests;
