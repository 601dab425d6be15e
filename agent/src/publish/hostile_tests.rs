//! The agent at brokers that refuse, restrict or attack it.

use super::FromPipeline;
use super::fake_broker::FakeBroker;
use super::session::seal::Seal;
use crate::config::SealScope;
use crate::outbox::Delivery;
use crate::output::alerts::test_alert;
use lapwing_shared::features::FEATURES;
use lapwing_shared::messages::sealed::SealKey;
use lapwing_shared::messages::{ACKNOWLEDGEMENT_BYTES, Acknowledgement, Alert, Body, Message};
use lapwing_shared::units::Timestamp;

fn alert(episode: u64) -> Alert {
    let mut alert = test_alert(Timestamp::from_secs(1_790_000_000), episode);
    while alert.rows.push([1.5; FEATURES]).is_ok() {}
    alert
}

fn episode(payload: &[u8]) -> u64 {
    match Message::decode(payload).unwrap().body {
        Body::Alert(alert) => alert.episode,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_topic_alias_ends_the_connection_and_nothing_of_it_is_kept() {
    let broker = FakeBroker::start(Delivery::EndToEnd);
    let mut peer = broker.accepted(&[]);
    for alias in 1..=20_000_u16 {
        let [high, low] = alias.to_be_bytes();
        let topic = format!("lapwing/v1/agent/gw-1/{}", "x".repeat(60));
        let length = topic.len() as u8;
        peer.send(&[&[0x30, length + 6, 0, length], topic.as_bytes(), &[3, 35, high, low]].concat());
    }
    peer.ending();
    let report = broker.until("reason", |report| report.connection.contains("topic alias"));
    assert!(report.connection.contains("violates the protocol"), "{}", report.connection);
    broker.accepted(&[]).publication_on("/status", 0);
}

#[test]
fn a_packet_that_a_broker_must_not_send_is_answered_with_its_reason() {
    for (bytes, reason) in [
        (&[0x20, 3, 0, 0, 0][..], 0x82),
        (&[0x34, 6, 0, 1, b't', 0, 1, 0], 0x9b),
        (&[0x50, 2, 0, 1], 0x82),
        (&[0xf0, 2, 0, 0], 0x82),
        (&[0x30, 0xff, 0xff, 0xff, 0x7f], 0x95),
        (&[0x40, 2, 0x77, 0x77], 0x82),
        (&[0x30, 4, 0, 9, b't', 0], 0x81),
    ] {
        let broker = FakeBroker::start(Delivery::EndToEnd);
        let mut peer = broker.accepted(&[]);
        peer.send(bytes);
        // The session's own objection ends the connection without a DISCONNECT.
        assert!(peer.ending().is_none_or(|sent| sent == reason), "{bytes:?}");
        broker.until("reason", |report| report.connection.contains("violates the protocol"));
    }
}

#[test]
fn a_refused_publication_waits_and_status_names_the_refusal() {
    for reason in [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99, 0xee] {
        let broker = FakeBroker::start(Delivery::Broker);
        let mut peer = broker.accepted(&[]);
        broker.to_network.try_send(FromPipeline::Alert(alert(5))).unwrap();
        assert_eq!(episode(&peer.publication_on("/alert", reason)), 5);
        let code = format!("0x{reason:02x}");
        // The text of a report may be older than its numbers.
        broker.until("refusal", |report| {
            let text = report.broker();
            let is_named = text.contains("lapwing/v1/agent/gw-1/") && text.contains(&code);
            is_named && report.refused_publications >= 1 && report.outbox_waiting == 1
        });
    }
}

#[test]
fn a_refused_subscription_is_shown_in_the_status() {
    let broker = FakeBroker::start(Delivery::EndToEnd);
    let mut peer = broker.accepted(&[]);
    for _ in 0..2 {
        let (first, body) = peer.packet().unwrap();
        assert_eq!(first, 0x82);
        peer.send(&[0x90, 4, body[0], body[1], 0, 0x87]);
    }
    let report = broker.until("refusals", |report| report.refused_subscriptions == 2);
    let text = report.broker();
    for part in ["lapwing/v1/agent/gw-1/ack", "lapwing/v1/group/home/release", "not authorized, 0x87"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn no_packet_exceeds_the_brokers_limit_and_the_alert_arrives_without_its_rows() {
    let broker = FakeBroker::start(Delivery::EndToEnd);
    let mut peer = broker.accepted(&[39, 0, 0, 0, 200]);
    broker.to_network.try_send(FromPipeline::Alert(alert(5))).unwrap();
    loop {
        let (_, topic, _, payload) = peer.publication().expect("the connection continues");
        assert!(topic.len() + payload.len() + 6 <= 200, "{topic}: {} bytes", payload.len());
        if topic.ends_with("/alert") {
            assert_eq!(episode(&payload), 5);
            break;
        }
    }
    // The alert's JSON form, the status's, and the alert's rows.
    let report = broker.until("count", |report| report.outbox_left_out >= 3);
    assert_eq!(report.connection, "connected");
}

#[test]
fn with_a_receive_maximum_of_one_a_publication_follows_the_answer_to_the_one_before() {
    let broker = FakeBroker::start(Delivery::EndToEnd);
    let mut peer = broker.accepted(&[33, 0, 1]);
    for number in 1..=3 {
        broker.to_network.try_send(FromPipeline::Alert(alert(number))).unwrap();
        // No matching subscribers: not a refusal, so the next alert need not wait.
        assert_eq!(episode(&peer.publication_on("/alert", 0x10)), number);
    }
    assert_eq!(broker.report.snapshot().connection, "connected");
}

#[test]
fn a_broker_without_qos_1_and_retained_messages_gets_neither() {
    let broker = FakeBroker::start(Delivery::EndToEnd);
    let mut peer = broker.accepted(&[36, 0, 37, 0]);
    let (first, topic, _, _) = peer.publication().unwrap();
    assert_eq!((first, topic.as_str()), (0x30, "lapwing/v1/agent/gw-1/status"));
    let text = broker.until("restrictions", |report| report.broker_refusals.len() == 2).broker();
    assert!(text.contains("confirms no delivery") && text.contains("cannot distribute releases"), "{text}");
}

#[test]
fn a_broker_that_refuses_the_last_will_gets_a_simpler_one() {
    let broker = FakeBroker::start(Delivery::EndToEnd);
    let flags = [0x9a, 0x9b, 0x00].map(|reason| {
        let mut peer = broker.connection();
        let flags = peer.connect();
        peer.send(&[0x20, 3, 0, reason, 0]);
        flags
    });
    assert_eq!(flags, [0x2e, 0x0e, 0x06]);
}

#[test]
fn a_keep_alive_of_zero_causes_no_pings() {
    let broker = FakeBroker::start(Delivery::EndToEnd);
    let mut peer = broker.accepted(&[19, 0, 0]);
    for identifier in 1..=20_u8 {
        peer.send(&[0x32, 6, 0, 1, b't', 0, identifier, 0]);
        loop {
            let (first, body) = peer.packet().unwrap();
            assert_ne!(first, 0xc0, "a ping");
            if first == 0x40 {
                assert_eq!(body, [0, identifier]);
                break;
            }
        }
    }
}

#[test]
fn a_name_that_another_client_takes_over_is_named_in_the_status() {
    // Without and with a property length (§3.14.2.2.1). mosquitto 2.0.11 sends neither, and only closes the connection.
    for goodbye in [&[0xe0, 1, 0x8e][..], &[0xe0, 2, 0x8e, 0]] {
        let broker = FakeBroker::start(Delivery::EndToEnd);
        let mut peer = broker.accepted(&[]);
        peer.send(goodbye);
        let report = broker.until("hint", |report| report.connection.contains("session taken over"));
        assert!(report.connection.contains("gw-1") && report.connection.contains("mqtt.agent"), "{report:?}");
    }
}

#[test]
fn connections_that_end_soon_one_after_another_hint_at_a_second_agent_of_the_same_name() {
    let broker = FakeBroker::start(Delivery::EndToEnd);
    for _ in 0..3 {
        // The agent publishes once it has read that the broker accepts it.
        broker.accepted(&[]).publication().unwrap();
    }
    let report = broker.until("hint", |report| report.connection.contains("another agent may have the name gw-1"));
    assert!(report.connection.contains("3 connections in a row"), "{}", report.connection);
}

#[test]
fn a_broker_that_forges_acknowledgements_gets_every_alert_again_on_the_next_connection() {
    let key = SealKey::from_bytes([5; 32]);
    let broker = FakeBroker::start_with(Delivery::EndToEnd, Some(Seal { key: key.clone(), scope: SealScope::All }));
    let mut peer = broker.accepted(&[]);
    broker.to_network.try_send(FromPipeline::Alert(alert(5))).unwrap();
    let sent = peer.publication_on("/alert", 0);
    // Every number of every run that the agent can have.
    for run in 0..4 {
        let ack = Acknowledgement { run, up_to: u64::MAX, also: heapless::Vec::new() };
        peer.send(&acknowledgement(ack.encode(&mut [0; ACKNOWLEDGEMENT_BYTES]).unwrap()));
    }
    let report = broker.until("count", |report| report.rejected_acknowledgements == 4);
    assert_eq!(report.outbox_waiting, 1);
    drop(peer);
    let mut peer = broker.accepted(&[]);
    assert_eq!(peer.publication_on("/alert", 0), sent, "the same message, with its run, number and seal");
    let ack = Acknowledgement { run: 1, up_to: 1, also: heapless::Vec::new() };
    let mut room = [0; ACKNOWLEDGEMENT_BYTES];
    let payload = ack.encode(&mut room).unwrap();
    peer.send(&acknowledgement(&[&key.seal(ACK_TOPIC, payload), payload].concat()));
    broker.until("acknowledgement", |report| report.outbox_waiting == 0);
}

const ACK_TOPIC: &str = "lapwing/v1/agent/gw-1/ack";

/// A publication at QoS 0.
fn acknowledgement(payload: &[u8]) -> Vec<u8> {
    let length = (2 + ACK_TOPIC.len() + 1 + payload.len()) as u8;
    assert!(length < 0x80);
    [&[0x30, length, 0, ACK_TOPIC.len() as u8], ACK_TOPIC.as_bytes(), &[0], payload].concat()
}
