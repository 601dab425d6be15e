//! What a running agent tells on its own machine: a report that the scoring thread keeps up to date, a socket where it is
//! asked for, and the commands that ask.

pub mod ask;
pub mod metrics;
pub mod server;
pub mod watch;

use crate::output::alerts::to_json;
use lapwing_live::{InterfaceReport, Link};
use lapwing_shared::messages::Alert;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Alerts that are kept to be shown.
pub const LAST_ALERTS: usize = 8;

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct InterfaceStatus {
    /// Name.
    pub name: String,
    /// `up`, `down` or `absent`.
    pub link: String,
    /// Packets read.
    pub packets: u64,
    /// Octets of these on the wire.
    pub octets: u64,
    /// Packets that the kernel dropped.
    pub dropped: u64,
    /// Octets that passed it by its own counters.
    pub moved_octets: u64,
    /// Times that it went down or away.
    pub losses: u64,
}

impl From<InterfaceReport> for InterfaceStatus {
    fn from(report: InterfaceReport) -> Self {
        let link = match report.link {
            Link::Up => "up",
            Link::Down => "down",
            Link::Absent => "absent",
        };
        Self {
            name: report.name,
            link: link.into(),
            packets: report.packets,
            octets: report.octets,
            dropped: report.dropped,
            moved_octets: report.moved_octets,
            losses: report.losses,
        }
    }
}

/// How full a table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Fill {
    /// Entries now.
    pub held: u64,
    /// Entries at most.
    pub capacity: u64,
    /// Entries that made room for others.
    pub evicted: u64,
}

/// The report; counters since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Report {
    /// Version of the agent.
    pub agent_version: String,
    /// Seconds since start.
    pub uptime_s: u64,
    /// The interfaces, none where packets come from a file or pipe.
    pub interfaces: Vec<InterfaceStatus>,
    /// Packets metered or refused.
    pub packets: u64,
    /// Packets a second, lately.
    pub packets_per_second: f64,
    /// Network octets a second, lately.
    pub octets_per_second: f64,
    /// Packets refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// The flow table.
    pub flows: Fill,
    /// The table of hosts.
    pub hosts: Fill,
    /// Flow records made.
    pub records: u64,
    /// Records scored.
    pub scored: u64,
    /// Records not scored.
    pub unscored: u64,
    /// Release in use, 0 without one.
    pub release: u64,
    /// That release is on trial.
    pub on_trial: bool,
    /// Engine.
    pub engine: String,
    /// How much more surprising ordinary flows are here than where the release was calibrated, nats; learned on site.
    pub local_correction_nats: f32,
    /// Too few flows have been scored for that to have settled.
    pub learning: bool,
    /// Episodes opened.
    pub alerts: u64,
    /// The newest alerts, newest first.
    pub last_alerts: Vec<Value>,
    /// The broker: `none`, `connected`, or why not.
    pub connection: String,
    /// What is wrong with the coverage; nothing where it is good.
    pub coverage_degraded: Option<String>,
    /// Share of flows that is looked at, per mille.
    pub sampled_permille: u16,
    /// Packets that were not looked at.
    pub shed: u64,
    /// The wall clock is set.
    pub clock_set: bool,
    /// Times that the clock was set while running.
    pub clock_steps: u64,
    /// What the agent gave up after its start, and what it could not.
    pub confinement: Vec<String>,
    /// `off`, `dry-run` or `block`.
    pub response: String,
    /// Resident memory at its peak, bytes.
    pub peak_memory_bytes: u64,
    /// Octets written to the state folder.
    pub disk_octets: u64,
    /// Times that something was made durable there.
    pub disk_syncs: u64,
    /// Writes there that failed.
    pub disk_errors: u64,
    /// Why the newest one failed, until one succeeds.
    pub disk_error: Option<String>,
    /// Messages that wait for the trainer.
    pub outbox_waiting: u32,
    /// Alerts that were dropped because too much waited.
    pub outbox_dropped_alerts: u64,
    /// Other messages that were dropped for that.
    pub outbox_dropped_telemetry: u64,
}

/// The report between those who write and who read it.
#[derive(Clone, Debug, Default)]
pub struct Board {
    report: Arc<Mutex<Report>>,
    /// Newest last. They get their JSON when somebody asks: most alerts are never looked at here.
    alerts: Arc<Mutex<heapless::Deque<Box<Alert>, LAST_ALERTS>>>,
}

impl Board {
    /// The report without its alerts, to change it; hold it shortly.
    pub fn edit(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The report as it is now.
    pub fn report(&self) -> Report {
        let mut report = self.edit().clone();
        let alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        let alerts = alerts.iter().rev().map(|alert| to_json(alert));
        report.last_alerts = alerts.map(|json| serde_json::from_str(&json).unwrap_or_default()).collect();
        report
    }

    /// Keeps an alert to be shown.
    pub fn alert(&self, alert: Box<Alert>) {
        let mut alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        if alerts.is_full() {
            alerts.pop_front();
        }
        // There is room now.
        let _ = alerts.push_back(alert);
    }

    /// What scores from now on; version 0 for nothing.
    pub fn release(&self, version: u64, on_trial: bool, engine: &str) {
        let mut report = self.edit();
        (report.release, report.on_trial) = (version, on_trial);
        engine.clone_into(&mut report.engine);
    }

    /// What became of the connection to the broker.
    pub fn connection(&self, state: &str) {
        state.clone_into(&mut self.edit().connection);
    }
}
