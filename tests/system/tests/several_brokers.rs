//! Trainer and agents at several external brokers, any of which may die.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_collect::outside::{self, Outside};
use lapwing_collect::{Collector, Counts, LinkState, Options};
use lapwing_common::clock;
use lapwing_shared::messages::topics::{Kind, agent_topic, agents_filter, release_topic};
use lapwing_store::Limits;
use lapwing_system_tests::load::{LoadOptions, Running};
use lapwing_system_tests::on_each_store;
use lapwing_system_tests::stage::gateway::{Gateway, journal};
use lapwing_system_tests::stage::listener::{Listener, name, retained};
use lapwing_system_tests::stage::mosquitto::{Mosquitto, mosquitto};
use lapwing_system_tests::stage::releases::{GROUP, Releases};
use lapwing_system_tests::stage::stores::{TestStore, argument, stored_messages};
use lapwing_system_tests::stage::trainer::Trainer;
use lapwing_system_tests::stage::{Folder, PATIENCE, wait_for};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const INSTALL: &str = "mosquitto is not installed";

/// Brokers without persistence; `None` if mosquitto is not installed.
fn brokers<const N: usize>(folder: &Folder) -> Option<[Mosquitto; N]> {
    mosquitto()?;
    Some([(); N].map(|()| Mosquitto::start(folder.path(), "allow_anonymous true\npersistence false\n", None)))
}

/// A collector of all of them.
struct Site {
    collector: Collector,
    counts: Arc<Counts>,
    links: Vec<Arc<LinkState>>,
}

impl Site {
    fn start(brokers: &[Mosquitto], store: &impl TestStore) -> Self {
        let counts = Arc::new(Counts::default());
        let (client, share) = (String::from("trainer"), String::from("site"));
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
        let ends: Vec<_> = brokers.iter().map(link).collect();
        let links = ends.iter().map(|ends| Arc::clone(&ends.state)).collect();
        let options = Options { acknowledge_every: Duration::from_millis(50), ..Options::default() };
        let store = store.open(Limits::default());
        let collector = Collector::start(ends, store, options, (Arc::clone(&counts), Arc::default())).unwrap();
        Self { collector, counts, links }
    }

    /// Waits until the link to a broker has had this number of connections.
    fn until_connected(&self, broker: usize, connections: u64) {
        let deadline = clock::after(PATIENCE);
        while self.links[broker].connections.get() < connections {
            assert!(clock::monotonic() < deadline, "{:?}", self.links[broker].snapshot());
            std::thread::yield_now();
        }
    }
}

on_each_store! {
    messages_through_each_broker_are_stored_once_and_acknowledged_where_they_came_from,
    a_broker_that_dies_delays_no_other_and_is_read_again_when_it_is_back,
    every_broker_that_lost_the_release_is_refilled_also_while_another_is_away,
    an_agent_fails_over_with_its_unacknowledged_alerts_and_none_is_lost_or_stored_twice,
    no_message_is_lost_or_stored_twice_when_each_broker_is_killed_in_turn_under_load,
}

/// An agent's client at a broker, subscribed to its acknowledgements.
fn agent(broker: &Mosquitto, agent: &str) -> Listener {
    Listener::new(broker, agent, &[agent_topic(&name(agent), Kind::Ack).as_str()])
}

