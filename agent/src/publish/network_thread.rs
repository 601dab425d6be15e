//! Configuration → the running network thread, and the scoring thread's two ends of it.

use crate::clock;
use crate::config::{Assignments, Config};
use crate::detector::Engine;
use crate::disk::counted::Counted;
use crate::disk::memory::Memory;
use crate::disk::{AnyDisk, Folder};
use crate::engines::Engines;
use crate::identity::Keeper;
use crate::monitor::Monitor;
use crate::outbox::{Outbox, next_run};
use crate::output::summary::Summary;
use crate::privacy;
use crate::publish::FromPipeline;
use crate::publish::agent_name::agent_name;
use crate::publish::channel_ends::{Installs, Remote, Reporter};
use crate::publish::client::{self, Connection, TlsFiles};
use crate::publish::error::ClientError;
use crate::publish::session::seal::Seal;
use crate::publish::session::{Fallback, Session};
use crate::release_file::{UNBOUND, configured_keys, first_root, trusted_keys, unbound};
use crate::report::SharedReport;
use crate::response::Responder;
use crate::update::engine::EngineFactory;
use crate::update::highest::{FLOOR, Highest, PREFIX};
use crate::update::root;
use crate::update::settings::LocalSettings;
use crate::update::starts::next_start;
use crate::update::store::Store;
use anyhow::Context;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::messages::broker_url::BrokerUrl;
use lapwing_shared::privacy::Protection;
use lapwing_shared::release::accept::Terms;
use lapwing_shared::release::manifest::Name;
use lapwing_shared::release::name::{NAME_RULE, parse_name};
use lapwing_shared::release::signature::TrustedKeys;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// Capacity of the channel to the network thread, which receives messages with and without a connection and puts them into
/// the outbox.
const MESSAGES: usize = 64;
/// Capacity of the channel for releases.
const INSTALLS: usize = 2;

/// Warning of `run` and `validate`.
pub(crate) const PASSWORD_IN_CLEAR: &str =
    "mqtt:// sends the password unencrypted, so anyone on the way can read it; use mqtts://";

/// The network thread, if a broker is configured.
pub(crate) struct NetworkThread {
    thread: Option<JoinHandle<Result<(), ClientError>>>,
    channels: Option<ScoringChannels>,
    protection: Option<Protection>,
}

struct ScoringChannels {
    to_network: mpsc::Sender<FromPipeline>,
    installs: Installs,
}

/// How to reach the brokers, and the agent's name there.
pub(crate) struct NamedConnection {
    pub(crate) agent: Name,
    pub(crate) connection: Connection,
}

impl NetworkThread {
    /// Starts the thread if a broker is configured; does not wait for the connection.
    ///
    /// # Errors
    /// When the configuration or a key file is invalid, or the state folder cannot be used.
    pub(crate) fn start(
        config: &Config,
        report: &SharedReport,
        fallback: Option<Fallback<Box<dyn Engine>>>,
    ) -> anyhow::Result<Self> {
        let Some(mut named) = connection(config)? else {
            return Ok(Self { thread: None, channels: None, protection: None });
        };
        let protection = privacy::protection(config)?;
        report.edit().addresses = described(protection.as_ref());
        named.connection = named.connection.with_report(report.clone());
        if named.connection.urls().iter().any(BrokerUrl::sends_password_in_clear) {
            tracing::warn!("{PASSWORD_IN_CLEAR}");
        }
        for warning in config.identity_warnings() {
            tracing::warn!("{warning}");
        }
        let terms = Terms {
            keys: configured_keys(&config.update)?,
            root: None,
            group: group_name(&config.mqtt.group)?,
            schema: schema_id(),
            form: Engines(config.detector.engine).form(),
        };
        warn_of_unbound(&terms.keys);
        spawn(Disks::open(config, report)?, config, named, terms, fallback, protection)
    }

    /// The ends for the scoring thread; call once.
    pub(crate) fn scoring_ends(&mut self, monitor: Monitor, responder: Responder) -> (Reporter, Remote) {
        let (to_network, installs) =
            self.channels.take().map(|channels| (channels.to_network, channels.installs)).unzip();
        let reporter = Reporter::new(to_network.clone(), &monitor, responder, self.protection.take());
        (reporter, Remote::new(to_network, installs, monitor))
    }

