//! The server: collects, decides when to train, publishes what came out.
//!
//! One loop looks twice a second at the clock, the jobs and the count of new rows; collecting and training have threads
//! of their own. A release is made when somebody asked for it, when `every` is over since the last one, or after
//! `after-rows` new feature rows; one at a time. SIGTERM and SIGINT end the loop: what was taken in is committed and
//! acknowledged, a training under way is given up.

pub mod make;
pub mod publish;
mod shelf;
mod show;
#[cfg(test)]
mod tests;
pub(crate) mod work;

pub use shelf::Shelf;

use crate::clock;
use crate::collect::{self, CollectError, Collector, Counts, Link, LinkError};
use crate::config::{Config, ConfigError};
use crate::kinds::{KindWork, KindsError};
use crate::store::{Counter, Desk, ReleaseLine, Store, StoreError};
use lapwing_shared::release::digest::sha256;
use lapwing_shared::release::manifest::Manifest;
use make::{MadeRelease, MakeError, Order, ReleaseMaker};
use publish::{PublishError, Publisher};
use show::Show;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use work::Work;

/// How often the loop looks.
pub const TICK: Duration = Duration::from_millis(500);
/// Pause between two log lines with the counters.
const LOG_PAUSE: Duration = Duration::from_secs(60);

/// Why the server ended or did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The collector.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// The model that names alerts.
    #[error(transparent)]
    Kinds(#[from] KindsError),
    /// A release file.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// A release that cannot be published.
    #[error("release {}: {source}", version)]
    Publish {
        /// Its version.
        version: u64,
        /// Why.
        source: PublishError,
    },
}

/// A running server.
pub struct Server {
    config: Config,
    maker: Arc<dyn ReleaseMaker>,
    collector: Collector,
    counts: Arc<Counts>,
    publisher: Publisher,
    shelf: Shelf,
    desk: Desk,
    /// Names alerts, where there is a model for that.
    kinds: Option<KindWork>,
    address: Option<SocketAddr>,
    work: Option<(Work, Show)>,
    /// Feature rows ever stored when the last training began.
    trained_rows: u64,
    /// When the last release was made, seconds since the epoch; the server's start when there is none.
    made_s: u64,
    /// Not before this on its own account, after a failure.
    rest_until: Option<Instant>,
    logged: Instant,
}

impl Server {
    /// Brings up broker, store and collector, and publishes the newest release again.
    ///
    /// # Errors
    /// The first thing that cannot be brought up.
    pub fn start(config: Config, maker: Arc<dyn ReleaseMaker>) -> Result<Self, ServeError> {
        config.check()?;
        let kinds = config.kinds.model.as_deref().map(KindWork::load).transpose()?;
        let counts = Arc::new(Counts::default());
        let store = Store::open(&config.store.path, config.limits())?;
        let desk = store.desk()?;
        desk.reset_jobs()?;
        if kinds.is_some() {
            KindWork::warn_of_silent_agents(&desk)?;
        }
        let (link, address) = link(&config, &counts)?;
        let shelf = Shelf::new(&config.retrain.releases, &config.group()?);
        let mut publisher = Publisher::new(link.releases);
        let made_s = desk.releases(&config.retrain.group, 1)?.first().map_or(clock::now_s(), |line| line.made_s);
        // Published before anything is collected, so that an agent that reconnects sees it at once.
        if let Some(version) = shelf.versions().last().copied() {
            let published = publisher.publish(&shelf.read(version)?);
            published.map_err(|source| ServeError::Publish { version, source })?;
            tracing::info!(version, group = config.retrain.group, "published the current release again");
        }
        let collector = Collector::start(link.inlet, link.outlet, store, config.options(), Arc::clone(&counts))?;
        let trained_rows = desk.counter(Counter::SampleRowsTrained)?;
        let logged = clock::monotonic();
        let (work, rest_until) = (None, None);
        Ok(Self {
            config,
            maker,
            collector,
            counts,
            publisher,
            shelf,
            desk,
            kinds,
            address,
            work,
            trained_rows,
            made_s,
            rest_until,
            logged,
        })
    }

