//! Feature rows in the store's journal → segments, on a thread of their own while the server runs.

use super::ServeError;
use lapwing_common::clock;
use lapwing_common::priority::lower_priority;
use lapwing_segments::Limits;
use lapwing_store::{Compaction, Compactor, SegmentTotals, Step, StoreError, StoreHandle};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Interval between two passes.
const INTERVAL: Duration = Duration::from_secs(5);
/// Interval after a failure.
const RETRY: Duration = Duration::from_secs(60);

/// What the thread has done since the start, and the present size of the segments.
#[derive(Debug, Default)]
pub(crate) struct SegmentCounts {
    written: AtomicU64,
    rows_written: AtomicU64,
    replaced: AtomicU64,
    deleted: AtomicU64,
    conflicts: AtomicU64,
    failures: AtomicU64,
    segments: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// A number that the thread reports.
pub(crate) struct SegmentCount {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    pub(crate) value: u64,
    /// It may also decrease.
    pub(crate) is_gauge: bool,
}

impl SegmentCounts {
    /// Every number, with its name and meaning.
    pub(crate) fn named(&self) -> [SegmentCount; 9] {
        [
            ("segments", "Segments of feature rows in the store.", &self.segments, true),
            ("segment_rows", "Feature rows in segments.", &self.rows, true),
            ("segment_bytes", "Size of all segments, bytes.", &self.bytes, true),
            ("segments_written", "Segments written from the store's journal.", &self.written, false),
            (
                "segment_rows_written",
                "Feature rows moved from the store's journal to segments.",
                &self.rows_written,
                false,
            ),
            (
                "segments_replaced",
                "Segments merged, rewritten without rows beyond a limit, or removed.",
                &self.replaced,
                false,
            ),
            ("segment_files_deleted", "Files of segments deleted.", &self.deleted, false),
            (
                "segment_conflicts",
                "Segments given up, because some of their rows were removed meanwhile.",
                &self.conflicts,
                false,
            ),
            (
                "segment_failures",
                "Failures to write or replace segments; the rows stay in the database.",
                &self.failures,
                false,
            ),
        ]
        .map(|(name, text, value, is_gauge)| SegmentCount {
            name,
            text,
            value: value.load(Ordering::Relaxed),
            is_gauge,
        })
    }

    fn add(&self, done: &Compaction) {
        let pairs = [
            (&self.written, done.segments),
            (&self.rows_written, done.rows),
            (&self.replaced, done.replaced),
            (&self.deleted, done.deleted),
            (&self.conflicts, done.conflicts),
        ];
        for (counter, more) in pairs {
            counter.fetch_add(more, Ordering::Relaxed);
        }
    }

    fn set(&self, totals: &SegmentTotals) {
        let SegmentTotals { segments, rows, bytes } = totals;
        let pairs = [(&self.segments, segments), (&self.rows, rows), (&self.bytes, bytes)];
        pairs.iter().for_each(|(gauge, value)| gauge.store(**value, Ordering::Relaxed));
    }
}

/// The thread that writes segments. Only one process of a store may have it.
pub(super) struct CompactionThread {
    /// Dropped to end the thread.
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl CompactionThread {
    /// Sets where the store has its segments, and starts the thread. `group` is that of agents without a status.
    ///
    /// # Errors
    /// When the store has no place for segments or cannot be written, or the thread cannot be started.
    pub(super) fn start(
        handle: StoreHandle,
        place: Option<&str>,
        group: &str,
        counts: Arc<SegmentCounts>,
    ) -> Result<Self, ServeError> {
        handle.set_segments_place(place)?;
        handle.place()?;
        counts.set(&handle.segment_totals()?);
        let (stop, stopped) = sync_channel(0);
        let compactor = Compactor::new(handle, Limits::default(), group);
        let run = move || {
            lower_priority();
            run(compactor, &counts, &stopped);
        };
        let thread = thread::Builder::new().name("compaction".into()).spawn(run);
        let thread = thread.map_err(|_| lapwing_collect::CollectError::Thread("compaction"))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for CompactionThread {
    /// Ends the thread after its current step: a segment takes seconds at most.
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the compaction thread panicked; see the message above in the log");
        }
    }
}

fn run(mut compactor: Compactor, counts: &SegmentCounts, stopped: &Receiver<()>) {
    let mut go_on = |_: Step| stopped.try_recv() == Err(TryRecvError::Empty);
    let mut wait = Duration::ZERO;
    while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        wait = match pass(&mut compactor, counts, clock::now_s(), &mut go_on) {
            Ok(()) => INTERVAL,
            Err(error) => {
                counts.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "cannot move feature rows to segments; they stay in the database");
                RETRY
            }
        };
    }
}

fn pass(
    compactor: &mut Compactor,
    counts: &SegmentCounts,
    now_s: u64,
    go_on: &mut dyn FnMut(Step) -> bool,
) -> Result<(), StoreError> {
    let done = compactor.pass(now_s, go_on)?;
    if done != Compaction::default() {
        let Compaction { segments, rows, replaced, deleted, conflicts } = done;
        tracing::info!(segments, rows, replaced, deleted, conflicts, "moved feature rows to segments");
        counts.add(&done);
        counts.set(&compactor.totals()?);
    }
    Ok(())
}
