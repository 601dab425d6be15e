//! Configuration and roles → a started server.

use super::classify::AlertClassifier;
use super::counter_log::CounterLog;
use super::learner::ProcessClock;
use super::leases::Leases;
use super::publish::Publisher;
use super::publishing::Publishing;
use super::roles::{Role, Roles};
use super::silence::SilenceCheck;
use super::{Collecting, ServeError, Server};
use crate::config::Config;
use lapwing_collect::{Collector, Counts, Ends, Link, LinkError, Roster, RosterWatch};
use lapwing_common::clock::Moment;
use lapwing_fleet::SERVE;
use lapwing_pipeline::order::ReleaseMaker;
use lapwing_store::{Store, StoreHandle, StoreLock};
use std::net::SocketAddr;
use std::sync::Arc;

impl Server {
    /// Starts the roles at `now`, and publishes the newest releases again.
    ///
    /// # Errors
    /// The first part that cannot be started.
    pub(crate) fn start(
        config: Config,
        roles: &Roles,
        maker: Arc<dyn ReleaseMaker>,
        now: Moment,
    ) -> Result<Self, ServeError> {
        config.check()?;
        let writer = roles.has(Role::Collect).then(|| Store::open(&config.store.path, config.limits())).transpose()?;
        // A writer has the lock itself.
        let lock = if writer.is_none() { StoreLock::take(&config.store.path)? } else { None };
        let handle = StoreHandle::open(&config.store.path)?;
        if writer.is_some() {
            record_limits(&handle, &config, now.wall_s)?;
        }
        let counts = Arc::new(Counts::default());
        let roster = Arc::new(Roster::default());
        // Before the broker listens: it must know who is revoked.
        let roster_watch = (roles.has(Role::Collect) || roles.has(Role::Publish))
            .then(|| RosterWatch::start(&roster, StoreHandle::open(&config.store.path)?, Arc::clone(&counts)))
            .transpose()?;
        let (links, address) = links(&config, roles, &counts, handle.id()?)?;
        let (ends, outlets): (Vec<_>, Vec<_>) = links.into_iter().map(|link| (link.ends, link.releases)).unzip();
        let mut server = Self {
            brokers: ends.iter().map(|ends| Arc::clone(&ends.state)).collect(),
            publishing: roles.has(Role::Publish).then(|| Publishing::new(Publisher::new(outlets), &config)),
            counts,
            address,
            roster,
            _roster_watch: roster_watch,
            _lock: lock,
            ..Self::idle(config, roles, maker, (handle, now))?
        };
        // Before collecting starts, so that reconnecting agents see the releases at once.
        server.take_leases(now)?;
        server.publish(now)?;
        server.start_collecting(writer, ends, now)?;
        Ok(server)
    }

    /// A server with these roles that has no brokers yet and does nothing.
    fn idle(
        config: Config,
        roles: &Roles,
        maker: Arc<dyn ReleaseMaker>,
        (handle, now): (StoreHandle, Moment),
    ) -> Result<Self, ServeError> {
        let model = config.kinds.model.as_deref().filter(|_| roles.has(Role::Train));
        Ok(Self {
            leases: Leases::new(Box::new(StoreHandle::open(&config.store.path)?), roles),
            maker,
            classifier: model.map(AlertClassifier::load).transpose()?.map(Arc::new),
            counts: Arc::default(),
            brokers: Vec::new(),
            address: None,
            handle,
            collecting: None,
            publishing: None,
            learner: None,
            discarded: None,
            compaction: None,
            segment_counts: Arc::default(),
            roster: Arc::default(),
            _roster_watch: None,
            clock: ProcessClock(now.monotonic),
            silence: SilenceCheck::default(),
            store_warned: None,
            _idle: Vec::new(),
            _lock: None,
            config,
        })
    }

    /// Starts to collect into `store`; without the role, the ends of the links are only kept.
    fn start_collecting(&mut self, store: Option<Store>, ends: Vec<Ends>, now: Moment) -> Result<(), ServeError> {
        let Some(store) = store else {
            self._idle = ends;
            return Ok(());
        };
        let collector = {
            let shared = (Arc::clone(&self.counts), Arc::clone(self.roster()));
            Collector::start(ends, store, self.config.options(), shared)?
        };
        self.collecting = Some(Collecting { collector, log: CounterLog::new(now.monotonic) });
        Ok(())
    }
}

/// Records the limits of the store if they are not those of the last process.
fn record_limits(handle: &StoreHandle, config: &Config, now_s: u64) -> Result<(), ServeError> {
    if handle.record_limits(&config.limits(), SERVE, now_s)? {
        tracing::info!(limits = %config.limits(), "the limits of the store have changed");
    }
    Ok(())
}

/// Connects to the outside brokers, or starts the embedded one and returns its address; nothing for roles without a broker.
fn links(
    config: &Config,
    roles: &Roles,
    counts: &Arc<Counts>,
    store_id: u64,
) -> Result<(Vec<Link>, Option<SocketAddr>), LinkError> {
    let collects = roles.has(Role::Collect);
    if !collects && !roles.has(Role::Publish) {
        return Ok((Vec::new(), None));
    }
    let outside = config.outside(store_id, collects);
    if outside.is_empty() {
        let (link, address) =
            lapwing_collect::broker::start(config.broker.listen, config.broker_limits(), Arc::clone(counts))?;
        tracing::info!(%address, "embedded broker listening");
        return Ok((vec![link], Some(address)));
    }
    let start = |outside| lapwing_collect::outside::start(outside, Arc::clone(counts));
    Ok((outside.iter().map(start).collect::<Result<_, _>>()?, None))
}
