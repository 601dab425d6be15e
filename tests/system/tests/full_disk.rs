//! The agent on a state folder that fills up, for real: it says so, goes on detecting, keeps its release, loses no
//! message, and finishes what it could not write once there is room.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_shared::messages::{Body, UpdateStep};
use lapwing_system_tests::stage::gateway::Gateway;
use lapwing_system_tests::stage::releases::Releases;
use lapwing_system_tests::stage::station::Station;
use lapwing_system_tests::stage::{Folder, skipped};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Mounts a small file system over the first argument, seen by this process only, and becomes the rest.
const ON_SMALL_DISK: &str = r#"mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@""#;

/// A command that runs another one on a file system of 1 MiB at `folder`, where this user may mount one.
fn on_small_disk(folder: &Path) -> Option<Command> {
    let command = |options: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(options).args(["sh", "-c", ON_SMALL_DISK]).arg(folder);
        command
    };
    let ways: [&[&str]; 2] = [&["--mount"], &["--mount", "--map-root-user"]];
    let works = |options: &&[&str]| command(options).arg("true").output().is_ok_and(|output| output.status.success());
    ways.into_iter().find(works).map(command)
}

/// Fills the file system to the last byte.
fn fill(ballast: &PathBuf) {
    let mut file = File::create(ballast).unwrap();
    let error = std::io::copy(&mut std::io::repeat(0), &mut file).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
}

#[test]
fn on_a_full_disk_the_agent_goes_on_says_so_and_finishes_when_there_is_room() {
    let folder = Folder::new("full-disk");
    let state = folder.join("state");
    fs::create_dir(&state).unwrap();
    let Some(mut program) = on_small_disk(&state) else {
        return skipped("the agent on a full disk", "mounting a tmpfs is not permitted to this user");
    };
    let releases = Releases::new(1);
    releases.write_public(&folder.join("test.pub"));
    let mut station = Station::start(0);
    program.arg(env!("CARGO_BIN_EXE_lapwing-demo")).arg("agent");
    let (key, url) = (folder.join("test.pub"), station.url());
    let (key, path) = (key.to_str().unwrap(), state.to_str().unwrap());
    let mut gateway = Gateway::start(program, &["--agent", "gw", "--mqtt", &url, "--key", key, "--state-dir", path]);
    let (.., run) = station.until_online(0);
    // Its own view of the file system, in which the small one is mounted (proc_pid_root(5)).
    let inside = PathBuf::from(format!("/proc/{}/root{path}", gateway.process()));
    let ballast = inside.join("ballast");
    station.offer(&releases.release(1), 0);
    station.until_step(1, &UpdateStep::Trial);
    gateway.play();
    gateway.play();
    station.until_step(1, &UpdateStep::Confirmed);

    fill(&ballast);
    let next = releases.release(2);
    station.offer(&next, 0);
    let message = station.until(
        "the refusal of release 2",
        |message| matches!(&message.body, Body::Update(update) if matches!(update.step, UpdateStep::Refused(_))),
    );
    let Body::Update(update) = message.body else { unreachable!("only an update is waited for") };
    let said = format!("{:?}", update.step);
    assert!(said.contains("cannot write slot-b/") && said.contains("No space left on device"), "{said}");
    assert!(said.contains("the release in use stays"), "{said}");
    for _ in 0..4 {
        gateway.play();
    }
    station
        .until("an alert under release 1", |message| matches!(&message.body, Body::Alert(alert) if alert.release == 1));
    let line = gateway.until_logged("it is tried again");
    assert!(line.contains("cannot write the outbox to the state folder: No space left"), "{line}");

    fs::remove_file(&ballast).unwrap();
    gateway.until_logged("the state folder can be written again");
    station.offer(&next, 0);
    station.until_step(2, &UpdateStep::Trial);
    fill(&ballast);
    gateway.play();
    gateway.play();
    let line = gateway.until_logged("trial passed, but is not confirmed; it is tried again");
    assert!(line.contains("cannot write state in the state folder: No space left on device"), "{line}");
    fs::remove_file(&ballast).unwrap();
    station.until_step(2, &UpdateStep::Confirmed);
    assert_eq!(station.missing(run), Vec::<u64>::new(), "messages that never came");
    gateway.end();
}
