//! Raw bytes from hostile and ordinary clients → what the broker does, over real sockets on loopback.

use super::*;
use crate::broker::packet::code;
use lapwing_common::clock;
use raw_client::{Broker, Raw, TIMEOUT, connect, packet, publish, text};

const ALERT: &str = "lapwing/v1/agent/gw/alert";
const STATUS: &str = "lapwing/v1/agent/gw/status";
const RELEASE: &str = "lapwing/v1/group/home/release";

#[test]
fn hostile_bytes_close_their_own_connection_only() {
    let mut broker = Broker::start(BrokerLimits::default());
    let mut agent = Raw::connect(&broker, "gw");
    let long = text(&"x".repeat(60_000));
    let before: [&[u8]; 8] = [
        b"\x20\x01\0",
        b"\xb0\x01\0",
        b"\x10\x80\x80\x80\x80\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xff\xff",
        &publish(0x30, ALERT, b"x"),
        &packet(0x10, &[&text("MQTT"), &[5, 2, 0, 60, 0], &long]),
        &packet(0x10, &[&text("MQTT"), &[5, 2, 0, 60, 0], &text("a\u{7}b")]),
    ];
    for bytes in before {
        let mut hostile = Raw::open(&broker);
        hostile.send(bytes);
        assert!(hostile.end().is_some_and(|code| code >= 0x80), "{:02x?}", &bytes[..3]);
    }
    let after: [&[u8]; 6] = [
        b"\x20\x01\0",
        b"\xb0\x01\0",
        &connect("again"),
        &publish(0x34, "lapwing/v1/agent/evil/alert", b"x"),
        b"\x62\x02\0\x01",
        b"\x40\x02\0\x01",
    ];
    for bytes in after {
        let mut hostile = Raw::connect(&broker, "evil");
        hostile.send(bytes);
        assert!(hostile.end().is_some_and(|code| code >= 0x80), "{:02x?}", &bytes[..3]);
    }
    agent.send(&publish(0x32, ALERT, b"payload"));
    assert_eq!(agent.puback(), code::SUCCESS);
    assert_eq!(broker.collected_until(ALERT), [ALERT]);
    assert_eq!(broker.counts.illegal.get(), (before.len() + after.len()) as u64);
}

#[test]
fn names_of_internal_links_and_shared_subscriptions_have_no_effect() {
    let mut broker = Broker::start(BrokerLimits::default());
    let mut claims: Vec<Raw> =
        ["lapwing-collector", "lapwing-releases"].map(|client| Raw::connect(&broker, client)).into();
    for claim in &mut claims {
        assert_eq!(claim.subscribe(&format!("$share/lapwing-collectors-alert/{ALERT}")), code::NO_SHARED);
    }
    broker.link.releases.outlet.publish(RELEASE, b"manifest".to_vec(), true).unwrap();
    let mut agent = Raw::connect(&broker, "gw");
    agent.send(&publish(0x32, ALERT, b"alert"));
    assert_eq!(agent.puback(), code::SUCCESS);
    assert_eq!(broker.collected_until(ALERT), [ALERT]);
    drop(claims);
    assert_eq!(agent.subscribe(RELEASE), 0);
    assert_eq!(agent.publication(), (RELEASE.into(), b"manifest".to_vec(), true));
}

#[test]
fn a_client_publishes_on_the_topics_of_its_own_name_only() {
    let mut broker = Broker::start(BrokerLimits::default());
    let mut client = Raw::connect(&broker, "gw");
    for (topic, first, expected) in [
        ("é", 0x32, code::BAD_TOPIC),
        ("lapwing/v1/agent/no one/alert", 0x32, code::BAD_TOPIC),
        ("lapwing/v1/agent/other/alert", 0x32, code::NOT_AUTHORIZED),
        ("lapwing/v1/agent/gw/ack", 0x32, code::NOT_AUTHORIZED),
        (RELEASE, 0x33, code::NOT_AUTHORIZED),
        (ALERT, 0x33, code::NOT_AUTHORIZED),
        (ALERT, 0x32, code::SUCCESS),
    ] {
        client.send(&publish(first, topic, b"x"));
        assert_eq!(client.puback(), expected, "{topic}");
    }
    assert_eq!(broker.collected_until(ALERT), [ALERT]);
    let counts = broker.counts.snapshot();
    assert_eq!((counts.bad_topic, counts.publications_refused), (2, 4));
    let mut reader = Raw::connect(&broker, "reader");
    assert_eq!(reader.subscribe("#"), 0);
    broker.link.ends.outlet.publish(RELEASE, b"own".to_vec(), false).unwrap();
    assert_eq!(reader.publication(), (RELEASE.into(), b"own".to_vec(), false));
}

