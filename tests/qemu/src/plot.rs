//! The story: a gateway with the installed package detects with the packaged release, learns of newer ones, loses its
//! power at every step of an update, is offered damaged releases, and detects a recorded attack after each of them; then
//! it listens to its interface while the field's faults befall it.

use crate::broker::Said;
use crate::faults;
use crate::feed::Feed;
use crate::machine::Machine;
use crate::package;
use crate::releases::Damage;
use crate::stage::{PACKAGED, PATIENCE, Plan, Stage, chapter, install, say};
use crate::systemd;
use anyhow::ensure;
use lapwing_shared::messages::UpdateStep;

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

/// A part of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Releases, the power cuts on their way, and damaged ones; then frames on the wire.
    Updates,
    /// The field's faults, on the wire.
    Faults,
    /// The package's life by dpkg, with a gateway of its own.
    Package,
    /// The unit by systemd, with a gateway of its own.
    Systemd,
}

impl Part {
    /// Has a gateway of its own, with another system.
    fn stands_alone(self) -> bool {
        matches!(self, Self::Package | Self::Systemd)
    }
}

type Story = fn(&Plan) -> anyhow::Result<()>;

/// Plays parts of it, in their order.
///
/// # Errors
/// The first thing that did not happen.
pub fn play(plan: &Plan, parts: &[Part]) -> anyhow::Result<()> {
    if parts.iter().any(|part| !part.stands_alone()) {
        let mut stage = Stage::set_up(plan, |key, memory, files| install(plan, key, memory, files))?;
        let version = match parts.contains(&Part::Updates) {
            true => updates(&mut stage)?,
            false => one_release(&mut stage)?,
        };
        if parts.contains(&Part::Faults) {
            faults::play(&mut stage, version)?;
        }
    }
    let alone: [(Part, &str, Story); 2] =
        [(Part::Package, "package", package::play), (Part::Systemd, "systemd", systemd::play)];
    for (_, name, story) in alone.iter().filter(|(part, ..)| parts.contains(part)) {
        let folder = plan.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        story(&Plan { folder, ..plan.clone() })?;
    }
    Ok(())
}

/// The version that the gateway has confirmed in the end.
fn updates(stage: &mut Stage) -> anyhow::Result<u64> {
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
    let listed = stage.trainer.alerts()?.len();
    ensure!(listed > CUTS.len(), "the trainer's store lists only {listed} alerts");
    say(&format!("the trainer's store lists {listed} alerts"));
    stage.memory(&mut machine)?;
    machine.cut()?;
    faults::none(stage, version)?;
    Ok(version)
}

/// A gateway that has confirmed a release.
fn one_release(stage: &mut Stage) -> anyhow::Result<u64> {
    chapter("A release is confirmed");
    let (machine, mut feed) = stage.boot()?;
    stage.in_use(PACKAGED)?;
    stage.interrupt(machine, &mut feed, PACKAGED + 1, Cut::Confirmed)?;
    Ok(PACKAGED + 1)
}

impl Stage {
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
}
