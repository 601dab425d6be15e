//! Many simulated agents on real MQTT 5 connections → numbered messages, and how many the trainer acknowledged.
//!
//! Like the outbox of a real agent, each keeps a window of unacknowledged messages, resends those without an
//! acknowledgement after a time-out, and reconnects after a lost connection. The rate is messages per second over all
//! agents; an agent sends its share in small bursts.

mod agent;
mod identities;
pub(crate) mod messages;
mod running;

pub use running::Running;

use agent::{Agent, Shared};
use clap::Args;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Options of a load.
#[derive(Clone, Debug, Args)]
pub struct LoadOptions {
    /// Address of the broker; repeatable. Each agent begins with another one, and tries the next after a failure.
    #[arg(long = "broker", required = true)]
    pub brokers: Vec<SocketAddr>,
    /// Folder of the trainer's authority: the agents enrol themselves in --store, and connect with TLS and certificates.
    #[arg(long, requires = "store")]
    pub authority: Option<PathBuf>,
    /// The trainer's store, with --authority.
    #[arg(long)]
    pub store: Option<PathBuf>,
    /// Number of agents; each has its own connection.
    #[arg(long, default_value_t = 1000)]
    pub agents: u32,
    /// Messages per second, all agents together.
    #[arg(long, default_value_t = 20_000)]
    pub rate: u32,
    /// Duration of sending, seconds.
    #[arg(long, default_value_t = 60)]
    pub seconds: u32,
    /// Feature rows per sample message, 1 to 32.
    #[arg(long, default_value_t = 1)]
    pub rows: usize,
    /// Every N-th message is an alert.
    #[arg(long, default_value_t = 10)]
    pub alert_every: u64,
    /// Interval of an agent's health reports, seconds; 0: none. They have no number and are not acknowledged.
    #[arg(long, default_value_t = 0)]
    pub health_every_s: u32,
    /// End all connections at once after this time, seconds; 0: never.
    #[arg(long, default_value_t = 0)]
    pub cut_after_s: u32,
    /// Interval of an agent's bursts, milliseconds.
    #[arg(long, default_value_t = 500)]
    pub look_ms: u64,
    /// Unacknowledged messages per agent, at most.
    #[arg(long, default_value_t = 256)]
    pub window: usize,
    /// Longest wait for the last acknowledgements, and for an unreachable broker, seconds.
    #[arg(long, default_value_t = 60)]
    pub patience_seconds: u32,
    /// Run number of the agents.
    #[arg(long, default_value_t = 1)]
    pub run: u64,
    /// Seal every message, with the key that a trainer with this secret (64 hexadecimal digits, setting `seal-secret` of its
    /// store) gives to an identity whose fingerprint is the SHA-256 of the agent's name.
    #[arg(long, value_name = "SECRET")]
    pub seal_secret: Option<String>,
    /// At the end, write the highest acknowledged number of each agent to this file: lines of `agent number`.
    #[arg(long)]
    pub ledger: Option<PathBuf>,
    /// Interval of progress lines on standard error, seconds; 0: none.
    #[arg(long, default_value_t = 5)]
    pub report_every: u32,
}

/// Counts and times of a load.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Messages sent, without repetitions.
    pub sent: u64,
    /// Messages resent.
    pub repeated: u64,
    /// Messages acknowledged by the trainer.
    pub acknowledged: u64,
    /// Messages without an acknowledgement.
    pub unacknowledged: u64,
    /// Connections after the first one of each agent.
    pub reconnections: u64,
    /// Health reports.
    pub health: u64,
    /// Seconds until all agents were connected and subscribed.
    pub connected_s: f64,
    /// The same after all connections ended at once; `None` if they did not, or did not all come back.
    pub reconnected_s: Option<f64>,
    /// Seconds from the first message to the end of sending.
    pub sending_s: f64,
    /// Seconds until the last acknowledgement.
    pub total_s: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sent {} in {:.1} s ({:.0}/s), acknowledged {} by {:.1} s, unacknowledged {}, resent {}, reconnections {}, \
             health reports {}, connected within {:.1} s",
            self.sent,
            self.sending_s,
            self.sent as f64 / self.sending_s,
            self.acknowledged,
            self.total_s,
            self.unacknowledged,
            self.repeated,
            self.reconnections,
            self.health,
            self.connected_s
        )?;
        self.reconnected_s.map_or(Ok(()), |seconds| write!(f, ", all again within {seconds:.1} s"))
    }
}

/// Counters of all agents.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) health: AtomicU64,
    /// Agents that have subscribed; `changed` wakes the one waiter.
    pub(crate) ready: AtomicU64,
    pub(crate) changed: Notify,
}

/// Sends messages and waits for the acknowledgements.
///
/// # Errors
/// When no connection can be made within the patience, or the ledger cannot be written.
pub fn run(options: &LoadOptions) -> anyhow::Result<Report> {
    let shared = Shared { configs: identities::configs(options)?, ..Shared::new(options) };
    run_shared(&Arc::new(shared), &mut || ())
}

