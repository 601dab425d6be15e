//! The story: a gateway with the installed package detects with the packaged release, learns of newer ones, loses its power at every step of an update, is offered damaged releases,
//! and detects a recorded attack after each of them.

use crate::broker::{Listener, Said, Trainer};
use crate::feed::{Door, Feed};
use crate::machine::{Architecture, Machine, Parts};
use crate::releases::{BenchKey, Damage};
use crate::wire;
use anyhow::{Context, ensure};
use lapwing_shared::messages::{Alert, Role, UpdateStep};
use lapwing_shared::release::manifest::ArtifactForm;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Longest silence; an emulated start on a busy machine takes most of a minute.
const PATIENCE: Duration = Duration::from_secs(180);
/// Disk of the guest, bytes.
const DISK_BYTES: u64 = 16 << 20;
/// The first port scan of home-a-attacks, seconds since the epoch, and who scans; see tests/data/README.md.
const PORT_SCAN_S: (u64, u64) = (1_741_270_940, 1_741_270_946);
const SCANNER: &str = "192.168.1.20";
/// Memory that the agent is told to keep to, and what may be resident, kB as the kernel counts them.
/// The first is what the OpenWrt package says.
const INT8_MEMORY: &str = "12MiB";
const TRACT_MEMORY: &str = "20MiB";
const INT8_RESIDENT_KB: u64 = 10_000_000 / 1024;
const TRACT_RESIDENT_KB: u64 = 22_000_000 / 1024;

/// Version of the release in the package.
const PACKAGED: u64 = 1;

/// Where the power goes, each on the way from one release to the next.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// The agent has said that it fetches the network.
    Downloading,
    /// The disk has been made durable so many times since the release was published: artifact, manifest and state are
    /// each a file and its folder.
    Flushed(u64),
    /// The release is in use, on probation.
    Trial,
    /// It is kept.
    Confirmed,
}

const CUTS: [Cut; 6] =
    [Cut::Downloading, Cut::Flushed(1), Cut::Flushed(3), Cut::Flushed(5), Cut::Trial, Cut::Confirmed];

/// How the story goes.
pub struct Plan {
    /// The guest.
    pub architecture: Architecture,
    /// The agent's program for it.
    pub agent: PathBuf,
    /// `int8` or `tract`.
    pub engine: String,
    /// The trainer's program for this machine.
    pub trainer: PathBuf,
    /// `tests` of the source tree.
    pub tests: PathBuf,
    /// Folder for files of this run.
    pub folder: PathBuf,
}

struct Stage {
    parts: Parts,
    trainer: Trainer,
    listener: Listener,
    door: Door,
    key: BenchKey,
    form: ArtifactForm,
    captures: PathBuf,
    resident_kb: u64,
}

/// Plays it.
///
/// # Errors
/// The first thing that did not happen.
pub fn play(plan: &Plan) -> anyhow::Result<()> {
    let mut stage = Stage::set_up(plan)?;
    chapter("A gateway with an empty disk detects with the packaged release");
    let (mut machine, mut feed) = stage.boot()?;
    stage.settle(&mut feed, PACKAGED)?;

    let mut version = PACKAGED;
    for cut in CUTS {
        version += 1;
        chapter(&format!("Release {version}; the power goes: {cut:?}"));
        stage.interrupt(machine, &mut feed, version, cut)?;
        (machine, feed) = stage.boot()?;
        stage.settle(&mut feed, version)?;
    }

    for damage in [Damage::Manifest, Damage::Chunk] {
        chapter(&format!("A damaged release: {damage:?}"));
        stage.offer(version + 1, damage)?;
        let why = stage.listener.until("the damaged release's refusal", PATIENCE, |said| match said {
            Said::Step(_, UpdateStep::Refused(why)) => Some(why.to_string()),
            _ => None,
        })?;
        say(&format!("refused: {why}"));
        stage.attack(&mut feed, version)?;
    }
    let alerts = stage.trainer.alerts()?;
    let listed = alerts.lines().count();
    ensure!(listed > CUTS.len(), "the trainer's store lists only {listed} lines of alerts:\n{alerts}");
    say(&format!("the trainer's store lists {listed} lines of alerts"));
    stage.memory(&mut machine)?;
    machine.cut()?;

    chapter("Live: a recorded port scan as raw frames on the guest's wire");
    stage.live(version)
}

