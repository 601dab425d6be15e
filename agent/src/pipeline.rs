//! The packet thread and how its records reach the scoring stage.
//!
//! The packet thread reads, decodes, meters and extracts; it allocates nothing once it runs. Records go into the batch
//! that both sides share under a lock; a full batch is handed over through a bounded queue, and a scoring thread that
//! has waited for half a second takes the one that is being filled. How far capture time has come between the records
//! travels in the batch, so that nothing depends on where a batch ends. Replay waits when the queue is full; live
//! capture does not, and counts what was left out, until it has ended and no packet can be missed any more.

use crate::batch::{BATCH_MARKS, Batch};
use crate::capture::{CaptureError, PacketSource};
use crate::output::OutputError;
use crate::pace::Pace;
use crate::scoring::{Installed, Listener, Mark, Scoring};
use crate::shed::Shed;
use lapwing_shared::features::FeatureVector;
use lapwing_shared::features::meter::{Meter, RecordSink};
use lapwing_shared::features::rows::Row;
use lapwing_shared::flow::record::FlowRecord;
use lapwing_shared::units::{Nanos, Timestamp};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use crate::batch::Progress;

/// Full batches that may wait for the scoring stage.
const WAITING_BATCHES: usize = 4;
/// A record waits at most so long for its batch to fill.
pub const BATCH_DELAY: Duration = Duration::from_millis(500);
/// Capture time between two reports of the packet thread.
const REPORT_INTERVAL: Nanos = Nanos::from_secs(10);

/// What a run may die of.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The packets cannot be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// A result cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The scoring thread could not be started or has panicked.
    #[error("the scoring thread {0}")]
    Thread(&'static str),
}

/// What happens when the scoring stage falls behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenBehind {
    /// The packet thread waits: files and pipes.
    Wait,
    /// The records are left out and counted: live capture.
    LeaveOut,
}

/// The packet thread's end.
struct Feeder<'a> {
    current: &'a Arc<Mutex<Batch>>,
    /// The current batch, from a row on until [`Feeder::let_go`].
    writing: Option<MutexGuard<'a, Batch>>,
    full: SyncSender<Batch>,
    empty: Receiver<Batch>,
    when_behind: WhenBehind,
    left_out: u64,
    /// The scoring stage has ended, for a reason that it will tell.
    alone: bool,
}

fn lock(batch: &Mutex<Batch>) -> MutexGuard<'_, Batch> {
    // A batch is valid whatever its other holder was doing.
    batch.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RecordSink for Feeder<'_> {
    fn room(&mut self) -> Option<&mut Row> {
        self.writing.get_or_insert_with(|| lock(self.current)).rows.room()
    }

    fn filled(&mut self) {
        let Some(current) = &mut self.writing else { return };
        current.rows.filled();
        if current.rows.is_full() {
            self.hand_over();
        }
    }

    /// A full batch was handed over, so there was room; if ever there were none, it is told.
    fn record(&mut self, _: &FlowRecord, _: &FeatureVector) {
        self.left_out += 1;
        self.hand_over();
    }
}

impl<'a> Feeder<'a> {
    fn new(
        current: &'a Arc<Mutex<Batch>>,
        full: SyncSender<Batch>,
        empty: Receiver<Batch>,
        when_behind: WhenBehind,
    ) -> Self {
        Self { current, writing: None, full, empty, when_behind, left_out: 0, alone: false }
    }

    /// Gives the scoring thread access to the current batch. To be called before anything that may take its time.
    fn let_go(&mut self) {
        self.writing = None;
    }

    /// Exchanges the current batch for an empty one and queues it.
    fn hand_over(&mut self) {
        self.let_go();
        let next = match self.when_behind {
            WhenBehind::Wait => self.empty.recv().map_err(|_| TryRecvError::Disconnected),
            WhenBehind::LeaveOut => self.empty.try_recv(),
        };
        self.alone |= matches!(next, Err(TryRecvError::Disconnected));
        let mut current = lock(self.current);
        let Ok(next) = next else {
            self.left_out += current.rows.len() as u64;
            current.clear();
            return;
        };
        let batch = current.exchange(next);
        drop(current);
        // There is room: there are no more batches than places. Without a receiver the run is over anyway.
        let _ = self.full.send(batch);
    }

