//! The server with a maker that returns small valid releases at once.

use super::roles::Roles;
use super::testing::{held, manifest, network, release, release_of};
use super::*;
use lapwing_common::clock;
use lapwing_pipeline::card::CardFiles;
use lapwing_pipeline::gate::GateReport;
use lapwing_pipeline::order::{Guard, MadeRelease, Order, StageProgress};
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_shared::features::SchemaId;
use lapwing_shared::messages::topics::{Kind, agent_topic, chunk_topic, release_topic};
use lapwing_shared::messages::{Acknowledgement, Body};
use lapwing_shared::release::manifest::{CHUNK_BYTES, Manifest};
use lapwing_shared::release::signature::{KeyUse, SignedManifest};
use lapwing_store::testing::{Folder, SCHEMA, bytes, name, samples, status};
use lapwing_store::{Counter, HeldState, TrainingRow};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};

pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

/// Makes releases and records the number of rows.
#[derive(Default)]
pub(super) struct Maker {
    pub(super) rows: Mutex<Vec<usize>>,
    pub(super) holds: AtomicBool,
    pub(super) orders: Mutex<Vec<Order>>,
    /// The next training waits until the sender is dropped.
    pub(super) wait: Mutex<Option<Receiver<()>>>,
}

impl ReleaseMaker for Maker {
    fn schema(&self) -> SchemaId {
        SCHEMA
    }

    fn make(
        &self,
        order: &Order,
        rows: Vec<TrainingRow>,
        progress: &mut dyn FnMut(StageProgress),
    ) -> Result<MadeRelease, MakeError> {
        self.rows.lock().unwrap().push(rows.len());
        self.orders.lock().unwrap().push(order.clone());
        if let Some(end) = self.wait.lock().unwrap().take() {
            assert_eq!(end.recv_timeout(TIMEOUT), Err(RecvTimeoutError::Disconnected));
        }
        progress(StageProgress { stage: "train", done: 1, total: 1, note: String::new() });
        let card = CardFiles { html: "<p>card</p>".into(), json: "{}".into() };
        if self.holds.load(Ordering::Relaxed) {
            let gate = GateReport { findings: vec!["the limits moved".into()], ..GateReport::default() };
            let file = held(order.version);
            return Ok(MadeRelease { file, card: Some(card), gate, held: true, ..MadeRelease::default() });
        }
        // Groups have different artifacts.
        let network = order.version + if order.group == name("home") { 0 } else { 1_000 };
        let file = release_of(order.group.as_str(), order.version, network);
        Ok(MadeRelease { file, card: Some(card), ..MadeRelease::default() })
    }
}

pub(super) fn config(folder: &Folder) -> Config {
    let mut config = Config::default();
    config.store.path = folder.store().into();
    config.broker.listen = ([127, 0, 0, 1], 0).into();
    config.retrain.group = "home".into();
    config.retrain.key = Some("unused.key".into());
    config.retrain.releases = folder.path().join("releases");
    config.retrain.min_rows = 3;
    config.collect.acknowledge_every = "10ms".parse().unwrap();
    config
}

/// Starts a server with all roles.
pub(super) fn serve(config: Config, maker: Arc<Maker>, now: Moment) -> Result<Server, ServeError> {
    Server::start(config, &Roles::default(), maker, now)
}

pub(super) fn learner(server: &mut Server) -> &mut Learner {
    server.learner.as_mut().unwrap()
}

/// Versions of a group's release files.
pub(super) fn versions(server: &Server, group: &str) -> Vec<u64> {
    let groups = &server.learner.as_ref().unwrap().groups;
    groups.iter().find(|own| own.settings.group == group).unwrap().releases.versions()
}

/// An MQTT client and the messages of its subscriptions.
pub(super) struct Subscriber {
    pub(super) client: Client,
    messages: Receiver<(String, Vec<u8>)>,
}

impl Subscriber {
    pub(super) fn new(server: &Server, id: &str, filters: &[&str]) -> Self {
        let address = server.address().unwrap();
        let mut options = MqttOptions::new(id, address.ip().to_string(), address.port());
        options.set_max_packet_size(Some(70_000));
        let (client, mut connection) = Client::new(options, 100);
        let (sender, messages) = sync_channel(1_000);
        let (ready, subscribed) = sync_channel(filters.len());
        std::thread::spawn(move || {
            for event in connection.iter() {
                let sent = match event {
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
                        sender.send((topic, publish.payload.to_vec())).is_ok()
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => ready.send(()).is_ok(),
                    event => event.is_ok(),
                };
                if !sent {
                    return;
                }
            }
        });
        for filter in filters {
            client.subscribe(*filter, QoS::AtLeastOnce).unwrap();
            subscribed.recv_timeout(TIMEOUT).unwrap();
        }
        Self { client, messages }
    }

