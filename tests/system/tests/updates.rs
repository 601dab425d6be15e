//! The agent is killed (SIGKILL) at every step of an update and restarted: it runs the last confirmed release or the new
//! one, finishes the update, and sends every alert of its journal.
//!
//! To stop the agent at a step, the test puts a named pipe where the agent writes its next file: opening or filling the
//! pipe blocks the agent until the test kills it, however slow the machine is.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_shared::messages::UpdateStep;
use lapwing_system_tests::stage::gateway::{Gateway, journal};
use lapwing_system_tests::stage::site::Site;
use lapwing_system_tests::stage::{PATIENCE, wait_for, wait_for_file};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;

/// Unacknowledged alerts when the agent is killed.
const UNACKNOWLEDGED: usize = 5;

fn site(name: &str) -> Site {
    Site::new(name, UNACKNOWLEDGED, env!("CARGO_BIN_EXE_lapwing-demo"))
}

/// A gateway with release 1 confirmed and unacknowledged alerts; and its run.
fn confirmed(site: &mut Site) -> (Gateway, u64) {
    let (gateway, run) = site.confirmed();
    while site.station.unacknowledged().len() < UNACKNOWLEDGED {
        site.station.until("message", |_| true);
    }
    wait_for("alerts in the journal", &site.state(""), || {
        let journal = journal(&site.state(""));
        site.station.unacknowledged().iter().all(|id| journal.contains(id)).then_some(())
    });
    (gateway, run)
}

/// Restarts the agent and checks its (release, on trial) against `expected`; then it finishes the update, and sends
/// every unacknowledged alert again.
fn restarts_with(site: &mut Site, run: u64, expected: &[(u64, bool)]) {
    site.station.acknowledge_all();
    let mut missing = site.station.unacknowledged().to_vec();
    assert_eq!(missing.len(), UNACKNOWLEDGED);
    let mut gateway = site.start();
    let (release, on_trial, _) = site.station.until_online(run);
    assert!(expected.contains(&(release, on_trial)), "restarted with release {release}, on trial {on_trial}");
    site.station.until("second delivery of the alerts", |message| {
        missing.retain(|id| *id != (message.run, message.number));
        missing.is_empty()
    });
    if (release, on_trial) == (1, false) {
        let release = site.releases.release(2);
        site.station.offer(&release, 0);
        site.station.until_step(2, &UpdateStep::Trial);
    }
    if (release, on_trial) != (2, false) {
        gateway.play();
        gateway.play();
        site.station.until_step(2, &UpdateStep::Confirmed);
    }
    gateway.end();
    // After another restart it runs release 2 and rejects an older one.
    let gateway = site.start();
    assert_eq!(site.station.until_online(run + 1).0, 2);
    let old = site.releases.release(1);
    site.station.offer(&old, 0);
    let refused = "release version 1 is not above 2, the highest ever confirmed";
    site.station.until_step(1, &UpdateStep::Refused(refused.try_into().unwrap()));
    gateway.end();
}

fn pipe_at(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Opens a named pipe so that a writer does not wait for a reader; the receiver gets a message at the first byte.
fn first_byte(path: &Path) -> std::sync::mpsc::Receiver<()> {
    // An open for reading and writing does not block on Linux (fifo(7)).
    let mut pipe = File::options().read(true).write(true).open(path).unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let read = pipe.read_exact(&mut [0]);
        // The thread keeps the pipe open, so that the writer stays blocked.
        read.map(|()| sender.send(())).map(|_| std::thread::park())
    });
    receiver
}

#[test]
fn killed_while_downloading_it_restarts_with_the_confirmed_release() {
    let mut site = site("killed-downloading");
    let (gateway, run) = confirmed(&mut site);
    let release = site.releases.release(2);
    site.station.offer(&release, 1);
    site.station.until_step(2, &UpdateStep::Downloading);
    gateway.kill();
    restarts_with(&mut site, run, &[(1, false)]);
}

#[test]
fn killed_while_writing_the_artifact_it_keeps_the_confirmed_release() {
    let mut site = site("killed-writing");
    let (gateway, run) = confirmed(&mut site);
    let half = site.state("slot-b/artifact.new");
    pipe_at(&half);
    let written = first_byte(&half);
    let release = site.releases.release(2);
    site.station.offer(&release, 0);
    written.recv_timeout(PATIENCE).unwrap();
    gateway.kill();
    fs::remove_file(&half).unwrap();
    fs::write(&half, [7; 65_536]).unwrap();
    restarts_with(&mut site, run, &[(1, false)]);
}

#[test]
fn killed_between_artifact_and_manifest_it_keeps_the_confirmed_release() {
    let mut site = site("killed-artifact");
    let (gateway, run) = confirmed(&mut site);
    let next = site.state("slot-b/manifest.new");
    pipe_at(&next);
    let release = site.releases.release(2);
    site.station.offer(&release, 0);
    wait_for_file(&site.state("slot-b/artifact"));
    gateway.kill();
    fs::remove_file(&next).unwrap();
    restarts_with(&mut site, run, &[(1, false)]);
}

#[test]
fn killed_before_the_state_names_the_release_it_keeps_the_confirmed_one() {
    let mut site = site("killed-staged");
    let (gateway, run) = confirmed(&mut site);
    let next = site.state("state.new");
    pipe_at(&next);
    let release = site.releases.release(2);
    site.station.offer(&release, 0);
    wait_for_file(&site.state("slot-b/manifest"));
    gateway.kill();
    fs::remove_file(&next).unwrap();
    restarts_with(&mut site, run, &[(1, false)]);
}

#[test]
fn killed_on_trial_it_restarts_on_trial() {
    let mut site = site("killed-trial");
    let (gateway, run) = confirmed(&mut site);
    let release = site.releases.release(2);
    site.station.offer(&release, 0);
    site.station.until_step(2, &UpdateStep::Trial);
    gateway.kill();
    restarts_with(&mut site, run, &[(2, true)]);
}

#[test]
fn killed_while_confirming_it_restarts_with_the_new_release() {
    let mut site = site("killed-confirming");
    let (mut gateway, run) = confirmed(&mut site);
    let release = site.releases.release(2);
    site.station.offer(&release, 0);
    site.station.until_step(2, &UpdateStep::Trial);
    let next = site.state("state.new");
    pipe_at(&next);
    let written = first_byte(&next);
    gateway.play();
    gateway.play();
    written.recv_timeout(PATIENCE).unwrap();
    gateway.kill();
    let _ = fs::remove_file(&next);
    // The state fits into the pipe, but a pipe cannot be synced, so the agent retries.
    restarts_with(&mut site, run, &[(2, true), (2, false)]);
}

#[test]
fn killed_after_confirming_it_restarts_with_the_new_release_confirmed() {
    let mut site = site("killed-confirmed");
    let (mut gateway, run) = confirmed(&mut site);
    let release = site.releases.release(2);
    site.station.offer(&release, 0);
    site.station.until_step(2, &UpdateStep::Trial);
    gateway.play();
    gateway.play();
    site.station.until_step(2, &UpdateStep::Confirmed);
    gateway.kill();
    restarts_with(&mut site, run, &[(2, false)]);
}