    /// A sender to the network thread that does not keep it running, if a broker is configured.
    pub(crate) fn weak_sender(&self) -> Option<mpsc::WeakSender<FromPipeline>> {
        self.channels.as_ref().map(|channels| channels.to_network.downgrade())
    }

    /// Waits until the thread has delivered what it can; drop both ends before.
    pub(crate) fn finish(mut self, summary: &mut Summary) {
        self.channels = None;
        let Some(thread) = self.thread else { return };
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => summary.warnings.push(format!("network: {error}")),
            Err(_) => summary.warnings.push("network: the thread has panicked".into()),
        }
    }
}

/// The folder of this name in messages, whose writes count in the report.
///
/// # Errors
/// When it cannot be created or used.
pub(crate) fn open_folder(name: &str, path: &Path, report: &SharedReport) -> anyhow::Result<Counted<Folder>> {
    let folder = Folder::open(path).map_err(|error| {
        anyhow::anyhow!("cannot use {name} folder {}: {error}; make it writable for the agent's user", path.display())
    })?;
    Ok(Counted::new(folder, report.clone()))
}

/// What reports say of addresses, for people.
fn described(protection: Option<&Protection>) -> String {
    let form = protection.map(Protection::form).unwrap_or_default();
    match form.key() {
        Some(key) => format!("{}, key {key}", form.name()),
        None => form.name().to_owned(),
    }
}

fn warn_of_unbound(keys: &TrustedKeys) {
    for key in unbound(keys) {
        tracing::warn!(key, "{UNBOUND}");
    }
}

/// Where the network thread keeps its files.
struct Disks {
    /// The state folder, or memory if none is configured.
    state: AnyDisk,
    /// The state folder, if one is configured.
    journal: Option<AnyDisk>,
    /// The folder of the highest confirmed version, if one is configured.
    highest: Option<AnyDisk>,
    /// The folder of the identity, where root document, newest rollout and assignment are; memory if none is configured.
    root: AnyDisk,
    /// The same folder, for the settings of `lapwing-agent update`, if one is configured.
    settings: Option<AnyDisk>,
    /// The same folder, for the highest floor, if one is configured.
    floor: Option<AnyDisk>,
}

impl Disks {
    fn open(config: &Config, report: &SharedReport) -> anyhow::Result<Self> {
        let highest = match &config.update.version_dir {
            Some(path) => Some(Box::new(open_folder("version", path, report)?) as AnyDisk),
            None => None,
        };
        let (state, journal): (AnyDisk, Option<AnyDisk>) = match &config.update.state_dir {
            Some(path) => {
                let folder = open_folder("state", path, report)?;
                (Box::new(folder.clone()), Some(Box::new(folder)))
            }
            None => {
                let lost = match &highest {
                    Some(_) => "release and waiting messages are lost at a restart",
                    None => {
                        "release, waiting messages and highest confirmed version are lost at a restart, and an older \
                         signed release would be installed again"
                    }
                };
                tracing::warn!("no state-dir: {lost}; set one with --state-dir");
                (Box::new(Memory::default()), None)
            }
        };
        let (root, settings, floor): (AnyDisk, Option<AnyDisk>, Option<AnyDisk>) = match config.identity_dir() {
            Some(path) => {
                let folder = open_folder("identity", path, report)?;
                (Box::new(folder.clone()), Some(Box::new(folder.clone())), Some(Box::new(folder)))
            }
            None => (Box::new(Memory::default()), None, None),
        };
        Ok(Self { state, journal, highest, root, settings, floor })
    }
}

