//! Agents' messages from the broker → the store, and acknowledgements back to the agents.
//!
//! One intake thread for each broker reads and decodes, the committer stores; a bounded queue connects them. A full queue
//! blocks the intakes, which stops delivery by the brokers; the collector drops nothing. A batch contains the messages that arrive within
//! [`Options::linger`], at most [`Options::batch`]. The collector acknowledges it to the agents through the broker that it
//! came from, and confirms it to an outside broker, only after the commit. It retries a batch for as long as the store cannot be written.

mod acknowledge;
pub mod broker;
mod counts;
mod intake;
mod kept;
mod link;
mod link_state;
mod pressure;
mod rate;
mod renewals;
mod routes;
pub mod outside;
mod roster;
mod seals;
#[cfg(test)]
mod tests;

pub use counts::{Count, Counts, Snapshot};
pub use kept::Expected;
pub use link::{Delivery, Ends, Inlet, Link, LinkError, Outlet, Receipt, Releases};
pub use link_state::LinkState;
pub use renewals::RenewalEnds;
pub use roster::{Enrolled, IDENTITIES, REFRESH, Roster, RosterWatch};
pub use seals::Unsealed;

use acknowledge::Acknowledger;
use intake::{Agents, Intake, Item};
use lapwing_common::clock;
use lapwing_store::{Committed, Received, Store, StoreError};
use pressure::Pressure;
use seals::Seals;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Batch sizes and intervals of the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Messages per transaction, at most.
    pub batch: usize,
    /// How long a batch waits for more messages.
    pub linger: Duration,
    /// Capacity of the queue between intake and committer, messages.
    pub queue: usize,
    /// Minimum interval between acknowledgements.
    pub acknowledge_every: Duration,
    /// Pause before retrying a failed commit.
    pub retry_pause: Duration,
    /// Messages per second of one agent, on average. Further ones are not stored and not acknowledged.
    pub agent_rate: u32,
    /// Messages without a seal of agents that have a key.
    pub unsealed: Unsealed,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch: 2_000,
            linger: Duration::from_millis(50),
            queue: 8_192,
            acknowledge_every: Duration::from_secs(1),
            retry_pause: Duration::from_secs(1),
            agent_rate: 100,
            unsealed: Unsealed::Refuse,
        }
    }
}

/// How often waiting threads check for the stop flag.
const STOP_CHECK: Duration = Duration::from_millis(100);
/// Log every 30th failed commit.
const LOG_EVERY_FAILURES: u64 = 30;
/// Interval between two logs of messages that the store rejected.
const REJECTION_LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Payloads between intake and commit, bytes.
const IN_FLIGHT_BYTES: usize = 64 * 1024 * 1024;

/// Why the collector stopped.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The store failed permanently.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The link to the broker stopped.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A thread could not be started or panicked.
    #[error("the collector's {0} thread failed")]
    Thread(&'static str),
}

/// A running collector.
pub struct Collector {
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    intakes: Vec<JoinHandle<Result<(), CollectError>>>,
    committer: JoinHandle<Result<Store, CollectError>>,
    renewals: Option<JoinHandle<()>>,
}

impl Collector {
    /// Starts the threads; one link for each broker. `roster` knows which agents have a key, and which are revoked. Requests
    /// for certificates are rejected.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        links: Vec<Ends>,
        store: Store,
        options: Options,
        shared: (Arc<Counts>, Arc<Roster>),
    ) -> Result<Self, CollectError> {
        Self::start_with(links, store, options, shared, None)
    }

    /// The same; requests for certificates go to the store, and responses back, if there are ends for them.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start_with(
        links: Vec<Ends>,
        store: Store,
        options: Options,
        (counts, roster): (Arc<Counts>, Arc<Roster>),
        renewals: Option<RenewalEnds>,
    ) -> Result<Self, CollectError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (queue, items) = sync_channel(options.queue);
        let pressure = Pressure::new(IN_FLIGHT_BYTES);
        let renewals = renewals.map(|ends| renewals::start(ends, Arc::clone(&counts))).transpose();
        let (inbox, renewals) = renewals.map_err(|_| CollectError::Thread("renewal"))?.unzip();
        let agents = Agents::new(options.agent_rate, links.len(), inbox);
        let seals = Arc::new(Seals::new(roster, options.unsealed));
        let (mut intakes, mut exits) = (Vec::new(), Vec::new());
        for (index, Ends { inlet, outlet, state }) in links.into_iter().enumerate() {
            let link = (index, Arc::clone(&state));
            let worker = Intake::new(Arc::clone(&counts), Arc::clone(&agents), Arc::clone(&seals), link);
            let (queue, pressure, stop) = (queue.clone(), Arc::clone(&pressure), Arc::clone(&stop));
            let run = move || run_intake(inlet, &queue, worker, &pressure, &stop);
            let intake = thread::Builder::new().name(format!("intake-{index}")).spawn(run);
            intakes.push(intake.map_err(|_| CollectError::Thread("intake"))?);
            exits.push(Exit {
                outlet,
                state,
                acknowledger: Acknowledger::new(options.acknowledge_every, Arc::clone(&seals)),
                receipts: Vec::new(),
            });
        }
        // The committer ends when the last intake drops its sender.
        drop(queue);
        let worker = Committer {
            items,
            store,
            exits,
            options,
            counts: Arc::clone(&counts),
            stop: Arc::clone(&stop),
            pressure,
            rejections_logged: None,
        };
        let committer = thread::Builder::new().name("committer".into()).spawn(move || worker.run());
        let committer = committer.map_err(|_| CollectError::Thread("committer"))?;
        Ok(Self { counts, stop, intakes, committer, renewals })
    }

    /// The live counters.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// True if a thread has stopped by itself; [`Collector::stop`] then returns the error.
    pub fn has_ended(&self) -> bool {
        self.intakes.iter().any(JoinHandle::is_finished) || self.committer.is_finished()
    }

    /// Stops the intake, commits and acknowledges its queued messages, and closes the store.
    ///
    /// # Errors
    /// The error that stopped a thread, or of the last commit. Messages that were not committed are not acknowledged.
    pub fn stop(self) -> Result<(), CollectError> {
        self.stop.store(true, Ordering::Relaxed);
        let joined = self.intakes.into_iter().map(|intake| intake.join().map_err(|_| CollectError::Thread("intake")));
        // All of them, before one of their errors is returned: the committer ends with the last.
        let intakes: Vec<_> = joined.collect();
        // It ends with the last intake, too.
        let renewals = self.renewals.map_or(Ok(()), JoinHandle::join);
        let store = self.committer.join().map_err(|_| CollectError::Thread("committer"))?;
        store?.close()?;
        renewals.map_err(|_| CollectError::Thread("renewal"))?;
        intakes.into_iter().try_for_each(|intake| intake?)
    }
}

