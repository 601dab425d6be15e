//! The agent with a full state folder on a real file system: it reports the full disk, keeps detecting, keeps its
//! release, loses no message, and finishes its writes once there is space.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_shared::messages::{Body, UpdateStep};
use lapwing_system_tests::stage::Folder;
use lapwing_system_tests::stage::gateway::Gateway;
use lapwing_system_tests::stage::releases::Releases;
use lapwing_system_tests::stage::station::Station;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Mounts a small file system at the first argument, visible to this process only, and executes the other arguments.
const ON_SMALL_DISK: &str = r#"mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@""#;

/// A command that runs its arguments with a file system of 1 MiB at `folder`; none without the right to mount.
fn on_small_disk(folder: &Path) -> Option<Command> {
    let command = |options: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(options).args(["sh", "-c", ON_SMALL_DISK]).arg(folder);
        command
    };
    let candidates: [&[&str]; 2] = [&["--mount"], &["--mount", "--map-root-user"]];
    let works = |options: &&[&str]| command(options).arg("true").output().is_ok_and(|output| output.status.success());
    candidates.into_iter().find(works).map(command)
}

/// Fills the file system to the last byte.
fn fill(ballast: &PathBuf) {
    let mut file = File::create(ballast).unwrap();
    let error = std::io::copy(&mut std::io::repeat(0), &mut file).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
}

#[test]
fn a_full_disk_is_reported_and_its_writes_finish_once_there_is_space() {
    let folder = Folder::new("full-disk");
    let state = folder.join("state");
    fs::create_dir(&state).unwrap();
    let Some(mut program) = on_small_disk(&state) else {
        return lapwing_skips::skip("mounting a tmpfs needs root or user namespaces");
    };
    let releases = Releases::new(1);
    releases.write_public(&folder.join("test.pub"));
    let mut station = Station::start(0);
    program.arg(env!("CARGO_BIN_EXE_lapwing-demo")).arg("agent");
    let (key, url) = (folder.join("test.pub"), station.url());
    let (key, path) = (key.to_str().unwrap(), state.to_str().unwrap());
    let mut gateway = Gateway::start(program, &["--agent", "gw", "--mqtt", &url, "--key", key, "--state-dir", path]);
    let (.., run) = station.until_online(0);
    // The file system as the agent sees it, with the small one mounted (proc_pid_root(5)).
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
        "rejection of release 2",
        |message| matches!(&message.body, Body::Update(update) if matches!(update.step, UpdateStep::Refused(_))),
    );
    let Body::Update(update) = message.body else { unreachable!("only an update is waited for") };
    let step = format!("{:?}", update.step);
    assert!(step.contains("cannot write slot-b/") && step.contains("No space left on device"), "{step}");
    assert!(step.contains("keeping the release in use"), "{step}");
    for _ in 0..4 {
        gateway.play();
    }
    station.until("alert under release 1", |message| matches!(&message.body, Body::Alert(alert) if alert.release == 1));
    let line = gateway.until_logged("cannot write to the state folder; retrying");
    assert!(line.contains("cannot write the outbox to the state folder: No space left"), "{line}");

    fs::remove_file(&ballast).unwrap();
    gateway.until_logged("the state folder is writable again");
    station.offer(&next, 0);
    station.until_step(2, &UpdateStep::Trial);
    fill(&ballast);
    gateway.play();
    gateway.play();
    let line = gateway.until_logged("trial passed, but the confirmation cannot be stored; retrying");
    assert!(line.contains("cannot write state in the state folder: No space left on device"), "{line}");
    fs::remove_file(&ballast).unwrap();
    station.until_step(2, &UpdateStep::Confirmed);
    assert_eq!(station.missing(run), Vec::<u64>::new(), "lost messages");
    gateway.end();
}
