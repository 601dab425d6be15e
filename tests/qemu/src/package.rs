//! Installation, configuration as in docs/install.md, upgrade, removal, reinstallation and purge of the Debian package
//! with dpkg in a booted system. After each step the agent meters and detects with the expected configuration and
//! release.

use crate::feed::Feed;
use crate::machine::Machine;
use crate::releases::{Damage, TestKey};
use crate::setup::{PACKAGED, PATIENCE, Plan, Setup, heading, pack, run_command, say};
use anyhow::{Context, ensure};
use lapwing_shared::messages::UpdateStep;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Version of the next package.
const NEXT: &str = "9.9";
/// Makes the next package's default configuration differ.
const NEXT_CONFIG: &str = "# Configuration of the next version.\n";
/// dpkg as called by unattended upgrades: keeps edited files without asking. Needs the path, because busybox's shell
/// would run its own dpkg.
const DPKG: &str = "/usr/bin/dpkg --force-confdef --force-confold";
/// A setting that the operator edits; differs from the package's and from the default.
const EDITED: &str = "alerts-per-day = 0.5";

pub(crate) fn run(plan: &Plan) -> anyhow::Result<()> {
    let mut setup = Setup::new(plan, |key, _, files| fill(plan, key, files))?;
    setup.use_external_broker()?;
    setup.config.set("SOURCE", "package");
    heading("dpkg installs the package: the agent starts with the packaged release");
    let mut machine = Machine::start(&setup.config)?;
    machine.until("guest: up", PATIENCE)?;
    let mut system = System { setup: &mut setup, machine };
    system.dpkg("--install /packages/now.deb")?;
    // Keep the connection open, so that this agent does not reach the end of its packets.
    let _before = system.wait_for_agent()?;
    let status = system.expand("$(lapwing-agent status | grep '^release')")?;
    ensure!(status.starts_with(&format!("release {PACKAGED} ")), "status of the installed agent: {status}");
    say(&status);

    heading("Configuration as in docs/install.md; update to a new release");
    let mut feed = system.configure()?;
    system.setup.confirm_and_attack(&mut feed, PACKAGED)?;
    let version = system.update(&mut feed, PACKAGED + 1)?;

    heading("An upgrade with another default configuration keeps the edited one and the confirmed release");
    system.dpkg("--install /packages/next.deb")?;
    let mut feed = system.wait_for_agent()?;
    system.check_kept(true)?;
    system.setup.confirm_and_attack(&mut feed, version)?;

    heading("Removal stops the agent and keeps configuration and release for a reinstallation");
    system.dpkg("--remove lapwing-agent")?;
    system.check_kept(false)?;
    system.dpkg("--install /packages/next.deb")?;
    let mut feed = system.wait_for_agent()?;
    system.check_kept(true)?;
    system.setup.confirm_and_attack(&mut feed, version)?;

    heading("A purge leaves only the operator's key");
    system.dpkg("--purge lapwing-agent")?;
    let left =
        system.expand("$(find /etc /lib/systemd /usr /var/lib -path '*lapwing*' ! -path '/var/lib/dpkg/*' | xargs)")?;
    ensure!(left == "/etc/lapwing /etc/lapwing/site.pub", "files left after the purge: {left}");
    system.machine.cut_power()
}

struct System<'a> {
    setup: &'a mut Setup,
    machine: Machine,
}