    /// Address of the embedded broker.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The collector's counters.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// One look of the loop; to be called every [`TICK`].
    ///
    /// # Errors
    /// When the collector has ended or the store cannot be used: the server cannot go on.
    pub fn tick(&mut self) -> Result<(), ServeError> {
        if self.collector.has_ended() {
            return Err(ServeError::Collect(CollectError::Thread("intake or committer")));
        }
        self.log();
        self.name_alerts()?;
        if let Some((work, show)) = self.work.as_mut() {
            show.update(&work.reports);
        }
        if self.work.as_ref().is_some_and(|(work, _)| work.is_finished()) {
            return self.take_result();
        }
        if self.work.is_none() {
            self.consider()?;
        }
        Ok(())
    }

    /// Stops collecting, commits, closes the store. Gives the collector's word where it had ended by itself.
    ///
    /// # Errors
    /// What could not be committed or closed.
    pub fn stop(self) -> Result<(), ServeError> {
        if let Some((work, _)) = &self.work {
            tracing::warn!(version = work.order.version, "training given up");
        }
        self.collector.stop()?;
        Ok(())
    }

    /// Names the alerts of which something new has come; what cannot be written now is written at the next look.
    fn name_alerts(&mut self) -> Result<(), ServeError> {
        match self.kinds.as_ref().map_or(Ok(()), |kinds| kinds.look(&self.desk)) {
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, "alerts are named later");
                Ok(())
            }
            looked => Ok(looked?),
        }
    }

    /// Starts a training where there is a reason.
    fn consider(&mut self) -> Result<(), ServeError> {
        let rows_seen = self.desk.counter(Counter::SampleRowsStored)?;
        let job = self.desk.take_jobs()?;
        let retrain = &self.config.retrain;
        let resting = self.rest_until.is_some_and(|until| clock::monotonic() < until);
        let new_rows = rows_seen.saturating_sub(self.trained_rows);
        let due = |every: Duration| clock::now_s().saturating_sub(self.made_s) >= every.as_secs();
        let reason = match &job {
            Some(job) => format!("asked for by {}", job.who),
            None if resting => return Ok(()),
            None if retrain.after_rows > 0 && new_rows >= retrain.after_rows => format!("{new_rows} new feature rows"),
            None if retrain.every.is_some_and(|every| due(every.0.into())) => "schedule".into(),
            None => return Ok(()),
        };
        let job = job.map(|job| job.id);
        let started = self.order().and_then(|order| {
            let maker = Arc::clone(&self.maker);
            let store = self.config.store.path.clone();
            Work::start(maker, store, order, retrain.min_rows, reason, (job, rows_seen))
        });
        match started {
            Ok(work) => {
                tracing::info!(version = work.order.version, reason = work.reason, "making a release");
                self.work = Some((work, Show::new()));
                Ok(())
            }
            Err(error) => self.failed(job, &error),
        }
    }

    fn order(&self) -> Result<Order, MakeError> {
        let retrain = &self.config.retrain;
        let key = retrain.key.clone().ok_or(MakeError::NoKey)?;
        let group = self.config.group().map_err(|error| MakeError::Training(error.to_string()))?;
        let stored = self.desk.releases(&retrain.group, 1)?.first().map_or(0, |line| line.version);
        let shelved = self.shelf.versions().last().copied().unwrap_or(0);
        let created_s = clock::now_s();
        let expires_s = created_s.saturating_add(Duration::from(retrain.expires_after.0).as_secs());
        let version = stored.max(shelved) + 1;
        let unlabelled = self.desk.unlabelled()?;
        Ok(Order { group, version, created_s, expires_s, seed: retrain.seed, key, unlabelled })
    }

    /// Keeps, publishes and notes what training made.
    fn take_result(&mut self) -> Result<(), ServeError> {
        let Some((work, show)) = self.work.take() else { return Ok(()) };
        show.end();
        let (job, order, rows_seen, reason) = (work.job, work.order.clone(), work.rows_seen, work.reason.clone());
        let made = work.finish();
        // Rows are spent by a failure, too: the next one waits for new ones or for its pause.
        self.trained_rows = rows_seen;
        let result = made.and_then(|made| {
            let published =
                self.release(&order, &made.release, reason).map_err(|error| MakeError::Training(error.to_string()))?;
            tracing::info!(
                version = published.version,
                rows = made.summary.rows,
                suspect = made.summary.suspect,
                in_episode = made.summary.in_episode,
                called_benign = made.summary.called_benign,
                other_schema = made.summary.other_schema,
                agents = made.summary.per_agent.len(),
                "release published"
            );
            Ok(published.version)
        });
        match result {
            Ok(version) => {
                self.made_s = order.created_s;
                self.rest_until = None;
                self.desk.set_counter(Counter::SampleRowsTrained, rows_seen)?;
                if let Some(job) = job {
                    self.desk.end_jobs(job, Ok(&format!("release {version}")), clock::now_s())?;
                }
                Ok(())
            }
            Err(error) => self.failed(job, &error),
        }
    }

    /// Puts the file on the shelf, publishes it, and clears what is two releases old.
    fn release(&mut self, order: &Order, made: &MadeRelease, reason: String) -> Result<Manifest, ServeError> {
        let file = made.file.as_slice();
        let version = order.version;
        let publish = |source| ServeError::Publish { version, source };
        let before: Vec<Manifest> = self.newest_manifests();
        let (parts, _) = publish::read(file).map_err(publish)?;
        let manifest_sha256 = sha256(parts.signed);
        let path = self.shelf.write(version, file)?;
        // A release is good without its card.
        if let Some(error) = made.card.as_ref().and_then(|card| card.write_beside(&path).err()) {
            tracing::warn!(version, error = format!("{error:#}"), "no model card was written");
        }
        let (group, made_s) = (order.group.to_string(), order.created_s);
        let reason = Some(reason);
        self.desk.add_release(&ReleaseLine { group, version, manifest_sha256, made_s, file: path, reason })?;
        let manifest = self.publisher.publish(file).map_err(publish)?;
        if let [previous, old] = before.as_slice() {
            self.publisher.clear(old, &[&manifest, previous]).map_err(publish)?;
        }
        Ok(manifest)
    }

    /// Manifests of the two newest releases, newest first; unreadable ones are left out.
    fn newest_manifests(&self) -> Vec<Manifest> {
        let newest = self.shelf.versions().into_iter().rev().take(2);
        let read = |version| publish::read(&self.shelf.read(version).ok()?).ok().map(|(_, manifest)| manifest);
        newest.filter_map(read).collect()
    }

    fn failed(&mut self, job: Option<i64>, error: &MakeError) -> Result<(), ServeError> {
        tracing::error!(%error, "no release was made");
        self.rest_until = Some(clock::after(self.config.retrain.retry_pause.0.into()));
        if let Some(job) = job {
            self.desk.end_jobs(job, Err(&error.to_string()), clock::now_s())?;
        }
        Ok(())
    }

    fn log(&mut self) {
        if clock::monotonic().duration_since(self.logged) < LOG_PAUSE {
            return;
        }
        self.logged = clock::monotonic();
        let now = self.counts.snapshot();
        tracing::info!(
            received = now.received,
            stored = now.stored,
            sample_rows = now.sample_rows,
            duplicates = now.duplicates,
            refused = now.refused,
            bad = now.bad_topic + now.bad_message + now.bad_kind,
            overrun = now.overrun,
            commits = now.commits,
            commit_failures = now.commit_failures,
            "collected so far"
        );
    }
}

