//! A trainer that is killed under load has stored every message that it acknowledged.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_shared::messages::AgentName;
use lapwing_store::{Limits, Store, StoreHandle};
use lapwing_system_tests::load::{self, LoadOptions, Report};
use lapwing_system_tests::stage::trainer::Trainer;
use lapwing_system_tests::stage::{Folder, wait_for};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

/// Starts a trainer and waits until it listens.
fn start(folder: &Path, listen: &str) -> (Trainer, SocketAddr) {
    let address = folder.join("address");
    let _ = fs::remove_file(&address);
    let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-load"));
    program.args(["trainer", "serve", "--log", "warn", "--listen", listen, "--store"]).arg(folder.join("store.sqlite"));
    let mut trainer = Trainer::start(program.arg("--address-file").arg(&address));
    let listening = wait_for("address of the trainer", folder, || {
        trainer.assert_running();
        fs::read_to_string(&address).ok()?.trim().parse().ok()
    });
    (trainer, listening)
}

fn options(broker: SocketAddr, ledger: PathBuf) -> LoadOptions {
    LoadOptions {
        brokers: vec![broker],
        agents: 100,
        rate: 5_000,
        seconds: 4,
        rows: 1,
        alert_every: 10,
        health_every_s: 0,
        cut_after_s: 0,
        look_ms: 100,
        window: 256,
        patience_seconds: 3,
        run: 1,
        ledger: Some(ledger),
        report_every: 0,
    }
}

/// Messages that the ledger lists as acknowledged; checks that the store has all of them.
fn acknowledged_and_stored(ledger: &str, store: &Store) -> u64 {
    let mut acknowledged = 0;
    for line in ledger.lines() {
        let (name, up_to) = line.split_once(' ').unwrap_or((line, ""));
        let up_to: u64 = up_to.parse().unwrap_or(u64::MAX);
        let progress = AgentName::try_from(name).ok().and_then(|name| store.progress(&name, 1).unwrap());
        let stored = progress.map_or(0, |progress| progress.up_to());
        assert!(stored >= up_to, "{name}: {up_to} acknowledged, {stored} stored");
        acknowledged += up_to;
    }
    acknowledged
}

/// Puts load on the trainer and kills it two seconds before the end of sending.
fn kill_under_load(trainer: &mut Trainer, options: LoadOptions) -> JoinHandle<Report> {
    let (sender, end_of_load) = std::sync::mpsc::channel();
    let load = std::thread::spawn(move || {
        let report = load::run(&options).unwrap();
        let _ = sender.send(());
        report
    });
    assert!(end_of_load.recv_timeout(Duration::from_secs(2)).is_err(), "the load ended before the kill");
    trainer.kill();
    load
}

/// Messages that were acknowledged, and alerts and batches that are stored.
fn acknowledged_and_total(folder: &Folder, ledger: &Path) -> (u64, u64) {
    let path = folder.join("store.sqlite");
    let store = Store::open(&path, Limits::default()).unwrap();
    let acknowledged = acknowledged_and_stored(&fs::read_to_string(ledger).unwrap(), &store);
    let [alerts, batches, _] = StoreHandle::open(&path).unwrap().message_counts().unwrap();
    (acknowledged, alerts + batches)
}

#[test]
fn a_killed_trainer_has_stored_every_acknowledged_message() {
    let folder = Folder::new("kill");
    let (mut trainer, broker) = start(folder.path(), "127.0.0.1:0");
    let ledger = folder.join("ledger");
    let load = kill_under_load(&mut trainer, options(broker, ledger.clone()));
    let report = load.join().unwrap();
    assert!(report.acknowledged > 0 && report.unacknowledged > 0, "{report}");
    let (acknowledged, stored) = acknowledged_and_total(&folder, &ledger);
    assert!(acknowledged > 0 && stored >= report.acknowledged, "{stored} stored, {report}");
}

#[test]
fn agents_lose_no_message_when_the_trainer_is_killed_and_restarted() {
    let folder = Folder::new("restart");
    let (mut trainer, broker) = start(folder.path(), "127.0.0.1:0");
    let ledger = folder.join("ledger");
    let options = LoadOptions { patience_seconds: 60, ..options(broker, ledger.clone()) };
    let load = kill_under_load(&mut trainer, options);
    let (restarted, _) = start(folder.path(), &broker.to_string());
    let report = load.join().unwrap();
    assert_eq!(report.unacknowledged, 0, "{report}");
    assert!(report.reconnections > 0, "{report}");
    drop(restarted);
    assert_eq!(acknowledged_and_total(&folder, &ledger), (report.sent, report.sent), "every message is stored once");
}
