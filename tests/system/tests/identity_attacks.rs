//! What enrolled agents, strangers and revoked agents try at a broker: the same attacks at the embedded broker and at
//! mosquitto with the configuration that `broker-config` prints.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_common::clock;
use lapwing_system_tests::on_each_broker;
use lapwing_system_tests::stage::PATIENCE;
use lapwing_system_tests::stage::brokers::{Embedded, Fleet, IdentityBroker, agent_key, now_s};
use lapwing_system_tests::stage::packets::{RawClient, connect, connect_as, connect_with_will, publish};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const NOT_AUTHORIZED: u8 = 0x87;
const TAKEN_OVER: u8 = 0x8E;
/// Message that ends a list of what the watcher receives.
const LAST: &str = "lapwing/v1/agent/attic/health";
const FOREIGN: [&str; 11] = [
    "lapwing/v1/agent/cellar/alert",
    "lapwing/v1/agent/cellar/status",
    "lapwing/v1/agent/cellar/sample",
    "lapwing/v1/agent/cellar/ack",
    "lapwing/v1/agent/attic/ack",
    "lapwing/v1/agent/attic/assignment",
    "lapwing/v1/agent/cellar/assignment",
    "lapwing/v1/group/home/release",
    "lapwing/v1/artifact/abababababababababababababababababababababababababababababababab/0",
    "lapwing/v1/agent/_trainer/status",
    "$SYS/broker/version",
];

fn fleet(name: &str) -> Fleet {
    Fleet::new(name, env!("CARGO_BIN_EXE_lapwing-load"))
}

/// Publishes the last message as `agent`; topics that the watcher received before it.
fn received(watcher: &mut RawClient, agent: &mut RawClient) -> Vec<String> {
    assert_eq!(agent.publish(0x32, LAST, b"last"), Some(0));
    let mut topics = Vec::new();
    loop {
        let (topic, payload, _) = watcher.publication().unwrap();
        if payload == b"last" {
            return topics;
        }
        topics.push(topic);
    }
}

on_each_broker!(
    an_agent_publishes_on_its_own_topics_only,
    an_agent_receives_nothing_of_others,
    a_last_will_on_a_foreign_topic_is_not_published,
    a_retained_forgery_stays_nowhere,
    client_identifier_and_user_name_change_nothing,
    a_client_without_a_valid_certificate_is_not_connected,
    a_revoked_agent_loses_its_session_and_gets_no_other,
    a_second_session_takes_over_and_a_second_connect_ends_it,
    a_recorded_connection_cannot_be_replayed,
    a_reader_reads_alerts_and_publishes_nothing,
);

fn an_agent_publishes_on_its_own_topics_only<B: IdentityBroker>() {
    let fleet = fleet("publish");
    let attic = fleet.enrol("attic", &agent_key(1));
    fleet.enrol("cellar", &agent_key(2));
    let broker = B::start(&fleet);
    let mut watcher = broker.watcher();
    let mut agent = broker.agent(&attic, "attic");
    for topic in FOREIGN {
        for first in [0x32, 0x33] {
            let code = agent.publish(first, topic, b"forged");
            assert!(code.is_some_and(|code| code >= 0x80), "{topic}: {code:?}");
        }
        // At QoS 0 there is no answer.
        agent.send(&publish_without_answer(topic));
    }
    let own = ["lapwing/v1/agent/attic/alert", "lapwing/v1/agent/attic/status"];
    for topic in own {
        assert_eq!(agent.publish(0x32, topic, b"own"), Some(0), "{topic}");
    }
    assert_eq!(received(&mut watcher, &mut agent), own);
}

fn publish_without_answer(topic: &str) -> Vec<u8> {
    let with_answer = publish(0x30, topic, b"forged");
    // Without the packet identifier.
    let at = 4 + topic.len();
    let body = [&with_answer[2..at], &with_answer[at + 2..]].concat();
    [&[0x30, body.len() as u8], &body[..]].concat()
}

