//! Campaigns; the test plays the broker and the trainer.

use super::*;
use crate::disk::power::{Cut, PowerDisk, SharedDisk};
use crate::outbox::{Delivery, Limits, Outbox};
use crate::publish::FromPipeline;
use crate::update::halver::Halvers;
use crate::update::highest::{FLOOR, Highest};
use crate::update::store::Store;
use lapwing_shared::messages::topics::Topic;
use lapwing_shared::messages::{Acknowledgement, Message};
use lapwing_shared::release::manifest::CHUNK_BYTES;
use lapwing_shared::release::testing::{artifact_bytes, manifest, signed, terms, trusted};
use lapwing_shared::release::trial::TrialVerdict;
use lapwing_shared::rollout::message::{Channel, Next, PLACES};
use lapwing_shared::rollout::testing::{rollout, signed_rollout};
use std::sync::mpsc::sync_channel;

type Test = Session<SharedDisk, Halvers>;

const RELEASE: &str = "lapwing/v1/group/home/release";
const ROLLOUT: &str = "lapwing/v1/group/home/rollout";
/// Longest delay of the test rollouts, milliseconds.
const SPREAD_MS: u64 = 3_600_000;

/// An agent with one folder on this disk, for everything.
fn start(disk: &SharedDisk) -> Test {
    start_with(disk, Settings::default())
}

fn start_with(disk: &SharedDisk, settings: Settings) -> Test {
    let (store, _) = Store::open(disk.clone(), terms());
    let (floor, _) = Highest::open(Box::new(disk.clone()), FLOOR, &terms().group);
    let store = store.with_root_disk(Box::new(disk.clone())).with_rollouts(trusted("r1", 5));
    let store = store.with_floor(floor).with_assignments("gw-1".try_into().unwrap());
    let outbox = Outbox::new(1, Limits::default(), None);
    Session::start("gw-1".try_into().unwrap(), Delivery::EndToEnd, Halvers, store, outbox)
        .with_settings(LocalSettings::new(settings, Some(Box::new(disk.clone()))), 1)
}

fn connected(disk: &SharedDisk) -> Test {
    let mut session = start(disk);
    session.connected(0);
    session
}

/// A campaign of version 4 that every agent may install, on base 3.
fn campaign(serial: u64) -> Rollout {
    Rollout { next: Some(Next { version: 4, salt: *b"saltsalt", reach: [PLACES; 3] }), ..rollout(serial, 3) }
}

/// Version 4 is withdrawn, and 3 is the group's.
fn withdrawal(serial: u64) -> Rollout {
    let mut withdrawn = rollout(serial, 3);
    withdrawn.withdraw(4);
    withdrawn
}

/// Plays a broker with every manifest and chunk; returns topics that the session subscribed to, without chunks, and its steps.
fn converse(session: &mut Test, now_ms: u64) -> (Vec<String>, Vec<(u64, UpdateStep)>) {
    let (mut filters, mut steps, mut stored) = (Vec::new(), Vec::new(), 0);
    while let Some(action) = session.next_action() {
        match action {
            Action::Subscribe(topic) => match Topic::parse(&topic) {
                Some(Topic::Chunk(_, number)) => {
                    let artifact = artifact_bytes();
                    let chunk = artifact.chunks(CHUNK_BYTES as usize).nth(number as usize).unwrap();
                    session.message(&topic, chunk, now_ms, None);
                }
                Some(Topic::Manifest(_, version)) => {
                    session.message(&topic, &signed(&manifest(version), 1), now_ms, None);
                    filters.push(topic);
                }
                _ => filters.push(topic),
            },
            Action::Publish { payload, retain: false, .. } => {
                if let Ok(Message { number, body: Body::Update(update), .. }) = Message::decode(&payload) {
                    steps.push((update.release, update.step));
                    stored = stored.max(number);
                }
            }
            _ => {}
        }
    }
    let ack = Acknowledgement { run: 1, up_to: stored, also: heapless::Vec::new() };
    session.message("lapwing/v1/agent/gw-1/ack", ack.encode(&mut [0; 64]).unwrap(), now_ms, None);
    (filters, steps)
}

