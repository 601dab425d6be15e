//! The client with a real broker in this process, and with brokers that refuse.

use super::*;
use crate::disk::power::PowerDisk;
use crate::outbox::{Delivery, Limits, Outbox};
use crate::update::halver::Halvers;
use crate::update::store::Store;
use lapwing_shared::messages::topics::{Kind, agents_filter, chunk_topic, release_topic};
use lapwing_shared::messages::{Body, Message, UpdateStep};
use lapwing_shared::release::manifest::{CHUNK_BYTES, Manifest};
use lapwing_shared::release::testing::{artifact_bytes, manifest, signed, terms};
use lapwing_shared::release::trial::TrialVerdict;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

const TIMEOUT: Duration = Duration::from_secs(30);
/// Starts of mosquitto, each at another port, before the test fails.
const START_ATTEMPTS: usize = 5;

/// A running mosquitto; killed when dropped.
struct Broker {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Broker {
    /// Starts it on a free port; `None` if it is not installed.
    fn start() -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("lapwing-client-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let config = folder.join("mosquitto.conf");
        for _ in 0..START_ATTEMPTS {
            // Another program may take the port before mosquitto does.
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let text = format!("user root\nlistener {} 127.0.0.1\nallow_anonymous true\n", address.port());
            std::fs::write(&config, text).unwrap();
            let mut command = Command::new("mosquitto");
            // Debian installs it in a folder that is not in the PATH of ordinary users.
            command.env("PATH", "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/bin");
            let spawned = command.arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
            let mut child = match spawned {
                Err(error) if error.kind() == ErrorKind::NotFound => return None,
                spawned => spawned.unwrap(),
            };
            let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
            if log.any(|line| line.unwrap().ends_with(" running")) {
                // Reads to the end, as the broker would block on a full pipe.
                thread::spawn(move || log.for_each(drop));
                return Some(Self { child, folder, address });
            }
            child.wait().unwrap();
        }
        panic!("mosquitto does not start");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

type Agent = (mpsc::Sender<FromPipeline>, Receiver<ToPipeline<crate::update::halver::Halver>>);

fn agent(addresses: &[SocketAddr]) -> Agent {
    let (store, _) = Store::open(PowerDisk::default(), terms());
    let outbox = Outbox::new(1, Limits::default(), None);
    let name = "gw-1".try_into().unwrap();
    let session = Session::start(name, Delivery::EndToEnd, Halvers, store, outbox);
    let urls = addresses.iter().map(|address| format!("mqtt://{address}").parse().unwrap()).collect();
    let connection = Connection::new(urls, "gw-1".to_owned(), &TlsFiles::default(), 1).unwrap();
    let (to_network, from_pipeline) = mpsc::channel(16);
    let (to_pipeline, installed) = sync_channel(2);
    thread::spawn(move || run(session, &connection, from_pipeline, to_pipeline));
    (to_network, installed)
}

/// Publishes a release and its chunks, retained; receives the steps that agents report.
fn trainer(address: SocketAddr, release: Manifest) -> Receiver<UpdateStep> {
    let mut options = MqttOptions::new("trainer", address.ip().to_string(), address.port());
    options.set_max_packet_size(Some(128 * 1024));
    let (client, mut events) = Client::new(options, 64);
    client.subscribe(agents_filter(Kind::Update).to_string(), QoS::AtLeastOnce).unwrap();
    for (number, chunk) in (0..).zip(artifact_bytes().chunks(CHUNK_BYTES as usize)) {
        let topic = chunk_topic(&release.artifacts[0].sha256, number).to_string();
        client.publish(topic, QoS::AtLeastOnce, true, chunk.to_vec()).unwrap();
    }
    let topic = release_topic(&release.group).to_string();
    client.publish(topic, QoS::AtLeastOnce, true, signed(&release, 1)).unwrap();
    let (steps, stepped) = sync_channel(16);
    thread::spawn(move || {
        let _client = client;
        for event in events.iter() {
            if let Ok(Event::Incoming(Packet::Publish(publish))) = event
                && let Ok(Message { body: Body::Update(update), .. }) = Message::decode(&publish.payload)
                && steps.send(update.step).is_err()
            {
                return;
            }
        }
    });
    stepped
}

#[test]
fn a_signed_release_reaches_the_pipeline_through_a_real_broker() {
    let Some(broker) = Broker::start() else { return lapwing_skips::skip("mosquitto is not installed") };
    let address = broker.address;
    let stepped = trainer(address, manifest(1));
    let (to_network, installed) = agent(&[address]);
    let ToPipeline::Install(installed) = installed.recv_timeout(TIMEOUT).unwrap() else { panic!("removed") };
    assert_eq!((installed.manifest.version, installed.on_trial), (1, true));
    to_network.try_send(FromPipeline::TrialVerdict { version: 1, verdict: TrialVerdict::Confirm }).unwrap();
    for expected in [UpdateStep::Downloading, UpdateStep::Verified, UpdateStep::Trial, UpdateStep::Confirmed] {
        assert_eq!(stepped.recv_timeout(TIMEOUT).unwrap(), expected);
    }
}

/// Answers each connection's first bytes with `answer` and closes it; sends a message for each.
fn refusing(answer: &'static [u8]) -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (closed, connections) = sync_channel(16);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(answer);
            if closed.send(()).is_err() {
                return;
            }
        }
    });
    (address, connections)
}

#[test]
fn a_refusing_broker_is_retried_while_the_channel_is_drained() {
    // CONNACK with reason 0x87, not authorized (MQTT 5 §3.2.2.2); and a connection that just closes.
    for answer in [&[0x20, 3, 0, 0x87, 0][..], &[]] {
        let (address, connections) = refusing(answer);
        let (to_network, _installed) = agent(&[address]);
        connections.recv_timeout(TIMEOUT).unwrap();
        to_network.try_send(FromPipeline::TrialVerdict { version: 1, verdict: TrialVerdict::Confirm }).unwrap();
        connections.recv_timeout(TIMEOUT).unwrap();
    }
}

#[test]
fn the_next_broker_is_tried_when_one_refuses() {
    let brokers = [refusing(&[0x20, 3, 0, 0x88, 0]), refusing(&[0x20, 3, 0, 0x87, 0]), refusing(&[])];
    let _agent = agent(&brokers.each_ref().map(|(address, _)| *address));
    for (_, connections) in &brokers {
        connections.recv_timeout(TIMEOUT).unwrap();
    }
}
