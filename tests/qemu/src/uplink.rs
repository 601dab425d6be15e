//! The way to the broker fails: its name, its password, its certificate, or the broker itself, for a while or for so long
//! that the outbox overflows. The agent says which, goes on detecting, and tells everything afterwards but what it
//! counts as dropped.

use crate::broker::Listener;
use crate::field::{Field, number};
use crate::machine::Machine;
use crate::mosquitto::{Manner, Mosquitto};
use crate::stage::{PATIENCE, Stage, chapter, say};
use anyhow::ensure;
use lapwing_shared::release::manifest::ArtifactForm;
use serde_json::Value;

/// Alerts that wait while the broker restarts.
const QUEUED: u32 = 1_000;
/// At the least memory that there may be, 819 messages may wait (agent/src/budget.rs): with so many alerts some are lost.
const LEAST_WAITING: u64 = 819;
const TOO_MANY: u32 = 900;
/// Other messages that were dropped beside this test's alerts: episodes that were updated or closed meanwhile.
const OTHERS: u64 = 16;

struct UplinkFault {
    name: &'static str,
    /// The fault, before the broker is started again for it.
    begin: fn(&mut Machine) -> anyhow::Result<()>,
    manner: Manner,
    /// What the agent's status says of it.
    told: &'static [&'static str],
    end: fn(&mut Machine) -> anyhow::Result<()>,
}

const FAULTS: [UplinkFault; 3] = [
    UplinkFault {
        name: "The broker's name cannot be resolved",
        begin: |machine| machine.order("cp /etc/hosts /tmp/hosts && : >/etc/hosts", PATIENCE).map(drop),
        manner: Manner::Right,
        told: &["lookup address"],
        end: |machine| machine.order("cp /tmp/hosts /etc/hosts", PATIENCE).map(drop),
    },
    UplinkFault {
        name: "The broker has another password",
        begin: |_| Ok(()),
        manner: Manner::OtherPassword,
        told: &["the broker refuses us", "check user and password"],
        end: |_| Ok(()),
    },
    UplinkFault {
        name: "The broker's certificate has expired",
        begin: |_| Ok(()),
        manner: Manner::Expired,
        told: &["expired", "renew the broker's certificate"],
        end: |_| Ok(()),
    },
];

/// A gateway at a broker with TLS and a password; afterwards the trainer is at its own broker again.
///
/// # Errors
/// The first thing that did not happen.
pub(crate) fn at_anothers_broker(stage: &mut Stage, version: u64) -> anyhow::Result<()> {
    chapter("Somebody else's broker, with TLS and a password");
    let mut broker = Mosquitto::start(stage.parts.folder.join("mosquitto"), &stage.authority)?;
    stage.trainer.start_at(&format!("mqtt://{}", broker.plain))?;
    stage.listener = Listener::start(broker.plain)?;
    stage.parts.set("URL", broker.url());
    let mut field = Field::boot(stage, version)?;
    field.detects()?;
    for fault in FAULTS {
        chapter(fault.name);
        field.no_way(&mut broker, &fault)?;
    }
    field.machine.cut()?;
    stage.parts.set("URL", "");
    stage.trainer.start_again()?;
    stage.listener = Listener::start(stage.trainer.address)?;
    Ok(())
}

/// The trainer's own broker is away: while 1,000 alerts wait, and for longer than the outbox holds out.
///
/// # Errors
/// The first thing that did not happen.
pub(crate) fn broker_away(field: &mut Field<'_>) -> anyhow::Result<()> {
    chapter(&format!("The broker restarts while {QUEUED} alerts wait for it"));
    let (lost, dropped) = field.away(QUEUED)?;
    ensure!((lost, dropped) == (0, 0), "{lost} alerts are lost, {dropped} counted as dropped");
    say(&format!("all {QUEUED} alerts are in the trainer's store"));

    chapter("The broker is away for longer than the outbox holds out");
    let least = if field.stage.form == ArtifactForm::Onnx { "18MiB" } else { "7MiB" };
    field.machine.order("cp /etc/lapwing/agent.toml /tmp/agent.toml", PATIENCE)?;
    let edit = format!("sed -i 's/^memory = .*/memory = \"{least}\"/' /etc/lapwing/agent.toml");
    field.machine.order(&edit, PATIENCE)?;
    field.stage.listener.forget();
    field.kill()?;
    field.stage.in_use(field.version)?;
    let (lost, dropped) = field.away(TOO_MANY)?;
    ensure!(lost > 0 && lost <= dropped && dropped - lost <= OTHERS, "{lost} are lost, {dropped} counted as dropped");
    ensure!(u64::from(TOO_MANY) - lost + OTHERS >= LEAST_WAITING, "{lost} of {TOO_MANY} are lost");
    say(&format!("{lost} of {TOO_MANY} alerts are lost, the oldest; {dropped} messages are counted as dropped"));
    field.machine.order("cp /tmp/agent.toml /etc/lapwing/agent.toml", PATIENCE).map(drop)
}

