//! The packet side's two ends of the network thread: what it tells, and what it is told.

use crate::clock;
use crate::config::Config;
use crate::detector::Engine;
use crate::engines::Engines;
use crate::outbox::{Outbox, next_run};
use crate::output::summary::Summary;
use crate::pipeline::{Change, Control, Progress};
use crate::publish::client::{self, ClientError, Connection};
use crate::publish::session::{Fallback, Session};
use crate::publish::{FromPipeline, ToPipeline};
use crate::release_file::trusted_keys;
use crate::response::Responder;
use crate::scoring::{Installed, Listener, ScoringCounters};
use crate::status::Board;
use crate::status::watch::{Figures, Watch};
use crate::update::counted::Counted;
use crate::update::disk::{Disk, Folder};
use crate::update::engine::EngineFactory;
use crate::update::memory::Memory;
use crate::update::store::Store;
use anyhow::Context;
use lapwing_live::Shared;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::messages::{Alert, Health, Samples};
use lapwing_shared::release::accept::Terms;
use lapwing_shared::release::manifest::Name;
use lapwing_shared::release::name::parse_name;
use lapwing_shared::release::trial::{TrialJudge, TrialLimits, TrialVerdict};
use lapwing_shared::units::Timestamp;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// Messages between the threads. The network thread takes them whether or not there is a connection; the outbox, which
/// bounds and counts, is behind them.
const MESSAGES: usize = 64;
/// Releases on their way to the scoring stage.
const INSTALLS: usize = 2;
/// Between two health messages, milliseconds.
const HEALTH_MS: u64 = 10_000;

type NetworkThread = JoinHandle<Result<(), ClientError>>;
type Installs = Receiver<ToPipeline<Box<dyn Engine>>>;

/// A network thread, or none where no broker is configured.
pub struct Network {
    thread: Option<NetworkThread>,
    ends: Option<(mpsc::Sender<FromPipeline>, Installs)>,
}

impl Network {
    /// Starts the thread where a broker is configured. Reaching the broker is not waited for.
    ///
    /// # Errors
    /// When the configuration, a key file or the state folder is wrong.
    pub fn start(config: &Config, board: &Board, fallback: Option<Fallback<Box<dyn Engine>>>) -> anyhow::Result<Self> {
        let Some((agent, connection)) = connection(config)? else { return Ok(Self { thread: None, ends: None }) };
        let connection = connection.telling(board.clone());
        let terms = Terms {
            keys: trusted_keys(&config.update.keys)?,
            group: group_name(&config.mqtt.group)?,
            schema: schema_id(),
            form: Engines(config.detector.engine).form(),
        };
        match &config.update.state_dir {
            Some(path) => {
                let folder =
                    Folder::open(path).with_context(|| format!("cannot use state folder {}", path.display()))?;
                spawn(Counted::new(folder, board.clone()), config, (agent, connection), terms, fallback)
            }
            None => {
                tracing::warn!(
                    "no state-dir: a restart forgets the release, the messages that wait, and the highest version \
                     confirmed, so that an older signed release is taken again; name a folder with --state-dir"
                );
                spawn(Memory::default(), config, (agent, connection), terms, fallback)
            }
        }
    }

    /// The ends for the scoring stage.
    pub fn ends(&mut self, watch: Watch, responder: Responder) -> (Reporter, Remote) {
        let (said, installs) = self.ends.take().unzip();
        let (board, shared) = (watch.board.clone(), watch.shared.clone());
        let reporter = Reporter { said: said.clone(), lost: 0, board, shared, responder };
        (reporter, Remote { said, installs, told_ms: 0, last: None, watch, unset: clock::wall_s().is_none() })
    }

    /// A way to the network thread that does not keep it alive, where a broker is configured.
    pub fn weak(&self) -> Option<mpsc::WeakSender<FromPipeline>> {
        self.ends.as_ref().map(|(said, _)| said.downgrade())
    }

