//! What all scenarios share: the gateway's files, the trainer, a listener, and waits.

use crate::feed::{Feed, FeedServer};
use crate::listener::{Listener, Report};
use crate::machine::{Architecture, Machine, MachineConfig, WirePorts};
use crate::mosquitto::{Authority, Mosquitto};
use crate::releases::{Damage, TestKey};
use crate::trainer::Trainer;
use anyhow::{Context, ensure};
use lapwing_shared::messages::{Alert, UpdateStep};
use lapwing_shared::release::manifest::ArtifactForm;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Timeout for a message of the guest; an emulated boot on a busy machine takes most of a minute.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// Size of the guest's disk, bytes.
const DISK_BYTES: u64 = 16 << 20;
/// The agent's `resources.memory`, by engine; int8 as in the OpenWrt package.
const INT8_MEMORY: &str = "12MiB";
const TRACT_MEMORY: &str = "20MiB";
/// Limit of the agent's resident memory, by engine, in the kernel's kB.
const INT8_RESIDENT_KB: u64 = 10_000_000 / 1024;
const TRACT_RESIDENT_KB: u64 = 22_000_000 / 1024;

/// The guest's key for rollouts, relative to its root.
const ROLLOUT_KEY: &str = "etc/lapwing/rollout.pub";

/// Version of the packaged release.
pub(crate) const PACKAGED: u64 = 1;

/// Inputs of a run.
#[derive(Clone)]
pub struct Plan {
    /// Architecture of the guest.
    pub architecture: Architecture,
    /// The agent's program for the guest.
    pub agent: PathBuf,
    /// `int8` or `tract`.
    pub engine: String,
    /// The trainer's program for this machine.
    pub trainer: PathBuf,
    /// The folder `tests` of the source tree.
    pub tests: PathBuf,
    /// Folder for the files of this run.
    pub folder: PathBuf,
}

/// The gateway's machine configuration and the services it talks to.
pub(crate) struct Setup {
    pub(crate) config: MachineConfig,
    pub(crate) trainer: Trainer,
    /// The external broker, if one is in use.
    broker: Option<Mosquitto>,
    pub(crate) listener: Listener,
    pub(crate) feed_server: FeedServer,
    pub(crate) key: TestKey,
    /// Certificate authority that the guest trusts.
    pub(crate) authority: Authority,
    pub(crate) form: ArtifactForm,
    pub(crate) captures: PathBuf,
    pub(crate) resident_kb: u64,
}

impl Setup {
    /// Builds the guest's image and starts the trainer. `fill` writes further files of the guest into a folder, given
    /// the test's key and the agent's memory limit.
    pub(crate) fn new(
        plan: &Plan,
        fill: impl FnOnce(&TestKey, &str, &Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let name = plan.architecture.name();
        let key = TestKey::default();
        let files = plan.folder.join("files");
        let tract = plan.engine == "tract";
        let memory = if tract { TRACT_MEMORY } else { INT8_MEMORY };
        fill(&key, memory, &files)?;
        std::fs::write(files.join("start"), include_bytes!("../start"))?;
        // Where a distribution installs CA certificates.
        let authority = Authority::new()?;
        let trusted = files.join("etc/ssl/certs");
        std::fs::create_dir_all(&trusted)?;
        std::fs::write(trusted.join("ca-certificates.crt"), &authority.pem)?;
        let image = plan.folder.join("image.gz");
        run_command(Command::new(plan.tests.join("qemu/image")).arg(name).arg(&files).arg(&image))?;
        let boot = Command::new(plan.tests.join("qemu/kernel")).arg(name).output()?;
        ensure!(boot.status.success(), "no kernel for {name}");
        let disk = plan.folder.join("disk");
        std::fs::File::create(&disk)?.set_len(DISK_BYTES)?;
        run_command(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk))?;
        let trainer = Trainer::start(&plan.trainer, &plan.folder)?;
        let listener = Listener::start(trainer.address)?;
        let feed_server = FeedServer::open()?;
        let variables = vec![
            ("BROKER", trainer.address.port().to_string()),
            ("FEED", feed_server.port()?.to_string()),
            ("ENGINE", plan.engine.clone()),
        ];
        let boot = PathBuf::from(String::from_utf8_lossy(&boot.stdout).trim());
        let folder = plan.folder.clone();
        let wire = WirePorts { to_guest: free_port()?, from_guest: free_port()? };
        let config = MachineConfig { architecture: plan.architecture, boot, image, disk, folder, variables, wire };
        let form = if tract { ArtifactForm::Onnx } else { ArtifactForm::Int8 };
        let resident_kb = if tract { TRACT_RESIDENT_KB } else { INT8_RESIDENT_KB };
        let captures = plan.tests.join("data/captures");
        Ok(Self { config, trainer, broker: None, listener, feed_server, key, authority, form, captures, resident_kb })
    }

