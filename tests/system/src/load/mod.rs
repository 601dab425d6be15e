//! Many simulated agents on real MQTT 5 connections → numbered messages, and what became of each.
//!
//! Every agent keeps at most a window of messages that the trainer has not acknowledged, sends again what was not
//! acknowledged for a while, and connects again when its connection breaks: what a true agent's outbox does. Offered
//! rate is messages a second over all agents; an agent sends its due share in small bursts.

mod agent;
mod messages;

use agent::{Agent, Shared};
use clap::Args;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What to send.
#[derive(Clone, Debug, Args)]
pub struct LoadOptions {
    /// Broker's address.
    #[arg(long)]
    pub broker: SocketAddr,
    /// Agents, each on a connection of its own.
    #[arg(long, default_value_t = 1000)]
    pub agents: u32,
    /// Messages a second, all agents together.
    #[arg(long, default_value_t = 20_000)]
    pub rate: u32,
    /// How long to send.
    #[arg(long, default_value_t = 60)]
    pub seconds: u32,
    /// Feature rows in one sample message, 1 to 32.
    #[arg(long, default_value_t = 1)]
    pub rows: usize,
    /// One message in so many is an alert.
    #[arg(long, default_value_t = 10)]
    pub alert_every: u64,
    /// How often an agent sends what is due, milliseconds; it goes out in one burst.
    #[arg(long, default_value_t = 500)]
    pub look_ms: u64,
    /// Messages that one agent may have unacknowledged.
    #[arg(long, default_value_t = 256)]
    pub window: usize,
    /// How long to wait for the last acknowledgements, and for a broker that is away.
    #[arg(long, default_value_t = 60)]
    pub patience_seconds: u32,
    /// Number of the agents' run.
    #[arg(long, default_value_t = 1)]
    pub run: u64,
    /// After the end, write every agent's acknowledged numbers here: lines of `agent up-to`.
    #[arg(long)]
    pub ledger: Option<PathBuf>,
    /// Write a line to standard error every so many seconds, 0 for none.
    #[arg(long, default_value_t = 5)]
    pub report_every: u32,
}

/// What became of the messages.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Messages made.
    pub sent: u64,
    /// Messages sent again.
    pub repeated: u64,
    /// Messages acknowledged by the trainer.
    pub acknowledged: u64,
    /// Messages never acknowledged.
    pub unacknowledged: u64,
    /// Connections made beyond the first of each agent.
    pub reconnections: u64,
    /// Seconds from the first message to the end of sending.
    pub sending_s: f64,
    /// Seconds until the last acknowledgement.
    pub total_s: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sent {} in {:.1} s ({:.0}/s), acknowledged {} by {:.1} s, unacknowledged {}, sent again {}, reconnections {}",
            self.sent,
            self.sending_s,
            self.sent as f64 / self.sending_s,
            self.acknowledged,
            self.total_s,
            self.unacknowledged,
            self.repeated,
            self.reconnections
        )
    }
}

/// Counters of all agents.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) ready: AtomicU64,
}

/// Sends, and waits for the acknowledgements.
///
/// # Errors
/// When no connection can be made within the patience, or the ledger cannot be written.
pub fn run(options: &LoadOptions) -> anyhow::Result<Report> {
    anyhow::ensure!((1..=32).contains(&options.rows), "--rows: expected 1 to 32");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(drive(options))
}

async fn drive(options: &LoadOptions) -> anyhow::Result<Report> {
    let shared = Arc::new(Shared {
        options: options.clone(),
        tally: Tally::default(),
        started: AtomicBool::new(false),
        finished: AtomicBool::new(false),
        due: AtomicU64::new(0),
    });
    let agents: Vec<_> =
        (0..options.agents).map(|id| tokio::spawn(Agent::new(id, Arc::clone(&shared)).run())).collect();
    let patience = Duration::from_secs(options.patience_seconds.into());
    let wanted = u64::from(options.agents);
    let begun = now();
    while shared.tally.ready.load(Ordering::Relaxed) < wanted {
        anyhow::ensure!(
            begun.elapsed() < patience,
            "only {} agents connected",
            shared.tally.ready.load(Ordering::Relaxed)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let begun = now();
    shared.started.store(true, Ordering::Relaxed);
    let mut told = begun;
    while begun.elapsed() < Duration::from_secs(options.seconds.into()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let each = begun.elapsed().as_secs_f64() * f64::from(options.rate) / f64::from(options.agents);
        shared.due.store((each * 1e6) as u64, Ordering::Relaxed);
        if options.report_every > 0 && told.elapsed().as_secs() >= options.report_every.into() {
            told = now();
            let Tally { sent, acknowledged, repeated, .. } = &shared.tally;
            let [sent, acknowledged, repeated] =
                [sent, acknowledged, repeated].map(|count| count.load(Ordering::Relaxed));
            eprintln!(
                "{:>5.0} s  sent {sent}  acknowledged {acknowledged}  sent again {repeated}",
                begun.elapsed().as_secs_f64()
            );
        }
    }
    let sending_s = begun.elapsed().as_secs_f64();
    shared.finished.store(true, Ordering::Relaxed);
    let mut ledger = Vec::new();
    for agent in agents {
        ledger.push(agent.await?);
    }
    if let Some(path) = &options.ledger {
        let lines: String = ledger.iter().map(|(name, up_to)| format!("{name} {up_to}\n")).collect();
        std::fs::write(path, lines)?;
    }
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (sent, acknowledged) = (count(&shared.tally.sent), count(&shared.tally.acknowledged));
    Ok(Report {
        sent,
        acknowledged,
        unacknowledged: sent - acknowledged,
        repeated: count(&shared.tally.repeated),
        reconnections: count(&shared.tally.connections).saturating_sub(wanted),
        sending_s,
        total_s: begun.elapsed().as_secs_f64(),
    })
}

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "the load generator's one reader of the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