    /// The sources have ended: every flow that is left becomes a record, and all are scored, however many come at once.
    fn finish(&mut self, meter: &mut Meter) {
        self.when_behind = WhenBehind::Wait;
        meter.flush(self);
        self.report(meter);
        self.hand_over();
    }

    /// Tells where the packet thread stands.
    fn report(&mut self, meter: &Meter) {
        // The scoring thread lets go of the batch when it ends.
        self.alone |= Arc::strong_count(self.current) == 1;
        let current = self.writing.get_or_insert_with(|| lock(self.current));
        current.progress.note(meter, self.left_out);
        let (rows_before, at) = (current.rows.len(), current.progress.at);
        current.marks.push(Mark { rows_before, at });
        if current.marks.len() == BATCH_MARKS {
            self.hand_over();
        }
    }
}

/// The packet thread's work: everything from `source` through `meter`, until it ends or `stop` says so.
///
/// # Errors
/// When the source cannot be read.
fn feed(
    source: &mut impl PacketSource,
    meter: &mut Meter,
    feeder: &mut Feeder<'_>,
    pace: &mut Pace,
    options: Options<'_>,
) -> Result<(), CaptureError> {
    let Options { stop, shed, realtime, .. } = options;
    let one_by_one = realtime || shed.is_some();
    let mut reported = Timestamp::EPOCH;
    loop {
        if one_by_one || !source.meter_held(meter, feeder, reported..reported.plus(REPORT_INTERVAL)) {
            feeder.let_go();
            let Some(frame) = source.next_frame()? else {
                let Some(now) = source.quiet_until() else { break };
                meter.advance(now, feeder);
                feeder.report(meter);
                continue;
            };
            pace.wait_for(frame.timestamp);
            if shed.is_some_and(|shed| !shed.keeps(frame.link, frame.data, frame.wire_octets)) {
                continue;
            }
            meter.frame(frame.link, frame.timestamp, frame.data, frame.wire_octets, feeder);
        }
        let now = meter.flows().clock();
        if now.since(reported) >= REPORT_INTERVAL || now < reported {
            reported = now;
            feeder.report(meter);
            if feeder.alone || stop() {
                break;
            }
        }
    }
    Ok(())
}

/// A change of the release in use.
pub enum Change {
    /// Score with this one.
    Use(Installed),
    /// Score no more.
    Stop,
}

/// What the scoring thread is told while it runs, and whom it tells where the packet thread stands.
pub trait Control: Send {
    /// What to use from now on, when that has changed.
    fn next_change(&mut self) -> Option<Change>;
    /// A release no longer used, to be dropped where it does no harm.
    fn retire(&mut self, installed: Installed);
    /// Where the run stands; called after every batch and at least twice a second.
    fn progress(&mut self, progress: &Progress, scoring: crate::scoring::ScoringCounters);
}

/// A run without anybody to control it.
pub struct Uncontrolled;

impl Control for Uncontrolled {
    fn next_change(&mut self) -> Option<Change> {
        None
    }
    fn retire(&mut self, _: Installed) {}
    fn progress(&mut self, _: &Progress, _: crate::scoring::ScoringCounters) {}
}

/// How a run ended: the stage, unless its thread was lost, and what went wrong first.
pub struct Outcome<L> {
    /// The scoring stage as it ended.
    pub scoring: Option<Scoring<L>>,
    /// Records that the full queue left out.
    pub left_out: u64,
    /// The cause of an early end.
    pub result: Result<(), PipelineError>,
}

