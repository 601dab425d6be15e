//! Packets → records and features on the packet thread → batches → the scoring thread.
//!
//! The packet thread reads, decodes, meters and extracts features; once it runs it allocates nothing. It writes records into
//! a batch that both threads share under a lock. Full batches pass through a bounded queue; after half a second without
//! one, the scoring thread takes the current batch. Batches include marks of capture time, so that results do not depend
//! on batch boundaries. If the queue is full, replay waits; live capture drops and counts records, until capture has ended
//! and no packet can be missed.

use crate::batch::{BATCH_MARKS, Batch};
use crate::capture::{CaptureError, PacketSource};
use crate::output::OutputError;
use crate::pace::Pace;
use crate::scoring::{Installed, Listener, Mark, Scoring};
use crate::shed::Shed;
use lapwing_shared::context::irregular::Notice;
use lapwing_shared::features::FeatureVector;
use lapwing_shared::features::flow_rows::Row;
use lapwing_shared::features::meter::{Meter, RecordSink};
use lapwing_shared::flow::record::FlowRecord;
use lapwing_shared::packet::Packet;
use lapwing_shared::units::{Nanos, Timestamp};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use crate::batch::PacketCounters;

/// Capacity of the queue, batches.
const WAITING_BATCHES: usize = 4;
/// Longest time that a record waits for its batch to fill.
pub(crate) const BATCH_DELAY: Duration = Duration::from_millis(500);
/// Interval of the packet thread's reports, in capture time.
const REPORT_INTERVAL: Nanos = Nanos::from_secs(10);

/// Why a run ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PipelineError {
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

/// What the packet thread does if the scoring stage falls behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenBehind {
    /// It waits: files and pipes.
    Wait,
    /// It drops and counts records: live capture.
    LeaveOut,
}

/// The packet thread's end.
struct Feeder<'a> {
    current: &'a Arc<Mutex<Box<Batch>>>,
    /// The lock on the current batch, from a row on until [`Feeder::unlock`].
    writing: Option<MutexGuard<'a, Box<Batch>>>,
    full: SyncSender<Box<Batch>>,
    empty: Receiver<Box<Batch>>,
    when_behind: WhenBehind,
    left_out: u64,
    /// The scoring stage has ended; its result has the reason.
    stage_ended: bool,
}

fn lock(batch: &Mutex<Box<Batch>>) -> MutexGuard<'_, Box<Batch>> {
    // A batch is valid even if the other thread panicked.
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

    fn notice(&mut self, notice: &Notice) {
        self.mark(notice.at, Some(*notice));
    }

    /// Called only without room, which a full batch's hand-over prevents; the record is counted as dropped.
    fn record(&mut self, _: &FlowRecord, _: &FeatureVector) {
        self.left_out += 1;
        self.hand_over();
    }
}

impl<'a> Feeder<'a> {
    fn new(
        current: &'a Arc<Mutex<Box<Batch>>>,
        full: SyncSender<Box<Batch>>,
        empty: Receiver<Box<Batch>>,
        when_behind: WhenBehind,
    ) -> Self {
        Self { current, writing: None, full, empty, when_behind, left_out: 0, stage_ended: false }
    }

    /// Unlocks the current batch for the scoring thread; call before anything that may take time.
    fn unlock(&mut self) {
        self.writing = None;
    }

    /// Queues the current batch and continues with an empty one.
    fn hand_over(&mut self) {
        self.unlock();
        let next = match self.when_behind {
            WhenBehind::Wait => self.empty.recv().map_err(|_| TryRecvError::Disconnected),
            WhenBehind::LeaveOut => self.empty.try_recv(),
        };
        self.stage_ended |= matches!(next, Err(TryRecvError::Disconnected));
        let mut current = lock(self.current);
        let Ok(next) = next else {
            self.left_out += current.rows.len() as u64;
            current.clear_records();
            return;
        };
        let batch = current.exchange(next);
        drop(current);
        // The queue has room for every batch. Without a receiver the run is over.
        let _ = self.full.send(batch);
    }

    /// Ends all flows and queues their records, waiting for room.
    fn finish(&mut self, meter: &mut Meter) {
        self.when_behind = WhenBehind::Wait;
        meter.flush(self);
        self.report(meter);
        self.hand_over();
    }

    /// Adds a mark and the meter's counters to the batch.
    fn report(&mut self, meter: &Meter) {
        // The scoring thread drops its reference to the batch when it ends.
        self.stage_ended |= Arc::strong_count(self.current) == 1;
        let current = self.writing.get_or_insert_with(|| lock(self.current));
        current.progress.update(meter, self.left_out);
        let at = current.progress.at;
        self.mark(at, None);
    }

    /// Adds a mark after the rows so far.
    fn mark(&mut self, at: Timestamp, notice: Option<Notice>) {
        let current = self.writing.get_or_insert_with(|| lock(self.current));
        let (rows_before, new_sources) = (current.rows.len(), current.progress.new_sources);
        current.marks.push(Mark { rows_before, at, new_sources, notice });
        if current.marks.len() == BATCH_MARKS {
            self.hand_over();
        }
    }
}

