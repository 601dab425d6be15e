//! A client of the broker that sends the agent what it likes.

use super::*;
use crate::disk::counted::Counted;
use crate::disk::power::PowerDisk;
use crate::outbox::Limits;
use crate::report::SharedReport;
use crate::update::halver::Halvers;
use lapwing_shared::messages::{Message, Samples};
use lapwing_shared::release::testing::{manifest, signed, terms};

type Test = Session<Counted<PowerDisk>, Halvers>;

const RELEASE: &str = "lapwing/v1/group/home/release";
/// Time in which the messages of a flood arrive, milliseconds.
const FLOOD_MS: u64 = 4_000;

fn session() -> (Test, SharedReport) {
    let report = SharedReport::default();
    let disk = Counted::new(PowerDisk::default(), report.clone());
    let (store, _) = Store::open(disk.clone(), terms());
    let outbox = Outbox::new(1, Limits::default(), Some(disk));
    let mut session = Session::start("gw-1".try_into().unwrap(), Delivery::EndToEnd, Halvers, store, outbox);
    session.connected(0);
    while session.next_action().is_some() {}
    (session, report)
}

/// The update steps that the session publishes.
fn steps(session: &mut Test) -> Vec<UpdateStep> {
    let messages = std::iter::from_fn(|| session.next_action()).filter_map(|action| match action {
        Action::Publish { payload, retain: false, .. } => Message::decode(&payload).ok(),
        _ => None,
    });
    let step = |message: Message| if let Body::Update(update) = message.body { Some(update.step) } else { None };
    messages.filter_map(step).collect()
}

#[test]
fn twenty_thousand_forged_manifests_cost_no_telemetry_and_no_flash() {
    let (mut session, report) = session();
    for _ in 0..50 {
        let samples = Samples { schema: [0; 32], flows_seen: 1, rows: heapless::Vec::new() };
        session.handle_pipeline(FromPipeline::Samples(samples), 0, None);
    }
    let before = report.snapshot().disk_octets;
    for number in 0..20_000_u32 {
        let now_ms = u64::from(number) * FLOOD_MS / 20_000;
        // All alike at first, then each with its own digest.
        let forged = [&[1][..], &number.saturating_sub(10_000).to_be_bytes()].concat();
        session.message(RELEASE, &forged, now_ms, None);
        if number % 1000 == 0 {
            session.tick(now_ms, None);
        }
    }
    session.tick(FLOOD_MS, None);
    let reported = steps(&mut session).len();
    assert!((1..=8).contains(&reported), "{reported} reports");
    assert_eq!((session.outbox().counts().dropped_telemetry, session.rejected_manifests()), (0, 20_000));
    assert_eq!(report.snapshot().disk_octets, before, "octets written to the disk");
}

#[test]
fn a_forged_manifest_is_reported_again_after_a_minute() {
    let (mut session, _) = session();
    let forged = signed(&manifest(1), 2);
    for (now_ms, expected) in [(0, 1), (59_999, 0), (60_000, 1)] {
        session.message(RELEASE, &forged, now_ms, None);
        assert_eq!(steps(&mut session).len(), expected, "at {now_ms} ms");
    }
}

#[test]
fn a_signed_but_outdated_manifest_is_reported_once_a_minute() {
    let (mut session, report) = session();
    let expired = signed(&manifest(1), 1);
    (0..1000).for_each(|_| session.message(RELEASE, &expired, 0, Some(u64::MAX)));
    session.tick(FLUSH_MS, None);
    assert_eq!(steps(&mut session).len(), 1);
    assert!(report.snapshot().disk_octets < 1000, "{} octets", report.snapshot().disk_octets);
}

#[test]
fn the_manifest_of_a_running_download_causes_no_further_requests() {
    let (mut session, _) = session();
    (0..1000).for_each(|_| session.message(RELEASE, &signed(&manifest(1), 1), 0, None));
    let requests = std::iter::from_fn(|| session.next_action()).filter(|action| matches!(action, Action::Subscribe(_)));
    assert_eq!(requests.count(), 1);
}

#[test]
fn an_older_manifest_does_not_interrupt_a_download_and_a_newer_one_does() {
    let (mut session, report) = session();
    for _ in 0..1000 {
        session.message(RELEASE, &signed(&manifest(6), 1), 0, None);
        session.message(RELEASE, &signed(&manifest(5), 1), 0, None);
    }
    assert_eq!(steps(&mut session), [UpdateStep::Downloading]);
    session.message(RELEASE, &signed(&manifest(7), 1), 0, None);
    assert_eq!(steps(&mut session), [UpdateStep::Downloading]);
    session.tick(FLUSH_MS, None);
    assert!(report.snapshot().disk_octets < 1000, "{} octets", report.snapshot().disk_octets);
}

#[test]
fn during_a_trial_the_newest_manifest_waits_not_the_last() {
    let (mut session, _) = session();
    let artifact = lapwing_shared::release::testing::artifact_bytes();
    let verified = session.store.check(&signed(&manifest(1), 1), None).unwrap();
    session.store.stage(&verified, &signed(&manifest(1), 1), &artifact).unwrap();
    for version in [2, 4, 3] {
        session.message(RELEASE, &signed(&manifest(version), 1), 0, None);
    }
    assert_eq!(session.waiting.as_ref().map(|(version, _)| *version), Some(4));
}

#[test]
fn a_refused_subscription_is_requested_again_after_a_minute() {
    let (mut session, _) = session();
    for _ in 0..3 {
        session.subscription_refused("lapwing/v1/agent/gw-1/ack", 0);
    }
    session.subscription_refused(RELEASE, 0);
    session.tick(SUBSCRIBE_MS - 1, None);
    assert_eq!(session.next_action(), None);
    session.tick(SUBSCRIBE_MS, None);
    let filters = std::iter::from_fn(|| session.next_action()).filter_map(|action| match action {
        Action::Subscribe(filter) => Some(filter),
        _ => None,
    });
    assert_eq!(filters.collect::<Vec<_>>(), ["lapwing/v1/agent/gw-1/ack", RELEASE]);
}