fn an_agent_receives_nothing_of_others<B: IdentityBroker>() {
    let fleet = fleet("subscribe");
    let (attic, cellar) = (fleet.enrol("attic", &agent_key(1)), fleet.enrol("cellar", &agent_key(2)));
    let broker = B::start(&fleet);
    let mut spy = broker.agent(&attic, "attic");
    for filter in [
        "#",
        "lapwing/v1/agent/#",
        "lapwing/v1/agent/+/alert",
        "lapwing/v1/agent/cellar/alert",
        "lapwing/v1/agent/cellar/ack",
        "lapwing/v1/agent/cellar/assignment",
        "$share/lapwing-collectors-alert/lapwing/v1/agent/+/alert",
    ] {
        let code = spy.subscribe(filter).unwrap();
        assert!(code >= 0x80 || !B::IS_EMBEDDED, "{filter}: {code:#x}");
    }
    for own in [
        "lapwing/v1/agent/attic/ack",
        "lapwing/v1/agent/attic/assignment",
        "lapwing/v1/group/home/release",
        "lapwing/v1/artifact/+/+",
    ] {
        assert!(spy.subscribe(own).is_some_and(|code| code < 0x80), "{own}");
    }
    let mut watcher = broker.watcher();
    let mut victim = broker.agent(&cellar, "cellar");
    for (first, topic) in [(0x32, "alert"), (0x32, "sample"), (0x33, "status")] {
        assert_eq!(victim.publish(first, &format!("lapwing/v1/agent/cellar/{topic}"), b"secret"), Some(0));
    }
    for _ in 0..3 {
        assert_eq!(watcher.publication().unwrap().1, b"secret", "the broker has delivered them");
    }
    // An answer follows everything that was delivered before.
    assert_eq!(spy.publish(0x32, LAST, b"last"), Some(0));
    assert!(spy.subscribe("lapwing/v1/agent/attic/ack").is_some());
    assert_eq!(publications_before_ping(&mut spy), Vec::<String>::new());
}

/// Topics of publications that arrive before the answer to a ping.
fn publications_before_ping(client: &mut RawClient) -> Vec<String> {
    client.send(&[0xC0, 0]);
    let mut topics = Vec::new();
    loop {
        let (first, body) = client.receive().unwrap();
        match first & 0xF0 {
            0xD0 => return topics,
            0x30 => topics.push(String::from_utf8_lossy(&body).into_owned()),
            _ => {}
        }
    }
}

fn a_last_will_on_a_foreign_topic_is_not_published<B: IdentityBroker>() {
    let fleet = fleet("will");
    let attic = fleet.enrol("attic", &agent_key(1));
    let cellar = fleet.enrol("cellar", &agent_key(2));
    let broker = B::start(&fleet);
    let mut watcher = broker.watcher();
    for topic in ["lapwing/v1/agent/cellar/status", "lapwing/v1/group/home/release"] {
        let mut hostile = RawClient::with_tls(broker.tls(), &attic);
        hostile.connect(&connect_with_will("attic", topic));
    }
    let mut gone = RawClient::with_tls(broker.tls(), &cellar);
    assert_eq!(gone.connect(&connect_with_will("cellar", "lapwing/v1/agent/cellar/status")).unwrap().0, 0);
    drop(gone);
    let (topic, payload, _) = watcher.publication().unwrap();
    assert_eq!((topic.as_str(), &payload[..]), ("lapwing/v1/agent/cellar/status", &b"will"[..]), "its own");
    let mut agent = broker.agent(&attic, "attic");
    assert_eq!(received(&mut watcher, &mut agent), Vec::<String>::new());
}

