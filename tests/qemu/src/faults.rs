//! A gateway on the wire, and what befalls it in the field: links that go and come back, memory that runs out, clocks that
//! jump; and what `storage` and `uplink` tell.
//! After each fault a recorded port scan must be told of, each time by another host, so that each is an episode of its
//! own.

use crate::field::{Field, number};
use crate::machine::Machine;
use crate::releases::Damage;
use crate::stage::{PATIENCE, Stage, chapter, say};
use crate::{storage, uplink};
use anyhow::{Context, ensure};
use lapwing_shared::messages::UpdateStep;
use serde_json::Value;

/// Takes away the memory that the agent's group may have, as if all else were full: the kernel finds nothing to take
/// back and ends the agent. Afterwards the group has what the unit gives it. Filling the guest's whole memory instead
/// often ends in the kernel's own panic, since the shells that play init need some as well.
const TAKE_MEMORY: &str = "echo 1M >$group/memory.max; grep '^oom_kill [1-9]' $group/memory.events";
/// The journal is written within two seconds of an alert (docs/live.md); looked at that often, this is enough, seconds.
const JOURNAL_S: u64 = 5;
const YEAR_S: i64 = 365 * 86_400;
/// How far an alert's time may lie from when it is heard of, seconds.
const NEAR_S: u64 = 60;

/// A scan on the wire, without a fault.
///
/// # Errors
/// The first thing that did not happen.
pub fn none(stage: &mut Stage, version: u64) -> anyhow::Result<()> {
    chapter("Live: a recorded port scan as raw frames on the guest's wire");
    let mut field = Field::boot(stage, version)?;
    field.detects()?;
    field.stage.memory(&mut field.machine)?;
    field.machine.cut()
}

/// Plays all of it with the release that the gateway has in use.
///
/// # Errors
/// The first thing that did not happen.
pub fn play(stage: &mut Stage, version: u64) -> anyhow::Result<()> {
    uplink::at_anothers_broker(stage, version)?;
    let mut field = Field::boot(stage, version)?;
    chapter("The link goes and comes back: cable, interface, device");
    for fault in [CABLE, INTERFACE, DEVICE] {
        field.link(&fault)?;
    }
    chapter("Memory runs out while the broker is away and an alert waits");
    field.memory_runs_out()?;

    for years in [50, -50] {
        chapter(&format!("The clock jumps by {years} years, and back"));
        field.clock(years)?;
    }
    storage::play(&mut field)?;
    uplink::broker_away(&mut field)?;
    chapter("Killed, and started once with a clock fifty years ahead");
    field.started_ahead()?;
    field.all_stored()?;
    field.machine.cut()
}

/// A way for the interface to go, and how it comes back.
struct LinkFault {
    name: &'static str,
    /// What the agent's status calls it meanwhile.
    told: &'static str,
    out: fn(&mut Machine) -> anyhow::Result<()>,
    back: fn(&mut Machine) -> anyhow::Result<()>,
}

const CABLE: LinkFault = LinkFault {
    name: "the cable is pulled",
    told: "down",
    out: |machine| machine.plug("lan", false),
    back: |machine| machine.plug("lan", true),
};
const INTERFACE: LinkFault = LinkFault {
    name: "the interface is switched off",
    told: "down",
    out: |machine| machine.order("ip link set lan down", PATIENCE).map(drop),
    back: |machine| machine.order("ip link set lan up", PATIENCE).map(drop),
};
/// As a USB adapter that is pulled; it comes back as a new interface.
const DEVICE: LinkFault = LinkFault {
    name: "the device is gone",
    told: "absent",
    out: |machine| {
        machine.order("device=$(basename $(readlink -f /sys/class/net/lan/device))", PATIENCE)?;
        machine.order("echo $device >/sys/bus/virtio/drivers/virtio_net/unbind", PATIENCE).map(drop)
    },
    back: |machine| {
        machine.order("echo $device >/sys/bus/virtio/drivers/virtio_net/bind", PATIENCE)?;
        machine.order("ip link set $(ls /sys/bus/virtio/devices/$device/net) name lan up", PATIENCE).map(drop)
    },
};