fn messages_through_each_broker_are_stored_once_and_acknowledged_where_they_came_from<S: TestStore>() {
    let (folder, store) = (Folder::new("several-store"), S::new());
    let Some(brokers) = brokers::<2>(&folder) else { return lapwing_skips::skip(INSTALL) };
    let site = Site::start(&brokers, &store);
    let spies = brokers.each_ref().map(|broker| Listener::new(broker, "spy", &[agents_filter(Kind::Ack).as_str()]));
    (0..2).for_each(|broker| site.until_connected(broker, 1));
    let agents = [agent(&brokers[0], "gw-0"), agent(&brokers[1], "gw-1")];
    for (index, agent) in agents.iter().enumerate() {
        // The subscription of the collector may be later than the connection: agents repeat what is not acknowledged.
        wait_until_collected(agent, &format!("gw-{index}"), &site, index);
        (2..=500).for_each(|number| agent.send_update(&format!("gw-{index}"), number));
        agent.wait_for_acknowledgements((2..=500).collect());
    }
    let handle = store.handle();
    let stored = || stored_messages(&handle);
    assert_eq!(stored(), 1_000);
    for (index, spy) in spies.iter().enumerate() {
        let first = spy.received.recv_timeout(PATIENCE).unwrap();
        let seen = std::iter::once(first).chain(spy.received.try_iter());
        let topics: Vec<String> = seen.map(|publish| String::from_utf8(publish.topic.to_vec()).unwrap()).collect();
        let own = format!("/gw-{index}/ack");
        assert!(topics.iter().all(|topic| topic.ends_with(&own)), "{index}: {topics:?}");
    }
    let duplicates = site.counts.duplicates.get();
    let moved = agent(&brokers[1], "gw-0");
    (401..=600).for_each(|number| moved.send_update("gw-0", number));
    moved.wait_for_acknowledgements((401..=600).collect());
    assert_eq!((stored(), site.counts.duplicates.get() - duplicates), (1_100, 100), "100 of 200 were stored before");
    assert!(site.links.iter().all(|link| link.received.get() >= 500 && link.acknowledgements.get() > 0));
    site.collector.stop().unwrap();
}

/// Waits until the loss of a connection is noticed.
fn until_disconnected(link: &LinkState) {
    let deadline = clock::after(PATIENCE);
    while link.is_connected() {
        assert!(clock::monotonic() < deadline, "{:?}", link.snapshot());
        std::thread::yield_now();
    }
}

/// Sends the first message of an agent until it is acknowledged.
fn wait_until_collected(listener: &Listener, agent: &str, site: &Site, broker: usize) {
    let deadline = clock::after(PATIENCE);
    loop {
        listener.send_update(agent, 1);
        if listener.received.recv_timeout(Duration::from_millis(200)).is_ok() {
            return;
        }
        assert!(clock::monotonic() < deadline, "{:?}", site.links[broker].snapshot());
    }
}

fn a_broker_that_dies_delays_no_other_and_is_read_again_when_it_is_back<S: TestStore>() {
    let (folder, store) = (Folder::new("dying-broker"), S::new());
    let Some(mut brokers) = brokers::<2>(&folder) else { return lapwing_skips::skip(INSTALL) };
    let site = Site::start(&brokers, &store);
    (0..2).for_each(|broker| site.until_connected(broker, 1));
    brokers[0].end();
    let other = agent(&brokers[1], "gw-1");
    wait_until_collected(&other, "gw-1", &site, 1);
    (2..=300).for_each(|number| other.send_update("gw-1", number));
    other.wait_for_acknowledgements((2..=300).collect());
    until_disconnected(&site.links[0]);
    assert!(site.links[1].is_connected());
    brokers[0].restart();
    site.until_connected(0, 2);
    let back = agent(&brokers[0], "gw-0");
    wait_until_collected(&back, "gw-0", &site, 0);
    site.collector.stop().unwrap();
    assert_eq!(stored_messages(&store.handle()), 301);
}

fn every_broker_that_lost_the_release_is_refilled_also_while_another_is_away<S: TestStore>() {
    let (folder, store) = (Folder::new("refill"), S::new());
    let Some(mut brokers) = brokers::<3>(&folder) else { return lapwing_skips::skip(INSTALL) };
    brokers[2].end();
    std::fs::create_dir(folder.join("releases")).unwrap();
    let release = Releases::new(1).release(5);
    std::fs::write(folder.join(format!("releases/{GROUP}-5.lwr")), &release.file).unwrap();
    let chunks: u32 = release.manifest.artifacts.iter().map(|artifact| artifact.chunks()).sum();
    let count = chunks as usize + 1;
    let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-load"));
    program.args(["trainer", "serve", "--log", "warn", "--group", GROUP]);
    for broker in &brokers {
        program.args(["--broker", &broker.url()]);
    }
    program.arg("--store").arg(argument(&store)).arg("--releases").arg(folder.join("releases"));
    let trainer = Trainer::start(&mut program);
    let before = retained(&brokers[0], "before", count);
    assert!(before.contains(&release_topic(&name(GROUP)).to_string()));
    assert_eq!(retained(&brokers[1], "before", count), before);
    brokers[0].restart();
    assert_eq!(retained(&brokers[0], "after", count), before, "it was killed and lost everything");
    brokers[2].restart();
    assert_eq!(retained(&brokers[2], "late", count), before, "it was away since the start");
    drop(trainer);
}

