//! Whole updates without a broker: the test plays the broker's part.

use super::*;
use crate::outbox::Limits;
use crate::update::halver::{Halver, Halvers};
use crate::update::power::PowerDisk;
use crate::update::testing::{artifact_bytes, manifest, signed, terms};
use lapwing_shared::release::manifest::{CHUNK_BYTES, Manifest};
use lapwing_shared::release::trial::TrialVerdict;

type Test = Session<PowerDisk, Halvers>;

fn session(disk: PowerDisk) -> Test {
    let (store, _) = Store::open(disk, terms());
    let outbox = Outbox::new(1, Limits::default(), None);
    let mut session = Session::start("gw-1".try_into().unwrap(), Delivery::EndToEnd, Halvers, store, outbox);
    session.connected(0);
    session
}

/// Plays a broker that retains the artifact; gives the update steps that were published.
fn converse(session: &mut Test, artifact: &[u8]) -> Vec<(u64, UpdateStep)> {
    let mut steps = Vec::new();
    while let Some(action) = session.next_action() {
        match action {
            Action::Subscribe(topic) => {
                if let Some(Topic::Chunk(_, number)) = Topic::parse(&topic) {
                    let chunk = artifact.chunks(CHUNK_BYTES as usize).nth(number as usize).unwrap();
                    session.message(&topic, chunk, 0, None);
                }
            }
            Action::Publish { payload, retain: false, .. } => {
                if let Ok(Message { body: Body::Update(update), .. }) = Message::decode(&payload) {
                    steps.push((update.release, update.step));
                }
            }
            _ => {}
        }
    }
    steps
}

fn offer(session: &mut Test, manifest: &Manifest) -> Vec<(u64, UpdateStep)> {
    session.message("lapwing/v1/group/home/release", &signed(manifest, 1), 0, None);
    converse(session, &artifact_bytes())
}

fn installed(session: &mut Test) -> Option<(u64, bool)> {
    match session.next_install()? {
        ToPipeline::Install(release) => Some((release.manifest.version, release.on_trial)),
        ToPipeline::Remove => Some((0, false)),
    }
}