    pub(super) fn receive(&self) -> (String, Vec<u8>) {
        self.messages.recv_timeout(TIMEOUT).unwrap()
    }
}

/// Runs one pass of the loop, and waits for the training that it starts.
pub(super) fn tick_and_train(server: &mut Server) {
    tick_and_train_at(server, clock::moment());
}

pub(super) fn tick_and_train_at(server: &mut Server, now: Moment) {
    server.tick(now).unwrap();
    if wait_for_training(server) {
        learner(server).finish_training(now).unwrap();
        server.publish(now).unwrap();
    }
}

/// Waits for the end of a training; false without one.
pub(super) fn wait_for_training(server: &Server) -> bool {
    let Some((job, _)) = server.learner.as_ref().and_then(|learner| learner.training.as_ref()) else { return false };
    // The training thread drops its end of the channel when it is done.
    let end = std::iter::repeat_with(|| job.reports.recv_timeout(TIMEOUT)).find_map(Result::err);
    assert_eq!(end, Some(RecvTimeoutError::Disconnected), "training timed out");
    // It ends a moment later.
    let deadline = clock::after(TIMEOUT);
    while !job.is_finished() {
        assert!(clock::monotonic() < deadline, "the training thread does not end");
        std::thread::yield_now();
    }
    true
}

/// Publishes rows of an agent and waits until the server acknowledges that they are stored.
pub(super) fn store_rows(server: &Server, numbers: std::ops::Range<u64>) {
    store_rows_of(server, "gw-1", "home", numbers);
}

/// Publishes status and rows of an agent in a group and waits until the server acknowledges that they are stored.
pub(super) fn store_rows_of(server: &Server, agent: &str, group: &str, numbers: std::ops::Range<u64>) {
    let agent = name(agent);
    let client = Subscriber::new(server, &agent, &[agent_topic(&agent, Kind::Ack).as_str()]);
    let mut message = status(1);
    let Body::Status(status) = &mut message.body else { unreachable!() };
    (status.group, status.release) = (name(group), 0);
    client.client.publish(agent_topic(&agent, Kind::Status).as_str(), QoS::AtLeastOnce, true, bytes(&message)).unwrap();
    let topic = agent_topic(&agent, Kind::Sample);
    for number in numbers.clone() {
        let payload = bytes(&samples(1, number, &[(number, false)]));
        client.client.publish(topic.as_str(), QoS::AtLeastOnce, false, payload).unwrap();
    }
    let stored = |payload: &[u8]| {
        let acknowledgement = Acknowledgement::decode(payload).unwrap();
        numbers.clone().all(|number| acknowledgement.covers(1, number))
    };
    while !stored(&client.receive().1) {}
}

#[test]
fn a_requested_release_reaches_an_agent_in_chunks() {
    let folder = Folder::new();
    let maker = Arc::new(Maker::default());
    let mut server = serve(config(&folder), Arc::<Maker>::clone(&maker), clock::moment()).unwrap();
    let subscriber = Subscriber::new(&server, "subscriber", &[release_topic(&name("home")).as_str()]);
    store_rows(&server, 1..6);
    let handle = StoreHandle::open(folder.store()).unwrap();
    let job = handle.request_retraining(None, "operator", 1).unwrap();
    tick_and_train(&mut server);
    let (state, result) = handle.job_state(job).unwrap();
    assert_eq!((state.as_str(), result.as_deref()), ("done", Some("release 1")));
    assert_eq!(*maker.rows.lock().unwrap(), [5]);
    let (_, signed) = subscriber.receive();
    let manifest_sent = Manifest::decode(SignedManifest::decode(&signed).unwrap().manifest).unwrap();
    assert_eq!(manifest_sent, manifest(1));
    let late = Subscriber::new(
        &server,
        "late",
        &[format!("lapwing/v1/artifact/{}/+", Hexed(&manifest_sent.artifacts[0].sha256)).as_str()],
    );
    let mut chunks: Vec<_> = (0..manifest_sent.artifacts[0].chunks()).map(|_| late.receive()).collect();
    chunks.sort();
    let whole: Vec<u8> = chunks.iter().flat_map(|(_, chunk)| chunk.clone()).collect();
    assert_eq!(whole, network(1));
    assert_eq!(chunks[0].1.len(), CHUNK_BYTES as usize);
    assert_eq!(handle.releases("home", 9).unwrap()[0].version, 1);
    let beside = |name: &str| std::fs::read_to_string(folder.path().join("releases").join(name)).unwrap();
    assert_eq!((beside("home-1.card.html").as_str(), beside("home-1.card.json").as_str()), ("<p>card</p>", "{}"));
    server.stop().unwrap();
}

