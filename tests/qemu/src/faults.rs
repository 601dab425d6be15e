//! Field failures of a gateway with live capture: link loss, out of memory, clock jumps; and those of `storage` and
//! `uplink`.
//!
//! After each fault the agent must detect a recorded port scan, each time from another host, so that each scan is a
//! separate episode.

use crate::gateway::{Gateway, number};
use crate::machine::Machine;
use crate::releases::Damage;
use crate::setup::{PATIENCE, Setup, heading, say};
use crate::{storage, uplink};
use anyhow::{Context, ensure};
use lapwing_shared::messages::UpdateStep;
use serde_json::Value;

/// Lowers the memory limit of the agent's cgroup until the kernel kills the agent; `start` then restores the limit.
/// Filling the guest's whole memory instead often makes the kernel panic, because the shells that act as init need some.
const TAKE_MEMORY: &str = "echo 1M >$group/memory.max; grep '^oom_kill [1-9]' $group/memory.events";
/// Time to wait for the journal, seconds; the agent writes it within two seconds of an alert (docs/live.md).
const JOURNAL_S: u64 = 5;
const YEAR_S: i64 = 365 * 86_400;
/// Tolerance of an alert's time, seconds.
const TOLERANCE_S: u64 = 60;

/// Live capture of a scan, without a fault.
pub(crate) fn scan_without_fault(setup: &mut Setup, version: u64) -> anyhow::Result<()> {
    heading("Live capture: a recorded port scan as raw frames on the guest's wire");
    let mut gateway = Gateway::boot(setup, version)?;
    gateway.detect_scan()?;
    gateway.setup.check_memory(&mut gateway.machine)?;
    gateway.machine.cut_power()
}

/// Runs all faults with the release that the gateway has in use.
pub(crate) fn run(setup: &mut Setup, version: u64) -> anyhow::Result<()> {
    uplink::external_broker(setup, version)?;
    let mut gateway = Gateway::boot(setup, version)?;
    heading("Link loss: cable, interface, device");
    for fault in [CABLE, INTERFACE, DEVICE] {
        gateway.link_fault(&fault)?;
    }
    heading("Out of memory while the broker is unreachable and an alert is queued");
    gateway.out_of_memory()?;

    for years in [50, -50] {
        heading(&format!("The clock jumps by {years} years and back"));
        gateway.clock_jump(years)?;
    }
    storage::run(&mut gateway)?;
    uplink::broker_outage(&mut gateway)?;
    heading("Restart with a clock fifty years ahead");
    gateway.start_with_clock_ahead()?;
    gateway.check_all_stored()?;
    gateway.machine.cut_power()
}

/// A link loss and its repair.
struct LinkFault {
    name: &'static str,
    /// Link state in the agent's status during the fault.
    link: &'static str,
    begin: fn(&mut Machine) -> anyhow::Result<()>,
    end: fn(&mut Machine) -> anyhow::Result<()>,
}

const CABLE: LinkFault = LinkFault {
    name: "the cable is pulled",
    link: "down",
    begin: |machine| machine.set_link("lan", false),
    end: |machine| machine.set_link("lan", true),
};
const INTERFACE: LinkFault = LinkFault {
    name: "the interface is switched off",
    link: "down",
    begin: |machine| machine.run("ip link set lan down", PATIENCE).map(drop),
    end: |machine| machine.run("ip link set lan up", PATIENCE).map(drop),
};
/// Like a USB adapter that is unplugged; it returns as a new interface.
const DEVICE: LinkFault = LinkFault {
    name: "the device is removed",
    link: "absent",
    begin: |machine| {
        machine.run("device=$(basename $(readlink -f /sys/class/net/lan/device))", PATIENCE)?;
        machine.run("echo $device >/sys/bus/virtio/drivers/virtio_net/unbind", PATIENCE).map(drop)
    },
    end: |machine| {
        machine.run("echo $device >/sys/bus/virtio/drivers/virtio_net/bind", PATIENCE)?;
        machine.run("ip link set $(ls /sys/bus/virtio/devices/$device/net) name lan up", PATIENCE).map(drop)
    },
};

