//! Configuration → a server that collects messages, trains when due and publishes releases.
//!
//! One loop checks the clock, the requested jobs and the number of new rows twice a second; collecting and training run
//! on their own threads. A release is made on request, when `every` has passed since the last one, or after
//! `after-rows` new feature rows; one at a time. SIGTERM and SIGINT end the loop: received messages are committed and
//! acknowledged, a running training is aborted.

pub(crate) mod publish;
pub mod classify;
#[cfg(test)]
mod classify_tests;
mod compaction;
mod counter_log;
mod keeper;
mod release_dir;
mod making;
mod progress;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub(crate) mod training;

pub(crate) use release_dir::ReleaseDir;

use crate::config::{Config, ConfigError};
use classify::AlertClassifier;
use compaction::CompactionThread;
pub(crate) use compaction::{SegmentCount, SegmentCounts};
use counter_log::CounterLog;
use lapwing_collect::{CollectError, Collector, Counts, Link, LinkError, LinkState};
use lapwing_common::clock::{self, Moment};
use lapwing_fleet::{Now, Schedule, Training};
use lapwing_models::classify::ClassifierError;
use lapwing_pipeline::order::{MakeError, ReleaseMaker};
use lapwing_pipeline::release::{ReadError, read};
use lapwing_shared::release::manifest::Manifest;
use lapwing_store::{Counter, Store, StoreError, StoreHandle};
use progress::ProgressDisplay;
use publish::Publisher;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use training::TrainingJob;

/// Interval of the loop.
pub(crate) const TICK: Duration = Duration::from_millis(500);
/// Releases before the current one whose chunks are cleared at the start, except those of the previous one.
const OLD_RELEASES: usize = 8;

/// Why the server did not start or stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker cannot be used.
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// The model that classifies alerts cannot be used.
    #[error(transparent)]
    Classifier(#[from] ClassifierError),
    /// A release file cannot be read or written.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// A release cannot be published.
    #[error("release {}: {source}", version)]
    Publish { version: u64, source: ReadError },
}

pub(crate) struct Server {
    config: Config,
    maker: Arc<dyn ReleaseMaker>,
    collector: Collector,
    counts: Arc<Counts>,
    publisher: Publisher,
    /// State of the link to each broker.
    brokers: Vec<Arc<LinkState>>,
    releases: ReleaseDir,
    handle: StoreHandle,
    /// `None` without a model.
    classifier: Option<AlertClassifier>,
    address: Option<SocketAddr>,
    training: Option<(TrainingJob, ProgressDisplay)>,
    compaction: CompactionThread,
    /// Past trainings of the group.
    history: Training,
    started: Instant,
    log: CounterLog,
}

impl Server {
    /// Starts broker, store and collector at `now`, and publishes the newest release again.
    ///
    /// # Errors
    /// The first part that cannot be started.
    pub(crate) fn start(config: Config, maker: Arc<dyn ReleaseMaker>, now: Moment) -> Result<Self, ServeError> {
        config.check()?;
        let classifier = config.kinds.model.as_deref().map(AlertClassifier::load).transpose()?;
        let counts = Arc::new(Counts::default());
        let store = Store::open(&config.store.path, config.limits())?;
        let handle = store.handle()?;
        handle.requeue_jobs()?;
        if classifier.is_some() {
            AlertClassifier::warn_of_agents_without_rows(&handle)?;
        }
        let (links, address) = links(&config, &counts, handle.id()?)?;
        let (ends, outlets): (Vec<_>, Vec<_>) = links.into_iter().map(|link| (link.ends, link.releases)).unzip();
        let brokers = ends.iter().map(|ends| Arc::clone(&ends.state)).collect();
        let releases = ReleaseDir::new(&config.retrain.releases, &config.group()?);
        releases.make_private()?;
        let mut publisher = Publisher::new(outlets);
        let made_s = handle.releases(&config.retrain.group, 1)?.first().map(|release| release.made_s);
        // Before collecting starts, so that reconnecting agents see it at once.
        republish(&mut publisher, &releases, now.monotonic)?;
        publisher.pass(&counts, now.monotonic);
        let segments = config.store.segments.as_deref();
        let compaction =
            CompactionThread::start(StoreHandle::open(&config.store.path)?, segments, &config.retrain.group)?;
        let collector = Collector::start(ends, store, config.options(), Arc::clone(&counts))?;
        let trained_rows = handle.counter(Counter::SampleRowsTrained)?;
        Ok(Self {
            config,
            maker,
            collector,
            counts,
            publisher,
            brokers,
            releases,
            handle,
            classifier,
            address,
            training: None,
            compaction,
            history: Training::new(made_s, trained_rows, Now { wall_s: now.wall_s, elapsed: Duration::ZERO }),
            started: now.monotonic,
            log: CounterLog::new(now.monotonic),
        })
    }

    /// Address of the embedded broker; `None` with an outside broker.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// State of the link to each broker.
    pub(crate) fn brokers(&self) -> &[Arc<LinkState>] {
        &self.brokers
    }

    /// Counters of the segments.
    pub(crate) fn segment_counts(&self) -> &Arc<SegmentCounts> {
        self.compaction.counts()
    }