impl Field<'_> {
    /// The interface goes: that is told and counted, what comes meanwhile is not made up, and afterwards it goes on.
    fn link(&mut self, fault: &LinkFault) -> anyhow::Result<()> {
        let before = self.status("the link up", |status| lan(status)["link"] == "up")?;
        (fault.out)(&mut self.machine)?;
        let gone = self.status(fault.name, |status| lan(status)["link"] == fault.told)?;
        let losses = number(lan(&before), "losses")? + 1;
        ensure!(number(lan(&gone), "losses")? == losses, "{}: not counted as loss {losses}: {gone}", fault.name);
        self.scan()?;
        (fault.back)(&mut self.machine)?;
        let back = self.status("the link back", |status| lan(status)["link"] == "up")?;
        // The interface's own words as it comes up, not the scan.
        let meanwhile = number(lan(&back), "packets")? - number(lan(&gone), "packets")?;
        ensure!(meanwhile < 20, "{}: {meanwhile} packets were seen nevertheless", fault.name);
        ensure!(number(&back, "uptime_s")? > number(&before, "uptime_s")?, "{}: the agent began anew", fault.name);
        ensure!(number(lan(&back), "losses")? == losses, "{}: lost more than once: {back}", fault.name);
        say(&format!("{}: told as {}, counted as loss {losses}, and back", fault.name, fault.told));
        self.detects().map(drop)
    }

    /// The kernel ends the agent for want of memory. It comes back with its release, and with the alert that nobody had
    /// acknowledged yet.
    fn memory_runs_out(&mut self) -> anyhow::Result<()> {
        let before = self.status("a status", |_| true)?;
        self.unplug_uplink()?;
        let (scanner, waiting) = self.detects_alone()?;
        let written_s = number(&waiting, "uptime_s")? + JOURNAL_S;
        let written = self.status("the journal", |status| status["uptime_s"].as_u64() >= Some(written_s))?;
        let syncs = number(&written, "disk_syncs")?;
        ensure!(syncs > number(&before, "disk_syncs")?, "the alert that waits is not on the disk: {written}");
        say(&format!("an alert about {scanner} waits; the disk was made durable {syncs} times"));

        let mut said = self.machine.order(TAKE_MEMORY, PATIENCE)?;
        if !said.contains("agent ended with") {
            said = self.machine.until("guest: agent ended with", PATIENCE)?;
        }
        ensure!(said.trim().ends_with("137"), "the agent ended, but not by the kernel's hand: {said}");
        say("the kernel ended the agent");
        self.stage.listener.forget();
        self.plug_uplink()?;
        self.stage.in_use(self.version)?;
        self.told_of(scanner)?;
        self.detects().map(drop)
    }

    /// The guest's clock is set, and set right again: no flow or episode minds, and alerts say what the clock says, or
    /// where that cannot be, what it would have said.
    fn clock(&mut self, years: i64) -> anyhow::Result<()> {
        let jump = years * YEAR_S;
        let steps = number(&self.status("a status", |_| true)?, "clock_steps")?;
        let stepped = |steps: u64| move |status: &Value| status["clock_steps"].as_u64() == Some(steps);
        self.machine.order(&format!("date -s @$(($(date +%s) + {jump})) >/dev/null"), PATIENCE)?;
        let jumped = self.status("the clock's step", stepped(steps + 1))?;
        ensure!(jumped["clock_set"] == (years > 0), "{years} years on, the agent says: {jumped}");
        let alert = self.detects()?;
        let said = self.machine.order("echo \"guest: says $(date +%s)\"", PATIENCE)?;
        let wall: i64 = said.lines().find_map(|line| line.strip_prefix("says ")?.parse().ok()).context("no date")?;
        let expected = if years > 0 { wall } else { wall - jump };
        let at = (alert.at.as_nanos() / 1_000_000_000) as i64;
        ensure!(at.abs_diff(expected) <= NEAR_S, "the alert is of {at}, and the guest's date would be {expected}");
        self.machine.order(&format!("date -s @$(($(date +%s) - {jump})) >/dev/null"), PATIENCE)?;
        let mended = self.status("the clock's way back", stepped(steps + 2))?;
        ensure!(mended["clock_set"] == true, "with its clock set right, the agent says: {mended}");
        ensure!(number(&mended, "uptime_s")? > number(&jumped, "uptime_s")?, "the agent began anew");
        say(&format!("{years} years and back: the alert's time is {at}"));
        self.detects().map(drop)
    }

    /// The agent is killed while the clock is far ahead, so that a whole run is of that time. With the clock set right it
    /// detects, and no release is refused as expired.
    fn started_ahead(&mut self) -> anyhow::Result<()> {
        let jump = 50 * YEAR_S;
        self.machine.order(&format!("date -s @$(($(date +%s) + {jump})) >/dev/null"), PATIENCE)?;
        self.stage.listener.forget();
        self.kill()?;
        self.stage.in_use(self.version)?;
        self.machine.order(&format!("date -s @$(($(date +%s) - {jump})) >/dev/null"), PATIENCE)?;
        self.status("the clock's way back", |status| status["clock_steps"].as_u64() == Some(1))?;
        self.detects()?;
        self.stage.offer(self.version + 1, Damage::None)?;
        self.stage.step(self.version + 1, &UpdateStep::Trial)?;
        say("the next release is on trial");
        Ok(())
    }
}

/// The interface in a status.
fn lan(status: &Value) -> &Value {
    &status["interfaces"][0]
}
