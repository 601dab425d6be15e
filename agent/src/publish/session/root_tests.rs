//! A release key that is withdrawn at each step of an update; the test plays the broker.

use super::*;
use crate::disk::power::PowerDisk;
use crate::outbox::{Delivery, Limits, Outbox};
use crate::publish::{FromPipeline, ToPipeline};
use crate::update::halver::Halvers;
use crate::update::store::Store;
use lapwing_shared::messages::Message;
use lapwing_shared::messages::topics::Topic;
use lapwing_shared::release::accept::Terms;
use lapwing_shared::release::manifest::CHUNK_BYTES;
use lapwing_shared::release::testing::{artifact_bytes, chain, grant, manifest, root, signed, signed_root, terms};
use lapwing_shared::release::trial::TrialVerdict;

type Test = Session<PowerDisk, Halvers>;

const RELEASE: &str = "lapwing/v1/group/home/release";
const ROOT: &str = "lapwing/v1/group/home/root";

fn on(disk: PowerDisk, root: RootDocument) -> Test {
    let (store, _) = Store::open(disk, Terms { root: Some(root), ..terms() });
    let outbox = Outbox::new(1, Limits::default(), None);
    let mut session = Session::start("gw-1".try_into().unwrap(), Delivery::EndToEnd, Halvers, store, outbox);
    session.connected(0);
    session
}

fn session() -> Test {
    on(PowerDisk::default(), root(1))
}

/// Version 2: key `k1`, which [`signed`] uses, has seed 2. Its bytes are in a chain.
fn replaced() -> (RootDocument, Vec<u8>) {
    let document = RootDocument { keys: heapless::Vec::from_slice(&[grant("k1", 2)]).unwrap(), ..root(2) };
    let bytes = chain(&[signed_root(&document, &[9])]);
    (document, bytes)
}

/// Answers the first `chunks` requests for chunks; returns filters that it subscribed to otherwise, and its update steps.
fn converse(session: &mut Test, mut chunks: usize) -> (Vec<String>, Vec<UpdateStep>) {
    let (mut filters, mut steps) = (Vec::new(), Vec::new());
    while let Some(action) = session.next_action() {
        match action {
            Action::Subscribe(topic) => match Topic::parse(&topic) {
                Some(Topic::Chunk(_, number)) if chunks > 0 => {
                    chunks -= 1;
                    let artifact = artifact_bytes();
                    let chunk = artifact.chunks(CHUNK_BYTES as usize).nth(number as usize).unwrap();
                    session.message(&topic, chunk, 0, None);
                }
                Some(Topic::Chunk(..)) => {}
                _ => filters.push(topic),
            },
            Action::Publish { payload, retain: false, .. } => {
                if let Ok(Message { body: Body::Update(update), .. }) = Message::decode(&payload) {
                    steps.push(update.step);
                }
            }
            _ => {}
        }
    }
    (filters, steps)
}

fn offer(session: &mut Test, version: u64, seed: u8) {
    session.message(RELEASE, &signed(&manifest(version), seed), 0, None);
}

fn installed(session: &mut Test, version: u64) {
    offer(session, version, 1);
    converse(session, 9);
    session.handle_pipeline(FromPipeline::TrialVerdict { version, verdict: TrialVerdict::Confirm }, 0, None);
    converse(session, 0);
    while session.next_install().is_some() {}
}

fn withdraw(session: &mut Test) -> (Vec<String>, Vec<UpdateStep>) {
    session.message(ROOT, &replaced().1, 0, None);
    converse(session, 9)
}

#[test]
fn the_root_documents_are_requested_before_the_release() {
    let (filters, _) = converse(&mut session(), 0);
    assert_eq!(filters, ["lapwing/v1/agent/gw-1/ack", ROOT, RELEASE]);
}