impl Field<'_> {
    fn no_way(&mut self, broker: &mut Mosquitto, fault: &UplinkFault) -> anyhow::Result<()> {
        let before = self.status("a connection", |status| status["connection"] == "connected")?;
        (fault.begin)(&mut self.machine)?;
        broker.start_again(&self.stage.authority, fault.manner)?;
        let told = self.status(fault.name, |status| {
            let said = status["connection"].as_str().unwrap_or_default();
            fault.told.iter().all(|text| said.contains(text))
        })?;
        ensure!(!told.to_string().contains("sesame"), "the password stands in the status: {told}");
        say(&format!("the status says: {}", told["connection"]));
        let (scanner, _) = self.detects_alone()?;
        let waiting = self.status("an alert that waits", |status| status["outbox_waiting"] != 0)?;
        say(&format!("{} messages wait, an alert about {scanner} among them", waiting["outbox_waiting"]));

        (fault.end)(&mut self.machine)?;
        if fault.manner != Manner::Right {
            broker.start_again(&self.stage.authority, Manner::Right)?;
        }
        self.stored_scan(scanner)?;
        let after = self.status("nothing left to tell", |status| status["outbox_waiting"] == 0)?;
        ensure!(number(&after, "outbox_dropped_alerts")? == 0, "alerts were dropped: {after}");
        ensure!(number(&after, "uptime_s")? > number(&before, "uptime_s")?, "the agent began anew: {after}");
        Ok(())
    }

    /// So many test alerts, one after the other.
    pub(crate) fn test_alerts(&mut self, count: u32) -> anyhow::Result<()> {
        let each = "lapwing-agent test-alert >/dev/null || break; n=$((n + 1))";
        let line = format!("n=0; while [ $n -lt {count} ]; do {each}; done; [ $n = {count} ]");
        self.machine.order(&line, PATIENCE).map(drop)
    }

    /// Trainer and broker go, and so many alerts wait for them, and one about a scan; then they start again. How many
    /// of the alerts were lost, and how many the agent counts as dropped.
    fn away(&mut self, count: u32) -> anyhow::Result<(u64, u64)> {
        // After a start the journal tells again what the trainer has, and may drop some of that.
        let idle = self.status("nothing to tell", |status| status["outbox_waiting"] == 0)?;
        let dropped_before = number(&idle, "outbox_dropped_alerts")?;
        let before = tests_in(&self.stage.trainer.alerts()?);
        self.stage.trainer.stop();
        self.status("no connection", |status| status["connection"] != "connected")?;
        self.test_alerts(count)?;
        let (scanner, _) = self.detects_alone()?;
        let waiting = self.status("alerts that wait", |status| {
            let figure = |name: &str| status[name].as_u64().unwrap_or(0);
            figure("outbox_waiting") + figure("outbox_dropped_alerts") > dropped_before + u64::from(count)
        })?;
        let dropped = number(&waiting, "outbox_dropped_alerts")? - dropped_before;
        say(&format!("{} messages wait, {dropped} alerts were dropped", waiting["outbox_waiting"]));
        self.stage.trainer.start_again()?;
        self.stage.listener = Listener::start(self.stage.trainer.address)?;
        self.stored_scan(scanner)?;
        let told = self.status("nothing left to tell", |status| status["outbox_waiting"] == 0)?;
        let kept = tests_in(&self.stage.trainer.alerts()?) - before;
        let lost = u64::from(count).saturating_sub(kept);
        Ok((lost, number(&told, "outbox_dropped_alerts")? - dropped_before))
    }
}

/// Test alerts in a list; they are of release 0, which no release has.
fn tests_in(alerts: &[Value]) -> u64 {
    alerts.iter().filter(|alert| alert["release"] == 0).count() as u64
}
