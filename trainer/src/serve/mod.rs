//! Configuration → a server that collects messages, trains when due and publishes releases, or one of these roles.
//!
//! One loop checks the clock, the requested jobs and the number of new rows twice a second; collecting and training run
//! on their own threads. A release of a group is made on request, when `every` has passed since its last one, or after
//! `after-rows` new feature rows of its agents; one at a time. SIGTERM and SIGINT end the loop: received messages are committed and
//! acknowledged, a running training is aborted.

mod access_list;
mod assignments;
mod audit_mark;
mod campaigns;
pub(crate) mod publish;
pub mod classify;
#[cfg(test)]
mod classify_tests;
#[cfg(test)]
mod compaction_tests;
mod broker_tls;
mod compaction;
mod counter_log;
mod incidents;
mod keeper;
mod key_check;
mod version_check;
mod learn;
mod learner;
pub(crate) mod leases;
mod newer_roots;
mod obstacle;
mod progress;
mod publishing;
mod release_dir;
mod rollouts;
mod silence;
mod reload;
pub(crate) mod roles;
mod run;
mod start;
#[cfg(test)]
mod campaign_tests;
#[cfg(test)]
mod failure_tests;
#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod key_tests;
#[cfg(test)]
mod simulated_fleet;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub(crate) mod training;
pub(crate) mod web_tls;

pub(crate) use release_dir::{ReleaseDir, signed_file};
pub(crate) use run::run;

use crate::config::{Config, ConfigError};
use access_list::AccessList;
use audit_mark::AuditMark;
use broker_tls::CredentialsWatch;
use campaigns::Campaigns;
use classify::AlertClassifier;
use compaction::CompactionThread;
pub(crate) use compaction::{SegmentCount, SegmentCounts};
use counter_log::CounterLog;
use lapwing_collect::{CollectError, Collector, Counts, Ends, LinkError, LinkState, Roster, RosterWatch};
use lapwing_common::clock::Moment;
use lapwing_fleet::{GroupProblem, ProcessState};
use lapwing_models::classify::ClassifierError;
use lapwing_pipeline::order::{MakeError, ReleaseMaker};
use lapwing_pipeline::release::ReadError;
use lapwing_store::{StoreError, StoreHandle, StoreLock};
use learner::{Learner, ProcessClock};
use leases::{Change, Leases};
use progress::ProgressDisplay;
use publishing::Publishing;
use roles::{Role, RoleError};
use silence::SilenceCheck;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use training::TrainingJob;

/// What the log says about a release that the gate holds back.
pub const HELD_BACK: &str = "release held back; run `lapwing-trainer approve` to decide";
/// Interval of the loop.
pub(crate) const TICK: Duration = Duration::from_millis(500);
/// Interval between two warnings that the store cannot be used.
const STORE_WARNING: Duration = Duration::from_secs(60);

/// Why the server did not start or stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A role lacks what it needs.
    #[error(transparent)]
    Role(#[from] RoleError),
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
    /// The embedded broker has no certificate.
    #[error("broker.tls-listen: {0:#}")]
    Credentials(anyhow::Error),
    /// A release file cannot be read or written.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// The thread of the access list cannot be started.
    #[error("cannot start the thread of the access list: {0}")]
    AccessList(std::io::Error),
    /// A release cannot be published.
    #[error("release {}: {source}", version)]
    Publish { version: u64, source: ReadError },
    /// A campaign cannot continue.
    #[error("{reason}")]
    Campaign { group: String, reason: String },
    /// An assignment cannot be signed.
    #[error("assignment of agent {agent}: {reason}")]
    Assignment { agent: String, reason: String },
    /// A rollout cannot be signed or published.
    #[error("rollout {serial} of group {group}: {reason}")]
    Rollout { group: String, serial: u64, reason: String },
}

/// The agents' side of a process with the role `collect`.
struct Collecting {
    collector: Collector,
    log: CounterLog,
}

