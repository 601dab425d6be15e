//! The server with a maker that makes small valid releases at once.

use super::make::{Progress, Rows};
use super::*;
use crate::card::CardFiles;
use crate::store::testing::{Folder, SCHEMA, bytes, name, samples};
use ed25519_dalek::{Signer, SigningKey};
use lapwing_shared::features::SchemaId;
use lapwing_shared::messages::topics::{Kind, agent_topic, chunk_topic, release_topic};
use lapwing_shared::release::file::{FILE_BYTES, ReleaseFile};
use lapwing_shared::release::manifest::{Artifact, ArtifactForm, CHUNK_BYTES, MANIFEST_BYTES};
use lapwing_shared::release::signature::{SIGNED_MANIFEST_BYTES, SignedManifest, signing_bytes};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};

#[path = "../../../shared/src/release/testing.rs"]
#[expect(dead_code, reason = "shared with the tests of other folders")]
mod parts;

/// Two chunks and a bit, different for each version.
fn network(version: u64) -> Vec<u8> {
    let mut bytes = parts::artifact_bytes();
    bytes[..8].copy_from_slice(&version.to_le_bytes());
    bytes
}

fn manifest(version: u64) -> Manifest {
    let bytes = network(version);
    let artifact = Artifact { form: ArtifactForm::Int8, sha256: sha256(&bytes), size_bytes: bytes.len() as u32 };
    Manifest { artifacts: heapless::Vec::from_slice(&[artifact]).unwrap(), ..parts::manifest(version) }
}

fn release(version: u64) -> Vec<u8> {
    let mut buffer = vec![0; MANIFEST_BYTES];
    let manifest = manifest(version);
    let encoded = manifest.encode(&mut buffer).unwrap();
    let signature = SigningKey::from_bytes(&[3; 32]).sign(&signing_bytes(encoded)).to_bytes();
    let signed = SignedManifest { key: name("test"), signature, manifest: encoded };
    let mut buffer = vec![0; SIGNED_MANIFEST_BYTES];
    let signed = signed.encode(&mut buffer).unwrap();
    let network = network(version);
    let file = ReleaseFile { signed, artifacts: heapless::Vec::from_slice(&[network.as_slice()]).unwrap() };
    let mut buffer = vec![0; FILE_BYTES];
    file.encode(&mut buffer).unwrap().to_vec()
}

/// Makes releases; notes how many rows it was given.
#[derive(Default)]
struct Maker {
    rows: Mutex<Vec<usize>>,
}

impl ReleaseMaker for Maker {
    fn schema(&self) -> SchemaId {
        SCHEMA
    }

    fn make(
        &self,
        order: &Order,
        rows: Rows<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<MadeRelease, MakeError> {
        self.rows.lock().unwrap().push(rows.count());
        progress(Progress { stage: "train", done: 1, total: 1, note: String::new() });
        let card = CardFiles { html: "<p>card</p>".into(), json: "{}".into() };
        Ok(MadeRelease { file: release(order.version), card: Some(card) })
    }
}

fn config(folder: &Folder) -> Config {
    let mut config = Config::default();
    config.store.path = folder.store();
    config.broker.listen = ([127, 0, 0, 1], 0).into();
    config.retrain.group = "home".into();
    config.retrain.key = Some("unused.key".into());
    config.retrain.releases = folder.path().join("releases");
    config.retrain.min_rows = 3;
    config
}

/// A client that hands out what it hears.
struct Ear {
    client: Client,
    heard: Receiver<(String, Vec<u8>)>,
}

impl Ear {
    fn new(server: &Server, id: &str, filters: &[&str]) -> Self {
        let address = server.address().unwrap();
        let mut options = MqttOptions::new(id, address.ip().to_string(), address.port());
        options.set_max_packet_size(Some(70_000));
        let (client, mut connection) = Client::new(options, 100);
        let (sender, heard) = sync_channel(1_000);
        std::thread::spawn(move || {
            for event in connection.iter() {
                let Ok(event) = event else { return };
                if let Event::Incoming(Packet::Publish(publish)) = event {
                    let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
                    if sender.send((topic, publish.payload.to_vec())).is_err() {
                        return;
                    }
                }
            }
        });
        for filter in filters {
            client.subscribe(*filter, QoS::AtLeastOnce).unwrap();
        }
        Self { client, heard }
    }

    fn hear(&self) -> (String, Vec<u8>) {
        self.heard.recv_timeout(Duration::from_secs(20)).unwrap()
    }
}

/// Turns the loop until something holds.
fn tick_until(server: &mut Server, what: &str, mut holds: impl FnMut(&Server) -> bool) {
    let until = clock::after(Duration::from_secs(20));
    while !holds(server) {
        assert!(clock::monotonic() < until, "not in time: {what}");
        server.tick().unwrap();
        std::thread::yield_now();
    }
}

fn send_rows(ear: &Ear, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let topic = agent_topic(&name("gw-1"), Kind::Sample);
        ear.client
            .publish(topic.as_str(), QoS::AtLeastOnce, false, bytes(&samples(1, number, &[(number, false)])))
            .unwrap();
    }
}