/// Runs sources one after the other through one meter and one scoring stage, to the end.
///
/// When a source cannot be read, what was read before is still scored and written.
pub fn run<S: PacketSource, L: Listener + 'static, C: Control + 'static>(
    sources: &mut impl Iterator<Item = Result<S, CaptureError>>,
    meter: &mut Meter,
    scoring: Scoring<L>,
    control: C,
    options: Options<'_>,
    each_source: &mut dyn FnMut(&S),
) -> Outcome<L> {
    let current = Arc::new(Mutex::new(Batch::new()));
    let (full, full_batches) = sync_channel(WAITING_BATCHES + 2);
    let (recycle, empty) = sync_channel(WAITING_BATCHES + 2);
    for _ in 0..WAITING_BATCHES {
        // The channel has room for every batch that there is.
        let _ = recycle.try_send(Batch::new());
    }
    let shared = Arc::clone(&current);
    let stage = std::thread::Builder::new().name("scoring".into());
    let Ok(stage) = stage.spawn(move || score(scoring, control, shared, &full_batches, &recycle)) else {
        let result = Err(PipelineError::Thread("could not be started"));
        return Outcome { scoring: None, left_out: 0, result };
    };
    let mut feeder = Feeder::new(&current, full, empty, options.when_behind);
    let mut pace = Pace::new(options.realtime);
    let fed = sources.try_for_each(|source| {
        let mut source = source?;
        let outcome = feed(&mut source, meter, &mut feeder, &mut pace, options);
        each_source(&source);
        outcome
    });
    feeder.finish(meter);
    let left_out = feeder.left_out;
    drop(feeder);
    let (scoring, scored) = match stage.join() {
        Ok((scoring, scored)) => (Some(scoring), scored.map_err(PipelineError::from)),
        Err(_) => (None, Err(PipelineError::Thread("has panicked"))),
    };
    Outcome { scoring, left_out, result: scored.and(fed.map_err(PipelineError::from)) }
}

/// How a run goes.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Keep the capture's pace.
    pub realtime: bool,
    /// What happens when scoring falls behind.
    pub when_behind: WhenBehind,
    /// True when the run is to end; asked every ten seconds of capture time.
    pub stop: &'a dyn Fn() -> bool,
    /// Leaves flows out under load.
    pub shed: Option<&'a Shed>,
}

/// The scoring thread's work.
fn score<L: Listener, C: Control>(
    mut scoring: Scoring<L>,
    mut control: C,
    current: Arc<Mutex<Batch>>,
    full: &Receiver<Batch>,
    recycle: &SyncSender<Batch>,
) -> (Scoring<L>, Result<(), OutputError>) {
    let outcome = score_all(&mut scoring, &mut control, &current, full, recycle);
    drop(current);
    let finished = scoring.finish();
    (scoring, outcome.and(finished))
}

fn score_all<L: Listener, C: Control>(
    scoring: &mut Scoring<L>,
    control: &mut C,
    current: &Mutex<Batch>,
    full: &Receiver<Batch>,
    recycle: &SyncSender<Batch>,
) -> Result<(), OutputError> {
    let mut spare = Batch::new();
    loop {
        let previous = match control.next_change() {
            Some(Change::Use(installed)) => scoring.install(installed),
            Some(Change::Stop) => scoring.remove(),
            None => None,
        };
        if let Some(previous) = previous {
            control.retire(previous);
        }
        let received = full.recv_timeout(BATCH_DELAY);
        let mut batch = match received {
            Ok(batch) => batch,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            // The packet thread is waiting for packets: take what it has. A batch that it queued meanwhile is older
            // and goes first.
            Err(RecvTimeoutError::Timeout) => match take_early(current, full, &mut spare) {
                Some(batch) => batch,
                None => {
                    let progress = lock(current).progress;
                    control.progress(&progress, scoring.counters());
                    continue;
                }
            },
        };
        scoring.process(batch.rows.as_slice(), &batch.marks)?;
        control.progress(&batch.progress, scoring.counters());
        batch.clear();
        if spare.rows.capacity() == 0 {
            spare = batch;
        } else {
            // The channel has room for every batch that there is.
            let _ = recycle.try_send(batch);
        }
    }
}

/// The batch that is being filled, when nothing older is queued and it holds something.
fn take_early(current: &Mutex<Batch>, full: &Receiver<Batch>, spare: &mut Batch) -> Option<Batch> {
    let mut current = lock(current);
    match full.try_recv() {
        Ok(batch) => Some(batch),
        Err(TryRecvError::Empty | TryRecvError::Disconnected) if current.is_empty() => None,
        Err(_) => Some(current.exchange(std::mem::take(spare))),
    }
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
