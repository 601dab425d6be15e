//! A broker that forges, repeats, reorders and withholds acknowledgements.

use super::*;
use crate::config::SealScope;
use crate::disk::power::PowerDisk;
use crate::outbox::{Limits, RESEND_MS};
use crate::output::alerts::test_alert;
use crate::update::halver::Halvers;
use lapwing_shared::messages::sealed::SealKey;
use lapwing_shared::messages::{ACKNOWLEDGEMENT_BYTES, Acknowledgement, Message};
use lapwing_shared::release::testing::terms;
use lapwing_shared::units::Timestamp;

type Test = Session<PowerDisk, Halvers>;

const ACK: &str = "lapwing/v1/agent/gw-1/ack";
const RUN: u64 = 7;

fn key() -> SealKey {
    SealKey::from_bytes([5; 32])
}

fn session(scope: SealScope, limits: Limits) -> Test {
    let (store, _) = Store::open(PowerDisk::default(), terms());
    let outbox = Outbox::new(RUN, limits, None);
    let mut session = Session::start("gw-1".try_into().unwrap(), Delivery::EndToEnd, Halvers, store, outbox)
        .with_seal(Some(Seal { key: key(), scope }));
    session.connected(0);
    session
}

fn alerts(session: &mut Test, count: u64, now_ms: u64) {
    for episode in 1..=count {
        let alert = test_alert(Timestamp::from_secs(1_790_000_000), episode);
        session.handle_pipeline(FromPipeline::Alert(alert), now_ms, None);
    }
}

fn encoded(run: u64, up_to: u64) -> Vec<u8> {
    let ack = Acknowledgement { run, up_to, also: heapless::Vec::new() };
    ack.encode(&mut [0; ACKNOWLEDGEMENT_BYTES]).unwrap().to_vec()
}

fn sealed(key: &SealKey, topic: &str, payload: &[u8]) -> Vec<u8> {
    [&key.seal(topic, payload), payload].concat()
}

fn waiting(session: &Test) -> u32 {
    session.outbox().counts().waiting
}

/// What the session publishes: topic and payload.
fn published(session: &mut Test) -> Vec<(String, Vec<u8>)> {
    let actions = std::iter::from_fn(|| session.next_action());
    actions
        .filter_map(|action| match action {
            Action::Publish { topic, payload, .. } => Some((topic, payload)),
            _ => None,
        })
        .collect()
}

#[test]
fn no_forged_or_foreign_acknowledgement_makes_an_agent_forget_an_alert() {
    let mut session = session(SealScope::All, Limits::default());
    alerts(&mut session, 3, 0);
    let genuine = encoded(RUN, 3);
    let forged = [
        genuine.clone(),
        sealed(&SealKey::from_bytes([6; 32]), ACK, &genuine),
        sealed(&key(), "lapwing/v1/agent/gw-2/ack", &genuine),
        sealed(&key(), "lapwing/v1/agent/gw-1/alert", &genuine),
        sealed(&key(), ACK, &encoded(RUN, 2)).into_iter().rev().collect(),
        [&key().seal(ACK, &genuine)[..], &encoded(RUN, u64::MAX)].concat(),
        Vec::new(),
    ];
    for payload in &forged {
        session.message(ACK, payload, 0, None);
    }
    assert_eq!((waiting(&session), session.rejected_acks()), (3, forged.len() as u64));
    // Of an earlier run: genuine, but about other messages.
    session.message(ACK, &sealed(&key(), ACK, &encoded(RUN - 1, u64::MAX)), 0, None);
    assert_eq!((waiting(&session), session.rejected_acks()), (3, forged.len() as u64));
    // In any order, and repeated.
    for up_to in [2, 1, 2, 1] {
        session.message(ACK, &sealed(&key(), ACK, &encoded(RUN, up_to)), 0, None);
        assert_eq!(waiting(&session), 1);
    }
    session.message(ACK, &sealed(&key(), ACK, &genuine), 0, None);
    assert_eq!(waiting(&session), 0);
}

#[test]
fn an_acknowledgement_that_is_repeated_covers_no_later_message() {
    let mut session = session(SealScope::All, Limits::default());
    alerts(&mut session, 2, 0);
    let genuine = sealed(&key(), ACK, &encoded(RUN, 2));
    session.message(ACK, &genuine, 0, None);
    alerts(&mut session, 2, 0);
    session.message(ACK, &genuine, 0, None);
    assert_eq!(waiting(&session), 2);
}

