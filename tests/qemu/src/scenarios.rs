//! The scenarios: updates with power cuts, field failures, identities, the Debian package, and the systemd unit.
//!
//! `updates` starts with the installed package and the packaged release, cuts the power at every step of an update,
//! offers damaged releases, and expects an alert about a recorded attack after each of them; then the gateway takes part in a
//! campaign.

use crate::campaign;
use crate::faults;
use crate::feed::Feed;
use crate::identity;
use crate::listener::Report;
use crate::machine::Machine;
use crate::package;
use crate::releases::Damage;
use crate::setup::{PACKAGED, PATIENCE, Plan, Setup, heading, install, say};
use crate::systemd;
use anyhow::ensure;
use lapwing_shared::messages::UpdateStep;

/// When to cut the power during an update.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// The agent reports that it is downloading the release.
    Downloading,
    /// The guest has flushed its disk this many times since the release was published. Artifact, manifest and state are
    /// a file and a folder each, flushed separately.
    Flushed(u64),
    /// The release is on trial.
    Trial,
    /// The release is confirmed.
    Confirmed,
}

const CUTS: [Cut; 6] =
    [Cut::Downloading, Cut::Flushed(1), Cut::Flushed(3), Cut::Flushed(5), Cut::Trial, Cut::Confirmed];

/// A test scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Updates, with power cuts and damaged releases, and a campaign; then live capture.
    Updates,
    /// Field failures, with live capture.
    Faults,
    /// Enrolment, renewal and revocation, with live capture; with a trainer of its own.
    Identity,
    /// Installation, upgrade, removal and purge of the Debian package, in a separate system.
    Package,
    /// The unit under systemd, in a separate system.
    Systemd,
}

impl Scenario {
    /// Has an image and a trainer of its own.
    fn is_separate(self) -> bool {
        matches!(self, Self::Identity | Self::Package | Self::Systemd)
    }
}

/// Runs the scenarios in their order of declaration.
///
/// # Errors
/// The first failed check.
pub fn run(plan: &Plan, scenarios: &[Scenario]) -> anyhow::Result<()> {
    if scenarios.iter().any(|scenario| !scenario.is_separate()) {
        let mut setup = Setup::new(plan, |key, memory, files| install(plan, key, memory, files))?;
        setup.use_external_broker()?;
        let version = match scenarios.contains(&Scenario::Updates) {
            true => updates(&mut setup)?,
            false => one_release(&mut setup)?,
        };
        if scenarios.contains(&Scenario::Faults) {
            setup.use_own_broker()?;
            faults::run(&mut setup, version)?;
        }
    }
    type Run = fn(&Plan) -> anyhow::Result<()>;
    let separate: [(Scenario, &str, Run); 3] = [
        (Scenario::Identity, "identity", identity::run),
        (Scenario::Package, "package", package::run),
        (Scenario::Systemd, "systemd", systemd::run),
    ];
    for (_, name, run) in separate.iter().filter(|(scenario, ..)| scenarios.contains(scenario)) {
        let folder = plan.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        run(&Plan { folder, ..plan.clone() })?;
    }
    Ok(())
}

/// Returns the version that the gateway confirmed last.
fn updates(setup: &mut Setup) -> anyhow::Result<u64> {
    heading("A gateway with an empty disk detects attacks with the packaged release");
    let (mut machine, mut feed) = setup.boot()?;
    setup.confirm_and_attack(&mut feed, PACKAGED)?;

    let mut version = PACKAGED;
    for cut in CUTS {
        version += 1;
        heading(&format!("Update to release {version}, power cut at {cut:?}"));
        setup.interrupt(machine, &mut feed, version, cut)?;
        (machine, feed) = setup.boot()?;
        setup.confirm_and_attack(&mut feed, version)?;
    }

    for damage in [Damage::Manifest, Damage::Chunk] {
        heading(&format!("Damaged release: {damage:?}"));
        setup.publish(version + 1, damage)?;
        let reason = setup.listener.until("rejection of the damaged release", PATIENCE, |report| match report {
            Report::Step(_, UpdateStep::Refused(reason)) => Some(reason.to_string()),
            _ => None,
        })?;
        say(&format!("rejected: {reason}"));
        setup.attack(&mut feed, version)?;
    }
    // Last, because an agent with a rollout ignores the group's release topic.
    let (mut machine, _feed) = campaign::run(setup, machine, feed, version)?;
    let alerts = setup.trainer.alerts()?.len();
    ensure!(alerts > CUTS.len(), "the trainer's store has only {alerts} alerts");
    say(&format!("the trainer's store has {alerts} alerts"));
    setup.check_memory(&mut machine)?;
    machine.cut_power()?;
    faults::scan_without_fault(setup, version)?;
    Ok(version)
}

/// Boots a gateway and has it confirm one release.
fn one_release(setup: &mut Setup) -> anyhow::Result<u64> {
    heading("The gateway confirms a release");
    let (machine, mut feed) = setup.boot()?;
    setup.wait_until_in_use(PACKAGED)?;
    setup.interrupt(machine, &mut feed, PACKAGED + 1, Cut::Confirmed)?;
    Ok(PACKAGED + 1)
}

impl Setup {
    /// Publishes a release and cuts the power during the update.
    fn interrupt(&mut self, mut machine: Machine, feed: &mut Feed, version: u64, cut: Cut) -> anyhow::Result<()> {
        let flushes = machine.flushes()?;
        self.publish(version, Damage::None)?;
        match cut {
            Cut::Downloading => self.wait_for_step(version, &UpdateStep::Downloading)?,
            Cut::Flushed(more) => machine.until_flushed(flushes, more, PATIENCE)?,
            Cut::Trial => self.wait_for_step(version, &UpdateStep::Trial)?,
            Cut::Confirmed => {
                self.wait_for_step(version, &UpdateStep::Trial)?;
                self.feed_server.send(feed, &self.captures.join("home-a-benign-2.pcap.gz"))?;
                self.wait_for_step(version, &UpdateStep::Confirmed)?;
            }
        }
        machine.cut_power()
    }
}