#[test]
fn statuses_are_retained_within_a_limit_in_bytes() {
    let limits = BrokerLimits { retained_bytes: 64 * 1024, ..BrokerLimits::default() };
    let mut broker = Broker::start(limits);
    broker.link.releases.outlet.publish(RELEASE, vec![1; 100_000], true).unwrap();
    for number in 0..40 {
        let mut agent = Raw::connect(&broker, &format!("gw-{number}"));
        agent.send(&publish(0x33, &format!("lapwing/v1/agent/gw-{number}/status/json"), &[b'x'; 4_000]));
        assert_eq!(agent.puback(), code::SUCCESS);
        agent.send(&publish(0x33, &format!("lapwing/v1/agent/gw-{number}/status/json"), &[b'x'; 5_000]));
        assert_eq!(agent.puback(), code::QUOTA);
    }
    let kept = 40 - broker.counts.retained_dropped.get();
    assert!((10..=16).contains(&kept), "{kept}");
    let mut reader = Raw::connect(&broker, "reader");
    assert_eq!(reader.subscribe("lapwing/v1/agent/+/status/json"), 0);
    let newest = (0..kept).map(|_| reader.publication()).filter(|(topic, ..)| topic.contains("gw-39/")).count();
    assert_eq!(newest, 1);
    assert_eq!(reader.subscribe(RELEASE), 0);
    assert_eq!(reader.publication().1.len(), 100_000);
}

#[test]
fn filters_are_limited_for_each_client_and_in_total() {
    let broker = Broker::start(BrokerLimits { filters: 4, wildcards: 6, ..BrokerLimits::default() });
    let mut first = Raw::connect(&broker, "first");
    let codes: Vec<u8> = (0..6).map(|number| first.subscribe(&format!("a/{number}/#"))).collect();
    assert_eq!(codes, [0, 0, 0, 0, code::QUOTA, code::QUOTA]);
    let mut second = Raw::connect(&broker, "second");
    let codes: Vec<u8> = (0..4).map(|number| second.subscribe(&format!("b/{number}/+"))).collect();
    assert_eq!(codes, [0, 0, code::QUOTA, code::QUOTA]);
    assert_eq!(
        (second.subscribe("b/exact"), second.subscribe("a#"), second.subscribe("b/exact")),
        (0, code::BAD_FILTER, 0)
    );
    assert_eq!(broker.counts.filters_refused.get(), 4);
    // The filters end with their connection.
    drop(first);
    let deadline = clock::after(TIMEOUT);
    while second.subscribe("b/4/+") != 0 {
        assert!(clock::monotonic() < deadline);
    }
}

#[test]
fn idle_connections_make_room_for_clients() {
    let limits = BrokerLimits { connections: 32, ..BrokerLimits::default() };
    let mut broker = Broker::start(limits);
    let idle: Vec<Raw> = (0..200).map(|_| Raw::open(&broker)).collect();
    let closed = |counts: &Counts| counts.idle_closed.get() + counts.connections_refused.get() >= 190;
    broker.wait_for("idle connections are closed", closed);
    assert!(broker.counts.idle_closed.get() > 0);
    let mut agent = Raw::connect(&broker, "gw");
    agent.send(&publish(0x32, ALERT, b"x"));
    assert_eq!(agent.puback(), code::SUCCESS);
    assert_eq!(broker.collected_until(ALERT), [ALERT]);
    drop(idle);
}

#[test]
fn connections_beyond_the_limit_are_closed_and_counted() {
    let broker = Broker::start(BrokerLimits { connections: 3, ..BrokerLimits::default() });
    let held: Vec<Raw> = (0..3).map(|number| Raw::connect(&broker, &format!("gw-{number}"))).collect();
    let mut late = Raw::open(&broker);
    assert_eq!(late.end(), None);
    broker.wait_for("the refusal is counted", |counts| counts.connections_refused.get() == 1);
    drop(held);
}

#[test]
fn a_connection_without_connect_or_pings_ends() {
    let broker = Broker::start(BrokerLimits { connect_ms: 1_000, ..BrokerLimits::default() });
    let mut silent = Raw::open(&broker);
    assert_eq!(silent.end(), None);
    // On a busy machine, CONNECT may need longer than a second.
    let broker = Broker::start(BrokerLimits::default());
    let mut quiet = Raw::open(&broker);
    quiet.send(&packet(0x10, &[&text("MQTT"), &[5, 2, 0, 1, 0], &text("gw")]));
    assert_eq!(quiet.end(), Some(code::KEEP_ALIVE));
    // Half a packet does not count as a sign of life.
    let mut half = Raw::open(&broker);
    half.send(&packet(0x10, &[&text("MQTT"), &[5, 2, 0, 1, 0], &text("gw")]));
    half.send(&[0x30, 100, 0]);
    assert_eq!(half.end(), Some(code::KEEP_ALIVE));
}

