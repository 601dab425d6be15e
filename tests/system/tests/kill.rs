//! A trainer that is killed under load has stored every message that it acknowledged.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_shared::messages::AgentName;
use lapwing_store::{Limits, Store};
use lapwing_system_tests::load::{LoadOptions, Running};
use lapwing_system_tests::on_each_store;
use lapwing_system_tests::stage::ports::free_port;
use lapwing_system_tests::stage::stores::{TestStore, argument, stored_messages};
use lapwing_system_tests::stage::trainer::Trainer;
use lapwing_system_tests::stage::{Folder, wait_for};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Messages that are acknowledged before each kill and after a restart: about two seconds of the load.
const MESSAGES: u64 = 10_000;

/// Starts a trainer and waits until it listens.
fn start(folder: &Path, store: &impl TestStore, listen: SocketAddr) -> Trainer {
    let address = folder.join("address");
    let _ = fs::remove_file(&address);
    let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-load"));
    program.args(["trainer", "serve", "--log", "warn", "--listen", &listen.to_string()]);
    program.arg("--store").arg(argument(store));
    let mut trainer = Trainer::start(program.arg("--address-file").arg(&address));
    wait_for("address of the trainer", folder, || {
        trainer.assert_running();
        fs::read_to_string(&address).ok().filter(|text| text.trim() == listen.to_string())
    });
    trainer
}

fn load(broker: SocketAddr, ledger: PathBuf) -> Running {
    Running::start(&LoadOptions {
        brokers: vec![broker],
        authority: None,
        store: None,
        agents: 100,
        rate: 5_000,
        seconds: 600,
        rows: 1,
        alert_every: 10,
        health_every_s: 0,
        cut_after_s: 0,
        look_ms: 100,
        window: 256,
        patience_seconds: 60,
        run: 1,
        seal_secret: None,
        ledger: Some(ledger),
        report_every: 0,
    })
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

/// Messages that were acknowledged, and those that are stored.
fn acknowledged_and_total(store: &impl TestStore, ledger: &Path) -> (u64, u64) {
    let writer = store.open(Limits::default());
    let acknowledged = acknowledged_and_stored(&fs::read_to_string(ledger).unwrap(), &writer);
    (acknowledged, stored_messages(&store.handle()))
}

on_each_store! {
    a_killed_trainer_has_stored_every_acknowledged_message,
    agents_lose_no_message_when_the_trainer_is_killed_and_restarted,
}

fn a_killed_trainer_has_stored_every_acknowledged_message<S: TestStore>() {
    let (folder, store) = (Folder::new("kill"), S::new());
    let broker = (Ipv4Addr::LOCALHOST, free_port()).into();
    let mut trainer = start(folder.path(), &store, broker);
    let ledger = folder.join("ledger");
    let load = load(broker, ledger.clone());
    load.wait_for_acknowledgements(MESSAGES).unwrap();
    trainer.kill();
    let report = load.give_up().unwrap();
    assert!(report.unacknowledged > 0, "{report}");
    let (acknowledged, stored) = acknowledged_and_total(&store, &ledger);
    assert!(acknowledged > 0 && stored >= report.acknowledged, "{stored} stored, {report}");
}

fn agents_lose_no_message_when_the_trainer_is_killed_and_restarted<S: TestStore>() {
    let (folder, store) = (Folder::new("restart"), S::new());
    let broker = (Ipv4Addr::LOCALHOST, free_port()).into();
    let mut trainer = start(folder.path(), &store, broker);
    let ledger = folder.join("ledger");
    let load = load(broker, ledger.clone());
    load.wait_for_acknowledgements(MESSAGES).unwrap();
    trainer.kill();
    let restarted = start(folder.path(), &store, broker);
    load.wait_for_acknowledgements(MESSAGES).unwrap();
    let report = load.end().unwrap();
    assert_eq!(report.unacknowledged, 0, "{report}");
    assert!(report.reconnections > 0, "{report}");
    drop(restarted);
    assert_eq!(acknowledged_and_total(&store, &ledger), (report.sent, report.sent), "every message is stored once");
}
