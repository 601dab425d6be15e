//! The client against a real broker in this process, and against ones that refuse.

use super::*;
use crate::outbox::{Delivery, Limits, Outbox};
use crate::update::halver::Halvers;
use crate::update::power::PowerDisk;
use crate::update::store::Store;
use crate::update::testing::{artifact_bytes, manifest, signed, terms};
use lapwing_shared::messages::topics::{Kind, agents_filter, chunk_topic, release_topic};
use lapwing_shared::messages::{Body, Message, UpdateStep};
use lapwing_shared::release::manifest::{CHUNK_BYTES, Manifest};
use lapwing_shared::release::trial::TrialVerdict;
use rumqttc::v5::Client;
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

const PATIENCE: Duration = Duration::from_secs(30);

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn broker(listen: SocketAddr) {
    let connections = ConnectionSettings {
        connection_timeout_ms: 5000,
        max_payload_size: 128 * 1024,
        max_inflight_count: 200,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let server = ServerSettings { name: "v5".to_owned(), listen, tls: None, next_connection_delay_ms: 1, connections };
    let router = RouterConfig {
        max_connections: 16,
        max_outgoing_packet_count: 200,
        max_segment_size: 4 * 1024 * 1024,
        max_segment_count: 4,
        ..RouterConfig::default()
    };
    let config = Config { router, v5: Some([("1".to_owned(), server)].into()), ..Config::default() };
    let mut broker = Broker::new(config);
    thread::spawn(move || broker.start().is_ok());
}

type Agent = (mpsc::Sender<FromPipeline>, Receiver<ToPipeline<crate::update::halver::Halver>>);

fn agent(address: SocketAddr) -> Agent {
    let (store, _) = Store::open(PowerDisk::default(), terms());
    let outbox = Outbox::new(1, Limits::default(), None);
    let name = "gw-1".try_into().unwrap();
    let session = Session::start(name, Delivery::EndToEnd, Halvers, store, outbox);
    let url = format!("mqtt://{address}").parse().unwrap();
    let connection =
        Connection { url, client_id: "gw-1".to_owned(), ca_pem: None, board: crate::status::Board::default(), seed: 1 };
    let (say, said) = mpsc::channel(16);
    let (installs, installed) = sync_channel(2);
    thread::spawn(move || run(session, &connection, said, installs));
    (say, installed)
}

/// Publishes a release and its chunks, retained, and gives the steps that agents report.
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
        let _kept = client;
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
fn a_signed_release_reaches_the_packet_side_through_a_real_broker() {
    let address = free_address();
    broker(address);
    let stepped = trainer(address, manifest(1));
    let (say, installed) = agent(address);
    let ToPipeline::Install(installed) = installed.recv_timeout(PATIENCE).unwrap() else { panic!("removed") };
    assert_eq!((installed.manifest.version, installed.on_trial), (1, true));
    say.try_send(FromPipeline::TrialVerdict(1, TrialVerdict::Confirm)).unwrap();
    for expected in [UpdateStep::Downloading, UpdateStep::Verified, UpdateStep::Trial, UpdateStep::Confirmed] {
        assert_eq!(stepped.recv_timeout(PATIENCE).unwrap(), expected);
    }
}

/// Answers each connection's first bytes with `answer` and closes; tells of each.
fn refusing(answer: &'static [u8]) -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = sync_channel(16);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(answer);
            if tell.send(()).is_err() {
                return;
            }
        }
    });
    (address, told)
}

#[test]
fn a_broker_that_refuses_is_tried_again_and_the_packet_side_does_not_wait() {
    // CONNACK with reason 0x87, not authorized (MQTT 5 §3.2.2.2); and a connection that just closes.
    for answer in [&[0x20, 3, 0, 0x87, 0][..], &[]] {
        let (address, told) = refusing(answer);
        let (say, _installed) = agent(address);
        told.recv_timeout(PATIENCE).unwrap();
        say.try_send(FromPipeline::TrialVerdict(1, TrialVerdict::Confirm)).unwrap();
        told.recv_timeout(PATIENCE).unwrap();
    }
}