/// Hexadecimal digits of a digest.
struct Hexed<'a>(&'a [u8]);

impl std::fmt::Display for Hexed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        lapwing_shared::release::digest::Hex(self.0).fmt(f)
    }
}

#[test]
fn new_rows_trigger_a_release_and_old_chunks_are_cleared() {
    let folder = Folder::new();
    let maker = Arc::new(Maker::default());
    let mut config = config(&folder);
    config.retrain.after_rows = 5;
    let mut server = serve(config, Arc::<Maker>::clone(&maker), clock::moment()).unwrap();
    let first_chunk = chunk_topic(&manifest(1).artifacts[0].sha256, 0);
    let subscriber =
        Subscriber::new(&server, "subscriber", &[release_topic(&name("home")).as_str(), first_chunk.as_str()]);
    for version in 1..=3 {
        store_rows(&server, version * 5 - 4..version * 5 + 1);
        tick_and_train(&mut server);
        assert_eq!(versions(&server, "home").last(), Some(&version));
    }
    let messages: Vec<_> = (0..5).map(|_| subscriber.receive()).collect();
    let cleared = messages.iter().position(|(topic, payload)| *topic == first_chunk.as_str() && payload.is_empty());
    assert_eq!(cleared, Some(4), "after the third release");
    assert_eq!(*maker.rows.lock().unwrap(), [5, 10, 15]);
    server.stop().unwrap();
}

#[test]
fn a_held_release_is_signed_and_published_only_after_approval() {
    let folder = Folder::new();
    let maker = Arc::new(Maker::default());
    let mut config = config(&folder);
    let key = folder.path().join("key");
    ReleaseKey::generate("test").unwrap().save(&key, &folder.path().join("pub"), KeyUse::Any, None).unwrap();
    config.retrain.key = Some(key);
    let mut server = serve(config, Arc::<Maker>::clone(&maker), clock::moment()).unwrap();
    store_rows(&server, 1..6);
    let handle = StoreHandle::open(folder.store()).unwrap();
    handle.request_retraining(None, "operator", 1).unwrap();
    tick_and_train(&mut server);
    assert_eq!(versions(&server, "home"), [1], "the gate had nothing to compare with");
    maker.holds.store(true, Ordering::Relaxed);
    let job = handle.request_retraining(None, "operator", 2).unwrap();
    tick_and_train(&mut server);
    let (state, result) = handle.job_state(job).unwrap();
    assert_eq!((state.as_str(), result.unwrap().as_str()), ("done", "release 2 waits for approval: the limits moved"));
    let Guard { previous, reference, .. } = maker.orders.lock().unwrap()[1].guard.clone();
    assert!(previous == Some(release(1)) && reference == previous);
    server.tick(clock::moment()).unwrap();
    assert_eq!(versions(&server, "home"), [1], "not published without approval");
    let waiting = &handle.held_releases("home", 9).unwrap()[0];
    assert_eq!(
        (waiting.version, waiting.state, waiting.findings.as_str()),
        (2, HeldState::Waiting, "the limits moved")
    );
    handle.decide_held("home", 2, true, "an operator", 3).unwrap();
    server.tick(clock::moment()).unwrap();
    assert_eq!(versions(&server, "home"), [1, 2]);
    assert_eq!(handle.held_releases("home", 9).unwrap()[0].state, HeldState::Published);
    let Guard { previous, reference, .. } = learner(&mut server).order(0, 4).unwrap().0.guard;
    assert!(previous != Some(release(1)) && reference == previous, "the approved release is the reference");
    let subscriber = Subscriber::new(&server, "subscriber", &[release_topic(&name("home")).as_str()]);
    let signed = subscriber.receive().1;
    assert_eq!(Manifest::decode(SignedManifest::decode(&signed).unwrap().manifest).unwrap(), manifest(2));
    server.stop().unwrap();
}

#[test]
fn a_rejected_release_is_never_signed_and_its_version_is_not_used_again() {
    let folder = Folder::new();
    let maker = Arc::new(Maker::default());
    maker.holds.store(true, Ordering::Relaxed);
    let mut server = serve(config(&folder), Arc::<Maker>::clone(&maker), clock::moment()).unwrap();
    store_rows(&server, 1..6);
    let handle = StoreHandle::open(folder.store()).unwrap();
    handle.request_retraining(None, "operator", 1).unwrap();
    tick_and_train(&mut server);
    handle.decide_held("home", 1, false, "an operator", 2).unwrap();
    server.tick(clock::moment()).unwrap();
    assert!(versions(&server, "home").is_empty());
    assert_eq!(learner(&mut server).order(0, 1).unwrap().0.version, 2);
    server.stop().unwrap();
}