    /// Moves trainer and listener to an external broker: the trainer's own lets no client publish releases.
    pub(crate) fn use_external_broker(&mut self) -> anyhow::Result<()> {
        let broker = Mosquitto::start(self.config.folder.join("releases-broker"), &self.authority)?;
        self.move_to(broker)
    }

    /// Replaces the trainer's own broker by an external one at the same address, which a running guest knows.
    pub(crate) fn replace_own_broker(&mut self) -> anyhow::Result<()> {
        self.trainer.kill();
        let folder = self.config.folder.join("releases-broker");
        let broker = Mosquitto::start_at(self.trainer.address, folder, &self.authority)?;
        self.move_to(broker)
    }

    fn move_to(&mut self, broker: Mosquitto) -> anyhow::Result<()> {
        self.trainer.restart_with_broker(&format!("mqtt://{}", broker.plain))?;
        self.listener = Listener::start(broker.plain)?;
        self.config.set("BROKER", broker.plain.port().to_string());
        self.broker = Some(broker);
        Ok(())
    }

    /// Moves them back to the trainer's own broker.
    pub(crate) fn use_own_broker(&mut self) -> anyhow::Result<()> {
        self.trainer.restart()?;
        self.listener = Listener::start(self.trainer.address)?;
        self.config.set("BROKER", self.trainer.address.port().to_string());
        self.broker = None;
        Ok(())
    }

    /// Boots the gateway and waits until its agent fetches packets.
    pub(crate) fn boot(&mut self) -> anyhow::Result<(Machine, Feed)> {
        self.listener.clear();
        let mut machine = Machine::start(&self.config)?;
        let uptime = machine.until("guest: agent starts at", PATIENCE)?;
        say(&format!("the kernel and init took {uptime} s of the guest's time"));
        let feed = self.feed_server.wait()?;
        Ok((machine, feed))
    }

    /// Publishes a release.
    pub(crate) fn publish(&mut self, version: u64, damage: Damage) -> anyhow::Result<()> {
        self.listener.publish(self.key.release(version, self.form, damage)?)
    }

    /// Waits for a step of an update; fails if the agent rejects or rolls back a release.
    pub(crate) fn wait_for_step(&mut self, version: u64, step: &UpdateStep) -> anyhow::Result<()> {
        let what = format!("release {version}: {step:?}");
        self.listener
            .until(&what, PATIENCE, |report| match report {
                Report::Step(of, reached) if *of == version && reached == step => Some(Ok(())),
                Report::Step(_, UpdateStep::Refused(reason) | UpdateStep::RolledBack(reason)) => {
                    Some(Err(reason.to_string()))
                }
                _ => None,
            })?
            .map_err(|reason| anyhow::anyhow!("{what}: {reason}"))
    }

    /// Waits until the release is in use, sends benign traffic, on which the agent confirms it, then the attack.
    pub(crate) fn confirm_and_attack(&mut self, feed: &mut Feed, version: u64) -> anyhow::Result<()> {
        self.wait_until_in_use(version)?;
        self.feed_server.send(feed, &self.captures.join("home-a-benign-2.pcap.gz"))?;
        self.attack(feed, version)
    }

    pub(crate) fn wait_until_in_use(&mut self, version: u64) -> anyhow::Result<()> {
        self.listener.until(&format!("release {version} in use"), PATIENCE, |report| {
            matches!(report, Report::Status { online: true, release } if *release == version).then_some(())
        })
    }