fn spawn(
    mut disks: Disks,
    config: &Config,
    named: NamedConnection,
    mut terms: Terms,
    fallback: Option<Fallback<Box<dyn Engine>>>,
    protection: Option<Protection>,
) -> anyhow::Result<NetworkThread> {
    let (run, error) = next_run(&mut disks.state, clock::wall_s());
    // Run numbers are at least the wall clock's seconds at the start, and otherwise only one above the previous number.
    clock::passed(run.saturating_sub(MESSAGES as u64));
    if let Some(error) = error {
        tracing::warn!(%error, "failed to persist the run number");
    }
    let starts = next_start(&mut disks.state);
    terms.root = root::load(&mut disks.root, first_root(&config.update)?.as_deref());
    let group = terms.group.clone();
    let (mut store, damage) = Store::open(disks.state, terms);
    if let Some(error) = damage {
        tracing::warn!(%error, "release store is damaged");
    }
    store = store.with_root_disk(disks.root).with_rollouts(trusted_keys(&config.update.rollout_keys)?);
    if let Some(disk) = disks.highest {
        let (highest, damage) = Highest::open(disk, PREFIX, &group);
        if let Some(error) = damage {
            tracing::warn!(file = highest.path(), %error, "the highest confirmed version is unknown; an older signed release may be installed");
        }
        store = store.with_highest(highest);
    }
    if let Some(disk) = disks.floor {
        let (floor, damage) = Highest::open(disk, FLOOR, &group);
        if let Some(error) = damage {
            tracing::warn!(file = floor.path(), %error, "the highest floor of releases is unknown");
        }
        store = store.with_floor(floor);
    }
    if config.update.assignment == Assignments::Accept {
        store = store.with_assignments(named.agent.clone());
    }
    let key = config.identity.as_ref().and_then(|identity| identity.enrolled.seal.clone());
    let seal = key.map(|key| Seal { key, scope: config.mqtt.seal });
    let mut outbox = Outbox::new(run, config.outbox_limits()?, disks.journal);
    if let Some(protection) = &protection {
        outbox.protect(protection);
    }
    let session = Session::start(named.agent, config.mqtt.delivery, Engines(config.detector.engine), store, outbox)
        .with_fallback(fallback)
        .with_seal(seal)
        .with_keeper(keeper(config))
        .with_budget(config.detector.alerts_per_day)
        .with_settings(LocalSettings::new(config.update.settings(), disks.settings), starts);
    let (to_network, from_pipeline) = mpsc::channel(MESSAGES);
    let (to_pipeline, installs) = sync_channel(INSTALLS);
    let thread = std::thread::Builder::new().name("network".into());
    let thread = thread.spawn(move || client::run(session, &named.connection, from_pipeline, to_pipeline))?;
    Ok(NetworkThread { thread: Some(thread), channels: Some(ScoringChannels { to_network, installs }), protection })
}

/// Keeps the identity, if the agent is enrolled.
#[cfg(feature = "tls")]
fn keeper(config: &Config) -> Option<Keeper> {
    let (identity, folder) = (config.identity.clone()?, config.identity_dir()?);
    let folder = Folder::open(folder).inspect_err(|error| tracing::warn!(%error, "the certificate is not renewed"));
    Some(Keeper::new(folder.ok()?, identity, crate::publish::tls::is_signed))
}

#[cfg(not(feature = "tls"))]
fn keeper(_: &Config) -> Option<Keeper> {
    None
}

/// The configured brokers, if there are any.
///
/// # Errors
/// When a URL or the name is invalid, or the certificates cannot be used.
pub(crate) fn connection(config: &Config) -> anyhow::Result<Option<NamedConnection>> {
    let urls = config.mqtt.urls().map(|url| url.parse()).collect::<Result<Vec<BrokerUrl>, _>>()?;
    if urls.is_empty() {
        return Ok(None);
    }
    let agent = agent_name(&config.mqtt.agent, Path::new("/"))?;
    let ca_pem = config.mqtt.ca_file.as_deref().map(read_pem).transpose()?;
    let own = config.mqtt.certificate.as_deref().zip(config.mqtt.key.as_deref());
    let own =
        own.map(|(certificate, key)| Ok::<_, anyhow::Error>([read_pem(certificate)?, read_pem(key)?])).transpose()?;
    let own_pem = own.as_ref().map(|files| files.each_ref().map(Vec::as_slice));
    let tls = TlsFiles { ca_pem: ca_pem.as_deref(), identity: config.identity.as_ref(), own_pem };
    let connection = Connection::new(urls, agent.to_string(), &tls, fastrand::u64(..))?;
    Ok(Some(NamedConnection { agent, connection }))
}

fn read_pem(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| anyhow::anyhow!("cannot read {}: {error}", path.display()))
}

fn group_name(configured: &str) -> anyhow::Result<Name> {
    let name = if configured.is_empty() { "default" } else { configured };
    parse_name(name).with_context(|| format!("group {name:?}: expected {NAME_RULE}"))
}
