//! Three collectors, three brokers and PostgreSQL, each in a process of its own, which is killed and started again under
//! load.
//!
//! `LAPWING_KILL_SECONDS` is the minimum duration of the load, by default 12 s, and `LAPWING_AWAY_SECONDS` the time for which
//! PostgreSQL is stopped, by default 2 s:
//!
//! ```text
//! LAPWING_KILL_SECONDS=120 LAPWING_AWAY_SECONDS=60 cargo test --workspace --test killed_in_turn -- --nocapture
//! ```
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_common::clock;
use lapwing_store::{StoreHandle, StoreUrl};
use lapwing_system_tests::load::{LoadOptions, Running};
use lapwing_system_tests::stage::mosquitto::{Mosquitto, mosquitto};
use lapwing_system_tests::stage::postgres::Postgres;
use lapwing_system_tests::stage::stores::stored_messages;
use lapwing_system_tests::stage::trainer::Trainer;
use lapwing_system_tests::stage::{Folder, wait_for};
use std::process::Command;
use std::time::Duration;

/// Alerts per second.
const RATE: u32 = 2_000;
/// Processes that are killed, at least.
const KILLS: usize = 3;

fn seconds(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

struct Fleet {
    folder: Folder,
    server: Postgres,
    brokers: [Mosquitto; 3],
    collectors: Vec<Trainer>,
}

impl Fleet {
    /// Starts everything; `None` if a program is missing.
    fn start(name: &str) -> Option<Self> {
        mosquitto()?;
        let folder = Folder::new(name);
        let server = Postgres::start(folder.path())?;
        let start = || Mosquitto::start(folder.path(), "allow_anonymous true\npersistence false\n", None);
        let brokers = [start(), start(), start()];
        let mut fleet = Self { folder, server, brokers, collectors: Vec::new() };
        for number in 0..3 {
            let collector = fleet.collector(number);
            fleet.collectors.push(collector);
        }
        Some(fleet)
    }

    /// Starts a collector and waits until it has opened the store.
    fn collector(&self, number: usize) -> Trainer {
        let file = self.folder.join(format!("collect-{number}.http"));
        let _ = std::fs::remove_file(&file);
        let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-load"));
        program.args(["trainer", "--log", "error", "serve", "--roles", "collect,web"]);
        program.args(["--client", &format!("collect-{number}"), "--store", &self.server.url()]);
        program.args(["--http", "127.0.0.1:0", "--http-address-file"]).arg(&file);
        program.args(self.brokers.iter().flat_map(|broker| ["--broker".into(), broker.url()]));
        let mut trainer = Trainer::start(&mut program);
        wait_for("a collector", self.folder.path(), || {
            trainer.assert_running();
            std::fs::read_to_string(&file).ok().filter(|text| !text.is_empty())
        });
        trainer
    }

    /// Kills a process and starts it again: a collector, a broker or the server, in turn.
    fn kill(&mut self, turn: usize) {
        match turn % 7 {
            6 => {
                self.server.kill();
                self.server.start_again();
            }
            place if place % 2 == 0 => {
                let number = place / 2;
                self.collectors[number].kill();
                self.collectors[number] = self.collector(number);
            }
            place => self.brokers[place / 2].restart(),
        }
    }
}

fn load(brokers: &[Mosquitto]) -> Running {
    Running::start(&LoadOptions {
        brokers: brokers.iter().map(Mosquitto::address).collect(),
        authority: None,
        store: None,
        agents: 200,
        rate: RATE,
        seconds: 3_600,
        rows: 1,
        alert_every: 1,
        health_every_s: 0,
        cut_after_s: 0,
        look_ms: 100,
        window: 256,
        patience_seconds: 180,
        run: 1,
        seal_secret: None,
        ledger: None,
        report_every: 0,
    })
}

#[test]
fn no_alert_is_lost_or_stored_twice_when_every_process_is_killed_in_turn() {
    let Some(mut fleet) = Fleet::start("killed") else {
        return lapwing_skips::skip("PostgreSQL or mosquitto is not installed");
    };
    let end = clock::after(Duration::from_secs(seconds("LAPWING_KILL_SECONDS", 12)));
    let load = load(&fleet.brokers);
    let mut kills = 0;
    while kills < KILLS || clock::monotonic() < end {
        // A second of the load, however slow the machine is.
        load.wait_for_acknowledgements(RATE.into()).unwrap();
        fleet.kill(kills);
        kills += 1;
    }
    let report = load.end().unwrap();
    println!("{kills} processes killed; {report}");
    assert_eq!(report.unacknowledged, 0, "{report}");
    let store: StoreUrl = fleet.server.url().parse().unwrap();
    let handle = StoreHandle::open(&store).unwrap();
    assert_eq!(stored_messages(&handle), report.sent, "{report}; each is stored once");
    assert_eq!(handle.check().unwrap(), Vec::<String>::new());
}

#[test]
fn alerts_wait_at_the_agents_while_the_database_is_away() {
    let Some(mut fleet) = Fleet::start("away") else {
        return lapwing_skips::skip("PostgreSQL or mosquitto is not installed");
    };
    let away = seconds("LAPWING_AWAY_SECONDS", 2);
    let load = load(&fleet.brokers);
    load.wait_for_acknowledgements(RATE.into()).unwrap();
    fleet.server.kill();
    assert!(!load.ends_within(Duration::from_secs(away)), "the load failed");
    fleet.server.start_again();
    load.wait_for_acknowledgements(RATE.into()).unwrap();
    let report = load.end().unwrap();
    println!("PostgreSQL away for {away} s; {report}");
    assert_eq!(report.unacknowledged, 0, "{report}");
    let store: StoreUrl = fleet.server.url().parse().unwrap();
    assert_eq!(stored_messages(&StoreHandle::open(&store).unwrap()), report.sent, "{report}; each is stored once");
}