impl Gateway<'_> {
    /// The agent reports and counts the loss, captures nothing during it, and continues afterwards.
    fn link_fault(&mut self, fault: &LinkFault) -> anyhow::Result<()> {
        let before = self.status("link up", |status| lan(status)["link"] == "up")?;
        (fault.begin)(&mut self.machine)?;
        let lost = self.status(fault.name, |status| lan(status)["link"] == fault.link)?;
        let losses = number(lan(&before), "losses")? + 1;
        ensure!(number(lan(&lost), "losses")? == losses, "{}: expected {losses} losses: {lost}", fault.name);
        self.scan()?;
        (fault.end)(&mut self.machine)?;
        let after = self.status("link up again", |status| lan(status)["link"] == "up")?;
        // A few packets of the interface itself when it comes up, but not the scan.
        let captured = number(lan(&after), "packets")? - number(lan(&lost), "packets")?;
        ensure!(captured < 20, "{}: {captured} packets captured during the loss", fault.name);
        ensure!(number(&after, "uptime_s")? > number(&before, "uptime_s")?, "{}: the agent restarted", fault.name);
        ensure!(number(lan(&after), "losses")? == losses, "{}: counted more than once: {after}", fault.name);
        say(&format!("{}: reported as {}, counted as loss {losses}, link up again", fault.name, fault.link));
        self.detect_scan().map(drop)
    }

    /// The kernel's OOM killer kills the agent, which restarts with its release and its unacknowledged alert.
    fn out_of_memory(&mut self) -> anyhow::Result<()> {
        let before = self.status("any status", |_| true)?;
        self.unplug_uplink()?;
        let (scanner, detected) = self.detect_scan_offline()?;
        let written_s = number(&detected, "uptime_s")? + JOURNAL_S;
        let written = self.status("the journal", |status| status["uptime_s"].as_u64() >= Some(written_s))?;
        let syncs = number(&written, "disk_syncs")?;
        ensure!(syncs > number(&before, "disk_syncs")?, "the queued alert is not on disk: {written}");
        say(&format!("an alert about {scanner} is queued; {syncs} disk syncs"));

        let mut output = self.machine.run(TAKE_MEMORY, PATIENCE)?;
        if !output.contains("agent ended with") {
            output = self.machine.until("guest: agent ended with", PATIENCE)?;
        }
        ensure!(output.trim().ends_with("137"), "the agent ended, but was not killed by the kernel: {output}");
        say("the kernel killed the agent");
        self.setup.listener.clear();
        self.plug_uplink()?;
        self.setup.wait_until_in_use(self.version)?;
        self.wait_for_alert(scanner)?;
        self.detect_scan().map(drop)
    }

    /// Sets the guest's clock and corrects it. Flows and episodes are unaffected. Alerts have the clock's time, or the
    /// correct time if the clock is before the floor.
    fn clock_jump(&mut self, years: i64) -> anyhow::Result<()> {
        let jump = years * YEAR_S;
        let steps = number(&self.status("any status", |_| true)?, "clock_steps")?;
        let stepped = |steps: u64| move |status: &Value| status["clock_steps"].as_u64() == Some(steps);
        self.machine.run(&format!("date -s @$(($(date +%s) + {jump})) >/dev/null"), PATIENCE)?;
        let jumped = self.status("the clock step", stepped(steps + 1))?;
        ensure!(jumped["clock_set"] == (years > 0), "wrong clock_set after a jump of {years} years: {jumped}");
        let alert = self.detect_scan()?;
        let wall: i64 = self.machine.expand("$(date +%s)", PATIENCE)?.parse().context("the guest's date")?;
        let expected = if years > 0 { wall } else { wall - jump };
        let at = (alert.at.as_nanos() / 1_000_000_000) as i64;
        ensure!(at.abs_diff(expected) <= TOLERANCE_S, "the alert's time is {at}, expected about {expected}");
        self.machine.run(&format!("date -s @$(($(date +%s) - {jump})) >/dev/null"), PATIENCE)?;
        let corrected = self.status("the clock's correction", stepped(steps + 2))?;
        ensure!(corrected["clock_set"] == true, "wrong clock_set after the correction: {corrected}");
        ensure!(number(&corrected, "uptime_s")? > number(&jumped, "uptime_s")?, "the agent restarted");
        say(&format!("jump of {years} years and back: the alert's time is {at}"));
        self.detect_scan().map(drop)
    }

    /// Restarts the agent while the clock is far ahead, then corrects the clock. The agent still detects scans and does
    /// not reject a release as expired.
    fn start_with_clock_ahead(&mut self) -> anyhow::Result<()> {
        self.setup.replace_own_broker()?;
        let jump = 50 * YEAR_S;
        self.machine.run(&format!("date -s @$(($(date +%s) + {jump})) >/dev/null"), PATIENCE)?;
        self.setup.listener.clear();
        self.kill()?;
        self.setup.wait_until_in_use(self.version)?;
        self.machine.run(&format!("date -s @$(($(date +%s) - {jump})) >/dev/null"), PATIENCE)?;
        self.status("the clock's correction", |status| status["clock_steps"].as_u64() == Some(1))?;
        self.detect_scan()?;
        self.setup.publish(self.version + 1, Damage::None)?;
        self.setup.wait_for_step(self.version + 1, &UpdateStep::Trial)?;
        say("the next release is on trial");
        Ok(())
    }
}

/// The interface `lan` in a status.
fn lan(status: &Value) -> &Value {
    &status["interfaces"][0]
}
