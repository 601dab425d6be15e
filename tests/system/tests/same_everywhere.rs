//! A capture gives the same rows, scores and alerts from a file, from a pipe, with either engine, and in the trainer.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use lapwing_pipeline::dataset::{capture, features_csv};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn captures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/captures").join(name)
}

/// The agent or the trainer in this build's demo program.
fn party(party: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lapwing-demo"));
    command.arg(party).stderr(Stdio::null()).stdout(Stdio::null());
    command
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("lapwing-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn the_trainer_meters_a_capture_as_the_agent_does() {
    let folder = folder("metering");
    let rows = folder.join("features.csv");
    for name in ["demo.pcap", "home-b-attacks.pcap.gz"] {
        let replayed = party("agent").arg("replay").arg(captures(name)).arg("--features").arg(&rows).status().unwrap();
        assert!(replayed.success());
        let agent = features_csv::read(std::slice::from_ref(&rows)).unwrap();
        let trainer = capture::read(&[captures(name)]).unwrap();
        assert!(!agent.rows.is_empty());
        assert_eq!(agent.rows.len(), trainer.rows.len());
        for (place, (agent, trainer)) in agent.rows.iter().zip(&trainer.rows).enumerate() {
            assert_eq!(agent.features, trainer.features, "{name}, row {place}");
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn files_pipes_and_both_engines_give_the_same_bytes() {
    let folder = folder("engines");
    let run = |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?}");
    let file = |name: &str| folder.join(name);
    run(party("trainer").args(["keys", "new", "test", "--secret"]).arg(file("k")).arg("--public").arg(file("p")));
    run(party("trainer")
        .args(["train", "--epochs", "4", "--capture"])
        .arg(captures("home-b-benign.pcap.gz"))
        .arg("--out")
        .arg(file("run")));
    run(party("trainer")
        .args(["release", "--version", "1", "--run"])
        .arg(file("run"))
        .arg("--capture")
        .arg(captures("home-a-benign-2.pcap.gz"))
        .arg("--attacks")
        .arg(captures("home-a-attacks.pcap.gz"))
        .arg("--key")
        .arg(file("k"))
        .arg("--out")
        .arg(file("release")));
    let replay = |name: &str, engine: &str, piped: bool| {
        let input = captures("home-b-attacks.pcap.gz");
        let mut command = party("agent");
        command.args(["replay", "--engine", engine, "--release"]).arg(file("release")).arg("--key").arg(file("p"));
        for (option, ending) in [("--features", "features"), ("--records", "records"), ("--alerts", "alerts")] {
            command.arg(option).arg(file(&format!("{name}.{ending}")));
        }
        match piped {
            true => command.arg("-").stdin(File::open(input).unwrap()),
            false => command.arg(input),
        };
        run(&mut command);
        ["features", "records", "alerts"].map(|ending| std::fs::read(file(&format!("{name}.{ending}"))).unwrap())
    };
    let from_file = replay("file", "tract", false);
    assert!(from_file.iter().all(|bytes| !bytes.is_empty()), "records, features or alerts are empty");
    assert!(replay("pipe", "tract", true) == from_file, "the pipe gives different bytes");
    assert!(replay("int8", "int8", false) == from_file, "the engines differ");
    std::fs::remove_dir_all(folder).unwrap();
}