/// The packet thread's work: meters all packets of `source`, until it ends or `stop` returns true.
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
        if one_by_one || !source.meter_buffered(meter, feeder, reported..reported.plus(REPORT_INTERVAL)) {
            feeder.unlock();
            let Some(frame) = source.next_frame()? else {
                let Some(now) = source.quiet_until() else { break };
                meter.advance(now, feeder);
                feeder.report(meter);
                continue;
            };
            pace.wait_for(frame.timestamp);
            let in_share = shed.filter(|shed| shed.is_active()).map(|shed| |packet: &Packet| shed.keeps(packet));
            let keeps = in_share.as_ref().map(|keeps| keeps as &dyn Fn(&Packet) -> bool);
            if !meter.frame_if(frame.link, frame.timestamp, frame.data, frame.wire_octets, keeps, feeder) {
                continue;
            }
        }
        let now = meter.flows().clock();
        if now.since(reported) >= REPORT_INTERVAL || now < reported {
            reported = now;
            feeder.report(meter);
            if feeder.stage_ended || stop() {
                break;
            }
        }
    }
    Ok(())
}

/// A change of the release in use, or of the false-alert budget.
pub(crate) enum Change {
    /// Score with this one.
    Use(Installed),
    /// Stop scoring.
    Stop,
    /// Another false-alert budget, alerts per day.
    Budget(f32),
}

/// Controls the scoring thread and receives its progress.
pub(crate) trait Control: Send {
    /// The next change of the release, if there is one.
    fn next_change(&mut self) -> Option<Change>;
    /// Takes a release that is no longer used.
    fn retire(&mut self, installed: Installed);
    /// Receives counters after every batch and at least twice a second.
    fn progress(&mut self, progress: &PacketCounters, scoring: crate::scoring::ScoringCounters);
}

/// The result of a run.
pub(crate) struct Outcome<L> {
    /// The scoring stage, unless its thread panicked.
    pub(crate) scoring: Option<Scoring<L>>,
    /// Records dropped because the queue was full.
    pub(crate) left_out: u64,
    /// Why it ended early, if it did.
    pub(crate) result: Result<(), PipelineError>,
}

/// Runs sources one after another through one meter and one scoring stage, to the end.
///
/// After a read error, packets that were read before are still scored and written.
pub(crate) fn run<S: PacketSource, L: Listener + 'static, C: Control + 'static>(
    sources: &mut impl Iterator<Item = Result<S, CaptureError>>,
    meter: &mut Meter,
    scoring: Scoring<L>,
    control: C,
    options: Options<'_>,
    each_source: &mut dyn FnMut(&S),
) -> Outcome<L> {
    let current = Arc::new(Mutex::new(Batch::boxed()));
    let (full, full_batches) = sync_channel(WAITING_BATCHES + 2);
    let (recycle, empty) = sync_channel(WAITING_BATCHES + 2);
    for _ in 0..WAITING_BATCHES {
        // The channel has room for every batch.
        let _ = recycle.try_send(Batch::boxed());
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

/// Options of a run.
#[derive(Clone, Copy)]
pub(crate) struct Options<'a> {
    /// Replay at the capture's pace.
    pub realtime: bool,
    /// What to do if scoring falls behind.
    pub when_behind: WhenBehind,
    /// Returns true if the run must end; called every ten seconds of capture time.
    pub stop: &'a dyn Fn() -> bool,
    /// Sheds load.
    pub shed: Option<&'a Shed>,
}

/// The scoring thread's work.
fn score<L: Listener, C: Control>(
    mut scoring: Scoring<L>,
    mut control: C,
    current: Arc<Mutex<Box<Batch>>>,
    full: &Receiver<Box<Batch>>,
    recycle: &SyncSender<Box<Batch>>,
) -> (Scoring<L>, Result<(), OutputError>) {
    let outcome = score_all(&mut scoring, &mut control, &current, full, recycle);
    drop(current);
    let finished = scoring.finish();
    (scoring, outcome.and(finished))
}

fn apply_change<L: Listener, C: Control>(scoring: &mut Scoring<L>, control: &mut C) {
    let previous = match control.next_change() {
        Some(Change::Use(installed)) => scoring.install(installed),
        Some(Change::Stop) => scoring.remove(),
        Some(Change::Budget(alerts_per_day)) => {
            scoring.set_budget(alerts_per_day);
            None
        }
        None => None,
    };
    if let Some(previous) = previous {
        control.retire(previous);
    }
}

fn score_all<L: Listener, C: Control>(
    scoring: &mut Scoring<L>,
    control: &mut C,
    current: &Mutex<Box<Batch>>,
    full: &Receiver<Box<Batch>>,
    recycle: &SyncSender<Box<Batch>>,
) -> Result<(), OutputError> {
    let mut spare = Some(Batch::boxed());
    loop {
        apply_change(scoring, control);
        let received = full.recv_timeout(BATCH_DELAY);
        let mut batch = match received {
            Ok(batch) => batch,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            // Take the batch that the packet thread is filling, unless it has queued one meanwhile, which is older.
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
        if spare.is_none() {
            spare = Some(batch);
        } else {
            // The channel has room for every batch.
            let _ = recycle.try_send(batch);
        }
    }
}

/// An older batch from the queue, or the batch that is being filled, unless it is empty.
fn take_early(
    current: &Mutex<Box<Batch>>,
    full: &Receiver<Box<Batch>>,
    spare: &mut Option<Box<Batch>>,
) -> Option<Box<Batch>> {
    let mut current = lock(current);
    match full.try_recv() {
        Ok(batch) => Some(batch),
        Err(TryRecvError::Empty | TryRecvError::Disconnected) if current.is_empty() => None,
        Err(_) => Some(current.exchange(spare.take()?)),
    }
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