fn a_retained_forgery_stays_nowhere<B: IdentityBroker>() {
    let fleet = fleet("retained");
    let attic = fleet.enrol("attic", &agent_key(1));
    let broker = B::start(&fleet);
    let mut agent = broker.agent(&attic, "attic");
    for topic in FOREIGN {
        agent.publish(0x33, topic, b"forged");
    }
    assert_eq!(agent.publish(0x33, "lapwing/v1/agent/attic/status", b"online"), Some(0));
    if B::IS_EMBEDDED {
        let code = agent.publish(0x33, "lapwing/v1/agent/attic/alert", b"alert");
        assert_eq!(code, Some(NOT_AUTHORIZED), "only statuses are retained");
    }
    let mut watcher = broker.watcher();
    let (topic, payload, is_retained) = watcher.publication().unwrap();
    assert_eq!((topic.as_str(), &payload[..], is_retained), ("lapwing/v1/agent/attic/status", &b"online"[..], true));
    assert_eq!(received(&mut watcher, &mut agent), Vec::<String>::new());
}

fn client_identifier_and_user_name_change_nothing<B: IdentityBroker>() {
    let fleet = fleet("names");
    let attic = fleet.enrol("attic", &agent_key(1));
    let cellar = fleet.enrol("cellar", &agent_key(2));
    let broker = B::start(&fleet);
    let mut watcher = broker.watcher();
    let mut victim = broker.agent(&cellar, "cellar");
    for (client, user) in [("cellar", "cellar"), ("_lapwing-trainer", "_trainer"), ("lapwing-collector", "root")] {
        let mut hostile = RawClient::with_tls(broker.tls(), &attic);
        let (code, properties) = hostile.connect(&connect_as(client, user)).unwrap();
        assert_eq!(code, 0, "as attic");
        if B::IS_EMBEDDED {
            assert!(properties.windows(5).any(|part| part == b"attic"), "the assigned client identifier");
        }
        for topic in ["lapwing/v1/agent/cellar/alert", "lapwing/v1/agent/cellar/ack", "lapwing/v1/group/home/release"] {
            assert!(hostile.publish(0x32, topic, b"forged").is_some_and(|code| code >= 0x80), "{client} {topic}");
        }
    }
    // The victim's session was not taken over.
    assert_eq!(victim.publish(0x32, "lapwing/v1/agent/cellar/alert", b"own"), Some(0));
    let mut agent = broker.agent(&attic, "attic");
    assert_eq!(received(&mut watcher, &mut agent), ["lapwing/v1/agent/cellar/alert"]);
}

fn a_client_without_a_valid_certificate_is_not_connected<B: IdentityBroker>() {
    let fleet = fleet("certificates");
    let (key, now, day) = (agent_key(1), now_s(), 86_400);
    let attic = fleet.enrol("attic", &key);
    let other = fleet.other_authority();
    let broker = B::start(&fleet);
    let refused = [
        ("no certificate", fleet.stranger()),
        ("another authority's", fleet.certificate(&other, "attic", &key, [now, now + day])),
        ("expired", fleet.certificate(&fleet.authority, "attic", &key, [now - 9 * day, now - day])),
        // A certificate begins one day before its issue.
        ("not yet valid", fleet.certificate(&fleet.authority, "attic", &key, [now + 3 * day, now + 9 * day])),
    ];
    for (what, config) in refused {
        let answer = RawClient::with_tls(broker.tls(), &config).connect(&connect("attic"));
        assert_eq!(answer, None, "{what}");
    }
    // Bytes without TLS at the port for certificates.
    assert_eq!(RawClient::plain(broker.tls()).connect(&connect("attic")), None);
    broker.agent(&attic, "attic");
}

/// Publishes until the broker refuses or the session ends; how long that took.
fn until_refused(agent: &mut RawClient) -> (Option<u8>, Duration) {
    let begin: Instant = clock::monotonic();
    loop {
        let code = agent.publish(0x32, "lapwing/v1/agent/attic/alert", b"revoked");
        if code != Some(0) {
            return (code, begin.elapsed());
        }
        assert!(begin.elapsed() < PATIENCE, "a revoked agent publishes");
        std::thread::yield_now();
    }
}

