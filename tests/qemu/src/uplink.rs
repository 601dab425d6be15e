//! Failures of the connection to the broker: name resolution, password, certificate, and a broker outage, also one that
//! lasts until the outbox overflows. The agent reports the cause, continues to detect, and afterwards delivers
//! everything except what it counts as dropped.

use crate::gateway::{Gateway, number};
use crate::listener::Listener;
use crate::machine::Machine;
use crate::mosquitto::{Mode, Mosquitto};
use crate::setup::{PATIENCE, Setup, heading, say};
use anyhow::ensure;
use lapwing_shared::release::manifest::ArtifactForm;
use serde_json::Value;

/// Alerts queued while the broker restarts.
const QUEUED: u32 = 1_000;
/// Outbox capacity at the smallest memory limit, messages (agent/src/budget.rs).
const MIN_CAPACITY: u64 = 819;
/// Number of alerts that overflows that outbox.
const TOO_MANY: u32 = 900;
/// Tolerance for other dropped messages: updated or closed episodes.
const OTHERS: u64 = 16;

struct UplinkFault {
    name: &'static str,
    /// Causes the fault, before the broker restarts in `mode`.
    begin: fn(&mut Machine) -> anyhow::Result<()>,
    mode: Mode,
    /// Texts expected in the agent's status.
    reported: &'static [&'static str],
    end: fn(&mut Machine) -> anyhow::Result<()>,
}

const FAULTS: [UplinkFault; 3] = [
    UplinkFault {
        name: "The broker's name cannot be resolved",
        begin: |machine| machine.run("cp /etc/hosts /tmp/hosts && : >/etc/hosts", PATIENCE).map(drop),
        mode: Mode::Normal,
        reported: &["lookup address"],
        end: |machine| machine.run("cp /tmp/hosts /etc/hosts", PATIENCE).map(drop),
    },
    UplinkFault {
        name: "The broker expects another password",
        begin: |_| Ok(()),
        mode: Mode::OtherPassword,
        reported: &["the broker rejected the login", "check user and password"],
        end: |_| Ok(()),
    },
    UplinkFault {
        name: "The broker's certificate has expired",
        begin: |_| Ok(()),
        mode: Mode::Expired,
        reported: &["expired", "renew the broker's certificate"],
        end: |_| Ok(()),
    },
];

/// Faults of an external broker with TLS and a password. Afterwards the trainer uses its own broker again.
pub(crate) fn external_broker(setup: &mut Setup, version: u64) -> anyhow::Result<()> {
    heading("An external broker with TLS and a password");
    let mut broker = Mosquitto::start(setup.config.folder.join("mosquitto"), &setup.authority)?;
    setup.trainer.restart_with_broker(&format!("mqtt://{}", broker.plain))?;
    setup.listener = Listener::start(broker.plain)?;
    setup.config.set("URL", broker.url());
    let mut gateway = Gateway::boot(setup, version)?;
    gateway.detect_scan()?;
    for fault in FAULTS {
        heading(fault.name);
        gateway.uplink_fails(&mut broker, &fault)?;
    }
    gateway.machine.cut_power()?;
    setup.config.set("URL", "");
    setup.trainer.restart()?;
    setup.listener = Listener::start(setup.trainer.address)?;
    Ok(())
}

/// Outages of the trainer's own broker: with 1,000 queued alerts, and until the outbox overflows.
pub(crate) fn broker_outage(gateway: &mut Gateway<'_>) -> anyhow::Result<()> {
    heading(&format!("The broker restarts while {QUEUED} alerts are queued"));
    let losses = gateway.outage(QUEUED)?;
    ensure!(losses == Losses { lost: 0, dropped: 0 }, "expected no losses: {losses:?}");
    say(&format!("all {QUEUED} alerts are in the trainer's store"));

    heading("The broker is down until the outbox overflows");
    let memory = if gateway.setup.form == ArtifactForm::Onnx { "18MiB" } else { "7MiB" };
    gateway.machine.run("cp /etc/lapwing/agent.toml /tmp/agent.toml", PATIENCE)?;
    let edit = format!("sed -i 's/^memory = .*/memory = \"{memory}\"/' /etc/lapwing/agent.toml");
    gateway.machine.run(&edit, PATIENCE)?;
    gateway.setup.listener.clear();
    gateway.kill()?;
    gateway.setup.wait_until_in_use(gateway.version)?;
    let Losses { lost, dropped } = gateway.outage(TOO_MANY)?;
    ensure!(lost > 0 && lost <= dropped && dropped - lost <= OTHERS, "{lost} lost, {dropped} counted as dropped");
    ensure!(u64::from(TOO_MANY) - lost + OTHERS >= MIN_CAPACITY, "too many losses: {lost} of {TOO_MANY}");
    say(&format!("the oldest {lost} of {TOO_MANY} alerts were lost; {dropped} messages counted as dropped"));
    gateway.machine.run("cp /tmp/agent.toml /etc/lapwing/agent.toml", PATIENCE).map(drop)
}

