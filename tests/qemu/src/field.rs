//! A gateway on the wire, and the looks at it that every fault's story needs: is a scan detected, what does the agent's
//! status say, what did the trainer keep.

use crate::broker::Said;
use crate::machine::Machine;
use crate::stage::{PATIENCE, Stage, say};
use crate::wire;
use anyhow::{Context, ensure};
use lapwing_shared::messages::{Alert, Role};
use serde_json::Value;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The first port scan of home-a-attacks, seconds since the epoch, and who scans; see tests/data/README.md.
const PORT_SCAN_S: (u64, u64) = (1_741_270_940, 1_741_270_946);
const SCANNER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 20);
/// Hosts that scan here: this one and those after it.
const FIRST_SCANNER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 200);
/// Looks at the agent's status, a second of the guest's time apart, before a wait is given up.
const LOOKS: u32 = 60;
/// Between two looks at the trainer's store.
const STORE_LOOK: Duration = Duration::from_millis(500);

/// A gateway on the wire.
pub(crate) struct Field<'a> {
    pub(crate) stage: &'a mut Stage,
    pub(crate) machine: Machine,
    pub(crate) version: u64,
    scans: u8,
    /// Who was told of.
    scanners: Vec<Ipv4Addr>,
}

impl<'a> Field<'a> {
    pub(crate) fn boot(stage: &'a mut Stage, version: u64) -> anyhow::Result<Self> {
        stage.listener.forget();
        stage.parts.set("SOURCE", "wire");
        let mut machine = Machine::start(&stage.parts)?;
        machine.until("guest: agent starts at", PATIENCE)?;
        stage.in_use(version)?;
        Ok(Self::on(stage, machine, version))
    }

    /// A gateway that somebody else has booted.
    pub(crate) fn on(stage: &'a mut Stage, machine: Machine, version: u64) -> Self {
        Self { stage, machine, version, scans: 0, scanners: Vec::new() }
    }

    /// Who scans, and how many frames that took.
    pub(crate) fn scan(&mut self) -> anyhow::Result<(Ipv4Addr, u64)> {
        let scanner = Ipv4Addr::from_bits(FIRST_SCANNER.to_bits() + u32::from(self.scans));
        self.scans += 1;
        let capture = self.stage.captures.join("home-a-attacks.pcap.gz");
        let frames = wire::send(&capture, PORT_SCAN_S, (SCANNER, scanner), self.stage.parts.wire)?;
        Ok((scanner, frames))
    }

    /// Waits for the alert about a scanner.
    pub(crate) fn told_of(&mut self, scanner: Ipv4Addr) -> anyhow::Result<Box<Alert>> {
        let (version, host) = (self.version, scanner.to_string());
        let what = format!("an alert about {scanner}");
        // The scanned host is told of as well, and may come first.
        let alert = self.stage.listener.until(&what, PATIENCE, |said| match said {
            Said::Opened(alert) if alert.release == version && alert.host.to_string() == host => Some(alert.clone()),
            _ => None,
        })?;
        ensure!(alert.role == Role::Source, "{scanner} is told of as {:?}", alert.role);
        say(&format!("alert of release {version} about {scanner}, which scans"));
        self.scanners.push(scanner);
        Ok(alert)
    }

    /// A scan, and the alert about it.
    pub(crate) fn detects(&mut self) -> anyhow::Result<Box<Alert>> {
        let (scanner, frames) = self.scan()?;
        say(&format!("{frames} frames sent"));
        self.told_of(scanner)
    }

    /// A scan that the agent tells of in its status, whoever else hears of it: who scans, and that status.
    pub(crate) fn detects_alone(&mut self) -> anyhow::Result<(Ipv4Addr, Value)> {
        let (scanner, _) = self.scan()?;
        let host = scanner.to_string();
        let about = |alert: &Value| alert["host"] == host.as_str() && alert["role"] == "source";
        let status = self.status(&format!("an alert about {scanner} in the status"), |status| {
            status["last_alerts"].as_array().is_some_and(|alerts| alerts.iter().any(about))
        })?;
        Ok((scanner, status))
    }

    /// The cable to trainer and broker goes, without a word to those who are connected.
    pub(crate) fn unplug_uplink(&mut self) -> anyhow::Result<()> {
        self.machine.order("ip link set wan down", PATIENCE).map(drop)
    }

    /// It comes back.
    pub(crate) fn plug_uplink(&mut self) -> anyhow::Result<()> {
        self.machine.order("ip link set wan up && ip route add default via 10.0.2.2", PATIENCE).map(drop)
    }

    /// Ends the agent at once; it comes back.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.machine.order("kill -9 $(cat /run/lapwing.pid)", PATIENCE)?;
        self.machine.until("guest: agent starts at", PATIENCE).map(drop)
    }

    /// The agent's status once `wanted` is so.
    pub(crate) fn status(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        for _ in 0..LOOKS {
            let said = self.machine.order("echo \"guest: says $(lapwing-agent status --json)\"", PATIENCE)?;
            let text = said.lines().find_map(|line| line.strip_prefix("says ")).unwrap_or_default();
            // An agent that is not there yet says nothing.
            if let Ok(status) = serde_json::from_str(text)
                && wanted(&status)
            {
                return Ok(status);
            }
            self.machine.order("sleep 1", PATIENCE)?;
        }
        anyhow::bail!("{LOOKS} looks at the agent's status, and never: {what}")
    }

    /// What the trainer's store lists, once it is as `wanted`. The agent sends again what nobody acknowledged within a
    /// minute, so this takes longer than a look at the status.
    pub(crate) fn stored(&self, what: &str, wanted: impl Fn(&[Value]) -> bool) -> anyhow::Result<Vec<Value>> {
        let looks = PATIENCE.as_millis() / STORE_LOOK.as_millis();
        for _ in 0..looks {
            let alerts = self.stage.trainer.alerts()?;
            if wanted(&alerts) {
                return Ok(alerts);
            }
            std::thread::sleep(STORE_LOOK);
        }
        anyhow::bail!("{looks} looks at the trainer's store, and never: {what}")
    }

    /// Waits until the trainer keeps the alert about a scanner.
    pub(crate) fn stored_scan(&mut self, scanner: Ipv4Addr) -> anyhow::Result<()> {
        self.stored(&format!("an alert about {scanner}"), |alerts| is_kept(alerts, scanner))?;
        say(&format!("the trainer keeps the alert about {scanner}"));
        self.scanners.push(scanner);
        Ok(())
    }

    /// Every alert but the newest, which may be on its way, is in the trainer's store.
    pub(crate) fn all_stored(&self) -> anyhow::Result<()> {
        let alerts = self.stage.trainer.alerts()?;
        let older = self.scanners.split_last().map(|(_, older)| older).unwrap_or_default();
        for scanner in older {
            ensure!(is_kept(&alerts, *scanner), "the trainer has no alert about {scanner}");
        }
        say(&format!("the trainer has the alerts about {} scanners", older.len()));
        Ok(())
    }
}

fn is_kept(alerts: &[Value], scanner: Ipv4Addr) -> bool {
    let host = scanner.to_string();
    alerts.iter().any(|alert| alert["host"] == host.as_str() && alert["role"] == "source")
}

pub(crate) fn number(value: &Value, name: &str) -> anyhow::Result<u64> {
    value[name].as_u64().with_context(|| format!("no {name} in {value}"))
}