fn a_revoked_agent_loses_its_session_and_gets_no_other<B: IdentityBroker>() {
    let fleet = fleet("revoked");
    let (attic, cellar) = (fleet.enrol("attic", &agent_key(1)), fleet.enrol("cellar", &agent_key(2)));
    let broker = B::start(&fleet);
    let (mut live, mut other) = (broker.agent(&attic, "attic"), broker.agent(&cellar, "cellar"));
    assert_eq!(live.publish(0x32, "lapwing/v1/agent/attic/alert", b"before"), Some(0));
    fleet.revoke("attic");
    broker.revoked(&fleet);
    let (code, time) = until_refused(&mut live);
    println!("the broker refused the live session after {} ms", time.as_millis());
    if B::IS_EMBEDDED {
        assert_eq!(code, None, "the session has ended");
    }
    let mut again = RawClient::with_tls(broker.tls(), &attic);
    let answer = again.connect(&connect("attic"));
    if B::IS_EMBEDDED {
        assert_eq!(answer.map(|(code, _)| code), Some(NOT_AUTHORIZED));
    } else {
        assert_ne!(again.publish(0x32, "lapwing/v1/agent/attic/alert", b"after"), Some(0));
    }
    assert_eq!(other.publish(0x32, "lapwing/v1/agent/cellar/alert", b"own"), Some(0), "others go on");
}

fn a_second_session_takes_over_and_a_second_connect_ends_it<B: IdentityBroker>() {
    let fleet = fleet("takeover");
    let attic = fleet.enrol("attic", &agent_key(1));
    let broker = B::start(&fleet);
    let mut first = broker.agent(&attic, "attic");
    let mut second = broker.agent(&attic, "attic");
    // Mosquitto 2.0.11 closes the connection without a reason.
    let code = first.end();
    assert!(code == Some(TAKEN_OVER) || (code.is_none() && !B::IS_EMBEDDED), "{code:?}");
    assert_eq!(second.publish(0x32, LAST, b"own"), Some(0));
    second.send(&connect("cellar"));
    let code = second.end();
    assert!(code.map_or(!B::IS_EMBEDDED, |code| code >= 0x80), "{code:?}");
    let mut third = broker.agent(&attic, "attic");
    assert_eq!(third.publish(0x32, LAST, b"own"), Some(0));
}

fn a_recorded_connection_cannot_be_replayed<B: IdentityBroker>() {
    let fleet = fleet("replay");
    let attic = fleet.enrol("attic", &agent_key(1));
    let broker = B::start(&fleet);
    let (recording, mut agent) = RawClient::recorded(broker.tls(), &attic);
    assert_eq!(agent.connect(&connect("attic")).map(|(code, _)| code), Some(0));
    assert_eq!(agent.publish(0x32, LAST, b"own"), Some(0));
    let sent = recording.lock().unwrap().clone();
    assert!(sent.len() > 500, "handshake, CONNECT and PUBLISH");
    let mut watcher = broker.watcher();
    let mut replayed = RawClient::plain(broker.tls());
    replayed.send(&sent);
    // What comes back is TLS, and the connection ends.
    assert!(!replayed.rest().is_empty());
    assert_eq!(received(&mut watcher, &mut agent), Vec::<String>::new());
}

fn a_reader_reads_alerts_and_publishes_nothing<B: IdentityBroker>() {
    let fleet = fleet("reader");
    let attic = fleet.enrol("attic", &agent_key(1));
    let hass = fleet.reader("_hass");
    let broker = B::start(&fleet);
    let mut reader = broker.agent(&hass, "home-assistant");
    assert!(reader.subscribe("lapwing/v1/agent/+/alert/json").is_some_and(|code| code < 0x80));
    for topic in [
        "lapwing/v1/agent/attic/alert/json",
        "lapwing/v1/agent/attic/ack",
        "lapwing/v1/group/home/release",
        "lapwing/v1/agent/_hass/alert/json",
        "lapwing/v1/agent/_hass/status",
    ] {
        assert!(reader.publish(0x32, topic, b"forged").is_some_and(|code| code >= 0x80), "{topic}");
    }
    let mut agent = broker.agent(&attic, "attic");
    assert_eq!(agent.publish(0x32, "lapwing/v1/agent/attic/alert/json", b"{}"), Some(0));
    let (topic, payload, _) = reader.publication().unwrap();
    assert_eq!((topic.as_str(), &payload[..]), ("lapwing/v1/agent/attic/alert/json", &b"{}"[..]));
}