fn an_agent_fails_over_with_its_unacknowledged_alerts_and_none_is_lost_or_stored_twice<S: TestStore>() {
    let (folder, store) = (Folder::new("fail-over"), S::new());
    let Some(mut brokers) = brokers::<2>(&folder) else { return lapwing_skips::skip(INSTALL) };
    let releases = Releases::new(1);
    releases.write_public(&folder.join("test.pub"));
    std::fs::write(folder.join("1.lwr"), releases.release(1).file).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (release, key, state) = (path("1.lwr"), path("test.pub"), path("state"));
    let urls = brokers.each_ref().map(Mosquitto::url);
    let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-demo"));
    program.arg("agent");
    let files = ["--release", &release, "--key", &key, "--state-dir", &state, "--status-socket", ""];
    let named = ["--agent", "gw", "--mqtt", &urls[0], "--mqtt", &urls[1]];
    let mut gateway = Gateway::start(program, &[&files[..], &named].concat());
    let line = gateway.until_logged("connected to the broker");
    let first = usize::from(line.contains(&urls[1]));
    let seen = brokers[first].alerts();
    gateway.play();
    seen.recv_timeout(PATIENCE).unwrap();
    let state = folder.join("state");
    let waiting = wait_for("alerts in the journal", &state, || Some(journal(&state)).filter(|ids| !ids.is_empty()));
    // The trainer reads the other broker only, and does so before the agent gets there: what it missed, the agent would
    // repeat after a minute.
    let site = Site::start(std::slice::from_ref(&brokers[1 - first]), &store);
    wait_until_collected(&agent(&brokers[1 - first], "probe"), "probe", &site, 0);
    brokers[first].end();
    let line = gateway.until_logged("connected to the broker");
    assert!(line.contains(&urls[1 - first]), "{line}");
    gateway.play();
    gateway.end();
    assert_eq!(journal(&state).len(), 0, "every alert is acknowledged");
    site.collector.stop().unwrap();
    let run = waiting.first().unwrap().0;
    let progress = store.open(Limits::default()).progress(&name("gw"), run).unwrap().unwrap();
    assert!(waiting.iter().all(|(of, number)| *of == run && progress.contains(*number)), "{waiting:?}");
    let probes = 1;
    assert_eq!(stored_messages(&store.handle()) - probes, progress.up_to(), "numbers without a gap, each stored once");
}

fn no_message_is_lost_or_stored_twice_when_each_broker_is_killed_in_turn_under_load<S: TestStore>() {
    let (folder, store) = (Folder::new("brokers-under-load"), S::new());
    let Some(mut brokers) = brokers::<3>(&folder) else { return lapwing_skips::skip(INSTALL) };
    let site = Site::start(&brokers, &store);
    (0..3).for_each(|broker| site.until_connected(broker, 1));
    let load = Running::start(&LoadOptions {
        brokers: brokers.iter().map(Mosquitto::address).collect(),
        authority: None,
        store: None,
        agents: 60,
        rate: 2_000,
        seconds: 600,
        rows: 1,
        alert_every: 2,
        health_every_s: 0,
        cut_after_s: 0,
        look_ms: 100,
        window: 256,
        patience_seconds: 60,
        run: 1,
        seal_secret: None,
        ledger: None,
        report_every: 0,
    });
    for broker in &mut brokers {
        load.wait_for_acknowledgements(4_000).unwrap();
        broker.restart();
    }
    load.wait_for_acknowledgements(4_000).unwrap();
    let report = load.end().unwrap();
    assert!(report.unacknowledged == 0 && report.reconnections >= 60, "{report}");
    site.collector.stop().unwrap();
    assert_eq!(stored_messages(&store.handle()), report.sent, "{report}; each is stored once");
}
