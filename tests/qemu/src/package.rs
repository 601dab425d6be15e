//! The package's life in a booted system, by Debian's dpkg: installed, set up as docs/install.md says, upgraded, removed,
//! installed again and purged; the agent meters and detects after each step, with the settings and the release that
//! should be left.

use crate::feed::Feed;
use crate::machine::Machine;
use crate::releases::{BenchKey, Damage};
use crate::stage::{PACKAGED, PATIENCE, Plan, Stage, chapter, pack, run, say};
use anyhow::{Context, ensure};
use lapwing_shared::messages::UpdateStep;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Version of the package that follows the tree's.
const NEXT: &str = "9.9";
/// What the next package's settings say that this one's do not.
const NEXT_SETTINGS: &str = "# Settings as they come with the next version.\n";
/// dpkg as unattended upgrades call it: edited settings stay, and nobody is asked. By its path, since busybox's shell
/// would take its own.
const DPKG: &str = "/usr/bin/dpkg --force-confdef --force-confold";
/// A setting that the operator changes, which is neither the package's nor the default.
const EDITED: &str = "alerts-per-day = 0.5";

/// Plays it with a gateway of its own.
///
/// # Errors
/// The first thing that did not happen.
pub fn play(plan: &Plan) -> anyhow::Result<()> {
    let mut stage = Stage::set_up(plan, |key, _, files| fill(plan, key, files))?;
    stage.parts.set("SOURCE", "package");
    chapter("dpkg installs the package: the agent starts with the packaged release");
    let mut machine = Machine::start(&stage.parts)?;
    machine.until("guest: up", PATIENCE)?;
    let mut life = Life { stage: &mut stage, machine };
    life.dpkg("--install /packages/now.deb")?;
    // Held, so that this agent does not reach the end of its packets before it is told to.
    let _before = life.started()?;
    let status = life.said("$(lapwing-agent status | grep '^release')")?;
    ensure!(status.starts_with(&format!("release {PACKAGED} ")), "the installed agent says: {status}");
    say(&status);

    chapter("Two lines are edited, and one more; a release comes and is confirmed");
    let mut feed = life.set_up()?;
    life.stage.settle(&mut feed, PACKAGED)?;
    let version = life.release(&mut feed, PACKAGED + 1)?;

    chapter("An upgrade whose settings differ keeps the edited ones and the confirmed release");
    life.dpkg("--install /packages/next.deb")?;
    let mut feed = life.started()?;
    life.kept(true)?;
    life.stage.settle(&mut feed, version)?;

    chapter("Removal ends the agent, and keeps settings and release for the next installation");
    life.dpkg("--remove lapwing-agent")?;
    life.kept(false)?;
    life.dpkg("--install /packages/next.deb")?;
    let mut feed = life.started()?;
    life.kept(true)?;
    life.stage.settle(&mut feed, version)?;

    chapter("A purge leaves nothing but the operator's own key");
    life.dpkg("--purge lapwing-agent")?;
    let left =
        life.said("$(find /etc /lib/systemd /usr /var/lib -path '*lapwing*' ! -path '/var/lib/dpkg/*' | xargs)")?;
    ensure!(left == "/etc/lapwing /etc/lapwing/site.pub", "a purge leaves: {left}");
    life.machine.cut()
}

struct Life<'a> {
    stage: &'a mut Stage,
    machine: Machine,
}

