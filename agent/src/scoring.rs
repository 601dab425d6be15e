//! Feature vectors → scores → verdicts → alerts, samples and the files that a person asked for.
//!
//! The scoring stage has a thread of its own, so that an engine that allocates, or a slow disk, never holds up the
//! packets. Rows reach it in micro-batches; results do not depend on how rows fall into batches.

use crate::detector::{Engine, EngineError};
use crate::output::OutputError;
use crate::output::features::FeatureWriter;
use crate::output::records::RecordWriter;
use crate::sampler::Sampler;
use lapwing_shared::features::rows::Row;
use lapwing_shared::messages::{Alert, Samples};
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::release::trial::{TrialJudge, TrialVerdict};
use lapwing_shared::units::Timestamp;
use lapwing_shared::verdict::judge::{Judge, JudgeCounters, Policy, Scored};
use lapwing_shared::verdict::kinds::KindFinder;
use lapwing_shared::verdict::network::Inference;
use lapwing_shared::verdict::scaling::{QuantizedInput, RowScaler, Scaling};

/// Rows of a micro-batch.
pub const BATCH_ROWS: usize = 64;

/// A release that the detector may use: its manifest, and an engine that reproduced its golden vectors.
pub struct Installed {
    /// What the release says.
    pub manifest: Box<Manifest>,
    /// Its network.
    pub engine: Box<dyn Engine>,
    /// Judges the release while it is on trial.
    pub trial: Option<TrialJudge>,
}

/// How far capture time had come between two rows of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Rows of the batch that came before it.
    pub rows_before: usize,
    /// The time.
    pub at: Timestamp,
}

/// Who hears of alerts, samples and trials: the network side, or nobody.
pub trait Listener: Send {
    /// An alert was opened, updated or closed.
    fn alert(&mut self, alert: Box<Alert>);
    /// An interval's sample is complete; a large one comes in several batches.
    fn samples(&mut self, samples: Samples);
    /// The release on trial was judged.
    fn trial(&mut self, release: u64, verdict: TrialVerdict);
}

/// Hears nothing.
pub struct Nobody;

impl Listener for Nobody {
    fn alert(&mut self, _: Box<Alert>) {}
    fn samples(&mut self, _: Samples) {}
    fn trial(&mut self, _: u64, _: TrialVerdict) {}
}

/// Files that a person asked for.
#[derive(Default)]
pub struct Files {
    /// Flow records.
    pub records: Option<RecordWriter>,
    /// Feature vectors.
    pub features: Option<FeatureWriter>,
    /// Alerts, JSON lines.
    pub alerts: Option<crate::output::Sink>,
}

impl Files {
    /// Hands everything gathered to the operating system.
    ///
    /// # Errors
    /// The first file that cannot be written.
    pub fn flush(&mut self) -> Result<(), OutputError> {
        self.records.as_mut().map_or(Ok(()), RecordWriter::flush)?;
        self.features.as_mut().map_or(Ok(()), FeatureWriter::flush)?;
        self.alerts.as_mut().map_or(Ok(()), crate::output::Sink::flush)
    }
}

/// What the stage has done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScoringCounters {
    /// Rows scored.
    pub scored: u64,
    /// Rows not scored because the engine failed.
    pub engine_faults: u64,
    /// The judge's.
    pub judge: JudgeCounters,
    /// What is taken off every surprise at this site, nats.
    pub correction_nats: f32,
}

/// See [`Scoring::install`].
struct Derived {
    scaler: RowScaler,
    finder: KindFinder,
    limit_nats: f32,
}

impl Derived {
    fn new(installed: Option<&Installed>, alerts_per_day: f32) -> Self {
        let nothing = Scaling { features: heapless::Vec::new() };
        let manifest = installed.map(|installed| &installed.manifest);
        let scaling = manifest.map_or(&nothing, |manifest| &manifest.scaling);
        Self {
            scaler: RowScaler::new(scaling),
            finder: KindFinder::new(manifest.map_or(&[], |manifest| &manifest.kinds), scaling),
            limit_nats: manifest.map_or(0.0, |manifest| manifest.evidence_limit(alerts_per_day)),
        }
    }
}

/// The stage. See the module's text.
pub struct Scoring<L> {
    installed: Option<Installed>,
    /// What follows from the release in use and the knob, once for all rows.
    derived: Derived,
    /// The operator's knob, false alerts a day.
    alerts_per_day: f32,
    judge: Judge,
    sampler: Sampler,
    files: Files,
    listener: L,
    inputs: Box<[QuantizedInput; BATCH_ROWS]>,
    outputs: Box<[Inference; BATCH_ROWS]>,
    scored: u64,
    engine_faults: u64,
}

impl<L: Listener> Scoring<L> {
    /// A stage without a release: it samples and writes files, but does not score.
    pub fn new(alerts_per_day: f32, judge: Judge, sampler: Sampler, files: Files, listener: L) -> Self {
        Self {
            installed: None,
            derived: Derived::new(None, alerts_per_day),
            alerts_per_day,
            judge,
            sampler,
            files,
            listener,
            inputs: Box::new([[0; lapwing_shared::features::FEATURES]; BATCH_ROWS]),
            outputs: Box::new([Inference::default(); BATCH_ROWS]),
            scored: 0,
            engine_faults: 0,
        }
    }

    /// Uses a release from the next row on; gives back the one before, so that it can be dropped elsewhere.
    pub fn install(&mut self, installed: Installed) -> Option<Installed> {
        self.judge.release_changed();
        self.derived = Derived::new(Some(&installed), self.alerts_per_day);
        self.installed.replace(installed)
    }

    /// Goes on without a release; gives back the one before.
    pub fn remove(&mut self) -> Option<Installed> {
        self.installed.take()
    }