#[test]
fn a_withdrawn_key_signs_no_further_release_and_its_last_one_stays_in_use() {
    let mut session = session();
    installed(&mut session, 1);
    assert_eq!(withdraw(&mut session), (vec![RELEASE.to_owned()], vec![]), "the broker sends the release again");
    assert_eq!((session.in_use(), session.root().unwrap().version), ((1, false), 2));
    offer(&mut session, 2, 1);
    let (_, steps) = converse(&mut session, 9);
    assert!(matches!(&steps[..], [UpdateStep::Refused(reason)] if reason.contains("does not match")), "{steps:?}");
    // After a restart, too.
    let mut restarted = on(std::mem::take(session.store.disk_mut()), replaced().0);
    assert_eq!(restarted.in_use(), (1, false));
    offer(&mut restarted, 2, 2);
    let (_, steps) = converse(&mut restarted, 9);
    assert_eq!(steps, [UpdateStep::Downloading, UpdateStep::Verified, UpdateStep::Trial]);
}

#[test]
fn a_half_downloaded_release_of_a_withdrawn_key_is_given_up() {
    let mut session = session();
    offer(&mut session, 1, 1);
    assert_eq!(converse(&mut session, 1).1, [UpdateStep::Downloading]);
    let (_, steps) = withdraw(&mut session);
    assert!(matches!(&steps[..], [UpdateStep::Refused(_)]), "{steps:?}");
    // The missing chunks would complete it.
    for (number, chunk) in artifact_bytes().chunks(CHUNK_BYTES as usize).enumerate() {
        let sha256 = manifest(1).artifacts[0].sha256;
        let topic = lapwing_shared::messages::topics::chunk_topic(&sha256, number as u32);
        session.message(&topic, chunk, 0, None);
    }
    assert!(session.next_install().is_none() && session.in_use() == (0, false));
}

#[test]
fn a_release_of_a_withdrawn_key_on_trial_is_rolled_back() {
    let mut session = session();
    installed(&mut session, 1);
    offer(&mut session, 2, 1);
    converse(&mut session, 9);
    assert_eq!(session.in_use(), (2, true));
    let (_, steps) = withdraw(&mut session);
    assert!(matches!(&steps[..], [UpdateStep::RolledBack(_)]), "{steps:?}");
    assert_eq!(session.in_use(), (1, false));
    let Some(ToPipeline::Install(release)) = session.next_install().into_iter().chain(session.next_install()).last()
    else {
        panic!("no release");
    };
    assert_eq!((release.manifest.version, release.on_trial), (1, false));
    // A verdict that was on its way confirms nothing.
    session.handle_pipeline(FromPipeline::TrialVerdict { version: 2, verdict: TrialVerdict::Confirm }, 0, None);
    assert_eq!(session.in_use(), (1, false));
}

#[test]
fn a_release_that_waits_for_the_end_of_a_trial_is_checked_again() {
    let mut session = session();
    offer(&mut session, 1, 1);
    converse(&mut session, 9);
    offer(&mut session, 2, 1);
    assert_eq!(session.in_use(), (1, true));
    let (_, steps) = withdraw(&mut session);
    assert!(matches!(&steps[..], [UpdateStep::RolledBack(_), UpdateStep::Refused(_)]), "{steps:?}");
    assert_eq!(session.in_use(), (0, false));
}

#[test]
fn a_release_that_arrives_before_its_key_is_accepted_when_the_broker_sends_it_again() {
    let mut session = session();
    offer(&mut session, 1, 2);
    assert!(matches!(&converse(&mut session, 9).1[..], [UpdateStep::Refused(_)]));
    assert_eq!(withdraw(&mut session).0, [RELEASE]);
    offer(&mut session, 1, 2);
    assert_eq!(converse(&mut session, 9).1, [UpdateStep::Downloading, UpdateStep::Verified, UpdateStep::Trial]);
}

#[test]
fn ten_thousand_foreign_and_outdated_chains_change_nothing_and_are_reported_at_most_eight_times() {
    let mut session = session();
    session.message(ROOT, &replaced().1, 0, None);
    converse(&mut session, 0);
    let foreign = chain(&[signed_root(&root(3), &[8])]);
    let old = chain(&[signed_root(&root(1), &[9])]);
    let mut reports = 0;
    for number in 0..10_000_u64 {
        let bytes = match number % 3 {
            0 => foreign.clone(),
            1 => old.clone(),
            _ => [&foreign[..], &number.to_le_bytes()].concat(),
        };
        session.message(ROOT, &bytes, number * 4, None);
        reports += converse(&mut session, 0).1.len();
    }
    assert!((2..=8).contains(&reports), "{reports}");
    assert_eq!((session.rejected_roots(), session.root().unwrap().version), (10_000, 2));
}
