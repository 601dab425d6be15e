//! The agent's program is killed (SIGKILL) at every step of an update, and started again: it is back with the last
//! confirmed release or with the new one, finishes the update, and has lost nothing that its journal held.
//!
//! A step is held by a named pipe in the place of the file that the agent writes next: it opens or fills the pipe and
//! waits there, however slow the machine is.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_shared::messages::UpdateStep;
use lapwing_system_tests::stage::gateway::{Gateway, journal, look_for};
use lapwing_system_tests::stage::releases::Releases;
use lapwing_system_tests::stage::station::Station;
use lapwing_system_tests::stage::{Folder, PATIENCE, look_until};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;

/// Alerts that the trainer has not stored when the agent is killed.
const UNSTORED: usize = 5;

/// A gateway's place: broker, releases, state folder.
struct Site {
    folder: Folder,
    releases: Releases,
    station: Station,
}

impl Site {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let releases = Releases::new(1);
        releases.write_public(&folder.join("test.pub"));
        Self { folder, releases, station: Station::start(UNSTORED) }
    }

    fn state(&self, path: &str) -> PathBuf {
        self.folder.join("state").join(path)
    }

    fn start(&self) -> Gateway {
        let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-demo"));
        program.arg("agent");
        let (key, state) = (self.folder.join("test.pub"), self.state(""));
        let paths = [key.to_str().unwrap(), state.to_str().unwrap()];
        let url = self.station.url();
        Gateway::start(program, &["--agent", "gw", "--mqtt", &url, "--key", paths[0], "--state-dir", paths[1]])
    }

    /// A gateway with release 1 confirmed and alerts that the trainer has not stored; and its run.
    fn settled(&mut self) -> (Gateway, u64) {
        let mut gateway = self.start();
        let (.., run) = self.station.until_online(0);
        let release = self.releases.release(1);
        self.station.offer(&release, 0);
        self.station.until_step(1, &UpdateStep::Trial);
        gateway.play();
        gateway.play();
        self.station.until_step(1, &UpdateStep::Confirmed);
        let enough = |station: &Station| station.withheld().len() == UNSTORED;
        while !enough(&self.station) {
            self.station.until("a message", |_| true);
        }
        look_until("the alerts in the journal", || {
            let kept = journal(&self.state(""));
            self.station.withheld().iter().all(|id| kept.contains(id)).then_some(())
        });
        (gateway, run)
    }

    /// Starts the agent again and holds what it comes back with against `expected` (release, on trial); then it
    /// finishes the update, and gives out again every alert that the trainer had not stored.
    fn comes_back(&mut self, run: u64, expected: &[(u64, bool)]) {
        self.station.relent();
        let mut missing = self.station.withheld().to_vec();
        assert_eq!(missing.len(), UNSTORED);
        let mut gateway = self.start();
        let (release, on_trial, _) = self.station.until_online(run);
        assert!(expected.contains(&(release, on_trial)), "back with {release}, on trial {on_trial}");
        self.station.until("the alerts again", |message| {
            missing.retain(|id| *id != (message.run, message.number));
            missing.is_empty()
        });
        if (release, on_trial) == (1, false) {
            let release = self.releases.release(2);
            self.station.offer(&release, 0);
            self.station.until_step(2, &UpdateStep::Trial);
        }
        if (release, on_trial) != (2, false) {
            gateway.play();
            gateway.play();
            self.station.until_step(2, &UpdateStep::Confirmed);
        }
        gateway.end();
        // Started once more, it has release 2 and takes no older one.
        let gateway = self.start();
        assert_eq!(self.station.until_online(run + 1).0, 2);
        let old = self.releases.release(1);
        self.station.offer(&old, 0);
        let refused = "release version 1 is not above 2, the highest ever confirmed";
        self.station.until_step(0, &UpdateStep::Refused(refused.try_into().unwrap()));
        gateway.end();
    }
}

fn pipe_at(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Opens a named pipe so that a writer does not wait for a reader, and gives back what tells of its first byte.
fn first_byte(path: &Path) -> std::sync::mpsc::Receiver<()> {
    // Read and write: such an open of a pipe does not block on Linux (fifo(7)).
    let mut pipe = File::options().read(true).write(true).open(path).unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let read = pipe.read_exact(&mut [0]);
        // The pipe stays open, and so the writer waiting, until the test has gone on.
        read.map(|()| tell.send(())).map(|_| std::thread::park())
    });
    told
}

#[test]
fn killed_while_downloading_it_is_back_with_the_confirmed_release() {
    let mut site = Site::new("killed-downloading");
    let (gateway, run) = site.settled();
    let release = site.releases.release(2);
    site.station.offer(&release, 1);
    site.station.until_step(2, &UpdateStep::Downloading);
    gateway.kill();
    site.comes_back(run, &[(1, false)]);
}

#[test]
fn killed_while_the_verified_artifact_is_half_written_it_is_back_with_the_confirmed_release() {
    let mut site = Site::new("killed-writing");
    let (gateway, run) = site.settled();
    let half = site.state("slot-b/artifact.new");
    pipe_at(&half);
    let written = first_byte(&half);
    let release = site.releases.release(2);
    site.station.offer(&release, 0);
    written.recv_timeout(PATIENCE).unwrap();
    gateway.kill();
    fs::remove_file(&half).unwrap();
    fs::write(&half, [7; 65_536]).unwrap();
    site.comes_back(run, &[(1, false)]);
}

#[test]
fn killed_between_artifact_and_manifest_it_is_back_with_the_confirmed_release() {
    let mut site = Site::new("killed-artifact");
    let (gateway, run) = site.settled();
    let next = site.state("slot-b/manifest.new");
    pipe_at(&next);
    let release = site.releases.release(2);
    site.station.offer(&release, 0);
    look_for(&site.state("slot-b/artifact"));
    gateway.kill();
    fs::remove_file(&next).unwrap();
    site.comes_back(run, &[(1, false)]);
}

#[test]
fn killed_with_the_release_staged_but_not_named_it_is_back_with_the_confirmed_release() {
    let mut site = Site::new("killed-staged");
    let (gateway, run) = site.settled();
    let next = site.state("state.new");
    pipe_at(&next);
    let release = site.releases.release(2);
    site.station.offer(&release, 0);
    look_for(&site.state("slot-b/manifest"));
    gateway.kill();
    fs::remove_file(&next).unwrap();
    site.comes_back(run, &[(1, false)]);
}

#[test]
fn killed_on_trial_it_is_back_on_trial() {
    let mut site = Site::new("killed-trial");
    let (gateway, run) = site.settled();
    let release = site.releases.release(2);
    site.station.offer(&release, 0);
    site.station.until_step(2, &UpdateStep::Trial);
    gateway.kill();
    site.comes_back(run, &[(2, true)]);
}

#[test]
fn killed_while_the_confirmation_is_written_it_is_back_with_the_new_release() {
    let mut site = Site::new("killed-confirming");
    let (mut gateway, run) = site.settled();
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
    // The state is small enough for the pipe: the agent sees that a pipe cannot be made durable and tries again.
    site.comes_back(run, &[(2, true), (2, false)]);
}

#[test]
fn killed_once_confirmed_it_is_back_with_the_new_release_confirmed() {
    let mut site = Site::new("killed-confirmed");
    let (mut gateway, run) = site.settled();
    let release = site.releases.release(2);
    site.station.offer(&release, 0);
    site.station.until_step(2, &UpdateStep::Trial);
    gateway.play();
    gateway.play();
    site.station.until_step(2, &UpdateStep::Confirmed);
    gateway.kill();
    site.comes_back(run, &[(2, false)]);
}