    /// The collector's counters.
    pub(crate) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// One pass of the loop at `now`; call it every [`TICK`].
    ///
    /// # Errors
    /// When the collector has stopped or the store cannot be used; the server must stop.
    pub(crate) fn tick(&mut self, now: Moment) -> Result<(), ServeError> {
        if self.collector.has_ended() {
            return Err(ServeError::Collect(CollectError::Thread("intake or committer")));
        }
        self.log.pass(&self.counts, &self.brokers, now.monotonic);
        self.publisher.pass(&self.counts, now.monotonic);
        self.classify_alerts(now.wall_s)?;
        self.publish_approved(now)?;
        if let Some((job, display)) = self.training.as_mut() {
            display.update(&job.reports);
        }
        if self.training.as_ref().is_some_and(|(job, _)| job.is_finished()) {
            return self.finish_training(now);
        }
        if self.training.is_none() {
            self.train_if_due(now)?;
        }
        Ok(())
    }

    /// The moment as the rules of the fleet take it.
    fn at(&self, now: Moment) -> Now {
        Now { wall_s: now.wall_s, elapsed: now.monotonic.saturating_duration_since(self.started) }
    }

    fn schedule(&self) -> Schedule {
        let retrain = &self.config.retrain;
        let every = retrain.every.map(|every| every.0.into());
        Schedule { every, after_rows: retrain.after_rows, retry_pause: retrain.retry_pause.0.into() }
    }

    /// Stops collecting, commits and closes the store.
    ///
    /// # Errors
    /// When the last messages cannot be committed, or the reason why the collector had stopped before.
    pub(crate) fn stop(self) -> Result<(), ServeError> {
        if let Some((job, _)) = &self.training {
            tracing::warn!(version = job.request.order.version, "training aborted");
        }
        // First, because closing the store copies its write-ahead log into the file.
        drop(self.compaction);
        self.collector.stop()?;
        Ok(())
    }

    /// Classifies alerts that have new messages; if the store is busy, the next pass tries again.
    fn classify_alerts(&mut self, now_s: u64) -> Result<(), ServeError> {
        match self.classifier.as_ref().map_or(Ok(()), |classifier| classifier.pass(&self.handle, now_s)) {
            Err(error) if error.is_temporary() => {
                tracing::warn!(%error, "cannot classify alerts now; retrying");
                Ok(())
            }
            result => Ok(result?),
        }
    }
}

/// Loads the newest release file for publication, and what to clear of older ones: a broker may have been unreachable when
/// they were replaced.
fn republish(publisher: &mut Publisher, releases: &ReleaseDir, now: Instant) -> Result<(), ServeError> {
    let versions = releases.versions();
    let Some(version) = versions.last().copied() else { return Ok(()) };
    let manifest = publisher.replace(&releases.read(version)?, now);
    let manifest = manifest.map_err(|source| ServeError::Publish { version, source })?;
    tracing::info!(version, group = manifest.group.as_str(), "publishing the current release");
    let older: Vec<Manifest> = versions
        .iter()
        .rev()
        .skip(1)
        .take(OLD_RELEASES)
        .filter_map(|version| read(&releases.read(*version).ok()?).ok().map(|(_, manifest)| manifest))
        .collect();
    if let Some((previous, old)) = older.split_first() {
        old.iter().for_each(|old| publisher.clear(old, &[&manifest, previous]));
    }
    Ok(())
}

/// Connects to the outside brokers, or starts the embedded one and returns its address.
fn links(config: &Config, counts: &Arc<Counts>, store_id: u64) -> Result<(Vec<Link>, Option<SocketAddr>), LinkError> {
    let outside = config.outside(store_id);
    if outside.is_empty() {
        let (link, address) =
            lapwing_collect::broker::start(config.broker.listen, config.broker_limits(), Arc::clone(counts))?;
        tracing::info!(%address, "embedded broker listening");
        return Ok((vec![link], Some(address)));
    }
    let start = |outside| lapwing_collect::outside::start(outside, Arc::clone(counts));
    Ok((outside.iter().map(start).collect::<Result<_, _>>()?, None))
}

/// Runs a server until SIGTERM, SIGINT or an error. `ready` receives the started server; if it returns false, it stops at
/// once.
///
/// # Errors
/// As [`Server::start`], [`Server::tick`] and [`Server::stop`].
pub(crate) fn run(
    config: Config,
    maker: Arc<dyn ReleaseMaker>,
    ready: impl FnOnce(&Server) -> bool,
) -> Result<(), ServeError> {
    let failed = |error: std::io::Error| ServeError::Link(LinkError::Ended { reason: error.to_string() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let mut server = Server::start(config, maker, clock::moment())?;
    if !ready(&server) {
        return server.stop();
    }
    let result = runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut term = signal(SignalKind::terminate()).map_err(failed)?;
        let mut int = signal(SignalKind::interrupt()).map_err(failed)?;
        loop {
            tokio::select! {
                _ = term.recv() => return Ok(()),
                _ = int.recv() => return Ok(()),
                () = tokio::time::sleep(TICK) => server.tick(clock::moment())?,
            }
        }
    });
    // If the collector has stopped, its own error explains more than the loop's.
    server.stop()?;
    result
}