/// A process of the trainer with its roles.
pub(crate) struct Server {
    config: Config,
    maker: Arc<dyn ReleaseMaker>,
    classifier: Option<Arc<AlertClassifier>>,
    counts: Arc<Counts>,
    /// State of the link to each broker.
    brokers: Vec<Arc<LinkState>>,
    address: Option<SocketAddr>,
    handle: StoreHandle,
    leases: Leases,
    collecting: Option<Collecting>,
    /// `None` without the role.
    publishing: Option<Publishing>,
    /// `None` without the role publish.
    campaigns: Option<Campaigns>,
    /// While this process holds the lease.
    learner: Option<Learner>,
    /// A training that was running when the lease was lost. Its result is discarded, and another one waits for its end.
    discarded: Option<TrainingJob>,
    /// While this process holds the lease of role train.
    compaction: Option<CompactionThread>,
    /// With the role `enroll`, if one is configured.
    access_list: Option<AccessList>,
    segment_counts: Arc<SegmentCounts>,
    /// Identities of the agents, for broker and collector.
    roster: Arc<Roster>,
    /// Keeps them up to date, with the roles `collect` or `publish`.
    _roster_watch: Option<RosterWatch>,
    /// Renews the certificate of the embedded broker.
    _credentials: Option<CredentialsWatch>,
    clock: ProcessClock,
    silence: SilenceCheck,
    audit_mark: AuditMark,
    /// Last warning that the store cannot be used.
    store_warned: Option<Instant>,
    /// Links that deliver nothing, of a process without the role `collect`.
    _idle: Vec<Ends>,
    /// Excludes another process, if the store allows one.
    _lock: Option<StoreLock>,
}

impl Server {
    /// Address of the embedded broker; `None` without one.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// State of the link to each broker.
    pub(crate) fn brokers(&self) -> &[Arc<LinkState>] {
        &self.brokers
    }

    /// Identities of the agents; empty without the roles `collect` and `publish`.
    pub(crate) fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// Counters of the segments.
    pub(crate) fn segment_counts(&self) -> &Arc<SegmentCounts> {
        &self.segment_counts
    }

    /// The collector's counters.
    pub(crate) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// True with the role `collect`.
    pub(crate) fn collects(&self) -> bool {
        self.collecting.is_some()
    }

    /// Roles and leases, for other threads.
    pub(crate) fn process(&self) -> Arc<Mutex<ProcessState>> {
        self.leases.state()
    }

    /// One pass of the loop at `now`; call it every [`TICK`].
    ///
    /// # Errors
    /// When the collector has stopped or the store cannot be used; the server must stop.
    pub(crate) fn tick(&mut self, now: Moment) -> Result<(), ServeError> {
        if let Some(Collecting { collector, log }) = &mut self.collecting {
            if collector.has_ended() {
                return Err(ServeError::Collect(CollectError::Thread("intake or committer")));
            }
            log.pass(&self.counts, &self.brokers, now.monotonic);
        }
        let learned =
            self.take_leases(now).and_then(|()| self.learner.as_mut().map_or(Ok(()), |learner| learner.pass(now)));
        self.tolerate(learned, now)?;
        let looked = self.silence.pass(&self.handle, now.wall_s, now.monotonic);
        self.tolerate(looked.map_err(Into::into), now)?;
        let marked = self.audit_mark.pass(&self.handle, now.monotonic);
        self.tolerate(marked.map(drop).map_err(Into::into), now)?;
        // Before publishing, so that a new rollout is published in the same pass.
        let stepped = self.step_campaigns(now);
        self.tolerate(stepped, now)?;
        let published = self.publish(now);
        let of_training = self.learner.iter().flat_map(Learner::problems);
        let of_publishing = self.publishing.iter().flat_map(Publishing::problems);
        let of_campaigns = self.campaigns.iter().flat_map(Campaigns::problems);
        let of_list = self.access_list.iter().filter_map(AccessList::problem);
        let of_list =
            of_list.map(|problem| GroupProblem { role: Role::Enroll.as_str(), group: String::new(), problem });
        self.leases.set_problems(of_training.chain(of_publishing).chain(of_campaigns).chain(of_list).collect());
        self.tolerate(published, now)
    }

