//! A gateway with live capture, and the checks that all fault scenarios share: detection of a scan, the agent's status,
//! the trainer's store.

use crate::listener::Report;
use crate::machine::Machine;
use crate::setup::{PATIENCE, Setup, say};
use crate::wire::{self, Replacement};
use anyhow::{Context, ensure};
use lapwing_shared::messages::{Alert, Role};
use serde_json::Value;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::Duration;

/// Time of the first port scan of home-a-attacks, seconds since the epoch; see tests/data/README.md.
const PORT_SCAN_S: Range<u64> = 1_741_270_940..1_741_270_946;
/// The scanning host in the recording.
const RECORDED_SCANNER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 20);
/// Replaces the recorded scanner in the first scan; later scans use the following addresses.
const FIRST_SCANNER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 200);
/// Queries of the agent's status, one per second of the guest's time, after which a wait fails.
const STATUS_POLLS: u32 = 60;
const STORE_POLL_INTERVAL: Duration = Duration::from_millis(500);

pub(crate) struct Gateway<'a> {
    pub(crate) setup: &'a mut Setup,
    pub(crate) machine: Machine,
    pub(crate) version: u64,
    scans: u8,
    /// Scanners with an alert.
    scanners: Vec<Ipv4Addr>,
}

impl<'a> Gateway<'a> {
    pub(crate) fn boot(setup: &'a mut Setup, version: u64) -> anyhow::Result<Self> {
        setup.listener.clear();
        setup.config.set("SOURCE", "wire");
        let mut machine = Machine::start(&setup.config)?;
        machine.until("guest: agent starts at", PATIENCE)?;
        setup.wait_until_in_use(version)?;
        Ok(Self::new(setup, machine, version))
    }

    /// Uses a machine that is already booted.
    pub(crate) fn new(setup: &'a mut Setup, machine: Machine, version: u64) -> Self {
        Self { setup, machine, version, scans: 0, scanners: Vec::new() }
    }

    /// Sends a port scan from a new host; returns that host and the number of frames.
    pub(crate) fn scan(&mut self) -> anyhow::Result<(Ipv4Addr, u64)> {
        let scanner = Ipv4Addr::from_bits(FIRST_SCANNER.to_bits() + u32::from(self.scans));
        self.scans += 1;
        let capture = self.setup.captures.join("home-a-attacks.pcap.gz");
        let replacement = Replacement { recorded: RECORDED_SCANNER, sent: scanner };
        let frames = wire::send(&capture, PORT_SCAN_S, replacement, self.setup.config.wire)?;
        Ok((scanner, frames))
    }

    /// Waits for the alert about a scanner.
    pub(crate) fn wait_for_alert(&mut self, scanner: Ipv4Addr) -> anyhow::Result<Box<Alert>> {
        let (version, host) = (self.version, scanner.to_string());
        let what = format!("an alert about {scanner}");
        // There may be an alert about the scanned host first.
        let alert = self.setup.listener.until(&what, PATIENCE, |report| match report {
            Report::Opened(alert) if alert.release == version && alert.host.to_string() == host => Some(alert.clone()),
            _ => None,
        })?;
        ensure!(alert.role == Role::Source, "the alert about {scanner} has role {:?}, expected Source", alert.role);
        say(&format!("alert of release {version} about the scanner {scanner}"));
        self.scanners.push(scanner);
        Ok(alert)
    }

    /// Sends a scan and waits for the alert.
    pub(crate) fn detect_scan(&mut self) -> anyhow::Result<Box<Alert>> {
        let (scanner, frames) = self.scan()?;
        say(&format!("{frames} frames sent"));
        self.wait_for_alert(scanner)
    }

    /// Sends a scan and waits for the alert in the agent's status; returns the scanner and that status.
    pub(crate) fn detect_scan_offline(&mut self) -> anyhow::Result<(Ipv4Addr, Value)> {
        let (scanner, _) = self.scan()?;
        let host = scanner.to_string();
        let is_about = |alert: &Value| alert["host"] == host.as_str() && alert["role"] == "source";
        let status = self.status(&format!("an alert about {scanner} in the status"), |status| {
            status["last_alerts"].as_array().is_some_and(|alerts| alerts.iter().any(is_about))
        })?;
        Ok((scanner, status))
    }

    /// Takes down the link to trainer and broker; the peers are not notified.
    pub(crate) fn unplug_uplink(&mut self) -> anyhow::Result<()> {
        self.machine.run("ip link set wan down", PATIENCE).map(drop)
    }

    pub(crate) fn plug_uplink(&mut self) -> anyhow::Result<()> {
        self.machine.run("ip link set wan up && ip route add default via 10.0.2.2", PATIENCE).map(drop)
    }

    /// Kills the agent and waits for its restart.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.machine.run("kill -9 $(cat /run/lapwing.pid)", PATIENCE)?;
        self.machine.until("guest: agent starts at", PATIENCE).map(drop)
    }

    /// Waits until the agent's status meets the condition; returns it.
    pub(crate) fn status(&mut self, what: &str, condition: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        for _ in 0..STATUS_POLLS {
            let text = self.machine.expand("$(lapwing-agent status --json)", PATIENCE)?;
            // An agent that has not started yet prints no status.
            if let Ok(status) = serde_json::from_str(&text)
                && condition(&status)
            {
                return Ok(status);
            }
            self.machine.run("sleep 1", PATIENCE)?;
        }
        anyhow::bail!("not in the agent's status after {STATUS_POLLS} queries: {what}")
    }

    /// Waits until the trainer has stored the alert about a scanner. The agent resends an unacknowledged alert only
    /// after a minute.
    pub(crate) fn wait_until_stored(&mut self, scanner: Ipv4Addr) -> anyhow::Result<()> {
        for _ in 0..PATIENCE.as_millis() / STORE_POLL_INTERVAL.as_millis() {
            if contains_scanner(&self.setup.trainer.alerts()?, scanner) {
                say(&format!("the trainer stored the alert about {scanner}"));
                self.scanners.push(scanner);
                return Ok(());
            }
            std::thread::sleep(STORE_POLL_INTERVAL);
        }
        anyhow::bail!("the trainer stored no alert about {scanner} within {PATIENCE:?}")
    }

    /// Checks that the trainer has stored every alert except the newest, which may still be in flight.
    pub(crate) fn check_all_stored(&self) -> anyhow::Result<()> {
        let alerts = self.setup.trainer.alerts()?;
        let older = self.scanners.split_last().map(|(_, older)| older).unwrap_or_default();
        for scanner in older {
            ensure!(contains_scanner(&alerts, *scanner), "the trainer has no alert about {scanner}");
        }
        say(&format!("the trainer has the alerts about {} scanners", older.len()));
        Ok(())
    }
}

fn contains_scanner(alerts: &[Value], scanner: Ipv4Addr) -> bool {
    let host = scanner.to_string();
    alerts.iter().any(|alert| alert["host"] == host.as_str() && alert["role"] == "source")
}

pub(crate) fn number(value: &Value, name: &str) -> anyhow::Result<u64> {
    value[name].as_u64().with_context(|| format!("no {name} in {value}"))
}
