//! The unit by systemd itself: Debian's dpkg installs the package in a system whose first program is systemd; the unit
//! starts, its sandbox holds, a recorded attack is told of, the watchdog takes an agent that stands still, and it stops,
//! comes back with the next boot, and goes.

use crate::field::Field;
use crate::machine::Machine;
use crate::releases::BenchKey;
use crate::stage::{PACKAGED, PATIENCE, Plan, Stage, chapter, pack, run, say};
use anyhow::{Context, ensure};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const UNIT: &str = "lapwing-agent.service";
/// The unit's WatchdogSec, RestartSec and TimeoutStopSec, and as much again for a slow machine, seconds.
const WATCHDOG_S: u32 = 100;
/// Until the console's service runs, nothing is said.
const BOOT: Duration = Duration::from_secs(400);
/// Capabilities as the kernel writes them: none, and CAP_NET_RAW alone.
const NO_CAPABILITY: &str = "0000000000000000";
const NET_RAW: &str = "0000000000002000";

/// What the unit's sandbox refuses, tried from inside it by a command that runs before the agent: a name, and a line
/// whose success would be a hole.
const HOLES: [(&str, &str); 9] = [
    ("a file in /", "touch /hole"),
    ("a file in /usr", "touch /usr/hole"),
    ("a file in /etc", "touch /etc/hole"),
    ("the settings' own file", "cat /etc/lapwing/agent.toml"),
    ("a file in /home", "touch /home/hole"),
    ("a setting of the kernel", "echo 1 >/proc/sys/net/ipv4/ip_forward"),
    ("a device", "mknod /run/lapwing/hole c 1 1"),
    ("another's process", "kill -0 1"),
    ("a namespace", "unshare -m true"),
];
/// What it must allow, or the refusals above say nothing.
const NEEDED: [(&str, &str); 3] = [
    ("a file in the state folder", "touch /var/lib/lapwing/needed && rm /var/lib/lapwing/needed"),
    ("a file in the runtime folder", "touch /run/lapwing/needed && rm /run/lapwing/needed"),
    ("the settings as handed over", "cat $CREDENTIALS_DIRECTORY/agent.toml"),
];

/// Plays it with a gateway of its own.
///
/// # Errors
/// The first thing that did not happen.
pub fn play(plan: &Plan) -> anyhow::Result<()> {
    let mut stage = Stage::set_up(plan, |_, _, files| Ok(std::fs::create_dir_all(files)?))?;
    let disk = stage.parts.disk.clone();
    fill(plan, &stage.key, &disk)?;
    chapter("systemd boots, dpkg installs the package, and the unit starts");
    let machine = boot(&stage)?;
    let mut unit = Unit { field: Field::on(&mut stage, machine, PACKAGED) };
    unit.order("dpkg --install /packages/now.deb")?;
    unit.is("ActiveState", "active")?;
    unit.is("SubState", "running")?;
    let status = unit.field.status("the packaged release", |status| status["release"] == PACKAGED)?;
    say(&format!("active; the status socket answers: release {}, {}", status["release"], status["confinement"]));

    chapter("The sandbox is in force");
    unit.sandbox()?;
    unit.rights()?;

    chapter("Two lines are edited; a recorded port scan is told of over MQTT");
    unit.set_up()?;
    unit.field.detects()?;

    chapter("The agent stands still: the watchdog ends it, and it comes back detecting");
    unit.stands_still()?;
    unit.field.detects()?;

    chapter("systemctl stop ends it in order; the next boot starts it again");
    unit.stops()?;
    unit.order("sync")?;
    unit.boots_again()?;
    unit.field.detects()?;

    chapter("A purge stops the unit and leaves none");
    unit.order("dpkg --purge lapwing-agent")?;
    unit.is("LoadState", "not-found")?;
    let left =
        unit.said("ls -d /var/lib/lapwing /var/lib/private/lapwing /run/lapwing /etc/lapwing/agent.toml 2>/dev/null")?;
    ensure!(left.is_empty(), "a purge leaves: {left}");
    let running = unit.said("ps | grep -c '[l]apwing-agent run'")?;
    ensure!(running == "0", "{running} agents are running");
    unit.field.machine.cut()
}