impl Stage {
    fn set_up(plan: &Plan) -> anyhow::Result<Self> {
        let name = plan.architecture.name();
        let key = BenchKey::default();
        let files = plan.folder.join("files");
        let tract = plan.engine == "tract";
        let memory = if tract { TRACT_MEMORY } else { INT8_MEMORY };
        install(plan, &key, memory, &files)?;
        std::fs::write(files.join("start"), include_bytes!("../start"))?;
        let image = plan.folder.join("image.gz");
        run(Command::new(plan.tests.join("qemu/image")).arg(name).arg(&files).arg(&image))?;
        let boot = Command::new(plan.tests.join("qemu/kernel")).arg(name).output()?;
        ensure!(boot.status.success(), "no kernel for {name}");
        let disk = plan.folder.join("disk");
        std::fs::File::create(&disk)?.set_len(DISK_BYTES)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk))?;
        let trainer = Trainer::start(&plan.trainer, &plan.folder)?;
        let listener = Listener::start(trainer.address)?;
        let door = Door::open()?;
        let environment = vec![
            ("BROKER", trainer.address.port().to_string()),
            ("FEED", door.port()?.to_string()),
            ("ENGINE", plan.engine.clone()),
        ];
        let boot = PathBuf::from(String::from_utf8_lossy(&boot.stdout).trim());
        let folder = plan.folder.clone();
        let wire = (free_port()?, free_port()?);
        let parts = Parts { architecture: plan.architecture, boot, image, disk, folder, environment, wire };
        let form = if tract { ArtifactForm::Onnx } else { ArtifactForm::Int8 };
        let resident_kb = if tract { TRACT_RESIDENT_KB } else { INT8_RESIDENT_KB };
        let captures = plan.tests.join("data/captures");
        Ok(Self { parts, trainer, listener, door, key, form, captures, resident_kb })
    }

    /// Switches the gateway on and waits until its agent fetches packets.
    fn boot(&mut self) -> anyhow::Result<(Machine, Feed)> {
        self.listener.forget();
        let mut machine = Machine::start(&self.parts)?;
        let uptime = machine.until("guest: agent starts at", PATIENCE)?;
        say(&format!("the kernel and init took {uptime} s of the guest's time"));
        let feed = self.door.wait()?;
        Ok((machine, feed))
    }

    /// Starts once more, now on the interface, and scans.
    fn live(&mut self, version: u64) -> anyhow::Result<()> {
        self.listener.forget();
        self.parts.environment.push(("SOURCE", "wire".into()));
        let mut machine = Machine::start(&self.parts)?;
        machine.until("guest: agent starts at", PATIENCE)?;
        self.in_use(version)?;
        let (from, to) = PORT_SCAN_S;
        let frames = wire::send(&self.captures.join("home-a-attacks.pcap.gz"), from, to, self.parts.wire)?;
        say(&format!("{frames} frames sent"));
        // The scanned host is told of as well, and may come first.
        let role = self.listener.until(&format!("an alert about {SCANNER}"), PATIENCE, |said| match said {
            Said::Opened(alert) if alert.release == version && alert.host.to_string() == SCANNER => Some(alert.role),
            _ => None,
        })?;
        ensure!(role == Role::Source, "{SCANNER} is told of as {role:?}");
        say(&format!("alert of release {version} about {SCANNER}, which scans"));
        self.memory(&mut machine)?;
        machine.cut()
    }

    fn offer(&mut self, version: u64, damage: Damage) -> anyhow::Result<()> {
        self.listener.publish(self.key.release(version, self.form, damage)?)
    }

    fn step(&mut self, version: u64, step: &UpdateStep) -> anyhow::Result<()> {
        let what = format!("release {version}: {step:?}");
        self.listener
            .until(&what, PATIENCE, |said| match said {
                Said::Step(found, taken) if *found == version && taken == step => Some(Ok(())),
                Said::Step(_, UpdateStep::Refused(why) | UpdateStep::RolledBack(why)) => Some(Err(why.to_string())),
                _ => None,
            })?
            .map_err(|why| anyhow::anyhow!("{what}: {why}"))
    }

    /// Publishes a release and cuts the power on the way.
    fn interrupt(&mut self, mut machine: Machine, feed: &mut Feed, version: u64, cut: Cut) -> anyhow::Result<()> {
        let flushes = machine.flushes()?;
        self.offer(version, Damage::None)?;
        match cut {
            Cut::Downloading => self.step(version, &UpdateStep::Downloading)?,
            Cut::Flushed(more) => machine.until_flushed(flushes, more, PATIENCE)?,
            Cut::Trial => self.step(version, &UpdateStep::Trial)?,
            Cut::Confirmed => {
                self.step(version, &UpdateStep::Trial)?;
                self.door.play(feed, &self.captures.join("home-a-benign-2.pcap.gz"))?;
                self.step(version, &UpdateStep::Confirmed)?;
            }
        }
        machine.cut()
    }

    /// Waits until the release is in use; then ordinary traffic, on which it is confirmed, and the attack.
    fn settle(&mut self, feed: &mut Feed, version: u64) -> anyhow::Result<()> {
        self.in_use(version)?;
        self.door.play(feed, &self.captures.join("home-a-benign-2.pcap.gz"))?;
        self.attack(feed, version)
    }

    fn in_use(&mut self, version: u64) -> anyhow::Result<()> {
        self.listener.until(&format!("release {version} in use"), PATIENCE, |said| {
            matches!(said, Said::Status { online: true, release } if *release == version).then_some(())
        })
    }

    fn alert(&mut self, version: u64) -> anyhow::Result<Box<Alert>> {
        self.listener.until(&format!("an alert of release {version}"), PATIENCE, |said| match said {
            Said::Opened(alert) if alert.release == version => Some(alert.clone()),
            _ => None,
        })
    }

    /// A recorded attack, and the alert of this release about it.
    fn attack(&mut self, feed: &mut Feed, version: u64) -> anyhow::Result<()> {
        let packets = self.door.play(feed, &self.captures.join("home-a-attacks.pcap.gz"))?;
        let alert = self.alert(version)?;
        say(&format!("{packets} packets of attacks; alert of release {version} about {}", alert.host));
        // A release whose trial began amid the attack would be rolled back, and rightly.
        // The last batch waits for packets that do not come, so the agent never tells of all.
        let fed = feed.packets * 98 / 100;
        self.listener.until("the end of the attack", PATIENCE, |said| {
            matches!(said, Said::Packets(packets) if *packets >= fed).then_some(())
        })
    }

    /// Holds the agent's largest resident memory against the budget.
    fn memory(&mut self, machine: &mut Machine) -> anyhow::Result<()> {
        let told = machine.until("guest: resident", PATIENCE)?;
        let newest = machine.newest("guest: resident").unwrap_or(told);
        let kb: u64 = newest.split_whitespace().next().unwrap_or_default().parse().context("no memory was told")?;
        say(&format!("the agent's largest resident memory: {kb} kB, at most {} kB", self.resident_kb));
        ensure!(kb <= self.resident_kb, "the agent takes more memory than its budget");
        Ok(())
    }
}

