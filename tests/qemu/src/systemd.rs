//! The Debian package in a system booted with systemd: the unit starts, its sandbox is effective, the agent detects a
//! recorded attack, the watchdog replaces a hanging agent, and the unit stops, starts at the next boot, and is purged.

use crate::gateway::Gateway;
use crate::machine::Machine;
use crate::releases::TestKey;
use crate::setup::{PACKAGED, PATIENCE, Plan, Setup, heading, pack, run_command, say};
use anyhow::{Context, ensure};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const UNIT: &str = "lapwing-agent.service";
/// The unit's WatchdogSec, RestartSec and TimeoutStopSec, doubled for a slow machine, seconds.
const WATCHDOG_S: u32 = 100;
/// Timeout of the boot; the console is silent until its service runs.
const BOOT: Duration = Duration::from_secs(400);
/// Capability sets in the kernel's notation: empty, and CAP_NET_RAW only.
const NO_CAPABILITY: &str = "0000000000000000";
const NET_RAW: &str = "0000000000002000";

/// Name and shell command of operations that the unit's sandbox must refuse. A command that runs inside the unit before
/// the agent tries them.
const FORBIDDEN: [(&str, &str); 9] = [
    ("a file in /", "touch /hole"),
    ("a file in /usr", "touch /usr/hole"),
    ("a file in /etc", "touch /etc/hole"),
    ("the original configuration file", "cat /etc/lapwing/agent.toml"),
    ("a file in /home", "touch /home/hole"),
    ("a kernel setting", "echo 1 >/proc/sys/net/ipv4/ip_forward"),
    ("a device", "mknod /run/lapwing/hole c 1 1"),
    ("another process", "kill -0 1"),
    ("a namespace", "unshare -m true"),
];
/// Operations that it must allow, which shows that the command works at all.
const ALLOWED: [(&str, &str); 3] = [
    ("a file in the state folder", "touch /var/lib/lapwing/needed && rm /var/lib/lapwing/needed"),
    ("a file in the runtime folder", "touch /run/lapwing/needed && rm /run/lapwing/needed"),
    ("the configuration from systemd", "cat $CREDENTIALS_DIRECTORY/agent.toml"),
];

pub(crate) fn run(plan: &Plan) -> anyhow::Result<()> {
    let mut setup = Setup::new(plan, |_, _, files| Ok(std::fs::create_dir_all(files)?))?;
    setup.use_external_broker()?;
    let disk = setup.config.disk.clone();
    fill(plan, &setup.key, &disk)?;
    heading("systemd boots, dpkg installs the package, and the unit starts");
    let machine = boot(&setup)?;
    let mut unit = Unit { gateway: Gateway::new(&mut setup, machine, PACKAGED) };
    unit.run("dpkg --install /packages/now.deb")?;
    unit.expect("ActiveState", "active")?;
    unit.expect("SubState", "running")?;
    let status = unit.gateway.status("the packaged release", |status| status["release"] == PACKAGED)?;
    say(&format!("active; the status socket answers: release {}, {}", status["release"], status["confinement"]));

    heading("The sandbox is effective");
    unit.check_sandbox()?;
    unit.check_privileges()?;

    heading("Configuration as in docs/install.md; alert over MQTT for a recorded port scan");
    unit.configure()?;
    unit.gateway.detect_scan()?;

    heading("The watchdog replaces a hanging agent");
    unit.hang()?;
    unit.gateway.detect_scan()?;

    heading("systemctl stop ends the agent cleanly; the next boot starts it again");
    unit.stop()?;
    unit.run("sync")?;
    unit.reboot()?;
    unit.gateway.detect_scan()?;

    heading("A purge stops and removes the unit");
    unit.run("dpkg --purge lapwing-agent")?;
    unit.expect("LoadState", "not-found")?;
    let left = unit
        .output("ls -d /var/lib/lapwing /var/lib/private/lapwing /run/lapwing /etc/lapwing/agent.toml 2>/dev/null")?;
    ensure!(left.is_empty(), "files left after the purge: {left}");
    let running = unit.output("ps | grep -c '[l]apwing-agent run'")?;
    ensure!(running == "0", "{running} running agents");
    unit.gateway.machine.cut_power()
}