fn boot(stage: &Stage) -> anyhow::Result<Machine> {
    let mut machine = Machine::start(&stage.parts)?;
    let uptime = machine.until("guest: systemd is up at", BOOT)?;
    say(&format!("systemd took {uptime} s of the guest's time"));
    Ok(machine)
}

/// The guest's disk: Debian with systemd, the tree's package, and the site's key as an operator would bring it.
fn fill(plan: &Plan, key: &BenchKey, disk: &Path) -> anyhow::Result<()> {
    let files = plan.folder.join("system");
    let packages = files.join("packages");
    std::fs::create_dir_all(&packages)?;
    std::fs::copy(pack(plan, None)?, packages.join("now.deb"))?;
    std::fs::write(packages.join("site.pub"), key.public()?)?;
    std::fs::write(packages.join("probe"), probe())?;
    let script = plan.tests.join("qemu/debian");
    run(Command::new(script).arg(plan.architecture.name()).arg(&files).arg(disk))
}

/// A script that tells of each line whether it worked.
fn probe() -> String {
    let tried = NEEDED.iter().chain(&HOLES).enumerate();
    let lines = tried.map(|(place, (_, line))| format!("if ({line}) >/dev/null 2>&1; then echo {place} worked; fi\n"));
    format!("#!/bin/sh\nexec >/run/lapwing/probe\n{}echo end\n", lines.collect::<String>())
}

struct Unit<'a> {
    field: Field<'a>,
}