/// The Debian package's files, with this test's key as the site's, and `memory` for the agent.
fn install(plan: &Plan, key: &BenchKey, memory: &str, files: &Path) -> anyhow::Result<()> {
    let site_key = plan.folder.join("site.pub");
    std::fs::write(&site_key, key.public()?)?;
    let script = plan.tests.join("../firmware-configs/package");
    let mut package = Command::new(&script);
    package.arg("deb").arg(&plan.agent).arg(plan.architecture.name()).arg(plan.folder.join("packages"));
    let packed = package.arg("--site-key").arg(&site_key).output().with_context(|| script.display().to_string())?;
    ensure!(packed.status.success(), "no package: {}", String::from_utf8_lossy(&packed.stderr));
    let file = String::from_utf8_lossy(&packed.stdout).trim().to_owned();
    run(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(files))?;
    let settings = files.join("etc/lapwing/agent.toml");
    let text = std::fs::read_to_string(&settings)?;
    let at = text.find("memory = ").context("the packaged settings name no memory")?;
    let line = text[at..].lines().next().unwrap_or_default();
    std::fs::write(&settings, text.replace(line, &format!("memory = \"{memory}\"")))?;
    say(&format!("installed {}", Path::new(&file).file_name().unwrap_or_default().display()));
    Ok(())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// A UDP port of loopback that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn chapter(text: &str) {
    println!("\n\x1b[1m{text}\x1b[0m");
}

fn say(text: &str) {
    println!("  {text}");
}

/// The folder `tests` of the tree that this was built from.
pub fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}
