//! The trainer at a real external broker, mosquitto: messages, releases after a restart of the broker, a second trainer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_collect::outside::{self, Outside};
use lapwing_collect::{Collector, Counts, Link, Options};
use lapwing_common::clock;
use lapwing_shared::messages::topics::{Kind, agent_topic, release_topic};
use lapwing_store::{Limits, StoreHandle};
use lapwing_system_tests::on_each_store;
use lapwing_system_tests::stage::listener::{Listener, name, retained};
use lapwing_system_tests::stage::mosquitto::{Mosquitto, mosquitto};
use lapwing_system_tests::stage::releases::{GROUP, Releases};
use lapwing_system_tests::stage::stores::{TestStore, argument, stored_messages};
use lapwing_system_tests::stage::trainer::Trainer;
use lapwing_system_tests::stage::{Folder, PATIENCE};
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

fn collect(link: Link, store: &impl TestStore, counts: &Arc<Counts>) -> Collector {
    let store = store.open(Limits::default());
    let options = Options { acknowledge_every: Duration::from_millis(50), ..Options::default() };
    Collector::start(vec![link.ends], store, options, (Arc::clone(counts), Arc::default())).unwrap()
}

/// Sends messages of an agent until every store has one: the subscriptions of the trainers are later than their connections.
fn wait_until_collected(listener: &Listener, agent: &str, stores: &[StoreHandle]) {
    let deadline = clock::after(PATIENCE);
    let mut number = 0;
    while stores.iter().any(|store| stored_messages(store) == 0) {
        assert!(clock::monotonic() < deadline, "no message reached every trainer");
        number += 1;
        listener.send_update(agent, number);
        let _ = listener.received.recv_timeout(Duration::from_millis(50));
    }
}

/// Waits until a condition holds, and receives an agent's acknowledgements meanwhile.
fn until(what: &str, listener: &Listener, mut condition: impl FnMut() -> bool) {
    let deadline = clock::after(PATIENCE);
    while !condition() {
        assert!(clock::monotonic() < deadline, "{what}");
        let _ = listener.received.recv_timeout(Duration::from_millis(20));
    }
}

on_each_store! {
    an_outside_broker_delivers_messages_and_releases,
    a_second_trainer_takes_no_messages_from_the_first_and_both_report_the_other,
    releases_are_published_again_when_the_broker_lost_them,
}

fn an_outside_broker_delivers_messages_and_releases<S: TestStore>() {
    let (folder, store) = (Folder::new("outside-store"), S::new());
    let Some(broker) = broker(&folder) else { return lapwing_skips::skip(INSTALL) };
    let counts = Arc::new(Counts::default());
    let mut link = link(&broker, "collector-1", "one", &counts);
    let topic = release_topic(&name(GROUP));
    let reader = Listener::new(&broker, "reader", &[topic.as_str()]);
    link.releases.outlet.publish(&topic, b"manifest".to_vec(), true).unwrap();
    assert_eq!(reader.received.recv_timeout(PATIENCE).unwrap().payload.as_ref(), b"manifest");
    let collector = collect(link, &store, &counts);
    let agent = Listener::new(&broker, "gw", &[agent_topic(&name("gw"), Kind::Ack).as_str()]);
    let numbers: Vec<u64> = (1..=1_000).collect();
    numbers.iter().for_each(|number| agent.send_update("gw", *number));
    agent.wait_for_acknowledgements(numbers);
    collector.stop().unwrap();
    assert_eq!(store.handle().message_counts().unwrap(), [0, 0, 1_000]);
    assert_eq!(counts.foreign_acknowledgements.get(), 0, "its own acknowledgements are not foreign");
}

fn a_second_trainer_takes_no_messages_from_the_first_and_both_report_the_other<S: TestStore>() {
    let (folder, stores) = (Folder::new("two-trainers-stores"), [S::new(), S::new()]);
    let Some(broker) = broker(&folder) else { return lapwing_skips::skip(INSTALL) };
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
    let handles = stores.each_ref().map(TestStore::handle);
    wait_until_collected(&agent, "warm-up", &handles);
    (1..=100).for_each(|number| agent.send_update("gw", number));
    // The broker and the trainers keep the order of one client's messages, so this one is stored last.
    agent.send_update("last", 1);
    let has_last = |store: &StoreHandle| store.agents().unwrap().iter().any(|agent| agent.name == "last");
    until("the last message did not reach every trainer", &agent, || handles.iter().all(has_last));
    let is_reported = |counts: &Arc<Counts>| counts.foreign_acknowledgements.get() > 0;
    until("no warning of another trainer", &agent, || counts.iter().all(is_reported));
    collectors.into_iter().for_each(|collector| collector.stop().unwrap());
    for store in &stores {
        let progress = store.open(Limits::default()).progress(&name("gw"), 1).unwrap();
        assert_eq!(progress.unwrap().up_to(), 100, "each trainer stored every message");
    }
}

fn releases_are_published_again_when_the_broker_lost_them<S: TestStore>() {
    let (folder, store) = (Folder::new("retained-store"), S::new());
    let Some(mut broker) = broker(&folder) else { return lapwing_skips::skip(INSTALL) };
    std::fs::create_dir(folder.join("releases")).unwrap();
    let release = Releases::new(1).release(5);
    std::fs::write(folder.join(format!("releases/{GROUP}-5.lwr")), &release.file).unwrap();
    let chunks: u32 = release.manifest.artifacts.iter().map(|artifact| artifact.chunks()).sum();
    let count = chunks as usize + 1;
    let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-load"));
    program.args(["trainer", "serve", "--log", "warn", "--group", GROUP, "--broker", &broker.url()]);
    program.arg("--store").arg(argument(&store)).arg("--releases").arg(folder.join("releases"));
    let trainer = Trainer::start(&mut program);
    let before = retained(&broker, "before", count);
    assert!(before.contains(&release_topic(&name(GROUP)).to_string()));
    broker.restart();
    assert_eq!(retained(&broker, "after", count), before);
    drop(trainer);
}
