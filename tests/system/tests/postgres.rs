//! Several collectors on one PostgreSQL store, which may die.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_collect::outside::{self, Outside};
use lapwing_collect::{Collector, Counts, Options};
use lapwing_store::{Limits, Store, StoreHandle, StoreUrl};
use lapwing_system_tests::load::{self, LoadOptions};
use lapwing_system_tests::stage::Folder;
use lapwing_system_tests::stage::mosquitto::{Mosquitto, mosquitto};
use lapwing_system_tests::stage::postgres::Postgres;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

const COLLECTORS: u32 = 3;
const KILLS: u32 = 3;

/// A collector with a client identifier of its own, which shares the brokers' messages with the others.
fn collector(number: u32, brokers: &[Mosquitto], store: &StoreUrl) -> (Collector, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let (client, share) = (format!("trainer-{number}"), String::from("site"));
    let link = |broker: &Mosquitto| {
        let outside = Outside {
            url: broker.url(),
            client: client.clone(),
            authority: None,
            share: share.clone(),
            collects: true,
        };
        outside::start(&outside, Arc::clone(&counts)).unwrap().ends
    };
    let ends = brokers.iter().map(link).collect();
    let options = Options { acknowledge_every: Duration::from_millis(50), ..Options::default() };
    let store = Store::open(store, Limits::default()).unwrap();
    (Collector::start(ends, store, options, Arc::clone(&counts)).unwrap(), counts)
}

#[test]
fn three_collectors_lose_no_message_and_store_none_twice_when_postgresql_is_killed_under_load() {
    let folder = Folder::new("pg");
    let Some(mut server) = Postgres::start(folder.path()) else {
        return lapwing_skips::skip("PostgreSQL is not installed");
    };
    if mosquitto().is_none() {
        return lapwing_skips::skip("mosquitto is not installed");
    }
    let start = || Mosquitto::start(folder.path(), "allow_anonymous true\npersistence false\n", None);
    let brokers = [start(), start()];
    let store: StoreUrl = server.url().parse().unwrap();
    let collectors: Vec<_> = (0..COLLECTORS).map(|number| collector(number, &brokers, &store)).collect();
    let options = LoadOptions {
        brokers: brokers.iter().map(Mosquitto::address).collect(),
        agents: 60,
        rate: 1_000,
        seconds: 12,
        rows: 1,
        alert_every: 2,
        health_every_s: 0,
        cut_after_s: 0,
        look_ms: 100,
        window: 256,
        patience_seconds: 60,
        run: 1,
        ledger: None,
        report_every: 0,
    };
    let (sender, end_of_load) = channel();
    let load = std::thread::spawn(move || {
        let report = load::run(&options).unwrap();
        let _ = sender.send(());
        report
    });
    for kill in 0..KILLS {
        assert!(end_of_load.recv_timeout(Duration::from_secs(3)).is_err(), "the load ended before kill {kill}");
        server.kill();
        server.start_again();
    }
    let report = load.join().unwrap();
    assert_eq!(report.unacknowledged, 0, "{report}");
    let failures: u64 = collectors.iter().map(|(_, counts)| counts.commit_failures.get()).sum();
    for (collector, counts) in collectors {
        assert!(counts.stored.get() > 0, "every collector stores messages");
        collector.stop().unwrap();
    }
    let handle = StoreHandle::open(&store).unwrap();
    let stored: u64 = handle.message_counts().unwrap().iter().sum();
    assert_eq!(stored, report.sent, "{report}; each is stored once, after {failures} failed commits");
    assert!(failures > 0, "no commit met a server that was away");
    assert_eq!(handle.check().unwrap(), Vec::<String>::new());
}