#[test]
fn the_embedded_broker_refuses_replaced_keys_and_names_without_certificates() {
    let fleet = fleet("replaced");
    let before = fleet.enrol("attic", &agent_key(1));
    let mut broker = Embedded::start(&fleet);
    let mut live = broker.agent(&before, "attic");
    let after = fleet.replace("attic", &agent_key(9));
    assert_eq!(live.end(), Some(NOT_AUTHORIZED), "the session of the old key");
    let answer = RawClient::with_tls(broker.tls(), &before).connect(&connect("attic"));
    assert_eq!(answer.map(|(code, _)| code), Some(NOT_AUTHORIZED), "its certificate is valid");
    broker.agent(&after, "attic");
    // A certificate of the authority for a name without identity, and a reader that is not in the configuration.
    let (now, key) = (now_s(), agent_key(3));
    let unknown = fleet.certificate(&fleet.authority, "garage", &key, [now, now + 3_600]);
    for (name, config) in
        [("garage", unknown), ("_other", fleet.reader("_other")), ("_trainer", fleet.reader("_trainer"))]
    {
        let answer = RawClient::with_tls(broker.tls(), &config).connect(&connect(name));
        assert_eq!(answer.map(|(code, _)| code), Some(NOT_AUTHORIZED), "{name}");
    }
    // Without TLS, the name of an enrolled agent is refused, and others can be claimed as before.
    let answer = |name: &str| RawClient::plain(broker.plain()).connect(&connect(name)).map(|(code, _)| code);
    assert_eq!((answer("attic"), answer("garage")), (Some(NOT_AUTHORIZED), Some(0)));
    broker.assert_running();
}

#[test]
fn stalled_handshakes_make_room_for_agents() {
    let fleet = fleet("stalled");
    let attic = fleet.enrol("attic", &agent_key(1));
    let mut broker = Embedded::start(&fleet);
    let mut live = broker.agent(&attic, "attic");
    let cellar = fleet.enrol("cellar", &agent_key(2));
    let stalled: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(("127.0.0.1", broker.tls())).unwrap()).collect();
    assert_eq!(live.publish(0x32, LAST, b"own"), Some(0), "those that are connected do not wait");
    broker.agent(&cellar, "cellar");
    broker.assert_running();
    drop(stalled);
}

#[test]
fn a_flooding_agent_is_read_more_slowly_and_others_are_not() {
    let fleet = fleet("flood");
    let (attic, cellar) = (fleet.enrol("attic", &agent_key(1)), fleet.enrol("cellar", &agent_key(2)));
    let broker = Embedded::start(&fleet);
    let (mut loud, mut quiet) = (broker.agent(&attic, "attic"), broker.agent(&cellar, "cellar"));
    let begin: Instant = clock::monotonic();
    // 80 s of its rate at once, and 3 s more.
    let flood: Vec<u8> = (0..8_300).flat_map(|_| publish_without_answer(LAST)).collect();
    let flooding = std::thread::spawn(move || {
        assert!(loud.send(&flood));
        publications_before_ping(&mut loud);
        begin.elapsed()
    });
    assert_eq!(quiet.publish(0x32, "lapwing/v1/agent/cellar/alert", b"own"), Some(0));
    let answered = begin.elapsed();
    let delayed = flooding.join().unwrap();
    assert!(delayed > Duration::from_secs(2), "{delayed:?}");
    assert!(answered < delayed, "{answered:?} {delayed:?}");
}