#[test]
fn a_second_connection_with_the_same_name_closes_the_first_and_publishes_its_will() {
    let mut broker = Broker::start(BrokerLimits::default());
    let mut first = Raw::open(&broker);
    let will = [&text(STATUS)[..], &text("offline")].concat();
    first.send(&packet(0x10, &[&text("MQTT"), &[5, 0x26, 0, 60, 0], &text("gw"), &[0], &will]));
    assert_eq!(first.receive().unwrap().0, 0x20);
    let mut second = Raw::connect(&broker, "gw");
    assert_eq!(first.end(), Some(code::TAKEN_OVER));
    second.send(&publish(0x33, STATUS, b"online"));
    assert_eq!(second.puback(), code::SUCCESS);
    assert_eq!(broker.collected_until(STATUS), [STATUS]);
    let payload = broker.link.ends.inlet.next(TIMEOUT).unwrap().unwrap().payload;
    assert_eq!(payload, b"online", "the will of the first connection precedes it");
    assert_eq!(broker.counts.takeovers.get(), 1);
    let mut reader = Raw::connect(&broker, "reader");
    reader.subscribe(STATUS);
    assert_eq!(reader.publication(), (STATUS.into(), b"online".to_vec(), true));
}

#[test]
fn the_last_will_is_published_after_a_lost_connection_only() {
    let mut broker = Broker::start(BrokerLimits::default());
    let connect_with_will = |lost: bool| {
        let mut agent = Raw::open(&broker);
        let will = [&text(STATUS)[..], &text(if lost { "lost" } else { "clean" })].concat();
        agent.send(&packet(0x10, &[&text("MQTT"), &[5, 0x26, 0, 60, 0], &text("gw"), &[0], &will]));
        assert_eq!(agent.receive().unwrap().0, 0x20);
        if !lost {
            agent.send(&[0xE0, 0]);
            assert_eq!(agent.end(), None);
        }
    };
    connect_with_will(false);
    connect_with_will(true);
    assert_eq!(broker.link.ends.inlet.next(TIMEOUT).unwrap().unwrap().payload, b"lost");
    for will in ["lapwing/v1/agent/other/status", ALERT, RELEASE] {
        let mut hostile = Raw::open(&broker);
        let will = [&text(will)[..], &text("x")].concat();
        hostile.send(&packet(0x10, &[&text("MQTT"), &[5, 0x26, 0, 60, 0], &text("gw"), &[0], &will]));
        assert!(hostile.end().is_some_and(|code| code >= 0x80));
    }
}

#[test]
fn a_subscriber_that_does_not_read_costs_a_bounded_number_of_bytes() {
    let limits = BrokerLimits { client_bytes: 64 * 1024, ..BrokerLimits::default() };
    let mut broker = Broker::start(limits);
    let mut slow = Raw::connect(&broker, "slow");
    assert_eq!(slow.subscribe("lapwing/v1/#"), 0);
    // More than the socket's buffers take.
    while broker.counts.undelivered.get() < 100 {
        broker.link.ends.outlet.publish(RELEASE, vec![7; 32 * 1024], false).unwrap();
    }
    let mut agent = Raw::connect(&broker, "gw");
    assert_eq!(agent.subscribe("lapwing/v1/agent/gw/ack"), 0);
    broker.link.ends.outlet.publish("lapwing/v1/agent/gw/ack", b"ack".to_vec(), false).unwrap();
    assert_eq!(agent.publication().1, b"ack");
}

#[test]
fn a_full_queue_refuses_publications_and_counts_them() {
    let limits = BrokerLimits { held_bytes: 10_000, ..BrokerLimits::default() };
    let mut broker = Broker::start(limits);
    let mut agent = Raw::connect(&broker, "gw");
    let codes: Vec<u8> = (0..4)
        .map(|_| {
            agent.send(&publish(0x32, ALERT, &[1; 4_000]));
            agent.puback()
        })
        .collect();
    assert_eq!(codes, [0, 0, code::QUOTA, code::QUOTA]);
    assert_eq!(broker.counts.overrun.get(), 2);
    broker.collected_until(ALERT);
    agent.send(&publish(0x32, ALERT, &[1; 4_000]));
    assert_eq!(agent.puback(), code::SUCCESS);
}

#[test]
fn a_publication_above_the_size_that_the_client_accepts_is_left_out() {
    let mut broker = Broker::start(BrokerLimits::default());
    let mut reader = Raw::open(&broker);
    reader.send(&packet(0x10, &[&text("MQTT"), &[5, 2, 0, 60, 5, 0x27, 0, 0, 0, 100], &text("reader")]));
    assert_eq!(reader.receive().unwrap().0, 0x20);
    assert_eq!(reader.subscribe(RELEASE), 0);
    for size in [100, 10] {
        broker.link.ends.outlet.publish(RELEASE, vec![7; size], false).unwrap();
    }
    assert_eq!(reader.publication().1.len(), 10);
    assert_eq!(broker.counts.undelivered.get(), 1);
}

#[test]
fn a_client_without_identifier_gets_one() {
    let broker = Broker::start(BrokerLimits::default());
    let mut client = Raw::open(&broker);
    client.send(&connect(""));
    let (_, body) = client.receive().unwrap();
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(text.contains("auto-"), "{text}");
    assert_eq!(client.subscribe("lapwing/v1/agent/+/alert/json"), 0);
}