impl Unit<'_> {
    fn order(&mut self, line: &str) -> anyhow::Result<String> {
        self.field.machine.order(line, PATIENCE)
    }

    /// What a line prints in the guest, its lines joined.
    fn said(&mut self, line: &str) -> anyhow::Result<String> {
        let said = self.order(&format!("echo \"guest: says $({line} | xargs)\""))?;
        Ok(said.lines().find_map(|line| line.strip_prefix("says")).unwrap_or_default().trim().to_owned())
    }

    fn shown(&mut self, property: &str) -> anyhow::Result<String> {
        self.said(&format!("systemctl show --property {property} --value {UNIT}"))
    }

    fn is(&mut self, property: &str, expected: &str) -> anyhow::Result<()> {
        let found = self.shown(property)?;
        ensure!(found == expected, "systemd says {property}={found} of the unit, expected {expected}");
        Ok(())
    }

    /// Runs the probe inside the unit, with all that the unit says of what it starts.
    fn sandbox(&mut self) -> anyhow::Result<()> {
        let folder = format!("/run/systemd/system/{UNIT}.d");
        self.order(&format!("mkdir -p {folder}"))?;
        let drop_in = r"[Service]\nExecStartPre=/bin/sh /packages/probe\nRuntimeDirectoryPreserve=yes\n";
        self.order(&format!("printf '{drop_in}' >{folder}/probe.conf && systemctl daemon-reload"))?;
        self.order(&format!("systemctl restart {UNIT}"))?;
        let told = self.said("cat /run/lapwing/probe")?;
        self.order(&format!("rm -r {folder} /run/lapwing/probe && systemctl daemon-reload"))?;
        ensure!(told.ends_with("end"), "the probe did not reach its end: {told:?}");
        let worked = |place: usize| told.contains(&format!("{place} worked"));
        for (place, (name, line)) in NEEDED.iter().chain(&HOLES).enumerate() {
            ensure!(worked(place) == (place < NEEDED.len()), "inside the unit, {name}: `{line}` went the wrong way");
        }
        let names: Vec<&str> = HOLES.iter().map(|(name, _)| *name).collect();
        say(&format!("refused inside the unit: {}", names.join(", ")));
        Ok(())
    }

    /// The running agent has an account of its own, no capability, and no way to get one.
    fn rights(&mut self) -> anyhow::Result<()> {
        let process = self.shown("MainPID")?;
        let mut told = |name: &str| self.said(&format!("sed -n 's/^{name}:[^0-9]*//p' /proc/{process}/status"));
        let user: u32 = told("Uid")?.split_whitespace().next().unwrap_or_default().parse().context("no Uid")?;
        ensure!(user != 0, "the agent runs as root");
        for (name, expected) in [
            ("CapEff", NO_CAPABILITY),
            ("CapPrm", NO_CAPABILITY),
            ("CapAmb", NO_CAPABILITY),
            ("CapBnd", NET_RAW),
            ("NoNewPrivs", "1"),
            ("Seccomp", "2"),
        ] {
            let found = told(name)?;
            ensure!(found == expected, "the agent's {name} is {found}, expected {expected}");
        }
        say(&format!("the agent runs as {user}; no capability in use, CAP_NET_RAW at most; system calls filtered"));
        let most = self.said(&format!("cat /sys/fs/cgroup/system.slice/{UNIT}/memory.max"))?;
        ensure!(most == (64 << 20).to_string(), "MemoryMax is {most}");
        Ok(())
    }

    /// What docs/install.md tells the operator to do.
    fn set_up(&mut self) -> anyhow::Result<()> {
        let (settings, port) = ("/etc/lapwing/agent.toml", self.field.stage.trainer.address.port());
        self.order("cp /packages/site.pub /etc/lapwing/site.pub")?;
        self.order(&format!("sed -i 's|^# url = .*|url = \"mqtt://10.0.2.2:{port}\"|' {settings}"))?;
        self.order(&format!("sed -i 's|^# *\"/etc/lapwing/site.pub\"|\"/etc/lapwing/site.pub\"|' {settings}"))?;
        self.field.stage.listener.forget();
        self.order(&format!("lapwing-agent validate --config {settings} && systemctl restart {UNIT}"))?;
        self.field.stage.in_use(PACKAGED)
    }

    /// SIGSTOP, as a program that hangs: systemd hears nothing, ends it, and starts it anew.
    fn stands_still(&mut self) -> anyhow::Result<()> {
        let (before, restarts) = (self.shown("MainPID")?, self.restarts()?);
        self.field.stage.listener.forget();
        self.order(&format!("kill -STOP {before}"))?;
        for _ in 0..WATCHDOG_S {
            if self.restarts()? > restarts && self.shown("ActiveState")? == "active" {
                let journal = self.said(&format!("journalctl --unit {UNIT} --output cat | grep -i watchdog"))?;
                ensure!(journal.contains("Watchdog timeout"), "it came back, but not by the watchdog: {journal}");
                ensure!(self.shown("MainPID")? != before, "the same process as before");
                say(&format!("systemd: {journal}"));
                return self.field.stage.in_use(PACKAGED);
            }
            self.order("sleep 1")?;
        }
        anyhow::bail!("{WATCHDOG_S} s after it was stopped, the agent has not come back")
    }

    fn restarts(&mut self) -> anyhow::Result<u32> {
        self.shown("NRestarts")?.parse().context("systemd tells no NRestarts")
    }

    fn stops(&mut self) -> anyhow::Result<()> {
        self.order(&format!("systemctl stop {UNIT}"))?;
        for (property, expected) in [("ActiveState", "inactive"), ("Result", "success"), ("ExecMainStatus", "0")] {
            self.is(property, expected)?;
        }
        let left = self.said("ls -d /run/lapwing 2>/dev/null")?;
        ensure!(left.is_empty(), "the socket's folder is left");
        let status = self.order("lapwing-agent status --json");
        ensure!(status.is_err(), "somebody answers after the agent was stopped");
        say("inactive, with success; its runtime folder is gone");
        Ok(())
    }

    /// The power goes, and comes back.
    fn boots_again(&mut self) -> anyhow::Result<()> {
        self.field.stage.listener.forget();
        // The old one goes first: they share disk and wire.
        self.field.machine.switch_off()?;
        self.field.machine = boot(self.field.stage)?;
        self.field.stage.in_use(PACKAGED)?;
        let status = self.field.status("the agent", |status| status["connection"] == "connected")?;
        say(&format!("after the next boot: {} in use, {}", status["release"], status["connection"]));
        Ok(())
    }
}
