//! The collector over real sockets on loopback.

use super::*;
use broker::BrokerLimits;
use lapwing_fleet::{Claim, TokenTerms};
use lapwing_shared::messages::sealed::SealKey;
use lapwing_shared::messages::topics::{Kind, agent_topic};
use lapwing_shared::messages::{Acknowledgement, AlertState, Message};
use lapwing_store::testing::postgres::Database;
use lapwing_store::testing::{Folder, alert, bytes, name, samples, status, update};
use lapwing_store::{AlertFilter, Counter, Limits, StoreHandle, StoreUrl};
use outside::Outside;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A small agent that publishes, and queues the publications that it receives.
struct Agent {
    client: Client,
    name: &'static str,
    received: Receiver<(String, Vec<u8>)>,
}

impl Agent {
    fn connect(address: SocketAddr, agent: &'static str) -> Self {
        let mut options = MqttOptions::new(agent, address.ip().to_string(), address.port());
        options.set_max_packet_size(Some(70_000));
        let (client, mut connection) = Client::new(options, 1_000);
        let (sender, received) = sync_channel(10_000);
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
        let agent = Self { client, name: agent, received };
        agent.subscribe(agent_topic(&name(agent.name), Kind::Ack).as_str());
        agent
    }

    fn subscribe(&self, filter: &str) {
        self.client.subscribe(filter, QoS::AtLeastOnce).unwrap();
        assert_eq!(self.received.recv_timeout(TIMEOUT).unwrap().0, "subscribed");
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

    /// Receives publications until a condition holds.
    fn receive_until(&self, condition: impl Fn() -> bool) -> Vec<(String, Vec<u8>)> {
        let deadline = clock::after(TIMEOUT);
        let mut received = Vec::new();
        while !condition() {
            assert!(clock::monotonic() < deadline, "timed out");
            received.extend(self.received.recv_timeout(Duration::from_millis(20)));
        }
        received.extend(self.received.try_iter());
        received
    }

    /// Waits until every number of the run is acknowledged.
    fn wait_for_acknowledgements(&self, run: u64, numbers: &[u64]) {
        let mut missing: Vec<u64> = numbers.to_vec();
        while !missing.is_empty() {
            let (topic, payload) =
                self.received.recv_timeout(TIMEOUT).unwrap_or_else(|_| panic!("not acknowledged: {missing:?}"));
            assert!(topic.ends_with("/ack"), "{topic}");
            let acknowledgement = Acknowledgement::decode(&payload).unwrap();
            missing.retain(|number| !acknowledgement.covers(run, *number));
        }
    }
}

fn embedded() -> (Link, SocketAddr, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let (link, address) =
        broker::start(([127, 0, 0, 1], 0).into(), BrokerLimits::default(), Arc::clone(&counts)).unwrap();
    (link, address, counts)
}

fn collect(link: Link, store: impl Into<StoreUrl>, counts: Arc<Counts>) -> Collector {
    collect_from(link, store, counts, Arc::default())
}

fn collect_from(link: Link, store: impl Into<StoreUrl>, counts: Arc<Counts>, roster: Arc<Roster>) -> Collector {
    let store = Store::open(store, Limits::default()).unwrap();
    let (retry_pause, acknowledge_every) = (Duration::from_millis(20), Duration::from_millis(50));
    let options = Options { retry_pause, acknowledge_every, ..Options::default() };
    Collector::start(vec![link.ends], store, options, (counts, roster)).unwrap()
}

#[test]
fn messages_are_stored_and_acknowledged_end_to_end() {
    let folder = Folder::new();
    let (link, address, counts) = embedded();
    let collector = collect(link, folder.store(), counts);
    let agent = Agent::connect(address, "gw-1");
    agent.send(&status(1));
    agent.send(&samples(1, 1, &[(10, false), (11, true)]));
    agent.send(&alert(1, 2, 7, AlertState::Opened, (10, 11)));
    agent.send(&update(1, 3));
    agent.wait_for_acknowledgements(1, &[1, 2, 3]);
    let handle = StoreHandle::open(folder.store()).unwrap();
    assert_eq!(handle.message_counts().unwrap(), [1, 1, 1]);
    assert_eq!(handle.counter(Counter::SampleRowsStored).unwrap(), 2);
    let agents = handle.agents().unwrap();
    assert_eq!((agents[0].name.as_str(), agents[0].run, agents[0].status.is_some()), ("gw-1", 1, true));
    collector.stop().unwrap();
}

/// The store's handle, its secret of seals, and a function that enrols agent gw-1 with a key of this fingerprint.
fn enrolling(folder: &Folder) -> (StoreHandle, [u8; 32], impl Fn(&StoreHandle, u8)) {
    let handle = Store::open(folder.store(), Limits::default()).unwrap().handle().unwrap();
    let terms = TokenTerms {
        group: "home".into(),
        name: None,
        uses: 1,
        until_s: 100,
        must_be_accepted: false,
        replaces: false,
        who: "ann".into(),
    };
    let token = handle.add_token(&[5; 16], &terms, 1).unwrap();
    let secret = handle.begin_seals(&[1; 32]).unwrap();
    let enrol = move |handle: &StoreHandle, fingerprint| {
        let claim = Claim { token: Some(token), name: name("gw-1"), fingerprint: [fingerprint; 32] };
        handle.enrol(&claim, 50, 1).unwrap();
    };
    (handle, secret, enrol)
}

#[test]
fn the_first_message_of_an_agent_that_enrolled_just_now_waits_until_the_roster_knows_it() {
    let folder = Folder::new();
    let (handle, secret, enrol) = enrolling(&folder);
    let roster = Arc::new(Roster::default());
    let (link, address, counts) = embedded();
    let collector = collect_from(link, folder.store(), counts, Arc::clone(&roster));
    let agent = Agent::connect(address, "gw-1");
    let key = SealKey::derive(&secret, &[7; 32]);
    let payload = bytes(&status(1));
    let seal = key.seal(&agent_topic(&name("gw-1"), Kind::Status), &payload);
    agent.send_bytes(Kind::Status, [&seal[..], &payload].concat());
    while collector.counts().received.get() == 0 {
        thread::yield_now();
    }
    enrol(&handle, 7);
    roster.refresh(&handle).unwrap();
    let deadline = clock::after(TIMEOUT);
    while handle.agents().unwrap().first().is_none_or(|agent| agent.status.is_none()) {
        assert!(clock::monotonic() < deadline, "the status is not stored");
        thread::yield_now();
    }
    let counts = collector.counts().snapshot();
    assert_eq!((counts.forged, counts.bad_message), (0, 0));
    collector.stop().unwrap();
}

#[test]
fn forged_messages_of_an_enrolled_agent_are_not_stored_and_sealed_ones_get_sealed_acknowledgements() {
    let folder = Folder::new();
    let (handle, secret, enrol) = enrolling(&folder);
    enrol(&handle, 7);
    let roster = Arc::new(Roster::default());
    roster.refresh(&handle).unwrap();
    let (link, address, counts) = embedded();
    let collector = collect_from(link, folder.store(), counts, roster);
    let agent = Agent::connect(address, "gw-1");
    let (key, other) = (SealKey::derive(&secret, &[7; 32]), SealKey::derive(&secret, &[8; 32]));
    let topic = agent_topic(&name("gw-1"), Kind::Alert);
    let sealed = |key: &SealKey, number| {
        let payload = bytes(&alert(1, number, number, AlertState::Opened, (10, 11)));
        [&key.seal(&topic, &payload)[..], &payload].concat()
    };
    agent.send(&alert(1, 1, 1, AlertState::Opened, (10, 11)));
    agent.send_bytes(Kind::Alert, sealed(&other, 2));
    agent.send_bytes(Kind::Alert, sealed(&key, 3));
    let (ack_topic, payload) = agent.received.recv_timeout(TIMEOUT).unwrap();
    assert!(Acknowledgement::decode(&payload).is_err());
    let ack = Acknowledgement::decode(key.open(&ack_topic, &payload).unwrap()).unwrap();
    assert_eq!([1, 2, 3].map(|number| ack.covers(1, number)), [false, false, true]);
    let deadline = clock::after(TIMEOUT);
    while collector.counts().forged.get() == 0 {
        assert!(clock::monotonic() < deadline, "the forged message is not counted");
        thread::yield_now();
    }
    let counts = collector.counts().snapshot();
    assert_eq!((counts.unsealed, counts.forged, counts.stored), (1, 1, 1));
    assert_eq!(handle.message_counts().unwrap(), [1, 0, 0]);
    collector.stop().unwrap();
}

#[test]
fn a_duplicate_is_acknowledged_again_but_not_stored_again() {
    let folder = Folder::new();
    let (link, address, counts) = embedded();
    let collector = collect(link, folder.store(), counts);
    let agent = Agent::connect(address, "gw-1");
    for _ in 0..3 {
        agent.send(&update(4, 1));
        agent.wait_for_acknowledgements(4, &[1]);
    }
    assert_eq!((collector.counts().stored.get(), collector.counts().duplicates.get()), (1, 2));
    collector.stop().unwrap();
    assert_eq!(StoreHandle::open(folder.store()).unwrap().message_counts().unwrap(), [0, 0, 1]);
}

#[test]
fn numbers_beyond_a_gap_are_acknowledged_one_by_one() {
    let folder = Folder::new();
    let (link, address, counts) = embedded();
    let collector = collect(link, folder.store(), counts);
    let agent = Agent::connect(address, "gw-1");
    let numbers: Vec<u64> = (2..200).collect();
    for number in &numbers {
        agent.send(&update(4, *number));
    }
    agent.wait_for_acknowledgements(4, &numbers);
    collector.stop().unwrap();
}

#[test]
fn bad_messages_are_counted_by_reason_and_harm_no_other() {
    let folder = Folder::new();
    let (link, address, counts) = embedded();
    let collector = collect(link, folder.store(), counts);
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
    agent.wait_for_acknowledgements(1, &[1]);
    let seen = collector.counts().snapshot();
    assert_eq!((seen.bad_message, seen.bad_kind, seen.bad_topic, seen.stored), (3, 2, 1, 1));
    collector.stop().unwrap();
}

#[test]
fn an_address_in_use_is_reported_with_the_next_step() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let error = broker::start(address, BrokerLimits::default(), Arc::default()).err().unwrap();
    let text = error.to_string();
    assert!(text.contains(&address.to_string()) && text.contains("choose another address with `--listen`"), "{text}");
}

