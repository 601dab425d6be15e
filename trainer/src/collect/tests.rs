//! The collector over real sockets on loopback.

use super::*;
use crate::store::testing::{Folder, alert, bytes, name, samples, status, update};
use crate::store::{AlertFilter, Counter, Desk, Limits};
use broker::BrokerLimits;
use lapwing_shared::messages::topics::{Kind, agent_topic, release_topic};
use lapwing_shared::messages::{Acknowledgement, AlertState, Message};
use outside::Outside;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

const PATIENCE: Duration = Duration::from_secs(20);

/// A small agent: publishes, and hands out what it hears.
struct Agent {
    client: Client,
    name: &'static str,
    heard: Receiver<(String, Vec<u8>)>,
}

impl Agent {
    fn connect(address: SocketAddr, agent: &'static str) -> Self {
        let mut options = MqttOptions::new(format!("test-{agent}"), address.ip().to_string(), address.port());
        options.set_max_packet_size(Some(70_000));
        let (client, mut connection) = Client::new(options, 1_000);
        let (sender, heard) = sync_channel(10_000);
        let ready = sender.clone();
        thread::spawn(move || {
            for event in connection.iter() {
                let sent = match event {
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        sender.send((String::from_utf8(publish.topic.to_vec()).unwrap(), publish.payload.to_vec()))
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => ready.send(("subscribed".into(), Vec::new())),
                    Ok(_) => Ok(()),
                    Err(_) => return,
                };
                if sent.is_err() {
                    return;
                }
            }
        });
        let agent = Self { client, name: agent, heard };
        agent.subscribe(agent_topic(&name(agent.name), Kind::Ack).as_str());
        agent
    }

    fn subscribe(&self, filter: &str) {
        self.client.subscribe(filter, QoS::AtLeastOnce).unwrap();
        assert_eq!(self.heard.recv_timeout(PATIENCE).unwrap().0, "subscribed");
    }

    fn send_bytes(&self, kind: Kind, payload: Vec<u8>) {
        let topic = agent_topic(&name(self.name), kind);
        self.client.publish(topic.as_str(), QoS::AtLeastOnce, false, payload).unwrap();
    }

    fn send(&self, message: &Message) {
        use lapwing_shared::messages::Body;
        let kind = match message.body {
            Body::Alert(_) => Kind::Alert,
            Body::Samples(_) => Kind::Sample,
            Body::Health(_) => Kind::Health,
            Body::Status(_) => Kind::Status,
            Body::Update(_) => Kind::Update,
        };
        self.send_bytes(kind, bytes(message));
    }

    /// Waits until every number of the run is acknowledged.
    fn await_acknowledged(&self, run: u64, numbers: &[u64]) {
        let mut open: Vec<u64> = numbers.to_vec();
        while !open.is_empty() {
            let (topic, payload) = self.heard.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("open: {open:?}"));
            assert!(topic.ends_with("/ack"), "{topic}");
            let told = Acknowledgement::decode(&payload).unwrap();
            open.retain(|number| !told.covers(run, *number));
        }
    }
}

fn embedded() -> (Link, SocketAddr, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let (link, address) =
        broker::start(([127, 0, 0, 1], 0).into(), BrokerLimits::default(), Arc::clone(&counts)).unwrap();
    (link, address, counts)
}

fn collect(link: Link, store: &Path, counts: Arc<Counts>) -> Collector {
    let store = Store::open(store, Limits::default()).unwrap();
    let (retry_pause, acknowledge_every) = (Duration::from_millis(20), Duration::from_millis(50));
    let options = Options { retry_pause, acknowledge_every, ..Options::default() };
    Collector::start(link.inlet, link.outlet, store, options, counts).unwrap()
}

#[test]
fn a_message_is_stored_and_then_acknowledged_end_to_end() {
    let folder = Folder::new();
    let (link, address, counts) = embedded();
    let collector = collect(link, &folder.store(), counts);
    let agent = Agent::connect(address, "gw-1");
    agent.send(&status(1));
    agent.send(&samples(1, 1, &[(10, false), (11, true)]));
    agent.send(&alert(1, 2, 7, AlertState::Opened, (10, 11)));
    agent.send(&update(1, 3));
    agent.await_acknowledged(1, &[1, 2, 3]);
    let desk = Desk::open(&folder.store()).unwrap();
    assert_eq!(desk.stored().unwrap(), [1, 1, 1]);
    assert_eq!(desk.counter(Counter::SampleRowsStored).unwrap(), 2);
    let agents = desk.agents().unwrap();
    assert_eq!((agents[0].name.as_str(), agents[0].run, agents[0].status.is_some()), ("gw-1", 1, true));
    collector.stop().unwrap();
}

#[test]
fn a_duplicate_is_acknowledged_again_but_not_stored_again() {
    let folder = Folder::new();
    let (link, address, counts) = embedded();
    let collector = collect(link, &folder.store(), counts);
    let agent = Agent::connect(address, "gw-1");
    for _ in 0..3 {
        agent.send(&update(4, 1));
        agent.await_acknowledged(4, &[1]);
    }
    assert_eq!((collector.counts().stored.get(), collector.counts().duplicates.get()), (1, 2));
    collector.stop().unwrap();
    assert_eq!(Desk::open(&folder.store()).unwrap().stored().unwrap(), [0, 0, 1]);
}

#[test]
fn numbers_beyond_a_gap_are_acknowledged_one_by_one() {
    let folder = Folder::new();
    let (link, address, counts) = embedded();
    let collector = collect(link, &folder.store(), counts);
    let agent = Agent::connect(address, "gw-1");
    let numbers: Vec<u64> = (2..200).collect();
    for number in &numbers {
        agent.send(&update(4, *number));
    }
    agent.await_acknowledged(4, &numbers);
    collector.stop().unwrap();
}