/// As [`run`], with a call of `progressed` every 10 ms of sending.
fn run_shared(shared: &Arc<Shared>, progressed: &mut dyn FnMut()) -> anyhow::Result<Report> {
    anyhow::ensure!((1..=32).contains(&shared.options.rows), "--rows: expected 1 to 32");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(drive(shared, progressed))
}

async fn drive(shared: &Arc<Shared>, progressed: &mut dyn FnMut()) -> anyhow::Result<Report> {
    let options = &shared.options;
    let began = now();
    let agents: Vec<_> = (0..options.agents).map(|id| tokio::spawn(Agent::new(id, Arc::clone(shared)).run())).collect();
    all_connected(shared).await?;
    let connected_s = began.elapsed().as_secs_f64();
    let mut cut = Cut::new(options.cut_after_s);
    let start = now();
    shared.started.store(true, Ordering::Relaxed);
    let mut last_report = start;
    while !shared.stop.load(Ordering::Relaxed) && start.elapsed() < Duration::from_secs(options.seconds.into()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        progressed();
        cut.look(shared, start.elapsed());
        let each = start.elapsed().as_secs_f64() * f64::from(options.rate) / f64::from(options.agents);
        shared.due.store((each * 1e6) as u64, Ordering::Relaxed);
        if options.report_every > 0 && last_report.elapsed().as_secs() >= options.report_every.into() {
            last_report = now();
            shared.tally.print(start.elapsed());
        }
    }
    let sending_s = start.elapsed().as_secs_f64();
    shared.finished.store(true, Ordering::Relaxed);
    let mut ledger = Vec::new();
    for agent in agents {
        ledger.push(agent.await?);
    }
    if let Some(path) = &options.ledger {
        let lines: String = ledger.iter().map(|(name, up_to)| format!("{name} {up_to}\n")).collect();
        std::fs::write(path, lines)?;
    }
    let times = Report {
        connected_s,
        reconnected_s: cut.reconnected_s,
        sending_s,
        total_s: start.elapsed().as_secs_f64(),
        ..Report::default()
    };
    Ok(shared.tally.report(options.agents.into(), times))
}

/// Waits until every agent is connected and subscribed.
async fn all_connected(shared: &Shared) -> anyhow::Result<()> {
    let agents = u64::from(shared.options.agents);
    let ready = || shared.tally.ready.load(Ordering::Relaxed);
    let all_ready = async {
        while ready() < agents {
            shared.tally.changed.notified().await;
        }
    };
    let patience = Duration::from_secs(shared.options.patience_seconds.into());
    if tokio::time::timeout(patience, all_ready).await.is_err() {
        anyhow::bail!("only {} of {agents} agents connected", ready());
    }
    Ok(())
}

impl Tally {
    fn print(&self, elapsed: Duration) {
        let Self { sent, acknowledged, repeated, .. } = self;
        let [sent, acknowledged, repeated] = [sent, acknowledged, repeated].map(|count| count.load(Ordering::Relaxed));
        let seconds = elapsed.as_secs_f64();
        eprintln!("{seconds:>5.0} s  sent {sent}  acknowledged {acknowledged}  resent {repeated}");
    }

    /// The counts of this number of agents, with these times.
    fn report(&self, agents: u64, times: Report) -> Report {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (sent, acknowledged) = (count(&self.sent), count(&self.acknowledged));
        Report {
            sent,
            acknowledged,
            unacknowledged: sent - acknowledged,
            repeated: count(&self.repeated),
            reconnections: count(&self.connections).saturating_sub(agents),
            health: count(&self.health),
            ..times
        }
    }
}

/// The end of all connections at once.
struct Cut {
    after: Option<Duration>,
    at: Option<Duration>,
    reconnected_s: Option<f64>,
}

impl Cut {
    fn new(after_s: u32) -> Self {
        let after = (after_s > 0).then(|| Duration::from_secs(after_s.into()));
        Self { after, at: None, reconnected_s: None }
    }

    /// Ends the connections when it is time, and notices when all agents are back.
    fn look(&mut self, shared: &Shared, elapsed: Duration) {
        if self.after.is_some_and(|after| elapsed >= after) {
            self.after = None;
            self.at = Some(elapsed);
            shared.tally.ready.store(0, Ordering::Relaxed);
            shared.cut.send_modify(|cuts| *cuts += 1);
        }
        let all = shared.tally.ready.load(Ordering::Relaxed) >= u64::from(shared.options.agents);
        if let Some(at) = self.at.filter(|_| all && self.reconnected_s.is_none()) {
            self.reconnected_s = Some((elapsed - at).as_secs_f64());
        }
    }
}

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "the load generator reads the clock only here")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