#[test]
fn withheld_acknowledgements_fill_a_bounded_outbox_and_what_was_sent_is_sent_again() {
    let limits = Limits { messages: 100, ..Limits::default() };
    let mut session = session(SealScope::All, limits);
    alerts(&mut session, 64, 0);
    let first = published(&mut session);
    alerts(&mut session, 1_000, 0);
    let counts = session.outbox().counts();
    assert!((64..=100).contains(&counts.waiting), "{counts:?}");
    assert_eq!(u64::from(counts.waiting) + counts.dropped_alerts, 1_064, "each is waiting or counted");
    session.message(ACK, &encoded(RUN, u64::MAX), 0, None);
    session.tick(RESEND_MS, None);
    let again = published(&mut session);
    let of_alerts = |published: &[(String, Vec<u8>)]| -> Vec<Vec<u8>> {
        published.iter().filter(|(topic, _)| topic.ends_with("/alert")).map(|(_, payload)| payload.clone()).collect()
    };
    assert_eq!((of_alerts(&first).len(), of_alerts(&again)), (64, of_alerts(&first)));
}

#[test]
fn every_message_but_json_is_sealed_for_its_topic() {
    let mut session = session(SealScope::All, Limits::default());
    alerts(&mut session, 1, 0);
    session.handle_pipeline(FromPipeline::Health(lapwing_shared::messages::Health::default()), 0, None);
    let (topic, will) = session.status(false).unwrap();
    let mut messages = published(&mut session);
    messages.push((topic, will));
    let (json, binary): (Vec<_>, Vec<_>) = messages.into_iter().partition(|(topic, _)| topic.ends_with("/json"));
    assert_eq!((json.len(), binary.len()), (2, 4));
    assert!(json.iter().all(|(_, payload)| payload.starts_with(b"{")));
    for (topic, payload) in binary {
        assert!(Message::decode(&payload).is_err(), "{topic}");
        let opened = key().open(&topic, &payload).unwrap();
        assert_eq!(Message::decode(opened).unwrap().run, RUN, "{topic}");
    }
}

#[test]
fn a_seal_counts_towards_the_limit_of_the_broker() {
    let longest = |limit: u32| {
        let mut session = session(SealScope::All, Limits::default());
        session.connected_within(Some(limit), 0);
        alerts(&mut session, 1, 0);
        let publications = published(&mut session);
        publications.iter().map(|(topic, payload)| topic.len() + payload.len()).max().unwrap_or(0)
    };
    let room = longest(u32::MAX) as u32;
    for limit in 60..room + 20 {
        assert!(longest(limit) + 6 <= limit as usize, "{limit}");
    }
}

#[test]
fn with_sealed_acknowledgements_only_other_programs_can_read_the_messages() {
    let mut session = session(SealScope::Acknowledgements, Limits::default());
    alerts(&mut session, 1, 0);
    let messages = published(&mut session);
    let (_, alert) = messages.iter().find(|(topic, _)| topic.ends_with("/alert")).unwrap();
    assert_eq!(Message::decode(alert).unwrap().number, 1);
    let (topic, status) = messages.iter().find(|(topic, _)| topic.ends_with("/status")).unwrap();
    assert!(key().open(topic, status).is_ok(), "the trainer learns from it that the agent has a key");
    session.message(ACK, &encoded(RUN, 1), 0, None);
    assert_eq!((waiting(&session), session.rejected_acks()), (1, 1));
    session.message(ACK, &sealed(&key(), ACK, &encoded(RUN, 1)), 0, None);
    assert_eq!(waiting(&session), 0);
}

#[test]
fn rejected_acknowledgements_are_reported_with_health() {
    let mut session = session(SealScope::Acknowledgements, Limits::default());
    (0..5).for_each(|_| session.message(ACK, b"forged", 0, None));
    session.handle_pipeline(FromPipeline::Health(lapwing_shared::messages::Health::default()), 0, None);
    let messages = published(&mut session);
    let (_, health) = messages.iter().find(|(topic, _)| topic.ends_with("/health")).unwrap();
    let Body::Health(health) = Message::decode(health).unwrap().body else { panic!() };
    assert_eq!(health.detector.rejected_acknowledgements, 5);
}
