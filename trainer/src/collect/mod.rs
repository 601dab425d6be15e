//! Agents' messages from the broker → the store, and the word back that they are stored.
//!
//! Two threads and one bounded queue: the intake reads and decodes, the committer stores. A full queue stops the
//! intake, and through it the broker's hand-over; nothing is dropped here. A batch is what came within
//! [`Options::linger`], [`Options::batch`] messages at most; it is acknowledged to the agents, and confirmed to an
//! outside broker, only after its commit. While the store cannot be written the same batch is tried again.

mod acknowledge;
pub mod broker;
mod counts;
mod intake;
mod link;
pub mod outside;
#[cfg(test)]
mod tests;

pub use counts::{Count, Counts, Snapshot};
pub use link::{Delivery, Inlet, Link, LinkError, Outlet, Receipt};

use crate::clock;
use crate::store::{Received, Store, StoreError};
use acknowledge::Acknowledger;
use intake::{Intake, Item};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How the collector works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Messages in one transaction, at most.
    pub batch: usize,
    /// How long a transaction waits for more messages.
    pub linger: Duration,
    /// Messages between intake and committer.
    pub queue: usize,
    /// Shortest time between two acknowledgements to one agent.
    pub acknowledge_every: Duration,
    /// Pause before a failed commit is tried again.
    pub retry_pause: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch: 2_000,
            linger: Duration::from_millis(50),
            queue: 8_192,
            acknowledge_every: Duration::from_secs(1),
            retry_pause: Duration::from_secs(1),
        }
    }
}

/// How often waiting threads look whether they shall stop.
const WAKE: Duration = Duration::from_millis(100);
/// Failed commits between two log lines about them.
const FAILURES_LOGGED: u64 = 30;

/// Why the collector ended.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The store failed for good.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker's link ended.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A thread could not be started, or panicked.
    #[error("the {0} thread of the collector failed")]
    Thread(&'static str),
}

/// A running collector.
pub struct Collector {
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    intake: JoinHandle<Result<(), CollectError>>,
    committer: JoinHandle<Result<Store, CollectError>>,
}

impl Collector {
    /// Starts both threads.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        inlet: Box<dyn Inlet>,
        outlet: Box<dyn Outlet>,
        store: Store,
        options: Options,
        counts: Arc<Counts>,
    ) -> Result<Self, CollectError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (queue, items) = sync_channel(options.queue);
        let worker = Committer {
            items,
            store,
            outlet,
            options,
            counts: Arc::clone(&counts),
            stop: Arc::clone(&stop),
            acknowledger: Acknowledger::new(options.acknowledge_every),
        };
        let committer = thread::Builder::new().name("committer".into()).spawn(move || worker.run());
        let committer = committer.map_err(|_| CollectError::Thread("committer"))?;
        let (told, stopped) = (Arc::clone(&counts), Arc::clone(&stop));
        let intake = thread::Builder::new().name("intake".into()).spawn(move || take_in(inlet, &queue, told, &stopped));
        let intake = intake.map_err(|_| CollectError::Thread("intake"))?;
        Ok(Self { counts, stop, intake, committer })
    }

    /// Its counters.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// True when a thread has ended by itself; [`Collector::stop`] then says why.
    pub fn has_ended(&self) -> bool {
        self.intake.is_finished() || self.committer.is_finished()
    }

    /// Stops taking in, commits and acknowledges what was taken in, and closes the store.
    ///
    /// # Errors
    /// Why a thread had ended, or what the store said last; what was not committed was not acknowledged.
    pub fn stop(self) -> Result<(), CollectError> {
        self.stop.store(true, Ordering::Relaxed);
        let intake = self.intake.join().map_err(|_| CollectError::Thread("intake"))?;
        let store = self.committer.join().map_err(|_| CollectError::Thread("committer"))?;
        store?.close()?;
        intake
    }
}

/// The intake's thread.
fn take_in(
    mut inlet: Box<dyn Inlet>,
    queue: &SyncSender<Item>,
    counts: Arc<Counts>,
    stop: &AtomicBool,
) -> Result<(), CollectError> {
    let mut intake = Intake::new(counts);
    while !stop.load(Ordering::Relaxed) {
        let Some(delivery) = inlet.next(WAKE)? else { continue };
        if queue.send(intake.accept(delivery)).is_err() {
            // The committer has ended and says why.
            return Ok(());
        }
    }
    Ok(())
}

/// The committer's thread.
struct Committer {
    items: Receiver<Item>,
    store: Store,
    outlet: Box<dyn Outlet>,
    options: Options,
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    acknowledger: Acknowledger,
}

impl Committer {
    /// Works until the intake has ended and the queue is empty.
    fn run(mut self) -> Result<Store, CollectError> {
        let (mut batch, mut receipts) = (Vec::new(), Vec::new());
        loop {
            let more = self.gather(&mut batch, &mut receipts);
            if !batch.is_empty() {
                self.commit(&batch)?;
                self.acknowledger.note(&batch);
                batch.clear();
            }
            self.outlet.confirm(&receipts)?;
            receipts.clear();
            self.acknowledger.flush(&self.store, self.outlet.as_mut(), &self.counts)?;
            if !more {
                return Ok(self.store);
            }
        }
    }

    /// Fills a batch; false when no more will come.
    fn gather(&self, batch: &mut Vec<Received>, receipts: &mut Vec<Receipt>) -> bool {
        let first = if self.acknowledger.is_waiting() { self.options.acknowledge_every.min(WAKE) } else { WAKE };
        let mut span = first;
        let mut deadline = None;
        while batch.len() < self.options.batch {
            match self.items.recv_timeout(span) {
                Ok(item) => {
                    batch.extend(item.received);
                    receipts.extend(item.receipt);
                }
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
            let until = *deadline.get_or_insert_with(|| clock::after(self.options.linger));
            span = until.saturating_duration_since(clock::monotonic());
        }
        true
    }

    /// Stores a batch, however often that must be tried while the trouble is a passing one.
    fn commit(&mut self, batch: &[Received]) -> Result<(), CollectError> {
        let mut failures = 0;
        loop {
            match self.store.commit(batch, clock::now_s()) {
                Ok(done) => {
                    self.counts.commits.add(1);
                    self.counts.stored.add(done.stored);
                    self.counts.sample_rows.add(done.sample_rows);
                    self.counts.duplicates.add(done.duplicates);
                    self.counts.refused.add(done.refused);
                    return Ok(());
                }
                Err(error) if error.is_passing() && !self.stop.load(Ordering::Relaxed) => {
                    self.counts.commit_failures.add(1);
                    if failures % FAILURES_LOGGED == 0 {
                        tracing::error!(%error, messages = batch.len(), "not stored, not acknowledged; trying again");
                    }
                    failures += 1;
                    thread::sleep(self.options.retry_pause);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