    /// Waits until the thread has delivered what it can; the ends must have been dropped.
    pub fn finish(mut self, summary: &mut Summary) {
        self.ends = None;
        let Some(thread) = self.thread else { return };
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => summary.warnings.push(format!("network: {error}")),
            Err(_) => summary.warnings.push("network: the thread has panicked".into()),
        }
    }
}

fn spawn<D: Disk + Clone + Send + 'static>(
    mut disk: D,
    config: &Config,
    (agent, connection): (Name, Connection),
    terms: Terms,
    fallback: Option<Fallback<Box<dyn Engine>>>,
) -> anyhow::Result<Network> {
    let (run, unkept) = next_run(&mut disk, clock::wall_s());
    // A run's number is no less than the wall clock was when it began, and only one more than the last one's without.
    clock::passed(run.saturating_sub(MESSAGES as u64));
    if let Some(error) = unkept {
        tracing::warn!(%error, "the number of this run is not on disk");
    }
    let (store, damage) = Store::open(disk.clone(), terms);
    if let Some(error) = damage {
        tracing::warn!(%error, "release store");
    }
    let journal = config.update.state_dir.is_some().then_some(disk);
    let outbox = Outbox::new(run, config.outbox_limits()?, journal);
    let session = Session::start(agent, config.mqtt.delivery, Engines(config.detector.engine), store, outbox)
        .with_fallback(fallback);
    let (say, said) = mpsc::channel(MESSAGES);
    let (install, installs) = sync_channel(INSTALLS);
    let thread = std::thread::Builder::new().name("network".into());
    let thread = thread.spawn(move || client::run(session, &connection, said, install))?;
    Ok(Network { thread: Some(thread), ends: Some((say, installs)) })
}

/// The agent's name and how to reach its broker, where one is configured.
///
/// # Errors
/// When the URL, the name or the file of certificates is wrong.
pub fn connection(config: &Config) -> anyhow::Result<Option<(Name, Connection)>> {
    let Some(url) = &config.mqtt.url else { return Ok(None) };
    let agent = agent_name(&config.mqtt.agent)?;
    let ca_pem = config.mqtt.ca_file.as_deref().map(read_ca).transpose()?;
    let connection = Connection::new(url.parse()?, agent.to_string(), ca_pem.as_deref(), fastrand::u64(..))?;
    Ok(Some((agent, connection)))
}

fn read_ca(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read certificates {}", path.display()))
}