impl System<'_> {
    fn dpkg(&mut self, arguments: &str) -> anyhow::Result<()> {
        self.setup.listener.clear();
        self.machine.run(&format!("{DPKG} {arguments}"), PATIENCE).map(drop)?;
        say(&format!("dpkg {arguments}"));
        Ok(())
    }

    fn expand(&mut self, words: &str) -> anyhow::Result<String> {
        self.machine.expand(words, PATIENCE)
    }

    /// Waits until the agent has started and fetches packets.
    fn wait_for_agent(&mut self) -> anyhow::Result<Feed> {
        self.setup.feed_server.wait()
    }

    /// Follows docs/install.md.
    fn configure(&mut self) -> anyhow::Result<Feed> {
        let config = "/etc/lapwing/agent.toml";
        for edit in [
            "s|^# url = .*|url = \"mqtt://10.0.2.2:'$BROKER'\"|",
            "s|^# *\"/etc/lapwing/site.pub\"|\"/etc/lapwing/site.pub\"|",
            &format!("s|^alerts-per-day = .*|{EDITED}|"),
        ] {
            self.machine.run(&format!("sed -i '{edit}' {config}"), PATIENCE)?;
        }
        self.machine.run("cp /packages/site.pub /etc/lapwing/site.pub", PATIENCE)?;
        let restart = format!("lapwing-agent validate --config {config} && systemctl restart lapwing-agent");
        self.machine.run(&restart, PATIENCE)?;
        self.wait_for_agent()
    }

    /// Publishes a release and waits until it has passed its trial and detected an attack; returns its version.
    fn update(&mut self, feed: &mut Feed, version: u64) -> anyhow::Result<u64> {
        self.setup.publish(version, Damage::None)?;
        self.setup.wait_for_step(version, &UpdateStep::Trial)?;
        self.setup.feed_server.send(feed, &self.setup.captures.join("home-a-benign-2.pcap.gz"))?;
        self.setup.wait_for_step(version, &UpdateStep::Confirmed)?;
        self.setup.attack(feed, version)?;
        Ok(version)
    }

    /// Checks that configuration and state were kept, and whether the program is installed and running.
    fn check_kept(&mut self, program: bool) -> anyhow::Result<()> {
        let status = self.expand("$(dpkg-query --show --showformat='${Version} ${db:Status-Status}' lapwing-agent)")?;
        let expected = if program { "installed" } else { "config-files" };
        ensure!(status == format!("{NEXT} {expected}"), "dpkg status: {status}");
        let edited = self.expand(&format!("$(grep -c '^{EDITED}' /etc/lapwing/agent.toml)"))?;
        let mode = self.expand("$(stat -c %a /etc/lapwing/agent.toml)")?;
        ensure!(
            (edited.as_str(), mode.as_str()) == ("1", "600"),
            "configuration: {edited} times `{EDITED}`, mode {mode}"
        );
        let files = self.expand("$(ls /usr/sbin/lapwing-agent /var/lib/lapwing/state 2>/dev/null | xargs)")?;
        let state = "/var/lib/lapwing/state";
        let expected = if program { format!("/usr/sbin/lapwing-agent {state}") } else { state.to_owned() };
        ensure!(files == expected, "expected files {expected}, found {files}");
        let running = self.expand("$(ps | grep -c '[l]apwing-agent run')")?;
        ensure!((running != "0") == program, "{running} running agents");
        say(&format!("dpkg: {status}; edited configuration and state kept"));
        Ok(())
    }
}

/// Adds dpkg, the current package, the next one, and the site key to the guest's files.
fn fill(plan: &Plan, key: &TestKey, files: &Path) -> anyhow::Result<()> {
    let name = plan.architecture.name();
    let dpkg = Command::new(plan.tests.join("qemu/dpkg")).arg(name).output()?;
    ensure!(dpkg.status.success(), "tests/qemu/dpkg {name} failed");
    let root = PathBuf::from(String::from_utf8_lossy(&dpkg.stdout).trim());
    run_command(Command::new("cp").arg("-a").arg(&root).arg(files))?;
    let packages = files.join("packages");
    std::fs::create_dir_all(&packages)?;
    std::fs::write(packages.join("site.pub"), key.public()?)?;
    let now = pack(plan, None)?;
    std::fs::copy(&now, packages.join("now.deb"))?;
    next(&now, &plan.folder.join("next"), &packages.join("next.deb"))?;
    run_command(Command::new("cp").arg(plan.tests.join("qemu/systemctl")).arg(files.join("usr/bin/systemctl")))?;
    // dpkg requires ldconfig to exist; it has nothing to do here.
    std::os::unix::fs::symlink("/bin/true", files.join("usr/sbin/ldconfig"))?;
    Ok(())
}

/// Builds the same package with a higher version and another default configuration.
fn next(package: &Path, folder: &Path, out: &Path) -> anyhow::Result<()> {
    run_command(Command::new("dpkg-deb").arg("--raw-extract").arg(package).arg(folder))?;
    let control = folder.join("DEBIAN/control");
    let text = std::fs::read_to_string(&control)?;
    let line = text.lines().find(|line| line.starts_with("Version: ")).context("the package has no version")?;
    std::fs::write(&control, text.replace(line, &format!("Version: {NEXT}")))?;
    let config = folder.join("etc/lapwing/agent.toml");
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, format!("{NEXT_CONFIG}{text}"))?;
    let mut build = Command::new("dpkg-deb");
    run_command(build.args(["-Zgzip", "-z1", "--root-owner-group", "--build"]).arg(folder).arg(out))
}
