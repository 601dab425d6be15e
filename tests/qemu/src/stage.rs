//! What every story needs: the gateway's files, the trainer, a listener, and the waits.

use crate::broker::{Listener, Said, Trainer};
use crate::feed::{Door, Feed};
use crate::machine::{Architecture, Machine, Parts};
use crate::mosquitto::Authority;
use crate::releases::{BenchKey, Damage};
use anyhow::{Context, ensure};
use lapwing_shared::messages::{Alert, UpdateStep};
use lapwing_shared::release::manifest::ArtifactForm;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Longest silence; an emulated start on a busy machine takes most of a minute.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// Disk of the guest, bytes.
const DISK_BYTES: u64 = 16 << 20;
/// Memory that the agent is told to keep to, and what may be resident, kB as the kernel counts them.
/// The first is what the OpenWrt package says.
const INT8_MEMORY: &str = "12MiB";
const TRACT_MEMORY: &str = "20MiB";
const INT8_RESIDENT_KB: u64 = 10_000_000 / 1024;
const TRACT_RESIDENT_KB: u64 = 22_000_000 / 1024;

/// Version of the release in the package.
pub(crate) const PACKAGED: u64 = 1;

/// How the story goes.
#[derive(Clone)]
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

/// What stands around the gateway.
pub struct Stage {
    pub(crate) parts: Parts,
    pub(crate) trainer: Trainer,
    pub(crate) listener: Listener,
    pub(crate) door: Door,
    pub(crate) key: BenchKey,
    /// Whom the guest's system trusts.
    pub(crate) authority: Authority,
    pub(crate) form: ArtifactForm,
    pub(crate) captures: PathBuf,
    pub(crate) resident_kb: u64,
}

impl Stage {
    /// `fill` puts what the gateway's first file system holds beyond the usual into a folder, given this test's key and
    /// how much memory the agent is to keep to.
    pub(crate) fn set_up(
        plan: &Plan,
        fill: impl FnOnce(&BenchKey, &str, &Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let name = plan.architecture.name();
        let key = BenchKey::default();
        let files = plan.folder.join("files");
        let tract = plan.engine == "tract";
        let memory = if tract { TRACT_MEMORY } else { INT8_MEMORY };
        fill(&key, memory, &files)?;
        std::fs::write(files.join("start"), include_bytes!("../start"))?;
        // As a system's package of certificates leaves them.
        let authority = Authority::new()?;
        let trusted = files.join("etc/ssl/certs");
        std::fs::create_dir_all(&trusted)?;
        std::fs::write(trusted.join("ca-certificates.crt"), &authority.pem)?;
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
        Ok(Self { parts, trainer, listener, door, key, authority, form, captures, resident_kb })
    }

    /// Switches the gateway on and waits until its agent fetches packets.
    pub(crate) fn boot(&mut self) -> anyhow::Result<(Machine, Feed)> {
        self.listener.forget();
        let mut machine = Machine::start(&self.parts)?;
        let uptime = machine.until("guest: agent starts at", PATIENCE)?;
        say(&format!("the kernel and init took {uptime} s of the guest's time"));
        let feed = self.door.wait()?;
        Ok((machine, feed))
    }

    pub(crate) fn offer(&mut self, version: u64, damage: Damage) -> anyhow::Result<()> {
        self.listener.publish(self.key.release(version, self.form, damage)?)
    }

    pub(crate) fn step(&mut self, version: u64, step: &UpdateStep) -> anyhow::Result<()> {
        let what = format!("release {version}: {step:?}");
        self.listener
            .until(&what, PATIENCE, |said| match said {
                Said::Step(found, taken) if *found == version && taken == step => Some(Ok(())),
                Said::Step(_, UpdateStep::Refused(why) | UpdateStep::RolledBack(why)) => Some(Err(why.to_string())),
                _ => None,
            })?
            .map_err(|why| anyhow::anyhow!("{what}: {why}"))
    }

    /// Waits until the release is in use; then ordinary traffic, on which it is confirmed, and the attack.
    pub(crate) fn settle(&mut self, feed: &mut Feed, version: u64) -> anyhow::Result<()> {
        self.in_use(version)?;
        self.door.play(feed, &self.captures.join("home-a-benign-2.pcap.gz"))?;
        self.attack(feed, version)
    }

    pub(crate) fn in_use(&mut self, version: u64) -> anyhow::Result<()> {
        self.listener.until(&format!("release {version} in use"), PATIENCE, |said| {
            matches!(said, Said::Status { online: true, release } if *release == version).then_some(())
        })
    }

    pub(crate) fn alert(&mut self, version: u64) -> anyhow::Result<Box<Alert>> {
        self.listener.until(&format!("an alert of release {version}"), PATIENCE, |said| match said {
            Said::Opened(alert) if alert.release == version => Some(alert.clone()),
            _ => None,
        })
    }

    /// A recorded attack, and the alert of this release about it.
    pub(crate) fn attack(&mut self, feed: &mut Feed, version: u64) -> anyhow::Result<()> {
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
    pub(crate) fn memory(&mut self, machine: &mut Machine) -> anyhow::Result<()> {
        let told = machine.until("guest: resident", PATIENCE)?;
        let newest = machine.newest("guest: resident").unwrap_or(told);
        let kb: u64 = newest.split_whitespace().next().unwrap_or_default().parse().context("no memory was told")?;
        say(&format!("the agent's largest resident memory: {kb} kB, at most {} kB", self.resident_kb));
        ensure!(kb <= self.resident_kb, "the agent takes more memory than its budget");
        Ok(())
    }
}

/// The Debian package, with this key as the site's where one is given; the file.
pub(crate) fn pack(plan: &Plan, site_key: Option<&Path>) -> anyhow::Result<PathBuf> {
    let script = plan.tests.join("../firmware-configs/package");
    let mut package = Command::new(&script);
    package.arg("deb").arg(&plan.agent).arg(plan.architecture.name()).arg(plan.folder.join("packages"));
    if let Some(file) = site_key {
        package.arg("--site-key").arg(file);
    }
    let packed = package.output().with_context(|| script.display().to_string())?;
    ensure!(packed.status.success(), "no package: {}", String::from_utf8_lossy(&packed.stderr));
    Ok(PathBuf::from(String::from_utf8_lossy(&packed.stdout).trim()))
}

/// The Debian package's files, with this test's key as the site's, and `memory` for the agent.
pub(crate) fn install(plan: &Plan, key: &BenchKey, memory: &str, files: &Path) -> anyhow::Result<()> {
    let site_key = plan.folder.join("site.pub");
    std::fs::write(&site_key, key.public()?)?;
    let file = pack(plan, Some(&site_key))?;
    run(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(files))?;
    let settings = files.join("etc/lapwing/agent.toml");
    let text = std::fs::read_to_string(&settings)?;
    let at = text.find("memory = ").context("the packaged settings name no memory")?;
    let line = text[at..].lines().next().unwrap_or_default();
    std::fs::write(&settings, text.replace(line, &format!("memory = \"{memory}\"")))?;
    say(&format!("installed {}", file.file_name().unwrap_or_default().display()));
    Ok(())
}

pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// A UDP port of loopback that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port())
}

pub(crate) fn chapter(text: &str) {
    println!("\n\x1b[1m{text}\x1b[0m");
}

pub(crate) fn say(text: &str) {
    println!("  {text}");
}

/// The folder `tests` of the tree that this was built from.
pub fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}