impl Life<'_> {
    fn dpkg(&mut self, words: &str) -> anyhow::Result<()> {
        self.stage.listener.forget();
        self.machine.order(&format!("{DPKG} {words}"), PATIENCE).map(drop)?;
        say(&format!("dpkg {words}"));
        Ok(())
    }

    /// What the guest's shell makes of some words.
    fn said(&mut self, words: &str) -> anyhow::Result<String> {
        let said = self.machine.order(&format!("echo \"guest: says {words}\""), PATIENCE)?;
        Ok(said.lines().find_map(|line| line.strip_prefix("says")).unwrap_or_default().trim().to_owned())
    }

    /// The agent was started and fetches packets.
    fn started(&mut self) -> anyhow::Result<Feed> {
        self.stage.door.wait()
    }

    /// What docs/install.md tells the operator to do.
    fn set_up(&mut self) -> anyhow::Result<Feed> {
        let settings = "/etc/lapwing/agent.toml";
        for edit in [
            "s|^# url = .*|url = \"mqtt://10.0.2.2:'$BROKER'\"|",
            "s|^# *\"/etc/lapwing/site.pub\"|\"/etc/lapwing/site.pub\"|",
            &format!("s|^alerts-per-day = .*|{EDITED}|"),
        ] {
            self.machine.order(&format!("sed -i '{edit}' {settings}"), PATIENCE)?;
        }
        self.machine.order("cp /packages/site.pub /etc/lapwing/site.pub", PATIENCE)?;
        let restart = format!("lapwing-agent validate --config {settings} && systemctl restart lapwing-agent");
        self.machine.order(&restart, PATIENCE)?;
        self.started()
    }

    /// A release comes, passes its trial, and is detected with; its version.
    fn release(&mut self, feed: &mut Feed, version: u64) -> anyhow::Result<u64> {
        self.stage.offer(version, Damage::None)?;
        self.stage.step(version, &UpdateStep::Trial)?;
        self.stage.door.play(feed, &self.stage.captures.join("home-a-benign-2.pcap.gz"))?;
        self.stage.step(version, &UpdateStep::Confirmed)?;
        self.stage.attack(feed, version)?;
        Ok(version)
    }

    /// Settings and state are there, and the program is or is not.
    fn kept(&mut self, program: bool) -> anyhow::Result<()> {
        let status = self.said("$(dpkg-query --show --showformat='${Version} ${db:Status-Status}' lapwing-agent)")?;
        let expected = if program { "installed" } else { "config-files" };
        ensure!(status == format!("{NEXT} {expected}"), "dpkg says: {status}");
        let edited = self.said(&format!("$(grep -c '^{EDITED}' /etc/lapwing/agent.toml)"))?;
        let mode = self.said("$(stat -c %a /etc/lapwing/agent.toml)")?;
        ensure!((edited.as_str(), mode.as_str()) == ("1", "600"), "settings: {edited} times `{EDITED}`, mode {mode}");
        let there = self.said("$(ls /usr/sbin/lapwing-agent /var/lib/lapwing/state 2>/dev/null | xargs)")?;
        let state = "/var/lib/lapwing/state";
        let wanted = if program { format!("/usr/sbin/lapwing-agent {state}") } else { state.to_owned() };
        ensure!(there == wanted, "there is: {there}");
        let running = self.said("$(ps | grep -c '[l]apwing-agent run')")?;
        ensure!((running != "0") == program, "{running} agents are running");
        say(&format!("dpkg says {status}; settings as edited, state kept"));
        Ok(())
    }
}

/// dpkg, the tree's package and the one after it, and the site's key, as an operator would bring them.
fn fill(plan: &Plan, key: &BenchKey, files: &Path) -> anyhow::Result<()> {
    let name = plan.architecture.name();
    let dpkg = Command::new(plan.tests.join("qemu/dpkg")).arg(name).output()?;
    ensure!(dpkg.status.success(), "no dpkg for {name}");
    let root = PathBuf::from(String::from_utf8_lossy(&dpkg.stdout).trim());
    run(Command::new("cp").arg("-a").arg(&root).arg(files))?;
    let packages = files.join("packages");
    std::fs::create_dir_all(&packages)?;
    std::fs::write(packages.join("site.pub"), key.public()?)?;
    let now = pack(plan, None)?;
    std::fs::copy(&now, packages.join("now.deb"))?;
    next(&now, &plan.folder.join("next"), &packages.join("next.deb"))?;
    run(Command::new("cp").arg(plan.tests.join("qemu/systemctl")).arg(files.join("usr/bin/systemctl")))?;
    // Debian's dpkg asks for it; there are no libraries to be found anew.
    std::os::unix::fs::symlink("/bin/true", files.join("usr/sbin/ldconfig"))?;
    Ok(())
}

/// The package again, with a higher version and other settings.
fn next(package: &Path, folder: &Path, out: &Path) -> anyhow::Result<()> {
    run(Command::new("dpkg-deb").arg("--raw-extract").arg(package).arg(folder))?;
    let control = folder.join("DEBIAN/control");
    let text = std::fs::read_to_string(&control)?;
    let line = text.lines().find(|line| line.starts_with("Version: ")).context("the package has no version")?;
    std::fs::write(&control, text.replace(line, &format!("Version: {NEXT}")))?;
    let settings = folder.join("etc/lapwing/agent.toml");
    let text = std::fs::read_to_string(&settings)?;
    std::fs::write(&settings, format!("{NEXT_SETTINGS}{text}"))?;
    let mut build = Command::new("dpkg-deb");
    run(build.args(["-Zgzip", "-z1", "--root-owner-group", "--build"]).arg(folder).arg(out))
}