/// Losses of test alerts during an outage.
#[derive(Debug, PartialEq, Eq)]
struct Losses {
    /// Test alerts missing in the trainer's store.
    lost: u64,
    /// Alerts that the agent counts as dropped.
    dropped: u64,
}

impl Gateway<'_> {
    fn uplink_fails(&mut self, broker: &mut Mosquitto, fault: &UplinkFault) -> anyhow::Result<()> {
        let before = self.status("a connection", |status| status["connection"] == "connected")?;
        (fault.begin)(&mut self.machine)?;
        broker.restart(&self.setup.authority, fault.mode)?;
        let failed = self.status(fault.name, |status| {
            let connection = status["connection"].as_str().unwrap_or_default();
            fault.reported.iter().all(|text| connection.contains(text))
        })?;
        ensure!(!failed.to_string().contains("sesame"), "the status contains the password: {failed}");
        say(&format!("status: {}", failed["connection"]));
        let (scanner, _) = self.detect_scan_offline()?;
        let queued = self.status("a queued alert", |status| status["outbox_waiting"] != 0)?;
        say(&format!("{} queued messages, including an alert about {scanner}", queued["outbox_waiting"]));

        (fault.end)(&mut self.machine)?;
        if fault.mode != Mode::Normal {
            broker.restart(&self.setup.authority, Mode::Normal)?;
        }
        self.wait_until_stored(scanner)?;
        let after = self.status("an empty outbox", |status| status["outbox_waiting"] == 0)?;
        ensure!(number(&after, "outbox_dropped_alerts")? == 0, "alerts were dropped: {after}");
        ensure!(number(&after, "uptime_s")? > number(&before, "uptime_s")?, "the agent restarted: {after}");
        Ok(())
    }

    /// Sends `count` test alerts, one after the other.
    pub(crate) fn test_alerts(&mut self, count: u32) -> anyhow::Result<()> {
        let each = "lapwing-agent test-alert >/dev/null || break; n=$((n + 1))";
        let line = format!("n=0; while [ $n -lt {count} ]; do {each}; done; [ $n = {count} ]");
        self.machine.run(&line, PATIENCE).map(drop)
    }

    /// Kills trainer and broker, queues `count` test alerts and one about a scan, and restarts trainer and broker.
    fn outage(&mut self, count: u32) -> anyhow::Result<Losses> {
        // After a start the agent resends journal entries that the trainer already has, and may drop some of them.
        let idle = self.status("an empty outbox", |status| status["outbox_waiting"] == 0)?;
        let dropped_before = number(&idle, "outbox_dropped_alerts")?;
        let before = count_test_alerts(&self.setup.trainer.alerts()?);
        self.setup.trainer.kill();
        self.status("no connection", |status| status["connection"] != "connected")?;
        self.test_alerts(count)?;
        let (scanner, _) = self.detect_scan_offline()?;
        let queued = self.status("queued alerts", |status| {
            let count_of = |name: &str| status[name].as_u64().unwrap_or(0);
            count_of("outbox_waiting") + count_of("outbox_dropped_alerts") > dropped_before + u64::from(count)
        })?;
        let dropped = number(&queued, "outbox_dropped_alerts")? - dropped_before;
        say(&format!("{} queued messages, {dropped} dropped alerts", queued["outbox_waiting"]));
        self.setup.trainer.restart()?;
        self.setup.listener = Listener::start(self.setup.trainer.address)?;
        self.wait_until_stored(scanner)?;
        let delivered = self.status("an empty outbox", |status| status["outbox_waiting"] == 0)?;
        let stored = count_test_alerts(&self.setup.trainer.alerts()?) - before;
        let lost = u64::from(count).saturating_sub(stored);
        Ok(Losses { lost, dropped: number(&delivered, "outbox_dropped_alerts")? - dropped_before })
    }
}

/// Counts test alerts, which have release 0.
fn count_test_alerts(alerts: &[Value]) -> u64 {
    alerts.iter().filter(|alert| alert["release"] == 0).count() as u64
}
