//! Feature vectors → scores → verdicts → alerts, samples and the files that a person asked for.
//!
//! The scoring stage has a thread of its own, so that an engine that allocates, or a slow disk, never holds up the
//! packets. Rows reach it in micro-batches; results do not depend on how rows fall into batches.

use crate::detector::{Engine, EngineError};
use crate::output::OutputError;
use crate::output::features::FeatureWriter;
use crate::output::records::RecordWriter;
use crate::sampler::Sampler;
use lapwing_shared::features::FeatureVector;
use lapwing_shared::flow::record::FlowRecord;
use lapwing_shared::messages::{Alert, Samples};
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::release::trial::{TrialJudge, TrialVerdict};
use lapwing_shared::units::Timestamp;
use lapwing_shared::verdict::judge::{Judge, JudgeCounters, Policy, Scored};
use lapwing_shared::verdict::network::Inference;
use lapwing_shared::verdict::scaling::QuantizedInput;

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

/// One record on its way to a verdict.
#[derive(Clone, Copy)]
pub struct Row {
    /// The record.
    pub record: FlowRecord,
    /// Its features.
    pub features: FeatureVector,
}

/// Who hears of alerts, samples and trials: the network side, or nobody.
pub trait Listener: Send {
    /// An alert was opened, updated or closed. False when it had to be dropped, which the listener counts.
    fn alert(&mut self, alert: &Alert);
    /// An interval's sample is complete.
    fn samples(&mut self, samples: Samples);
    /// The release on trial was judged.
    fn trial(&mut self, release: u64, verdict: TrialVerdict);
}

/// Hears nothing.
pub struct Nobody;

impl Listener for Nobody {
    fn alert(&mut self, _: &Alert) {}
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

/// The stage. See the module's text.
pub struct Scoring<L> {
    installed: Option<Installed>,
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

    /// Takes a batch of at most [`BATCH_ROWS`] rows, in time order.
    ///
    /// # Errors
    /// When a file cannot be written. An engine fault is no error: it is counted, and ends a trial.
    pub fn process(&mut self, rows: &[Row]) -> Result<(), OutputError> {
        for chunk in rows.chunks(BATCH_ROWS) {
            let scored = self.infer(chunk).is_ok();
            for (index, row) in chunk.iter().enumerate() {
                self.finish_row(row, scored.then_some(index))?;
            }
        }
        Ok(())
    }

    /// Capture time has reached `now`: ends silent episodes.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn advance(&mut self, now: Timestamp) -> Result<(), OutputError> {
        let Self { installed: Some(installed), judge, alerts_per_day, files, listener, .. } = self else {
            return Ok(());
        };
        if now <= judge.clock() {
            return Ok(());
        }
        let mut alerts = Alerts { files, listener, failure: None };
        judge.advance(now, &policy(installed, *alerts_per_day), &mut |alert| alerts.tell(&alert));
        alerts.failure.map_or(Ok(()), Err)
    }

    /// Ends every episode, gives out the last sample, flushes the files.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(&mut self) -> Result<(), OutputError> {
        if let Self { installed: Some(installed), judge, alerts_per_day, files, listener, .. } = self {
            let mut alerts = Alerts { files, listener, failure: None };
            judge.flush(&policy(installed, *alerts_per_day), &mut |alert| alerts.tell(&alert));
            alerts.failure.map_or(Ok(()), Err)?;
        }
        if let Some(samples) = self.sampler.take() {
            self.listener.samples(samples);
        }
        self.files.flush()
    }

    /// Runs the engine; `Err` when there is none or it failed.
    fn infer(&mut self, rows: &[Row]) -> Result<(), ()> {
        let installed = self.installed.as_mut().ok_or(())?;
        for (input, row) in self.inputs.iter_mut().zip(rows) {
            *input = installed.manifest.scaling.quantize(&row.features);
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

    fn finish_row(&mut self, row: &Row, scored: Option<usize>) -> Result<(), OutputError> {
        let verdict = match scored {
            Some(index) => Some(self.judge_row(row, index)?),
            None => None,
        };
        let (score, in_episode) = verdict.map_or((None, false), |(score, _, suspect)| (Some(score), suspect));
        if let Some(samples) = self.sampler.offer(row.record.made, &row.features, score, in_episode) {
            self.listener.samples(samples);
        }
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
        let Self { installed, judge, alerts_per_day, files, listener, inputs, outputs, scored, .. } = self;
        let Some(installed) = installed else { return Ok((0, 0.0, false)) };
        let (input, reconstruction) = (&inputs[index], &outputs[index].reconstruction);
        let score = installed.manifest.scaling.score(input, reconstruction);
        let flow = Scored {
            at: row.record.made,
            source: row.record.source,
            destination: row.record.destination,
            service_port: row.record.destination_port,
            row: &row.features,
            input,
            reconstruction,
            score,
        };
        let mut alerts = Alerts { files, listener, failure: None };
        let policy = policy(installed, *alerts_per_day);
        let verdict = judge.judge(&flow, &policy, &mut |alert| alerts.tell(&alert));
        alerts.failure.map_or(Ok(()), Err)?;
        *scored += 1;
        if let Some(outcome) = installed.trial.as_mut().and_then(|trial| trial.row(verdict.surprise_nats)) {
            installed.trial = None;
            listener.trial(installed.manifest.version, outcome);
        }
        Ok((score, verdict.surprise_nats, verdict.suspect))
    }
}

fn policy(installed: &Installed, alerts_per_day: f32) -> Policy<'_> {
    let manifest = &installed.manifest;
    Policy {
        scaling: &manifest.scaling,
        calibration: &manifest.calibration,
        kinds: &manifest.kinds,
        drift_nats: manifest.evidence_drift_nats,
        limit_nats: manifest.evidence_limit(alerts_per_day),
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
    fn tell(&mut self, alert: &Alert) {
        self.listener.alert(alert);
        if let Some(file) = &mut self.files.alerts {
            let line = crate::output::alerts::to_json(alert);
            if let Err(error) = file.write(|writer| writeln!(writer, "{line}").and_then(|()| writer.flush())) {
                self.failure.get_or_insert(error);
            }
        }
    }
}
