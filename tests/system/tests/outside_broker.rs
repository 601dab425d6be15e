//! The trainer at a real external broker, mosquitto: messages, releases after a restart of the broker, a second trainer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_collect::outside::{self, Outside};
use lapwing_collect::{Collector, Counts, Link, Options};
use lapwing_common::clock;
use lapwing_shared::messages::topics::{Kind, agent_topic, release_topic};
use lapwing_store::{Limits, Store, StoreHandle};
use lapwing_system_tests::stage::listener::{Listener, name, retained};
use lapwing_system_tests::stage::mosquitto::{Mosquitto, mosquitto};
use lapwing_system_tests::stage::releases::{GROUP, Releases};
use lapwing_system_tests::stage::trainer::Trainer;
use lapwing_system_tests::stage::{Folder, PATIENCE};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const INSTALL: &str = "mosquitto is not installed";

/// An external broker without persistence; `None` if mosquitto is not installed.
fn broker(folder: &Folder) -> Option<Mosquitto> {
    mosquitto()?;
    Some(Mosquitto::start(folder.path(), "allow_anonymous true\npersistence false\n", None))
}

fn link(broker: &Mosquitto, client: &str, share: &str, counts: &Arc<Counts>) -> Link {
    let (client, share) = (client.into(), share.into());
    let outside = Outside { url: broker.url(), client, authority: None, share, collects: true };
    let link = outside::start(&outside, Arc::clone(counts)).unwrap();
    let deadline = clock::after(PATIENCE);
    while counts.connections.get() == 0 {
        assert!(clock::monotonic() < deadline, "no connection to mosquitto");
        std::thread::yield_now();
    }
    link
}

fn collect(link: Link, store: &Path, counts: &Arc<Counts>) -> Collector {
    let store = Store::open(store, Limits::default()).unwrap();
    let options = Options { acknowledge_every: Duration::from_millis(50), ..Options::default() };
    Collector::start(vec![link.ends], store, options, Arc::clone(counts)).unwrap()
}

/// Waits for a subscription that the client requested before: the broker handles packets in order.
fn wait_until_collected(listener: &Listener, agent: &str, stores: &[&Path]) {
    let deadline = clock::after(PATIENCE);
    let stored = |path: &&Path| StoreHandle::open(*path).unwrap().message_counts().unwrap()[2] > 0;
    let mut number = 0;
    while !stores.iter().all(stored) {
        assert!(clock::monotonic() < deadline, "no message reached every trainer");
        number += 1;
        listener.send_update(agent, number);
        let _ = listener.received.recv_timeout(Duration::from_millis(50));
    }
}

#[test]
fn an_outside_broker_delivers_messages_and_releases() {
    let folder = Folder::new("outside-store");
    let Some(broker) = broker(&folder) else { return lapwing_skips::skip(INSTALL) };
    let counts = Arc::new(Counts::default());
    let mut link = link(&broker, "collector-1", "one", &counts);
    let topic = release_topic(&name(GROUP));
    let reader = Listener::new(&broker, "reader", &[topic.as_str()]);
    link.releases.outlet.publish(&topic, b"manifest".to_vec(), true).unwrap();
    assert_eq!(reader.received.recv_timeout(PATIENCE).unwrap().payload.as_ref(), b"manifest");
    let store = folder.join("store.sqlite");
    let collector = collect(link, &store, &counts);
    let agent = Listener::new(&broker, "gw", &[agent_topic(&name("gw"), Kind::Ack).as_str()]);
    let numbers: Vec<u64> = (1..=1_000).collect();
    numbers.iter().for_each(|number| agent.send_update("gw", *number));
    agent.wait_for_acknowledgements(numbers);
    collector.stop().unwrap();
    assert_eq!(StoreHandle::open(&store).unwrap().message_counts().unwrap(), [0, 0, 1_000]);
    assert_eq!(counts.foreign_acknowledgements.get(), 0, "its own acknowledgements are not foreign");
}

#[test]
fn a_second_trainer_takes_no_messages_from_the_first_and_both_report_the_other() {
    let folder = Folder::new("two-trainers-stores");
    let Some(broker) = broker(&folder) else { return lapwing_skips::skip(INSTALL) };
    let stores = ["first", "second"].map(|name| folder.join(name));
    let counts = [Arc::new(Counts::default()), Arc::new(Counts::default())];
    let links = ["first", "second"].map(|name| {
        let counts = &counts[usize::from(name == "second")];
        link(&broker, name, name, counts)
    });
    let mut collectors = Vec::new();
    for ((link, store), counts) in links.into_iter().zip(&stores).zip(&counts) {
        collectors.push(collect(link, store, counts));
    }
    let agent = Listener::new(&broker, "gw", &[agent_topic(&name("gw"), Kind::Ack).as_str()]);
    wait_until_collected(&agent, "warm-up", &[stores[0].as_path(), stores[1].as_path()]);
    let deadline = clock::after(PATIENCE);
    let stored = |path: &Path| {
        let handle = StoreHandle::open(path).unwrap();
        let found = handle.agents().unwrap().into_iter().any(|agent| agent.name == "gw");
        (found, handle.message_counts().unwrap()[2])
    };
    let before = stores.each_ref().map(|path| stored(path).1);
    (1..=100).for_each(|number| agent.send_update("gw", number));
    while stores.iter().zip(before).any(|(path, before)| stored(path).1 < before + 100) {
        assert!(clock::monotonic() < deadline, "{:?}, before {before:?}", stores.each_ref().map(|path| stored(path)));
        std::thread::yield_now();
    }
    while counts.iter().any(|counts| counts.foreign_acknowledgements.get() == 0) {
        assert!(clock::monotonic() < deadline, "no warning of another trainer");
        std::thread::yield_now();
    }
    collectors.into_iter().for_each(|collector| collector.stop().unwrap());
}

#[test]
fn releases_are_published_again_when_the_broker_lost_them() {
    let folder = Folder::new("retained-store");
    let Some(mut broker) = broker(&folder) else { return lapwing_skips::skip(INSTALL) };
    std::fs::create_dir(folder.join("releases")).unwrap();
    let release = Releases::new(1).release(5);
    std::fs::write(folder.join(format!("releases/{GROUP}-5.lwr")), &release.file).unwrap();
    let chunks: u32 = release.manifest.artifacts.iter().map(|artifact| artifact.chunks()).sum();
    let count = chunks as usize + 1;
    let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-load"));
    program.args(["trainer", "serve", "--log", "warn", "--group", GROUP, "--broker", &broker.url()]);
    program.arg("--store").arg(folder.join("store.sqlite")).arg("--releases").arg(folder.join("releases"));
    let trainer = Trainer::start(&mut program);
    let before = retained(&broker, "before", count);
    assert!(before.contains(&release_topic(&name(GROUP)).to_string()));
    broker.restart();
    assert_eq!(retained(&broker, "after", count), before);
    drop(trainer);
}