fn link(config: &Config, counts: &Arc<Counts>) -> Result<(Link, Option<SocketAddr>), LinkError> {
    match config.outside() {
        Some(outside) => Ok((collect::outside::start(&outside, Arc::clone(counts))?, None)),
        None => {
            let (link, address) =
                collect::broker::start(config.broker.listen, config.broker_limits(), Arc::clone(counts))?;
            tracing::info!(%address, "embedded broker listens");
            Ok((link, Some(address)))
        }
    }
}

/// Runs a server until SIGTERM, SIGINT, or an error. `ready` hears the embedded broker's address; when it says no, the
/// server stops at once.
///
/// # Errors
/// As [`Server::start`], [`Server::tick`] and [`Server::stop`].
pub fn run(
    config: Config,
    maker: Arc<dyn ReleaseMaker>,
    ready: impl FnOnce(Option<SocketAddr>) -> bool,
) -> Result<(), ServeError> {
    let failed = |error: std::io::Error| ServeError::Link(LinkError::Ended { reason: error.to_string() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let mut server = Server::start(config, maker)?;
    if !ready(server.address()) {
        return server.stop();
    }
    let ended = runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut term = signal(SignalKind::terminate()).map_err(failed)?;
        let mut int = signal(SignalKind::interrupt()).map_err(failed)?;
        loop {
            tokio::select! {
                _ = term.recv() => return Ok(()),
                _ = int.recv() => return Ok(()),
                () = tokio::time::sleep(TICK) => server.tick()?,
            }
        }
    });
    // The collector's own word on why it ended says more than the loop's.
    server.stop()?;
    ended
}