    /// Logs an error of the store that may pass, once a minute; the next pass tries again.
    fn tolerate(&mut self, result: Result<(), ServeError>, now: Moment) -> Result<(), ServeError> {
        let Err(ServeError::Store(error)) = &result else { return result };
        if !error.is_temporary() {
            return result;
        }
        let is_recent = |at: Instant| now.monotonic.saturating_duration_since(at) < STORE_WARNING;
        if !self.store_warned.is_some_and(is_recent) {
            self.store_warned = Some(now.monotonic);
            tracing::warn!(%error, "cannot use the store now; retrying");
        }
        Ok(())
    }

    /// Takes or keeps the leases, and starts or ends what depends on them.
    fn take_leases(&mut self, now: Moment) -> Result<(), ServeError> {
        if self.leases.has(Role::Train) {
            match self.leases.pass(Role::Train)? {
                Change::Gained | Change::Held if self.is_training_discarded() => {}
                Change::Gained | Change::Held if self.learner.is_none() => {
                    let (maker, classifier) = (Arc::clone(&self.maker), self.classifier.clone());
                    self.learner = Some(Learner::start(&self.config, maker, classifier, (self.clock, now))?);
                }
                Change::Gained | Change::Held => {}
                Change::Lost | Change::Elsewhere => self.end_learner(),
            }
            if self.learner.is_some() && self.compaction.is_none() {
                self.start_compaction()?;
            }
        }
        if let Some(publishing) = &mut self.publishing {
            match self.leases.pass(Role::Publish)? {
                Change::Gained => {
                    publishing.restart();
                    self.campaigns.iter_mut().for_each(Campaigns::reset);
                }
                Change::Lost => {
                    publishing.stop();
                    self.campaigns.iter_mut().for_each(Campaigns::reset);
                }
                Change::Held | Change::Elsewhere => {}
            }
        }
        Ok(())
    }

    /// Starts to move feature rows to segments. Without a place for them, as with PostgreSQL by default, they stay in the
    /// database.
    fn start_compaction(&mut self) -> Result<(), ServeError> {
        let Config { store, retrain, .. } = &self.config;
        let place = store.segments.as_deref();
        if place.is_none() && store.path.file().is_err() {
            return Ok(());
        }
        let handle = StoreHandle::open(&store.path)?;
        let counts = Arc::clone(&self.segment_counts);
        self.compaction = Some(CompactionThread::start(handle, place, &retrain.group, counts)?);
        Ok(())
    }

    /// Whether a training that was discarded still runs.
    fn is_training_discarded(&mut self) -> bool {
        self.discarded = self.discarded.take().filter(|job| !job.is_finished());
        self.discarded.is_some()
    }

    /// Another process may train now; a training that still runs is discarded.
    fn end_learner(&mut self) {
        self.compaction = None;
        let Some(learner) = self.learner.take() else { return };
        self.discarded = learner.training.map(|(job, _)| job);
        tracing::warn!(
            discarded = self.discarded.as_ref().map(|job| job.request.order.version),
            "this process has lost the lease of role train: another one has it, or the store cannot be reached"
        );
    }

    /// Steps the campaigns, while this process holds the lease of role publish.
    fn step_campaigns(&mut self, now: Moment) -> Result<(), ServeError> {
        let is_held = self.leases.is_held(Role::Publish);
        match self.campaigns.as_mut().filter(|_| is_held) {
            Some(campaigns) => campaigns.pass(&self.handle, &self.counts, now),
            None => Ok(()),
        }
    }

    /// Publishes what is due, while this process holds the lease.
    fn publish(&mut self, now: Moment) -> Result<(), ServeError> {
        let is_held = self.leases.is_held(Role::Publish);
        match self.publishing.as_mut().filter(|_| is_held) {
            Some(publishing) => publishing.pass(&self.handle, &self.counts, now),
            None => Ok(()),
        }
    }

    /// Stops collecting, commits and closes the store.
    ///
    /// # Errors
    /// When the last messages cannot be committed, or the reason why the collector had stopped before.
    pub(crate) fn stop(self) -> Result<(), ServeError> {
        if let Some((job, _)) = self.learner.as_ref().and_then(|learner| learner.training.as_ref()) {
            tracing::warn!(version = job.request.order.version, "training aborted");
        }
        // First, because closing the store copies its write-ahead log into the file.
        drop(self.compaction);
        self.collecting.map_or(Ok(()), |collecting| collecting.collector.stop())?;
        Ok(())
    }
}