#[test]
fn only_agents_that_may_teach_train() {
    let folder = Folder::new();
    let maker = Arc::new(Maker::default());
    let mut config = config(&folder);
    config.agents.teach = Some(vec!["gw-9".into()]);
    let mut server = serve(config, Arc::<Maker>::clone(&maker), clock::moment()).unwrap();
    store_rows(&server, 1..6);
    let handle = StoreHandle::open(folder.store()).unwrap();
    let job = handle.request_retraining(None, "operator", 1).unwrap();
    tick_and_train(&mut server);
    let error = handle.job_state(job).unwrap().1.unwrap();
    assert!(error.starts_with("not enough data: 0 feature rows"), "{error}");
    learner(&mut server).teach = Some(vec!["gw-9".into(), "gw-1".into()]);
    handle.request_retraining(None, "operator", 2).unwrap();
    tick_and_train(&mut server);
    assert_eq!(*maker.rows.lock().unwrap(), [5]);
    server.stop().unwrap();
}

#[test]
fn start_up_republishes_the_release_and_continues_its_version() {
    let folder = Folder::new();
    ReleaseDir::new(&folder.path().join("releases"), "home").write(7, &release(7)).unwrap();
    let mut server = serve(config(&folder), Arc::new(Maker::default()), clock::moment()).unwrap();
    let subscriber = Subscriber::new(&server, "subscriber", &[release_topic(&name("home")).as_str()]);
    let manifest_sent = Manifest::decode(SignedManifest::decode(&subscriber.receive().1).unwrap().manifest).unwrap();
    assert_eq!(manifest_sent.version, 7);
    assert_eq!(
        learner(&mut server).order(0, 1).unwrap().0.version,
        8,
        "a new store continues with the versions on disk"
    );
    server.handle.set_counter(Counter::ReleaseVersionFloor, 1_007).unwrap();
    assert_eq!(
        learner(&mut server).order(0, 1).unwrap().0.version,
        1_008,
        "a restored store skips versions that agents may have"
    );
    server.stop().unwrap();
}

#[test]
fn a_request_without_rows_or_key_fails_with_advice() {
    let folder = Folder::new();
    let mut server = serve(config(&folder), Arc::new(Maker::default()), clock::moment()).unwrap();
    let handle = StoreHandle::open(folder.store()).unwrap();
    let job = handle.request_retraining(None, "operator", 1).unwrap();
    tick_and_train(&mut server);
    let (state, error) = handle.job_state(job).unwrap();
    assert_eq!(state.as_str(), "failed");
    let error = error.unwrap();
    assert!(error.contains("0 feature rows") && error.contains("min-rows"), "{error}");
    learner(&mut server).groups[0].settings.key = None;
    let job = handle.request_retraining(None, "operator", 2).unwrap();
    tick_and_train(&mut server);
    assert!(handle.job_state(job).unwrap().1.unwrap().contains("keys new NAME"));
    server.stop().unwrap();
}

#[test]
fn a_weekly_schedule_trains_when_seven_days_have_passed_and_pauses_after_a_failure() {
    const DAY_S: u64 = 86_400;
    let folder = Folder::new();
    let maker = Arc::new(Maker::default());
    let mut config = config(&folder);
    config.retrain.every = Some("7d".parse().unwrap());
    config.retrain.retry_pause = "10min".parse().unwrap();
    let start = clock::moment();
    let at = |seconds: u64| Moment {
        wall_s: start.wall_s + seconds,
        monotonic: start.monotonic + Duration::from_secs(seconds),
    };
    let mut server = serve(config, Arc::<Maker>::clone(&maker), start).unwrap();
    let attempts = |server: &mut Server, seconds| {
        tick_and_train_at(server, at(seconds));
        (maker.rows.lock().unwrap().len(), versions(server, "home").len())
    };
    assert_eq!(attempts(&mut server, 7 * DAY_S - 1), (0, 0));
    // Too few rows: the maker is not even asked, and the next attempt waits.
    assert_eq!(attempts(&mut server, 7 * DAY_S), (0, 0));
    store_rows(&server, 1..6);
    assert_eq!(attempts(&mut server, 7 * DAY_S + 599), (0, 0), "pausing");
    assert_eq!(attempts(&mut server, 7 * DAY_S + 600), (1, 1));
    assert_eq!(attempts(&mut server, 14 * DAY_S + 599), (1, 1));
    assert_eq!(attempts(&mut server, 14 * DAY_S + 600), (2, 2));
    let handle = StoreHandle::open(folder.store()).unwrap();
    let releases = handle.releases("home", 9).unwrap();
    assert_eq!((releases[0].made_s, releases[0].reason.as_deref()), (at(14 * DAY_S + 600).wall_s, Some("schedule")));
    server.stop().unwrap();
}