#[test]
fn bad_messages_are_counted_by_reason_and_harm_no_other() {
    let folder = Folder::new();
    let (link, address, counts) = embedded();
    let collector = collect(link, &folder.store(), counts);
    let agent = Agent::connect(address, "gw-1");
    let mut cut = bytes(&update(1, 9));
    cut.pop();
    agent.send_bytes(Kind::Alert, cut);
    agent.send_bytes(Kind::Alert, Vec::new());
    agent.send_bytes(Kind::Sample, vec![0xff; 60_000]);
    agent.send_bytes(Kind::Alert, bytes(&update(1, 8)));
    agent.send(&update(1, 0));
    agent.client.publish("lapwing/v1/agent/no one/alert", QoS::AtLeastOnce, false, bytes(&update(1, 7))).unwrap();
    agent.send(&update(1, 1));
    agent.await_acknowledged(1, &[1]);
    let seen = collector.counts().snapshot();
    assert_eq!((seen.bad_message, seen.bad_kind, seen.bad_topic, seen.stored), (3, 2, 1, 1));
    collector.stop().unwrap();
}

#[test]
fn an_outside_broker_serves_as_well_and_hears_of_releases() {
    let folder = Folder::new();
    let (_elsewhere, address, _) = embedded();
    let counts = Arc::new(Counts::default());
    let url = format!("mqtt://user:secret@{address}");
    let outside = Outside { url, client: "collector-1".into(), authority: None };
    let mut link = outside::start(&outside, Arc::clone(&counts)).unwrap();
    let agent = Agent::connect(address, "gw-1");
    agent.subscribe(release_topic(&name("home")).as_str());
    link.releases.publish(&release_topic(&name("home")), b"manifest".to_vec(), true).unwrap();
    assert_eq!(agent.heard.recv_timeout(PATIENCE).unwrap().1, b"manifest");
    let collector = collect(link, &folder.store(), counts);
    let numbers: Vec<u64> = (1..=1_000).collect();
    for number in &numbers {
        agent.send(&update(1, *number));
    }
    agent.await_acknowledged(1, &numbers);
    assert_eq!(collector.counts().stored.get(), 1_000);
    collector.stop().unwrap();
}

#[test]
fn an_address_in_use_is_named_with_the_next_step() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = broker::start(address, BrokerLimits::default(), Arc::default()).err().unwrap();
    let text = error.to_string();
    assert!(text.contains(&address.to_string()) && text.contains("give another address with `--listen`"), "{text}");
}

#[test]
fn wrong_broker_urls_are_explained() {
    for (url, why) in [
        ("broker.example", "expected mqtt:// or mqtts:// first"),
        ("http://broker.example", "expected mqtt:// or mqtts:// first"),
        ("mqtt://", "no host"),
        ("mqtt://host:99999", "port is wrong"),
    ] {
        let outside = Outside { url: url.into(), client: "c".into(), authority: None };
        let error = outside::start(&outside, Arc::default()).err().unwrap().to_string();
        assert!(error.contains(why), "{error}");
    }
    let outside = Outside { url: "mqtts://host".into(), client: "c".into(), authority: Some("nowhere.pem".into()) };
    let error = outside::start(&outside, Arc::default()).err().unwrap().to_string();
    assert!(error.contains("nowhere.pem"), "{error}");
}

/// A small file system of its own, where we may mount one.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(folder: &Folder) -> Option<Self> {
        let at = folder.path().join("disk");
        std::fs::create_dir(&at).unwrap();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&at).output();
        done.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn on_a_full_disk_nothing_is_acknowledged_that_was_not_stored_and_work_goes_on_when_space_returns() {
    let folder = Folder::new();
    let Some(disk) = SmallDisk::mount(&folder) else {
        eprintln!("SKIPPED: the full-disk test needs to mount a tmpfs (run as root)");
        return;
    };
    let path = disk.0.join("store.sqlite");
    let (link, address, counts) = embedded();
    let collector = collect(link, &path, counts);
    let agent = Agent::connect(address, "gw-1");
    agent.send(&update(1, 1));
    agent.await_acknowledged(1, &[1]);
    let ballast = disk.0.join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    // Written to the last byte: the copy ends with "no space left".
    assert!(std::io::copy(&mut std::io::repeat(0), &mut file).is_err());
    let numbers: Vec<u64> = (2..=400).collect();
    let full: Vec<(u64, bool)> = vec![(5, false); 32];
    for number in &numbers {
        agent.send(&samples(1, *number, &full[..4]));
    }
    while collector.counts().commit_failures.get() < 3 {
        assert!(!collector.has_ended());
        thread::yield_now();
    }
    let acknowledged: Vec<_> = agent.heard.try_iter().map(|heard| Acknowledgement::decode(&heard.1).unwrap()).collect();
    let desk = Desk::open(&path).unwrap();
    let [_, batches, _] = desk.stored().unwrap();
    let covered = numbers.iter().filter(|number| acknowledged.iter().any(|told| told.covers(1, **number))).count();
    assert!(covered as u64 <= batches, "{covered} acknowledged, {batches} stored");
    assert!(batches < numbers.len() as u64, "the disk was never full");
    std::fs::remove_file(&ballast).unwrap();
    drop(file);
    // What the full disk kept waiting is stored now; the agent sends again what it heard nothing about.
    for number in &numbers {
        agent.send(&samples(1, *number, &full[..4]));
    }
    agent.await_acknowledged(1, &numbers);
    assert_eq!(desk.stored().unwrap(), [0, numbers.len() as u64, 1]);
    assert!(desk.alerts(&AlertFilter::default()).unwrap().is_empty());
    collector.stop().unwrap();
}