#[test]
fn a_request_makes_a_release_that_reaches_an_agent_chunk_by_chunk() {
    let folder = Folder::new();
    let maker = Arc::new(Maker::default());
    let mut server = Server::start(config(&folder), Arc::<Maker>::clone(&maker)).unwrap();
    let ear = Ear::new(&server, "ear", &[release_topic(&name("home")).as_str()]);
    send_rows(&ear, 1..6);
    tick_until(&mut server, "rows stored", |server| server.counts().sample_rows.get() == 5);
    let desk = Desk::open(&folder.store()).unwrap();
    let job = desk.ask("operator", 1).unwrap();
    tick_until(&mut server, "job done", |_| desk.job_state(job).unwrap().0 == "done");
    assert_eq!(desk.job_state(job).unwrap().1.as_deref(), Some("release 1"));
    assert_eq!(*maker.rows.lock().unwrap(), [5]);
    let (_, signed) = ear.hear();
    let told = Manifest::decode(SignedManifest::decode(&signed).unwrap().manifest).unwrap();
    assert_eq!(told, manifest(1));
    let late =
        Ear::new(&server, "late", &[format!("lapwing/v1/artifact/{}/+", Hexed(&told.artifacts[0].sha256)).as_str()]);
    let mut chunks: Vec<_> = (0..told.artifacts[0].chunks()).map(|_| late.hear()).collect();
    chunks.sort();
    let whole: Vec<u8> = chunks.iter().flat_map(|(_, chunk)| chunk.clone()).collect();
    assert_eq!(whole, network(1));
    assert_eq!(chunks[0].1.len(), CHUNK_BYTES as usize);
    assert_eq!(desk.releases("home", 9).unwrap()[0].version, 1);
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
fn new_rows_make_a_release_and_old_chunks_are_cleared_two_releases_later() {
    let folder = Folder::new();
    let maker = Arc::new(Maker::default());
    let mut config = config(&folder);
    config.retrain.after_rows = 5;
    let mut server = Server::start(config, Arc::<Maker>::clone(&maker)).unwrap();
    let first_chunk = chunk_topic(&manifest(1).artifacts[0].sha256, 0);
    let ear = Ear::new(&server, "ear", &[release_topic(&name("home")).as_str(), first_chunk.as_str()]);
    for version in 1..=3 {
        send_rows(&ear, version * 5 - 4..version * 5 + 1);
        tick_until(&mut server, "release", |server| {
            server.shelf.versions().last() == Some(&version) && server.work.is_none()
        });
    }
    let heard: Vec<_> = (0..5).map(|_| ear.hear()).collect();
    let cleared = heard.iter().position(|(topic, payload)| *topic == first_chunk.as_str() && payload.is_empty());
    assert_eq!(cleared, Some(4), "after the third release");
    assert_eq!(*maker.rows.lock().unwrap(), [5, 10, 15]);
    server.stop().unwrap();
}

#[test]
fn the_current_release_is_published_again_at_start_up_and_versions_go_on() {
    let folder = Folder::new();
    Shelf::new(&folder.path().join("releases"), "home").write(7, &release(7)).unwrap();
    let server = Server::start(config(&folder), Arc::new(Maker::default())).unwrap();
    let ear = Ear::new(&server, "ear", &[release_topic(&name("home")).as_str()]);
    let told = Manifest::decode(SignedManifest::decode(&ear.hear().1).unwrap().manifest).unwrap();
    assert_eq!(told.version, 7);
    assert_eq!(server.order().unwrap().version, 8, "a new store does not start again from 1");
    server.stop().unwrap();
}

#[test]
fn a_request_with_too_few_rows_or_without_a_key_fails_with_the_next_step() {
    let folder = Folder::new();
    let mut server = Server::start(config(&folder), Arc::new(Maker::default())).unwrap();
    let desk = Desk::open(&folder.store()).unwrap();
    let job = desk.ask("operator", 1).unwrap();
    tick_until(&mut server, "job failed", |_| desk.job_state(job).unwrap().0 == "failed");
    let said = desk.job_state(job).unwrap().1.unwrap();
    assert!(said.contains("0 feature rows") && said.contains("min-rows"), "{said}");
    server.config.retrain.key = None;
    let job = desk.ask("operator", 2).unwrap();
    tick_until(&mut server, "job failed", |_| desk.job_state(job).unwrap().0 == "failed");
    assert!(desk.job_state(job).unwrap().1.unwrap().contains("keys new NAME"));
    server.stop().unwrap();
}

#[test]
fn a_damaged_release_file_stops_the_start_and_is_named() {
    let folder = Folder::new();
    let mut bytes = release(2);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    Shelf::new(&folder.path().join("releases"), "home").write(2, &bytes).unwrap();
    let error = Server::start(config(&folder), Arc::new(Maker::default())).err().unwrap().to_string();
    assert_eq!(error, "release 2: artifact 0 of the release file is not the one that its manifest names");
}
