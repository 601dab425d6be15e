//! Configuration and roles → a started server.

use super::access_list::AccessList;
use super::audit_mark::AuditMark;
use super::broker_tls::CredentialsWatch;
use super::campaigns::Campaigns;
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
use lapwing_collect::broker::{self, Listeners, TlsListener};
use lapwing_collect::{Collector, Counts, Ends, Link, Outlet, RenewalEnds, Roster, RosterWatch};
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
        let Links { all, address, credentials } = links(&config, roles, (&counts, &roster), &handle, now.wall_s)?;
        let (mut ends, mut outlets, mut renewals) = (Vec::new(), Vec::new(), Vec::new());
        for link in all {
            ends.push(link.ends);
            outlets.push(link.releases);
            renewals.push(link.renewals);
        }
        let mut server = Self {
            brokers: ends.iter().map(|ends| Arc::clone(&ends.state)).collect(),
            publishing: roles.has(Role::Publish).then(|| Publishing::new(Publisher::new(outlets), &config)),
            campaigns: roles.has(Role::Publish).then(|| Campaigns::new(&config)).transpose()?,
            counts,
            address,
            roster,
            _roster_watch: roster_watch,
            _credentials: credentials,
            _lock: lock,
            ..Self::idle(config, roles, maker, (handle, now))?
        };
        if roles.has(Role::Enroll) {
            let store = StoreHandle::open(&server.config.store.path)?;
            server.access_list = AccessList::start(&server.config, store).map_err(ServeError::AccessList)?;
        }
        // Before collecting starts, so that reconnecting agents see the releases at once.
        server.take_leases(now)?;
        server.step_campaigns(now)?;
        server.publish(now)?;
        server.start_collecting(writer, ends, renewals, now)?;
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
            campaigns: None,
            learner: None,
            discarded: None,
            compaction: None,
            access_list: None,
            segment_counts: Arc::default(),
            roster: Arc::default(),
            _roster_watch: None,
            _credentials: None,
            clock: ProcessClock(now.monotonic),
            silence: SilenceCheck::default(),
            audit_mark: AuditMark::default(),
            store_warned: None,
            _idle: Vec::new(),
            _lock: None,
            config,
        })
    }

    /// Starts to collect into `store`; without the role, the ends of the links are only kept.
    fn start_collecting(
        &mut self,
        store: Option<Store>,
        ends: Vec<Ends>,
        outlets: Vec<Box<dyn Outlet>>,
        now: Moment,
    ) -> Result<(), ServeError> {
        let Some(store) = store else {
            self._idle = ends;
            return Ok(());
        };
        let collector = {
            let renewals = RenewalEnds { store: StoreHandle::open(&self.config.store.path)?, outlets };
            let shared = (Arc::clone(&self.counts), Arc::clone(self.roster()));
            Collector::start_with(ends, store, self.config.options(), shared, Some(renewals))?
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

/// The links to all brokers, and what belongs to the embedded one.
struct Links {
    all: Vec<Link>,
    /// Address of the embedded broker's port without TLS.
    address: Option<SocketAddr>,
    credentials: Option<CredentialsWatch>,
}

/// Connects to the outside brokers, or starts the embedded one; nothing for roles without a broker.
fn links(
    config: &Config,
    roles: &Roles,
    (counts, roster): (&Arc<Counts>, &Arc<Roster>),
    store: &StoreHandle,
    now_s: u64,
) -> Result<Links, ServeError> {
    let collects = roles.has(Role::Collect);
    if !collects && !roles.has(Role::Publish) {
        return Ok(Links { all: Vec::new(), address: None, credentials: None });
    }
    let outside = config.outside(store.id()?, collects);
    if !outside.is_empty() {
        if let Some(address) = config.broker.tls_listen {
            tracing::warn!(%address, "broker.tls-listen belongs to the embedded broker; this server uses others");
        }
        let start = |outside| lapwing_collect::outside::start(outside, Arc::clone(counts));
        let all = outside.iter().map(start).collect::<Result<_, _>>()?;
        return Ok(Links { all, address: None, credentials: None });
    }
    let (tls, credentials) = match config.broker.tls_listen {
        None => (None, None),
        Some(listen) => {
            let (tls, watch) =
                CredentialsWatch::start(config, (store, roles), counts, now_s).map_err(ServeError::Credentials)?;
            let readers = config.broker.readers.iter().cloned().collect();
            (Some(TlsListener { listen, tls, roster: Arc::clone(roster), readers }), Some(watch))
        }
    };
    let listeners = Listeners { plain: config.broker.listen, tls };
    let (link, addresses) = broker::start_listeners(listeners, config.broker_limits(), Arc::clone(counts))?;
    let (address, tls) = (addresses.plain, addresses.tls.map(tracing::field::display));
    tracing::info!(%address, tls, "embedded broker listening");
    Ok(Links { all: vec![link], address: Some(address), credentials })
}