/// The configured name, else the host's with other characters made `-`.
fn agent_name(configured: &str) -> anyhow::Result<Name> {
    let expected = "expected 1 to 32 of a-z A-Z 0-9 - _ .";
    if !configured.is_empty() {
        return parse_name(configured).with_context(|| format!("agent name {configured:?}: {expected}"));
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = host.trim().chars().map(plain).take(32).collect();
    parse_name(&name)
        .with_context(|| format!("the host's name {host:?} is no agent name; give one with --agent: {expected}"))
}

fn group_name(configured: &str) -> anyhow::Result<Name> {
    let name = if configured.is_empty() { "default" } else { configured };
    parse_name(name).with_context(|| format!("group {name:?}: expected 1 to 32 of a-z A-Z 0-9 - _ ."))
}

/// Tells the network thread of alerts, samples and trials.
pub struct Reporter {
    said: Option<mpsc::Sender<FromPipeline>>,
    /// Messages that could not be handed over, because the thread has ended.
    lost: u64,
    board: Board,
    /// Of a live source, for the wall clock's times.
    shared: Option<Shared>,
    responder: Responder,
}

impl Reporter {
    /// Waits only for the other thread's turn, never for the network: that thread takes messages also while it is not
    /// connected. Called on the scoring thread, so the packet thread does not wait for it.
    fn say(&mut self, message: FromPipeline) {
        if let Some(said) = &self.said {
            self.lost += u64::from(said.blocking_send(message).is_err());
        }
    }

    /// Messages that could not be handed over.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

impl Listener for Reporter {
    fn alert(&mut self, mut alert: Box<Alert>) {
        // Frame times of a live source go on evenly; a person wants the wall clock's, where there is one.
        if let (Some(shared), Some(_)) = (&self.shared, clock::wall_s()) {
            let (to_wall, _) = shared.clock();
            let moved = |at: Timestamp| Timestamp::from_nanos(at.as_nanos().saturating_add_signed(to_wall));
            (alert.since, alert.at) = (moved(alert.since), moved(alert.at));
        }
        self.responder.alert(&alert);
        if self.said.is_some() {
            self.say(FromPipeline::Alert((*alert).clone()));
        }
        self.board.alert(alert);
    }

    fn samples(&mut self, samples: Samples) {
        self.say(FromPipeline::Samples(samples));
    }

    fn trial(&mut self, release: u64, verdict: TrialVerdict) {
        self.say(FromPipeline::TrialVerdict(release, verdict));
    }
}

/// Brings releases to the scoring stage and health to the network thread.
pub struct Remote {
    said: Option<mpsc::Sender<FromPipeline>>,
    installs: Option<Installs>,
    told_ms: u64,
    last: Option<Health>,
    watch: Watch,
    /// The wall clock was not set when last looked at.
    unset: bool,
}

impl Control for Remote {
    fn next_change(&mut self) -> Option<Change> {
        match self.installs.as_ref()?.try_recv().ok()? {
            ToPipeline::Install(release) => {
                self.watch.board.release(release.manifest.version, release.on_trial, release.engine.name());
                let trial = release.on_trial.then(|| TrialJudge::new(TrialLimits::default()));
                Some(Change::Use(Installed { manifest: release.manifest, engine: release.engine, trial }))
            }
            ToPipeline::Remove => {
                self.watch.board.release(0, false, "");
                Some(Change::Stop)
            }
        }
    }

    fn retire(&mut self, installed: Installed) {
        drop(installed);
    }

    fn progress(&mut self, progress: &Progress, scoring: ScoringCounters) {
        let now_ms = clock::monotonic_ms();
        let figures = self.watch.note(progress, &scoring, now_ms);
        let Some(said) = &self.said else { return };
        match clock::wall_s() {
            // A clock that was set may be lost again.
            None => self.unset = true,
            // Tried again where the channel is full.
            Some(now_s) if self.unset => {
                self.unset = said.try_send(FromPipeline::ClockSet(figures.to_wall, now_s)).is_err();
            }
            Some(_) => {}
        }
        let health = health(progress, scoring, &figures, now_ms);
        if self.told_ms == 0 || now_ms.saturating_sub(self.told_ms) >= HEALTH_MS {
            self.told_ms = now_ms.max(1);
            // Health is told again: a full channel loses nothing that the next one does not say.
            let _ = said.try_send(FromPipeline::Health(health.clone()));
        }
        self.last = Some(health);
    }
}

/// The last word on a run is its newest counters.
impl Drop for Remote {
    fn drop(&mut self) {
        if let (Some(said), Some(health)) = (&self.said, self.last.take()) {
            let _ = said.try_send(FromPipeline::Health(health));
        }
    }
}

fn health(progress: &Progress, scoring: ScoringCounters, figures: &Figures, now_ms: u64) -> Health {
    Health {
        at: progress.at,
        uptime_s: now_ms / 1000,
        packets: progress.flows.packets + progress.refusals.total(),
        octets: progress.flows.network_octets,
        refused: progress.refusals.total(),
        flows: progress.flows.records,
        flow_evictions: progress.flows.evictions,
        host_evictions: progress.host_evictions + scoring.judge.evictions,
        scored: scoring.scored,
        unscored: scoring.engine_faults + progress.left_out,
        alerts: scoring.judge.episodes,
        kernel_drops: figures.kernel_drops,
        refused_by_reason: progress.refusals.iter().map(|(_, count)| count).collect(),
        seen_octets: figures.seen_octets,
        moved_octets: figures.moved_octets,
        coverage_degraded: figures.degraded,
        sampled_permille: figures.sampled_permille,
        clock_set: figures.clock_set,
        ..Health::default()
    }
}
