//! `lapwing-trainer import`, `evaluate` and `compare` → lapwing-lab with the same arguments.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Only one test at a time writes and runs a script: a process that another test starts meanwhile would inherit the
/// open file, and the kernel does not run a file that is open for writing.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An empty folder, on the file system of the program so that links work.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Adds a lapwing-lab that prints its own name and its arguments, and returns 3.
fn add_lab(folder: &Path, name: &str) {
    let path = folder.join("lapwing-lab");
    std::fs::write(&path, format!("#!/bin/sh\necho \"{name}\"\nprintf '%s\\n' \"$@\"\nexit 3\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs a trainer that is in `folder`, where PATH has only `on_path`.
fn run(folder: &Path, on_path: &Path, arguments: &[&str]) -> Output {
    let trainer = folder.join("lapwing-trainer");
    let _ = std::fs::hard_link(env!("CARGO_BIN_EXE_lapwing-trainer"), &trainer);
    Command::new(trainer).args(arguments).env("PATH", on_path).output().unwrap()
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn the_lab_beside_the_trainer_gets_the_same_arguments_and_returns_its_exit_code() {
    let _alone = alone();
    let (own, other) = (folder("beside"), folder("beside-path"));
    add_lab(&own, "beside");
    add_lab(&other, "on PATH");
    for subcommand in ["import", "evaluate", "compare"] {
        let output = run(&own, &other, &[subcommand, "--kind", "nsl-kdd", "--train", "a file.csv", "--help", "-x"]);
        let expected = ["beside", subcommand, "--kind", "nsl-kdd", "--train", "a file.csv", "--help", "-x"];
        assert_eq!(lines(&output), expected);
        assert_eq!(output.status.code(), Some(3));
    }
}

#[test]
fn without_one_beside_it_the_lab_on_path_runs() {
    let _alone = alone();
    let (own, other) = (folder("path-trainer"), folder("path"));
    add_lab(&other, "on PATH");
    let output = run(&own, &other, &["compare", "--config", "compare.toml"]);
    assert_eq!(lines(&output), ["on PATH", "compare", "--config", "compare.toml"]);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn the_trainers_log_option_is_not_passed_to_the_lab() {
    let _alone = alone();
    let own = folder("log");
    add_lab(&own, "beside");
    for arguments in [["--log", "warn", "evaluate", "-a"], ["evaluate", "-a", "--log", "warn"]] {
        assert_eq!(lines(&run(&own, &own, &arguments)), ["beside", "evaluate", "-a"]);
    }
    assert_eq!(lines(&run(&own, &own, &["evaluate", "-a", "--log=warn", "b"])), ["beside", "evaluate", "-a", "b"]);
}

#[test]
fn without_a_lab_the_error_says_what_to_install_and_where() {
    let _alone = alone();
    let (own, other) = (folder("none"), folder("none-path"));
    let output = run(&own, &other, &["evaluate", "--kind", "nsl-kdd"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    let expected = format!("evaluate moved to lapwing-lab, which is neither in {} nor on PATH", own.display());
    assert!(error.contains(&expected) && error.contains("`lapwing-lab evaluate …`"), "{error}");
}
