//! A state folder that cannot be written: full, or read-only. The agent says so, goes on detecting, tells what it holds
//! in memory, starts on such a disk as well, and uses it again once it can.

use crate::field::{Field, number};
use crate::stage::{PATIENCE, chapter, say};
use anyhow::ensure;

/// Alerts that certainly do not fit into what a full disk has left of its last block.
const ALERTS: u32 = 20;

struct DiskFault {
    name: &'static str,
    /// What the guest's shell does for it.
    begin: &'static str,
    /// What the agent's status says of it.
    told: &'static str,
    end: &'static str,
}

const FULL: DiskFault = DiskFault {
    name: "The disk is full",
    begin: "cat /dev/zero >/state/ballast 2>/dev/null; sync",
    told: "No space left on device",
    end: "rm /state/ballast && sync",
};
/// As the kernel makes a disk that gives errors.
const READ_ONLY: DiskFault = DiskFault {
    name: "The disk is read-only",
    begin: "sync && mount -o remount,ro /state",
    told: "Read-only file system",
    end: "mount -o remount,rw /state",
};

/// Plays both.
///
/// # Errors
/// The first thing that did not happen.
pub(crate) fn play(field: &mut Field<'_>) -> anyhow::Result<()> {
    for fault in [FULL, READ_ONLY] {
        chapter(fault.name);
        field.disk_fails(&fault)?;
        field.disk_is_back(&fault)?;
    }
    Ok(())
}

impl Field<'_> {
    fn disk_fails(&mut self, fault: &DiskFault) -> anyhow::Result<()> {
        self.machine.order(fault.begin, PATIENCE)?;
        self.unplug_uplink()?;
        let (scanner, _) = self.detects_alone()?;
        self.test_alerts(ALERTS)?;
        let failing = self.status(fault.told, |status| {
            let told = status["disk_error"].as_str().is_some_and(|error| error.contains(fault.told));
            told && status["outbox_waiting"].as_u64() > Some(u64::from(ALERTS))
        })?;
        let (errors, waiting) = (number(&failing, "disk_errors")?, number(&failing, "outbox_waiting")?);
        ensure!(errors > 0, "the failed writes are not counted: {failing}");
        say(&format!("the status says {}, {errors} failed writes; {waiting} messages wait", failing["disk_error"]));
        self.plug_uplink()?;
        self.told_of(scanner)?;
        let told = self.status("nothing left to tell", |status| status["outbox_waiting"] == 0)?;
        ensure!(number(&told, "outbox_dropped_alerts")? == 0, "alerts were dropped: {told}");

        self.stage.listener.forget();
        self.kill()?;
        self.stage.in_use(self.version)?;
        say("a start on that disk: the confirmed release is in use");
        self.detects().map(drop)
    }

    /// What waits is written again: it outlives the agent.
    fn disk_is_back(&mut self, fault: &DiskFault) -> anyhow::Result<()> {
        self.machine.order(fault.end, PATIENCE)?;
        self.unplug_uplink()?;
        let (scanner, _) = self.detects_alone()?;
        self.status("the alert on the disk", |status| status["disk_error"].is_null() && status["disk_syncs"] != 0)?;
        self.stage.listener.forget();
        self.kill()?;
        self.plug_uplink()?;
        self.stage.in_use(self.version)?;
        self.told_of(scanner)?;
        say("the disk is written again: an alert that waited there was told after the agent was killed");
        Ok(())
    }
}