#[test]
fn invalid_broker_urls_are_explained() {
    for (url, why) in [
        ("broker.example", "expected mqtt:// or mqtts:// at the start"),
        ("http://broker.example", "expected mqtt:// or mqtts:// at the start"),
        ("mqtt://", "missing or invalid host"),
        ("mqtt://host:99999", "invalid port"),
    ] {
        let outside =
            Outside { url: url.into(), client: "c".into(), authority: None, share: "s".into(), collects: true };
        let error = outside::start(&outside, Arc::default()).err().unwrap().to_string();
        assert!(error.contains(why), "{error}");
    }
    let outside = Outside {
        url: "mqtts://host".into(),
        client: "c".into(),
        authority: Some("nowhere.pem".into()),
        share: "s".into(),
        collects: true,
    };
    let error = outside::start(&outside, Arc::default()).err().unwrap().to_string();
    assert!(error.contains("nowhere.pem"), "{error}");
}

/// A small tmpfs; `None` without the right to mount one.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(folder: &Folder) -> Option<Self> {
        let at = folder.path().join("disk");
        std::fs::create_dir(&at).unwrap();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&at).output();
        done.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }

    /// Fills the disk to the last byte; returns the file that does.
    fn fill(&self) -> std::path::PathBuf {
        let ballast = self.0.join("ballast");
        let mut file = std::fs::File::create(&ballast).unwrap();
        // The copy ends with "no space left".
        assert!(std::io::copy(&mut std::io::repeat(0), &mut file).is_err());
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_delays_acknowledgements_until_space_is_free() {
    let folder = Folder::new();
    let Some(disk) = SmallDisk::mount(&folder) else {
        return lapwing_skips::skip("mounting a tmpfs needs root");
    };
    let path = disk.0.join("store.sqlite");
    let (link, address, counts) = embedded();
    let collector = collect(link, &path, counts);
    let agent = Agent::connect(address, "gw-1");
    agent.send(&update(1, 1));
    agent.wait_for_acknowledgements(1, &[1]);
    let ballast = disk.fill();
    let numbers: Vec<u64> = (2..=400).collect();
    let full: Vec<(u64, bool)> = vec![(5, false); 32];
    for number in &numbers {
        agent.send(&samples(1, *number, &full[..4]));
    }
    let received = agent.receive_until(|| collector.counts().commit_failures.get() >= 3);
    assert!(!collector.has_ended());
    let acknowledged: Vec<_> = received.iter().map(|(_, payload)| Acknowledgement::decode(payload).unwrap()).collect();
    let handle = StoreHandle::open(&path).unwrap();
    let [_, batches, _] = handle.message_counts().unwrap();
    let covered = numbers.iter().filter(|number| acknowledged.iter().any(|part| part.covers(1, **number))).count();
    assert!(covered as u64 <= batches, "{covered} acknowledged, {batches} stored");
    assert!(batches < numbers.len() as u64, "the disk was never full");
    std::fs::remove_file(&ballast).unwrap();
    // The collector stores the delayed batch now; the agent resends what was not acknowledged.
    for number in &numbers {
        agent.send(&samples(1, *number, &full[..4]));
    }
    agent.wait_for_acknowledgements(1, &numbers);
    assert_eq!(handle.message_counts().unwrap(), [0, numbers.len() as u64, 1]);
    assert!(handle.alerts(&AlertFilter::default()).unwrap().is_empty());
    collector.stop().unwrap();
}

/// Lets every batch fail as if the disk of the database were full.
const NO_SPACE: &str = "CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER no_space BEFORE INSERT OR UPDATE ON progress FOR EACH ROW EXECUTE FUNCTION no_space()";

#[test]
fn a_full_disk_of_the_database_delays_acknowledgements_until_space_is_free() {
    let Some(server) = Database::server_url() else { return };
    let database = Database::create_at(server);
    let (link, address, counts) = embedded();
    let collector = collect(link, database.url(), counts);
    let agent = Agent::connect(address, "gw-1");
    agent.send(&update(1, 1));
    agent.wait_for_acknowledgements(1, &[1]);
    database.client().batch_execute(NO_SPACE).unwrap();
    agent.send(&update(1, 2));
    let received = agent.receive_until(|| collector.counts().commit_failures.get() >= 3);
    let is_acknowledged = |(_, payload): &(String, Vec<u8>)| Acknowledgement::decode(payload).unwrap().covers(1, 2);
    assert!(!received.iter().any(is_acknowledged) && !collector.has_ended());
    database.client().batch_execute("DROP TRIGGER no_space ON progress").unwrap();
    agent.wait_for_acknowledgements(1, &[2]);
    collector.stop().unwrap();
    let handle = StoreHandle::open(database.url()).unwrap();
    assert_eq!(handle.message_counts().unwrap(), [0, 0, 2]);
}
