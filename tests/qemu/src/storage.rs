//! Disk errors: the state folder is full or read-only. The agent reports the error, continues to detect and to deliver
//! alerts from memory, can start in this state, and writes to the disk again afterwards.

use crate::gateway::{Gateway, number};
use crate::setup::{PATIENCE, heading, say};
use anyhow::ensure;

/// Number of alerts that does not fit into the rest of a full disk's last block.
const ALERTS: u32 = 20;

struct DiskFault {
    name: &'static str,
    /// Command that causes the fault.
    begin: &'static str,
    /// Expected error in the agent's status.
    error: &'static str,
    end: &'static str,
}

const FULL: DiskFault = DiskFault {
    name: "The disk is full",
    // `cat` writes whole pages, so up to three blocks stay free.
    begin: "cat /dev/zero >/state/ballast 2>/dev/null; sync; \
            dd if=/dev/zero bs=1k >>/state/ballast 2>/dev/null; sync",
    error: "No space left on device",
    end: "rm /state/ballast && sync",
};
/// As the kernel remounts a disk with errors.
const READ_ONLY: DiskFault = DiskFault {
    name: "The disk is read-only",
    begin: "sync && mount -o remount,ro /state",
    error: "Read-only file system",
    end: "mount -o remount,rw /state",
};

pub(crate) fn run(gateway: &mut Gateway<'_>) -> anyhow::Result<()> {
    for fault in [FULL, READ_ONLY] {
        heading(fault.name);
        gateway.disk_fails(&fault)?;
        gateway.disk_works_again(&fault)?;
    }
    Ok(())
}

impl Gateway<'_> {
    fn disk_fails(&mut self, fault: &DiskFault) -> anyhow::Result<()> {
        self.machine.run(fault.begin, PATIENCE)?;
        self.unplug_uplink()?;
        let (scanner, _) = self.detect_scan_offline()?;
        self.test_alerts(ALERTS)?;
        let failing = self.status(fault.error, |status| {
            let reported = status["disk_error"].as_str().is_some_and(|error| error.contains(fault.error));
            reported && status["outbox_waiting"].as_u64() > Some(u64::from(ALERTS))
        })?;
        let (errors, waiting) = (number(&failing, "disk_errors")?, number(&failing, "outbox_waiting")?);
        ensure!(errors > 0, "failed writes are not counted: {failing}");
        say(&format!("status: {}; {errors} failed writes, {waiting} queued messages", failing["disk_error"]));
        self.plug_uplink()?;
        self.wait_for_alert(scanner)?;
        let delivered = self.status("an empty outbox", |status| status["outbox_waiting"] == 0)?;
        ensure!(number(&delivered, "outbox_dropped_alerts")? == 0, "alerts were dropped: {delivered}");

        self.setup.listener.clear();
        self.kill()?;
        self.setup.wait_until_in_use(self.version)?;
        say("restarted on this disk: the confirmed release is in use");
        self.detect_scan().map(drop)
    }

    /// A queued alert is on disk again: it survives a kill of the agent.
    fn disk_works_again(&mut self, fault: &DiskFault) -> anyhow::Result<()> {
        self.machine.run(fault.end, PATIENCE)?;
        self.unplug_uplink()?;
        let (scanner, _) = self.detect_scan_offline()?;
        self.status("the alert on disk", |status| status["disk_error"].is_null() && status["disk_syncs"] != 0)?;
        self.setup.listener.clear();
        self.kill()?;
        self.plug_uplink()?;
        self.setup.wait_until_in_use(self.version)?;
        self.wait_for_alert(scanner)?;
        say("the disk works again: a queued alert was delivered after the agent was killed");
        Ok(())
    }
}