fn boot(setup: &Setup) -> anyhow::Result<Machine> {
    let mut machine = Machine::start(&setup.config)?;
    let uptime = machine.until("guest: systemd is up at", BOOT)?;
    say(&format!("boot to systemd: {uptime} s of the guest's time"));
    Ok(machine)
}

/// Makes the guest's disk: Debian with systemd, the package, and the site key.
fn fill(plan: &Plan, key: &TestKey, disk: &Path) -> anyhow::Result<()> {
    let files = plan.folder.join("system");
    let packages = files.join("packages");
    std::fs::create_dir_all(&packages)?;
    std::fs::copy(pack(plan, None)?, packages.join("now.deb"))?;
    std::fs::write(packages.join("site.pub"), key.public()?)?;
    std::fs::write(packages.join("probe"), probe())?;
    let script = plan.tests.join("qemu/debian");
    run_command(Command::new(script).arg(plan.architecture.name()).arg(&files).arg(disk))
}

/// A script that prints the index of each operation that succeeded.
fn probe() -> String {
    let operations = ALLOWED.iter().chain(&FORBIDDEN).enumerate();
    let lines =
        operations.map(|(place, (_, line))| format!("if ({line}) >/dev/null 2>&1; then echo {place} worked; fi\n"));
    format!("#!/bin/sh\nexec >/run/lapwing/probe\n{}echo end\n", lines.collect::<String>())
}

struct Unit<'a> {
    gateway: Gateway<'a>,
}