fn run_intake(
    mut inlet: Box<dyn Inlet>,
    queue: &SyncSender<Item>,
    mut intake: Intake,
    pressure: &Pressure,
    stop: &AtomicBool,
) -> Result<(), CollectError> {
    while !stop.load(Ordering::Relaxed) {
        let delivery = inlet.next(STOP_CHECK)?;
        let now = clock::monotonic();
        let later = intake.later(now);
        for item in later.into_iter().chain(delivery.map(|delivery| intake.accept(delivery, now))) {
            // Without room, the inlet is not read, which stops delivery by the broker.
            let bytes = item.bytes();
            while !pressure.add(bytes, STOP_CHECK) {
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
            }
            if queue.send(item).is_err() {
                // The committer has stopped; its thread returns the error.
                return Ok(());
            }
        }
    }
    Ok(())
}

/// What goes back to one broker.
struct Exit {
    outlet: Box<dyn Outlet>,
    state: Arc<LinkState>,
    acknowledger: Acknowledger,
    /// Deliveries to confirm after the commit.
    receipts: Vec<Receipt>,
}

/// State of the committer thread.
struct Committer {
    items: Receiver<Item>,
    store: Store,
    exits: Vec<Exit>,
    options: Options,
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    pressure: Arc<Pressure>,
    rejections_logged: Option<Instant>,
}

impl Committer {
    /// Runs until every intake has stopped and the queue is empty.
    fn run(mut self) -> Result<Store, CollectError> {
        // The messages of a batch, and the link of each.
        let (mut batch, mut links) = (Vec::new(), Vec::new());
        loop {
            let more = self.gather(&mut batch, &mut links);
            if !batch.is_empty() {
                self.commit(&batch)?;
                for (index, exit) in self.exits.iter_mut().enumerate() {
                    let own = batch.iter().zip(&links).filter(|(_, link)| **link == index);
                    exit.acknowledger.add(own.map(|(received, _)| received));
                }
                self.pressure.remove(batch.iter().map(|received| received.payload.len()).sum());
                batch.clear();
                links.clear();
            }
            for exit in &mut self.exits {
                exit.outlet.confirm(&exit.receipts)?;
                exit.receipts.clear();
                let counts = (&*self.counts, &*exit.state);
                exit.acknowledger.flush(&self.store, exit.outlet.as_mut(), counts, clock::monotonic())?;
            }
            if !more {
                return Ok(self.store);
            }
        }
    }

    /// Fills a batch; false once every intake has stopped.
    fn gather(&mut self, batch: &mut Vec<Received>, links: &mut Vec<usize>) -> bool {
        let has_pending = self.exits.iter().any(|exit| exit.acknowledger.has_pending());
        let mut timeout = if has_pending { self.options.acknowledge_every.min(STOP_CHECK) } else { STOP_CHECK };
        let mut deadline = None;
        while batch.len() < self.options.batch {
            match self.items.recv_timeout(timeout) {
                Ok(Item { received, receipt, link }) => {
                    links.extend(received.is_some().then_some(link));
                    batch.extend(received);
                    self.exits.get_mut(link).into_iter().for_each(|exit| exit.receipts.extend(receipt));
                }
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
            let until = *deadline.get_or_insert_with(|| clock::after(self.options.linger));
            timeout = until.saturating_duration_since(clock::monotonic());
        }
        true
    }

    /// Stores a batch; retries temporary errors until the collector stops.
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
                    self.counts.rejected.add(done.rejected);
                    self.counts.duplicate_alerts.add(done.duplicate_alerts);
                    self.log_rejections(&done, clock::monotonic());
                    if let Some(error) = &done.retention_error {
                        tracing::warn!(error, "cannot delete what exceeds the limits of the store; retrying");
                    }
                    return Ok(());
                }
                Err(error) if error.is_temporary() && !self.stop.load(Ordering::Relaxed) => {
                    self.counts.commit_failures.add(1);
                    if failures % LOG_EVERY_FAILURES == 0 {
                        tracing::error!(%error, messages = batch.len(), "cannot store messages; retrying");
                    }
                    failures += 1;
                    thread::sleep(self.options.retry_pause);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Logs the first rejected messages of a batch, once per interval.
    fn log_rejections(&mut self, done: &Committed, now: Instant) {
        let is_recent = self.rejections_logged.is_some_and(|at| now.duration_since(at) < REJECTION_LOG_INTERVAL);
        if done.rejections.is_empty() || is_recent {
            return;
        }
        self.rejections_logged = Some(now);
        for (agent, reason) in &done.rejections {
            tracing::warn!(agent = agent.as_str(), %reason, rejected = done.rejected, "the store rejected messages");
        }
    }
}