    fn alert(&mut self, version: u64) -> anyhow::Result<Box<Alert>> {
        self.listener.until(&format!("an alert of release {version}"), PATIENCE, |report| match report {
            Report::Opened(alert) if alert.release == version => Some(alert.clone()),
            _ => None,
        })
    }

    /// Sends recorded attacks, waits for an alert of this release, then for the end of the attacks.
    pub(crate) fn attack(&mut self, feed: &mut Feed, version: u64) -> anyhow::Result<()> {
        let packets = self.feed_server.send(feed, &self.captures.join("home-a-attacks.pcap.gz"))?;
        let alert = self.alert(version)?;
        say(&format!("{packets} packets of attacks; alert of release {version} about {}", alert.host));
        // The agent would rightly roll back a release whose trial starts during the attack.
        // Not all packets: the last batch stays incomplete, so the agent never reports it.
        let expected = feed.packets * 98 / 100;
        self.listener.until("the end of the attack", PATIENCE, |report| {
            matches!(report, Report::Packets(packets) if *packets >= expected).then_some(())
        })
    }

    /// Checks the agent's peak resident memory.
    pub(crate) fn check_memory(&mut self, machine: &mut Machine) -> anyhow::Result<()> {
        let first = machine.until("guest: resident", PATIENCE)?;
        let newest = machine.newest("guest: resident").unwrap_or(first);
        let kb = newest.split_whitespace().next().unwrap_or_default();
        let kb: u64 = kb.parse().with_context(|| format!("resident memory `{newest}`"))?;
        say(&format!("the agent's peak resident memory: {kb} kB, limit {} kB", self.resident_kb));
        ensure!(kb <= self.resident_kb, "the agent exceeds its memory limit");
        Ok(())
    }
}

/// Builds the Debian package, with a site key if given; returns the file.
pub(crate) fn pack(plan: &Plan, site_key: Option<&Path>) -> anyhow::Result<PathBuf> {
    let script = plan.tests.join("../firmware-configs/package");
    let mut package = Command::new(&script);
    package.arg("deb").arg(&plan.agent).arg(plan.architecture.name()).arg(plan.folder.join("packages"));
    if let Some(file) = site_key {
        package.arg("--site-key").arg(file);
    }
    let packed = package.output().with_context(|| script.display().to_string())?;
    ensure!(packed.status.success(), "firmware-configs/package: {}", String::from_utf8_lossy(&packed.stderr));
    Ok(PathBuf::from(String::from_utf8_lossy(&packed.stdout).trim()))
}

/// Extracts the Debian package into `files`, with the test's key as the site key and `memory` as the agent's limit.
pub(crate) fn install(plan: &Plan, key: &TestKey, memory: &str, files: &Path) -> anyhow::Result<()> {
    let site_key = plan.folder.join("site.pub");
    std::fs::write(&site_key, key.public()?)?;
    let file = pack(plan, Some(&site_key))?;
    run_command(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(files))?;
    let settings = files.join("etc/lapwing/agent.toml");
    let text = std::fs::read_to_string(&settings)?;
    let at = text.find("memory = ").context("the packaged configuration sets no memory")?;
    let line = text[at..].lines().next().unwrap_or_default();
    let text = text.replace(line, &format!("memory = \"{memory}\""));
    ensure!(text.contains("[update]\n"), "no section [update] in {}", settings.display());
    std::fs::write(files.join(ROLLOUT_KEY), key.public()?)?;
    let trusted = format!("[update]\nrollout-keys = [\"/{ROLLOUT_KEY}\"]\n");
    std::fs::write(&settings, text.replace("[update]\n", &trusted))?;
    say(&format!("installed {}", file.file_name().unwrap_or_default().display()));
    Ok(())
}

pub(crate) fn run_command(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// A currently free UDP port of loopback.
fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port())
}

pub(crate) fn heading(text: &str) {
    println!("\n\x1b[1m{text}\x1b[0m");
}

pub(crate) fn say(text: &str) {
    println!("  {text}");
}

/// The folder `tests` of the source tree that this program was built from.
pub fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}