fn publish(session: &mut Test, rollout: &Rollout) {
    session.message(ROLLOUT, &signed_rollout(rollout, 5), 0, None);
}

fn confirm(session: &mut Test, version: u64) {
    session.handle_pipeline(FromPipeline::TrialVerdict { version, verdict: TrialVerdict::Confirm }, 0, None);
}

/// An agent that confirmed these versions, before there were rollouts.
fn with_confirmed(disk: &SharedDisk, versions: &[u64]) -> Test {
    let mut session = connected(disk);
    for version in versions {
        session.message(RELEASE, &signed(&manifest(*version), 1), 0, None);
        converse(&mut session, 0);
        confirm(&mut session, *version);
    }
    converse(&mut session, 0);
    while session.next_install().is_some() {}
    session
}

/// What happens within the longest delay.
fn later(session: &mut Test) -> (Vec<String>, Vec<(u64, UpdateStep)>) {
    let now_ms = session.flushed_ms + SPREAD_MS;
    session.tick(now_ms, None);
    converse(session, now_ms)
}

fn manifest_of(version: u64) -> String {
    manifest_topic(&"home".try_into().unwrap(), version).to_string()
}

#[test]
fn with_a_rollout_an_agent_installs_its_version_after_its_delay_and_ignores_the_release_topic() {
    let mut session = with_confirmed(&SharedDisk::default(), &[3]);
    publish(&mut session, &campaign(7));
    session.message(RELEASE, &signed(&manifest(5), 1), 0, None);
    session.tick(1_000, None);
    assert_eq!(converse(&mut session, 0), (vec![], vec![]), "before its delay");
    let (filters, steps) = later(&mut session);
    assert_eq!(filters, [manifest_of(4)]);
    assert_eq!(steps, [(4, UpdateStep::Downloading), (4, UpdateStep::Verified), (4, UpdateStep::Trial)]);
    confirm(&mut session, 4);
    assert_eq!(converse(&mut session, 0).1, [(4, UpdateStep::Confirmed)]);
    assert!(session.describe_updates().contains("rollout 7 of group home: base 3, next 4; up to date"));
}

#[test]
fn an_agent_outside_the_reach_stays_and_converges_after_a_restart() {
    let disk = SharedDisk::default();
    let mut session = with_confirmed(&disk, &[3]);
    let none = Rollout { next: campaign(7).next.map(|next| Next { reach: [0; 3], ..next }), ..campaign(7) };
    publish(&mut session, &none);
    assert_eq!(later(&mut session), (vec![], vec![]));
    // It was offline for serials 8 to 19.
    let mut session = connected(&disk);
    assert_eq!(session.rollout().map(|rollout| rollout.serial), Some(7));
    publish(&mut session, &campaign(20));
    converse(&mut session, 0);
    assert_eq!(later(&mut session).1.last(), Some(&(4, UpdateStep::Trial)));
}

#[test]
fn a_stopped_campaign_ends_the_trial_which_has_not_failed() {
    let mut session = with_confirmed(&SharedDisk::default(), &[3]);
    publish(&mut session, &campaign(7));
    later(&mut session);
    assert_eq!(session.in_use(), (4, true));
    publish(&mut session, &rollout(8, 3));
    assert_eq!(converse(&mut session, 0).1, [(3, UpdateStep::Confirmed)]);
    assert_eq!((session.in_use(), session.store.state().refused), ((3, false), None));
    // A verdict that was on its way confirms nothing.
    confirm(&mut session, 4);
    assert_eq!(session.in_use(), (3, false));
    publish(&mut session, &campaign(9));
    assert_eq!(later(&mut session).1.last(), Some(&(4, UpdateStep::Trial)), "it may be tried again");
}

#[test]
fn a_stop_during_the_download_ends_it() {
    let mut session = with_confirmed(&SharedDisk::default(), &[3]);
    publish(&mut session, &campaign(7));
    session.tick(SPREAD_MS, None);
    session.message(&manifest_of(4), &signed(&manifest(4), 1), SPREAD_MS, None);
    assert!(session.chunk_topic().is_some());
    publish(&mut session, &rollout(8, 3));
    assert_eq!(session.chunk_topic(), None);
    session.message(&manifest_of(4), &signed(&manifest(4), 1), SPREAD_MS, None);
    assert_eq!(session.chunk_topic(), None, "a late manifest begins nothing");
}