impl Unit<'_> {
    fn run(&mut self, line: &str) -> anyhow::Result<String> {
        self.gateway.machine.run(line, PATIENCE)
    }

    /// The output of a command in the guest, as one line.
    fn output(&mut self, command: &str) -> anyhow::Result<String> {
        self.gateway.machine.expand(&format!("$({command} | xargs)"), PATIENCE)
    }

    fn property(&mut self, property: &str) -> anyhow::Result<String> {
        self.output(&format!("systemctl show --property {property} --value {UNIT}"))
    }

    fn expect(&mut self, property: &str, expected: &str) -> anyhow::Result<()> {
        let value = self.property(property)?;
        ensure!(value == expected, "the unit has {property}={value}, expected {expected}");
        Ok(())
    }

    /// Runs the probe inside the unit, with the unit's restrictions.
    fn check_sandbox(&mut self) -> anyhow::Result<()> {
        let folder = format!("/run/systemd/system/{UNIT}.d");
        self.run(&format!("mkdir -p {folder}"))?;
        let drop_in = r"[Service]\nExecStartPre=/bin/sh /packages/probe\nRuntimeDirectoryPreserve=yes\n";
        self.run(&format!("printf '{drop_in}' >{folder}/probe.conf && systemctl daemon-reload"))?;
        self.run(&format!("systemctl restart {UNIT}"))?;
        let output = self.output("cat /run/lapwing/probe")?;
        self.run(&format!("rm -r {folder} /run/lapwing/probe && systemctl daemon-reload"))?;
        ensure!(output.ends_with("end"), "the probe did not finish: {output:?}");
        let worked = |place: usize| output.contains(&format!("{place} worked"));
        for (place, (name, command)) in ALLOWED.iter().chain(&FORBIDDEN).enumerate() {
            let outcome = if worked(place) { "allows" } else { "refuses" };
            ensure!(worked(place) == (place < ALLOWED.len()), "the sandbox wrongly {outcome} {name}: `{command}`");
        }
        let names: Vec<&str> = FORBIDDEN.iter().map(|(name, _)| *name).collect();
        say(&format!("refused inside the unit: {}", names.join(", ")));
        Ok(())
    }

    /// The running agent has its own account, no capabilities, and cannot gain any.
    fn check_privileges(&mut self) -> anyhow::Result<()> {
        let process = self.property("MainPID")?;
        let mut status = |name: &str| self.output(&format!("sed -n 's/^{name}:[^0-9]*//p' /proc/{process}/status"));
        let user: u32 = status("Uid")?.split_whitespace().next().unwrap_or_default().parse().context("no Uid")?;
        ensure!(user != 0, "the agent runs as root");
        for (name, expected) in [
            ("CapEff", NO_CAPABILITY),
            ("CapPrm", NO_CAPABILITY),
            ("CapAmb", NO_CAPABILITY),
            ("CapBnd", NET_RAW),
            ("NoNewPrivs", "1"),
            ("Seccomp", "2"),
        ] {
            let value = status(name)?;
            ensure!(value == expected, "the agent's {name} is {value}, expected {expected}");
        }
        say(&format!("the agent runs as {user} without capabilities, bounded to CAP_NET_RAW; system calls filtered"));
        let limit = self.output(&format!("cat /sys/fs/cgroup/system.slice/{UNIT}/memory.max"))?;
        ensure!(limit == (64 << 20).to_string(), "MemoryMax is {limit}");
        Ok(())
    }

    /// Follows docs/install.md.
    fn configure(&mut self) -> anyhow::Result<()> {
        let (config, port) = ("/etc/lapwing/agent.toml", self.gateway.setup.trainer.address.port());
        self.run("cp /packages/site.pub /etc/lapwing/site.pub")?;
        self.run(&format!("sed -i 's|^# url = .*|url = \"mqtt://10.0.2.2:{port}\"|' {config}"))?;
        self.run(&format!("sed -i 's|^# *\"/etc/lapwing/site.pub\"|\"/etc/lapwing/site.pub\"|' {config}"))?;
        self.gateway.setup.listener.clear();
        self.run(&format!("lapwing-agent validate --config {config} && systemctl restart {UNIT}"))?;
        self.gateway.setup.wait_until_in_use(PACKAGED)
    }

    /// Simulates a hang with SIGSTOP: systemd gets no watchdog message, kills the agent and restarts it.
    fn hang(&mut self) -> anyhow::Result<()> {
        let (before, restarts) = (self.property("MainPID")?, self.restarts()?);
        self.gateway.setup.listener.clear();
        self.run(&format!("kill -STOP {before}"))?;
        for _ in 0..WATCHDOG_S {
            if self.restarts()? > restarts && self.property("ActiveState")? == "active" {
                let journal = self.output(&format!("journalctl --unit {UNIT} --output cat | grep -i watchdog"))?;
                ensure!(journal.contains("Watchdog timeout"), "restarted, but not by the watchdog: {journal}");
                ensure!(self.property("MainPID")? != before, "the process was not replaced");
                say(&format!("systemd: {journal}"));
                return self.gateway.setup.wait_until_in_use(PACKAGED);
            }
            self.run("sleep 1")?;
        }
        anyhow::bail!("systemd did not restart the hanging agent within {WATCHDOG_S} s")
    }

    fn restarts(&mut self) -> anyhow::Result<u32> {
        self.property("NRestarts")?.parse().context("systemd reports no NRestarts")
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        self.run(&format!("systemctl stop {UNIT}"))?;
        for (property, expected) in [("ActiveState", "inactive"), ("Result", "success"), ("ExecMainStatus", "0")] {
            self.expect(property, expected)?;
        }
        let left = self.output("ls -d /run/lapwing 2>/dev/null")?;
        ensure!(left.is_empty(), "the runtime folder still exists");
        let status = self.run("lapwing-agent status --json");
        ensure!(status.is_err(), "an agent answers after the unit was stopped");
        say("inactive, result success, runtime folder removed");
        Ok(())
    }

    /// Cuts the power and boots again.
    fn reboot(&mut self) -> anyhow::Result<()> {
        self.gateway.setup.listener.clear();
        // Kill the old machine first: both use the same disk and wire.
        self.gateway.machine.kill()?;
        self.gateway.machine = boot(self.gateway.setup)?;
        self.gateway.setup.wait_until_in_use(PACKAGED)?;
        let status = self.gateway.status("the agent", |status| status["connection"] == "connected")?;
        say(&format!("after the next boot: {} in use, {}", status["release"], status["connection"]));
        Ok(())
    }
}