fn refusal(steps: &[(u64, UpdateStep)]) -> &str {
    match steps {
        [.., (_, UpdateStep::Refused(reason))] => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_release_is_fetched_verified_tried_and_confirmed() {
    let mut session = session(PowerDisk::default());
    let steps = offer(&mut session, &manifest(3));
    assert_eq!(steps, [(3, UpdateStep::Downloading), (3, UpdateStep::Verified), (3, UpdateStep::Trial)]);
    assert_eq!((installed(&mut session), session.in_use()), (Some((3, true)), (3, true)));
    session.from_pipeline(FromPipeline::TrialVerdict(3, TrialVerdict::Confirm), 0, None);
    assert_eq!(converse(&mut session, &[]), [(3, UpdateStep::Confirmed)]);
    assert_eq!(session.in_use(), (3, false));
    assert!(offer(&mut session, &manifest(3)).is_empty(), "the retained manifest comes again at each connection");
    assert_eq!(
        refusal(&offer(&mut session, &manifest(2))),
        "release version 2 is not above 3, the highest ever confirmed"
    );
}

#[test]
fn a_failed_trial_brings_the_confirmed_release_back() {
    let mut session = session(PowerDisk::default());
    let failed = TrialVerdict::TooOdd { odd: 60, rows: 60 };
    offer(&mut session, &manifest(1));
    session.from_pipeline(FromPipeline::TrialVerdict(1, TrialVerdict::Confirm), 0, None);
    offer(&mut session, &manifest(2));
    session.from_pipeline(FromPipeline::TrialVerdict(2, failed), 0, None);
    let steps = converse(&mut session, &[]);
    assert!(matches!(steps.last(), Some((2, UpdateStep::RolledBack(_)))));
    assert_eq!((installed(&mut session), session.in_use()), (Some((1, false)), (1, false)));
    assert!(offer(&mut session, &manifest(2)).is_empty(), "refused once is told once");
    assert_eq!(offer(&mut session, &manifest(3)).len(), 3);
}

#[test]
fn a_first_release_that_fails_leaves_the_packet_side_without_one() {
    let mut session = session(PowerDisk::default());
    offer(&mut session, &manifest(1));
    session.from_pipeline(FromPipeline::TrialVerdict(1, TrialVerdict::EngineFault), 0, None);
    assert_eq!(installed(&mut session), Some((0, false)));
}

#[test]
fn a_first_release_that_fails_brings_the_configured_one_back() {
    let build =
        || Ok(InstalledRelease { manifest: Box::new(manifest(1)), digest: [0; 32], engine: Halver, on_trial: false });
    let mut session =
        session(PowerDisk::default()).with_fallback(Some(Fallback { version: 1, build: Box::new(build) }));
    assert_eq!(session.in_use(), (1, false), "the status names what scores");
    offer(&mut session, &manifest(2));
    assert_eq!((installed(&mut session), session.in_use()), (Some((2, true)), (2, true)));
    session.from_pipeline(FromPipeline::TrialVerdict(2, TrialVerdict::EngineFault), 0, None);
    assert_eq!((installed(&mut session), session.in_use()), (Some((1, false)), (1, false)));
    offer(&mut session, &manifest(3));
    session.from_pipeline(FromPipeline::TrialVerdict(3, TrialVerdict::Confirm), 0, None);
    let failed = offer(&mut session, &manifest(4));
    assert_eq!(failed.last(), Some(&(4, UpdateStep::Trial)));
    session.from_pipeline(FromPipeline::TrialVerdict(4, TrialVerdict::EngineFault), 0, None);
    assert_eq!(session.in_use(), (3, false), "a confirmed release goes before it");
}

#[test]
fn a_release_that_comes_during_a_trial_waits_for_its_end() {
    let mut session = session(PowerDisk::default());
    offer(&mut session, &manifest(1));
    assert!(offer(&mut session, &manifest(2)).is_empty());
    assert!(offer(&mut session, &manifest(3)).is_empty());
    session.from_pipeline(FromPipeline::TrialVerdict(1, TrialVerdict::Confirm), 0, None);
    let steps = converse(&mut session, &artifact_bytes());
    assert_eq!((steps[0].clone(), steps.last().cloned()), ((1, UpdateStep::Confirmed), Some((3, UpdateStep::Trial))));
}

#[test]
fn wrong_chunks_are_fetched_again_and_then_refused_for_good() {
    let mut session = session(PowerDisk::default());
    let mut wrong = artifact_bytes();
    wrong[5] ^= 1;
    session.message("lapwing/v1/group/home/release", &signed(&manifest(1), 1), 0, None);
    let steps = converse(&mut session, &wrong);
    assert_eq!(refusal(&steps), "artifact does not have the SHA-256 that the manifest names");
    assert_eq!((installed(&mut session), session.in_use()), (None, (0, false)));
}

#[test]
fn bad_releases_are_refused_with_their_reason() {
    let mut session = session(PowerDisk::default());
    session.message("lapwing/v1/group/home/release", &signed(&manifest(1), 2), 0, None);
    assert!(refusal(&converse(&mut session, &[])).starts_with("signature does not match"));
    session.message("lapwing/v1/group/home/release", &[7], 0, None);
    assert_eq!(refusal(&converse(&mut session, &[])), "signed manifest: format version 7, expected 1");
    session.message("lapwing/v1/group/home/release", &signed(&manifest(1), 1), 0, Some(u64::MAX));
    assert!(refusal(&converse(&mut session, &[])).starts_with("release expired"));
    let mut other = manifest(1);
    other.schema = [0; 32];
    assert!(refusal(&offer(&mut session, &other)).contains("another feature schema"));
    let mut other = manifest(1);
    other.golden[0].score += 1;
    assert!(refusal(&offer(&mut session, &other)).contains("golden vector 0"));
}

#[test]
fn a_full_disk_is_told_and_the_release_is_tried_again() {
    let mut session = session(PowerDisk { room: Some(1000), ..PowerDisk::default() });
    assert!(refusal(&offer(&mut session, &manifest(1))).starts_with("cannot write slot-a/artifact"));
    assert_eq!(installed(&mut session), None);
    assert!(refusal(&offer(&mut session, &manifest(1))).starts_with("cannot write"), "not refused for good");
}

#[test]
fn a_broken_connection_continues_the_download_where_it_was() {
    let mut session = session(PowerDisk::default());
    session.message("lapwing/v1/group/home/release", &signed(&manifest(1), 1), 0, None);
    let bytes = artifact_bytes();
    let first = session.chunk_topic().unwrap();
    session.message(&first, &bytes[..CHUNK_BYTES as usize], 0, None);
    session.disconnected();
    assert_eq!(session.next_action(), None);
    session.connected(1);
    assert!(session.chunk_topic().unwrap().ends_with("/1"));
    let steps = converse(&mut session, &bytes);
    assert_eq!(steps.last(), Some(&(1, UpdateStep::Trial)));
}

#[test]
fn a_chunk_that_does_not_come_is_asked_for_a_bounded_number_of_times() {
    let mut session = session(PowerDisk::default());
    session.message("lapwing/v1/group/home/release", &signed(&manifest(1), 1), 0, None);
    let chunk = session.chunk_topic().unwrap();
    for second in 0..1000 {
        session.tick(second * 1000, None);
    }
    let asked =
        std::iter::from_fn(|| session.next_action()).filter(|action| *action == Action::Subscribe(chunk.clone()));
    assert_eq!(asked.count(), usize::from(CHUNK_ASKS));
}

#[test]
fn messages_are_sent_again_until_the_trainer_answers() {
    let mut session = session(PowerDisk::default());
    converse(&mut session, &[]);
    session.report(9, UpdateStep::Confirmed);
    session.tick(0, None);
    assert_eq!(converse(&mut session, &[]).len(), 1);
    session.delivered((1, 1), 0);
    session.disconnected();
    session.connected(1);
    assert_eq!(converse(&mut session, &[]).len(), 1, "the broker's word does not count");
    let ack = Acknowledgement { run: 1, up_to: 1, also: heapless::Vec::new() };
    session.message("lapwing/v1/agent/gw-1/ack", ack.encode(&mut [0; 64]).unwrap(), 2, None);
    session.disconnected();
    session.connected(3);
    assert!(converse(&mut session, &[]).is_empty());
}

#[test]
fn the_last_will_is_the_status_offline() {
    let session = session(PowerDisk::default());
    let (topic, payload) = session.status(false).unwrap();
    assert_eq!(topic, "lapwing/v1/agent/gw-1/status");
    let Body::Status(status) = Message::decode(&payload).unwrap().body else { panic!() };
    assert_eq!((status.online, status.engine.as_str()), (false, "int8"));
}