#[test]
fn a_withdrawn_release_is_replaced_from_the_spare_slot_without_a_network() {
    let disk = SharedDisk::default();
    let mut session = with_confirmed(&disk, &[3, 4]);
    publish(&mut session, &withdrawal(8));
    assert_eq!(converse(&mut session, 0), (vec![], vec![(3, UpdateStep::Confirmed)]));
    assert_eq!((session.in_use(), session.store.state().highest_confirmed), ((3, false), 4));
    // Also if the rollout was stored, and the power failed before it was obeyed.
    let disk = SharedDisk::default();
    drop(with_confirmed(&disk, &[3, 4]));
    disk.lock().replace("rollout-home", &signed_rollout(&withdrawal(8), 5)).unwrap();
    let session = start_with(&disk, Settings { hold: true, ..Settings::default() });
    assert_eq!(session.in_use(), (3, false));
}

#[test]
fn without_the_release_in_the_spare_slot_it_is_downloaded_although_it_is_older() {
    let disk = SharedDisk::default();
    drop(with_confirmed(&disk, &[3, 4]));
    disk.lock().damage("slot-a/artifact", |bytes| bytes[9] ^= 1);
    let mut session = connected(&disk);
    publish(&mut session, &withdrawal(8));
    converse(&mut session, 0);
    let (filters, steps) = later(&mut session);
    assert_eq!((filters, steps.last()), (vec![manifest_of(3)], Some(&(3, UpdateStep::Trial))));
    confirm(&mut session, 3);
    assert_eq!(session.in_use(), (3, false));
    // Nothing else below the highest version is accepted.
    session.message(&manifest_of(3), &signed(&manifest(2), 1), SPREAD_MS, None);
    assert_eq!((session.in_use(), session.chunk_topic()), ((3, false), None));
}

#[test]
fn a_held_agent_installs_nothing_until_the_hold_ends_and_settings_outlast_a_restart() {
    let disk = SharedDisk::default();
    let mut session = with_confirmed(&disk, &[3]);
    let command = |session: &mut Test, change| {
        let (answer, answers) = sync_channel(1);
        session.handle_pipeline(FromPipeline::Settings(change, answer), 0, None);
        answers.try_recv().unwrap().unwrap()
    };
    assert_eq!(command(&mut session, Change::Hold), "channel normal, held; no rollout received yet");
    publish(&mut session, &campaign(7));
    let mut session = connected(&disk);
    converse(&mut session, 0);
    assert_eq!(later(&mut session), (vec![], vec![]));
    let mut health = Health::default();
    session.complete_health(&mut health);
    assert_eq!((health.release.is_held, health.release.serial, health.release.starts), (true, 7, 1));
    assert!(command(&mut session, Change::Channel(Some(Channel::Late))).starts_with("channel late, held; rollout 7"));
    command(&mut session, Change::Release);
    assert_eq!(later(&mut session).0, [manifest_of(4)]);
}

#[test]
fn hostile_rollouts_change_nothing_are_counted_and_cost_no_flash() {
    let disk = SharedDisk::default();
    let mut session = with_confirmed(&disk, &[3]);
    publish(&mut session, &rollout(7, 3));
    let (writes, before) = (disk.lock().done, session.rollout().cloned());
    let other_group = Rollout { group: "work".try_into().unwrap(), ..withdrawal(9) };
    let oversized = [signed_rollout(&campaign(9), 5), vec![0; 600]].concat();
    let hostile = [
        signed_rollout(&campaign(9), 6),
        signed_rollout(&other_group, 5),
        signed_rollout(&rollout(6, 4), 5),
        signed_rollout(&rollout(7, 4), 5),
        oversized,
        vec![],
    ];
    let mut reports = 0;
    for number in 0..20_000_u64 {
        let kind = number as usize % (hostile.len() + 1);
        // Each of the last kind is another one.
        let forged = || [&hostile[0][..90], &number.to_be_bytes()].concat();
        let bytes = hostile.get(kind).cloned().unwrap_or_else(forged);
        session.message(ROLLOUT, &bytes, number / 5, None);
        reports += converse(&mut session, 0).1.len();
    }
    session.tick(super::super::FLUSH_MS, None);
    assert!((1..=8).contains(&reports), "{reports}");
    assert_eq!(
        (session.steering.rejected[super::ROLLOUT], session.rollout().cloned(), disk.lock().done),
        (20_000, before, writes)
    );
}