    /// Version in use, 0 without one, and the engine's name.
    pub fn release(&self) -> (u64, &'static str) {
        self.installed.as_ref().map_or((0, ""), |installed| (installed.manifest.version, installed.engine.name()))
    }

    /// Counters since the start.
    pub fn counters(&self) -> ScoringCounters {
        ScoringCounters {
            scored: self.scored,
            engine_faults: self.engine_faults,
            judge: self.judge.counters(),
            correction_nats: self.judge.correction_nats(),
        }
    }

    /// Who hears of alerts.
    pub fn listener_mut(&mut self) -> &mut L {
        &mut self.listener
    }

    /// Takes a batch of at most [`BATCH_ROWS`] rows, in time order, and the marks between them.
    ///
    /// # Errors
    /// When a file cannot be written. An engine fault is no error: it is counted, and ends a trial.
    pub fn process(&mut self, rows: &[Row], marks: &[Mark]) -> Result<(), OutputError> {
        let rows = rows.get(..BATCH_ROWS).unwrap_or(rows);
        let scored = !rows.is_empty() && self.infer(rows).is_ok();
        let mut marks = marks.iter().peekable();
        for (index, row) in rows.iter().enumerate() {
            while let Some(mark) = marks.next_if(|mark| mark.rows_before <= index) {
                self.advance(mark.at)?;
            }
            self.finish_row(row, scored.then_some(index))?;
        }
        marks.try_for_each(|mark| self.advance(mark.at))
    }

    /// Capture time has reached `now`: ends silent episodes.
    fn advance(&mut self, now: Timestamp) -> Result<(), OutputError> {
        let Self { installed: Some(installed), judge, derived, files, listener, .. } = self else {
            return Ok(());
        };
        if now <= judge.clock() {
            return Ok(());
        }
        let mut alerts = Alerts { files, listener, failure: None };
        judge.advance(now, &policy(installed, derived), &mut |alert| alerts.tell(alert));
        alerts.failure.map_or(Ok(()), Err)
    }

    /// Ends every episode, gives out the last sample, flushes the files.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(&mut self) -> Result<(), OutputError> {
        if let Self { installed: Some(installed), judge, derived, files, listener, .. } = self {
            let mut alerts = Alerts { files, listener, failure: None };
            judge.flush(&policy(installed, derived), &mut |alert| alerts.tell(alert));
            alerts.failure.map_or(Ok(()), Err)?;
        }
        self.give_samples();
        self.files.flush()
    }

    /// Runs the engine; `Err` when there is none or it failed.
    fn infer(&mut self, rows: &[Row]) -> Result<(), ()> {
        let installed = self.installed.as_mut().ok_or(())?;
        for (input, row) in self.inputs.iter_mut().zip(rows) {
            *input = self.derived.scaler.quantize(&row.features);
        }
        let outcome: Result<(), EngineError> =
            installed.engine.run_batch(&self.inputs[..rows.len()], &mut self.outputs[..rows.len()]);
        outcome.map_err(|error| {
            // One line a batch at the most, and a release on trial ends with the first.
            tracing::error!(release = installed.manifest.version, %error, "engine fault");
            self.engine_faults += rows.len() as u64;
            if let Some(mut trial) = installed.trial.take() {
                self.listener.trial(installed.manifest.version, trial.engine_fault());
            }
        })
    }

    fn give_samples(&mut self) {
        while let Some(samples) = self.sampler.take() {
            self.listener.samples(samples);
        }
    }

    fn finish_row(&mut self, row: &Row, scored: Option<usize>) -> Result<(), OutputError> {
        let verdict = match scored {
            Some(index) => Some(self.judge_row(row, index)?),
            None => None,
        };
        let (score, in_episode) = verdict.map_or((None, false), |(score, _, suspect)| (Some(score), suspect));
        if self.sampler.is_complete_at(row.record.made) {
            self.give_samples();
        }
        self.sampler.offer(row, score, in_episode);
        if let Some(records) = &mut self.files.records {
            records.write(&row.record)?;
        }
        if let Some(features) = &mut self.files.features {
            let verdict = verdict.map(|(score, surprise_nats, _)| (score, surprise_nats));
            features.write(&row.record, &row.features, verdict)?;
        }
        Ok(())
    }

    /// Score, surprise in nats, and whether a host of the row is suspect.
    fn judge_row(&mut self, row: &Row, index: usize) -> Result<(u32, f32, bool), OutputError> {
        let Self { installed, judge, derived, files, listener, inputs, outputs, scored, .. } = self;
        let Some(installed) = installed else { return Ok((0, 0.0, false)) };
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
        let verdict = judge.judge(&flow, &policy, &mut |alert| alerts.tell(alert));
        if let Some(failure) = alerts.failure {
            return Err(failure);
        }
        *scored += 1;
        if let Some(outcome) = installed.trial.as_mut().and_then(|trial| trial.row(verdict.surprise_nats)) {
            installed.trial = None;
            listener.trial(installed.manifest.version, outcome);
        }
        Ok((score, verdict.surprise_nats, verdict.suspect))
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

/// Tells an alert to the file and to the listener; keeps the first failure of the file.
struct Alerts<'a, L> {
    files: &'a mut Files,
    listener: &'a mut L,
    failure: Option<OutputError>,
}

impl<L: Listener> Alerts<'_, L> {
    fn tell(&mut self, alert: Alert) {
        let alert = alert.boxed();
        if let Some(file) = &mut self.files.alerts {
            let line = crate::output::alerts::to_json(&alert);
            if let Err(error) = file.write(|writer| writeln!(writer, "{line}").and_then(|()| writer.flush())) {
                self.failure.get_or_insert(error);
            }
        }
        self.listener.alert(alert);
    }
}