#[test]
fn many_signed_rollouts_are_written_eight_times_and_then_once_a_minute() {
    let disk = SharedDisk::default();
    let mut session = with_confirmed(&disk, &[3]);
    let before = disk.lock().done;
    for serial in 1..1_000 {
        session.message(ROLLOUT, &signed_rollout(&rollout(serial, 3), 5), serial * 100, None);
        session.tick(serial * 100, None);
    }
    let operations = disk.lock().done - before;
    assert_eq!(session.rollout().map(|rollout| rollout.serial), Some(999));
    // In 100 s.
    assert!((8 * 4..=10 * 4).contains(&operations), "{operations}");
    session.finish();
    assert_eq!(start(&disk).rollout().map(|rollout| rollout.serial), Some(999));
}

#[test]
fn an_expired_rollout_withdraws_but_installs_nothing() {
    let mut session = with_confirmed(&SharedDisk::default(), &[3, 4]);
    let now_s = Some(rollout(1, 1).expires_s);
    session.tick(0, now_s);
    session.message(ROLLOUT, &signed_rollout(&rollout(8, 5), 5), 0, now_s);
    assert!(session.describe_updates().ends_with("the rollout has expired"), "{}", session.describe_updates());
    session.message(ROLLOUT, &signed_rollout(&withdrawal(9), 5), 0, now_s);
    assert_eq!(session.in_use(), (3, false));
}

/// Forward and back, on a disk that loses power at every operation: there is always a release, it is never one that the
/// newest rollout withdrew, and the serial never goes back.
#[test]
fn a_power_cut_at_any_operation_of_a_campaign_keeps_a_permitted_release() {
    let start_disk = SharedDisk::default();
    drop(with_confirmed(&start_disk, &[3]));
    let first = start_disk.lock().clone();
    for cut in [Cut::NothingPending, Cut::TornFiles] {
        for left in 0.. {
            let disk = SharedDisk::new(PowerDisk { left: Some(left), ..first.clone() });
            let stored = run_campaign(&disk);
            let after = SharedDisk::new(disk.lock().after(cut));
            let mut session = connected(&after);
            let serial = session.rollout().map_or(0, |rollout| rollout.serial);
            assert!(serial >= stored, "{cut:?} after {left}: serial {serial} after {stored}");
            let version = session.in_use().0;
            assert!([3, 4].contains(&version), "{cut:?} after {left}: {version}");
            assert!(serial < 8 || version == 3, "{cut:?} after {left}: version {version} with rollout {serial}");
            publish(&mut session, &withdrawal(8));
            assert_eq!(session.in_use(), (3, false), "{cut:?} after {left}");
            let whole = disk.lock().left.is_some_and(|left| left > 0);
            if whole {
                assert!(left > 20, "a campaign takes more operations than that");
                break;
            }
        }
    }
}

/// Installs 4, which is then withdrawn. Returns the serial that was stored without an error.
fn run_campaign(disk: &SharedDisk) -> u64 {
    let mut session = connected(disk);
    let is_alive = || disk.lock().left.is_none_or(|left| left > 0);
    let mut stored = 0;
    publish(&mut session, &campaign(7));
    if is_alive() {
        stored = 7;
    }
    later(&mut session);
    confirm(&mut session, 4);
    session.message(ROLLOUT, &signed_rollout(&withdrawal(8), 5), 2 * SPREAD_MS, None);
    if is_alive() {
        stored = 8;
    }
    stored
}

#[path = "assignment_tests.rs"]
mod assignments;

#[path = "floor_tests.rs"]
mod floors;
