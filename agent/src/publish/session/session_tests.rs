//! Complete updates; the test plays the broker.

use super::*;
use crate::disk::power::PowerDisk;
use crate::outbox::Limits;
use crate::update::halver::{Halver, Halvers};
use lapwing_shared::messages::{Acknowledgement, Message};
use lapwing_shared::release::manifest::{CHUNK_BYTES, Manifest};
use lapwing_shared::release::testing::{artifact_bytes, manifest, signed, terms};
use lapwing_shared::release::trial::TrialVerdict;

type Test = Session<PowerDisk, Halvers>;

fn session(disk: PowerDisk) -> Test {
    let (store, _) = Store::open(disk, terms());
    let outbox = Outbox::new(1, Limits::default(), None);
    let mut session = Session::start("gw-1".try_into().unwrap(), Delivery::EndToEnd, Halvers, store, outbox);
    session.connected(0);
    session
}

/// Plays a broker that has the artifact retained; returns the update steps that the session published.
fn converse(session: &mut Test, artifact: &[u8]) -> Vec<(u64, UpdateStep)> {
    converse_at(session, artifact, 0)
}

fn converse_at(session: &mut Test, artifact: &[u8], now_ms: u64) -> Vec<(u64, UpdateStep)> {
    let mut steps = Vec::new();
    while let Some(action) = session.next_action() {
        match action {
            Action::Subscribe(topic) => {
                if let Some(Topic::Chunk(_, number)) = Topic::parse(&topic) {
                    let chunk = artifact.chunks(CHUNK_BYTES as usize).nth(number as usize).unwrap();
                    session.message(&topic, chunk, now_ms, None);
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
    session.handle_pipeline(FromPipeline::TrialVerdict { version: 3, verdict: TrialVerdict::Confirm }, 0, None);
    assert_eq!(converse(&mut session, &[]), [(3, UpdateStep::Confirmed)]);
    assert_eq!(session.in_use(), (3, false));
    assert!(offer(&mut session, &manifest(3)).is_empty(), "the retained manifest arrives at each connection");
    assert_eq!(
        refusal(&offer(&mut session, &manifest(2))),
        "release version 2 is not above 3, the highest ever confirmed"
    );
}

#[test]
fn a_failed_trial_restores_the_confirmed_release() {
    let mut session = session(PowerDisk::default());
    let failed = TrialVerdict::TooManyAnomalous { anomalous: 60, rows: 200, against: 5, hosts: 6 };
    offer(&mut session, &manifest(1));
    session.handle_pipeline(FromPipeline::TrialVerdict { version: 1, verdict: TrialVerdict::Confirm }, 0, None);
    offer(&mut session, &manifest(2));
    session.handle_pipeline(FromPipeline::TrialVerdict { version: 2, verdict: failed }, 0, None);
    let steps = converse(&mut session, &[]);
    assert!(matches!(steps.last(), Some((2, UpdateStep::RolledBack(_)))));
    assert_eq!((installed(&mut session), session.in_use()), (Some((1, false)), (1, false)));
    assert!(offer(&mut session, &manifest(2)).is_empty(), "a rejection is reported once");
    assert_eq!(offer(&mut session, &manifest(3)).len(), 3);
}

#[test]
fn after_a_restart_the_release_before_the_one_on_trial_is_loaded_too() {
    let mut session = session(PowerDisk::default());
    offer(&mut session, &manifest(1));
    session.handle_pipeline(FromPipeline::TrialVerdict { version: 1, verdict: TrialVerdict::Confirm }, 0, None);
    offer(&mut session, &manifest(2));
    let outbox = Outbox::new(2, Limits::default(), None);
    let mut restarted = Session::start("gw-1".try_into().unwrap(), Delivery::EndToEnd, Halvers, session.store, outbox);
    assert_eq!([1, 2, 3].map(|_| installed(&mut restarted)), [Some((1, false)), Some((2, true)), None]);
    assert_eq!(restarted.in_use(), (2, true));
}

#[test]
fn a_first_release_that_fails_leaves_none() {
    let mut session = session(PowerDisk::default());
    offer(&mut session, &manifest(1));
    session.handle_pipeline(FromPipeline::TrialVerdict { version: 1, verdict: TrialVerdict::EngineFault }, 0, None);
    assert_eq!(installed(&mut session), Some((0, false)));
}

#[test]
fn a_first_release_that_fails_restores_the_configured_one() {
    let build =
        || Ok(InstalledRelease { manifest: Box::new(manifest(1)), digest: [0; 32], engine: Halver, on_trial: false });
    let mut session =
        session(PowerDisk::default()).with_fallback(Some(Fallback { version: 1, build: Box::new(build) }));
    assert_eq!(session.in_use(), (1, false), "the status names the release that scores");
    offer(&mut session, &manifest(2));
    assert_eq!((installed(&mut session), session.in_use()), (Some((2, true)), (2, true)));
    session.handle_pipeline(FromPipeline::TrialVerdict { version: 2, verdict: TrialVerdict::EngineFault }, 0, None);
    assert_eq!((installed(&mut session), session.in_use()), (Some((1, false)), (1, false)));
    offer(&mut session, &manifest(3));
    session.handle_pipeline(FromPipeline::TrialVerdict { version: 3, verdict: TrialVerdict::Confirm }, 0, None);
    let failed = offer(&mut session, &manifest(4));
    assert_eq!(failed.last(), Some(&(4, UpdateStep::Trial)));
    session.handle_pipeline(FromPipeline::TrialVerdict { version: 4, verdict: TrialVerdict::EngineFault }, 0, None);
    assert_eq!(session.in_use(), (3, false), "a confirmed release has priority");
}

#[test]
fn a_release_that_arrives_during_a_trial_waits_for_its_end() {
    let mut session = session(PowerDisk::default());
    offer(&mut session, &manifest(1));
    assert!(offer(&mut session, &manifest(2)).is_empty());
    assert!(offer(&mut session, &manifest(3)).is_empty());
    session.handle_pipeline(FromPipeline::TrialVerdict { version: 1, verdict: TrialVerdict::Confirm }, 0, None);
    let steps = converse(&mut session, &artifact_bytes());
    assert_eq!((steps[0].clone(), steps.last().cloned()), ((1, UpdateStep::Confirmed), Some((3, UpdateStep::Trial))));
}

#[test]
fn wrong_chunks_delay_a_genuine_release_and_do_not_ban_it() {
    let mut session = session(PowerDisk::default());
    let mut wrong = artifact_bytes();
    wrong[5] ^= 1;
    session.message("lapwing/v1/group/home/release", &signed(&manifest(1), 1), 0, None);
    let mut now_ms = 0;
    for wait_s in [60, 120, 240, 480] {
        let steps = converse_at(&mut session, &wrong, now_ms);
        let expected = format!("artifact does not match the SHA-256 in the manifest; trying again in {wait_s} s");
        assert_eq!(refusal(&steps), expected);
        session.tick(now_ms + wait_s * 1000 - 1, None);
        assert_eq!(session.chunk_topic(), None, "no request before {wait_s} s have passed");
        now_ms += wait_s * 1000 + FLUSH_MS;
        session.tick(now_ms, None);
    }
    assert_eq!(session.store.state().refused, None, "a ban would last over restarts");
    let steps = converse_at(&mut session, &artifact_bytes(), now_ms);
    assert_eq!(steps.last(), Some(&(1, UpdateStep::Trial)));
    assert_eq!((installed(&mut session), session.in_use()), (Some((1, true)), (1, true)));
}

#[test]
fn invalid_releases_are_refused_with_the_reason() {
    let mut session = session(PowerDisk::default());
    session.message("lapwing/v1/group/home/release", &signed(&manifest(1), 2), 0, None);
    assert!(refusal(&converse(&mut session, &[])).starts_with("signature does not match"));
    session.message("lapwing/v1/group/home/release", &[7], 0, None);
    assert_eq!(refusal(&converse(&mut session, &[])), "signed manifest: format version 7, expected 1");
    session.message("lapwing/v1/group/home/release", &signed(&manifest(1), 1), 0, Some(u64::MAX));
    let expired = converse(&mut session, &[]);
    assert!(refusal(&expired).starts_with("release expired"));
    assert_eq!(expired.last().map(|(version, _)| *version), Some(1), "the version of a signed manifest is known");
    let mut other = manifest(1);
    other.schema = [0; 32];
    assert!(refusal(&offer(&mut session, &other)).contains("another feature schema"));
    let mut other = manifest(1);
    other.golden[0].score += 1;
    assert!(refusal(&offer(&mut session, &other)).contains("golden vector 0"));
}

#[test]
fn a_full_disk_is_reported_and_the_release_can_be_retried() {
    let mut session = session(PowerDisk { room: Some(1000), ..PowerDisk::default() });
    assert!(refusal(&offer(&mut session, &manifest(1))).starts_with("cannot write slot-a/artifact"));
    assert_eq!(installed(&mut session), None);
    assert!(offer(&mut session, &manifest(1)).is_empty(), "not before the wait has passed");
    session.tick(60_000, None);
    assert!(refusal(&converse(&mut session, &artifact_bytes())).starts_with("cannot write"), "not rejected for good");
}

#[test]
fn a_download_resumes_after_a_lost_connection() {
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
fn a_missing_chunk_is_requested_a_bounded_number_of_times() {
    let mut session = session(PowerDisk::default());
    session.message("lapwing/v1/group/home/release", &signed(&manifest(1), 1), 0, None);
    let chunk = session.chunk_topic().unwrap();
    for second in 0..1000 {
        session.tick(second * 1000, None);
    }
    let requests =
        std::iter::from_fn(|| session.next_action()).filter(|action| *action == Action::Subscribe(chunk.clone()));
    assert_eq!(requests.count(), usize::from(CHUNK_ASKS));
}

#[test]
fn messages_are_resent_until_the_trainer_acknowledges() {
    let mut session = session(PowerDisk::default());
    converse(&mut session, &[]);
    session.report(9, UpdateStep::Confirmed);
    session.tick(0, None);
    assert_eq!(converse(&mut session, &[]).len(), 1);
    session.delivered((1, 1), 0);
    session.disconnected();
    session.connected(1);
    assert_eq!(converse(&mut session, &[]).len(), 1, "a PUBACK is not enough");
    let ack = Acknowledgement { run: 1, up_to: 1, also: heapless::Vec::new() };
    session.message("lapwing/v1/agent/gw-1/ack", ack.encode(&mut [0; 64]).unwrap(), 2, None);
    session.disconnected();
    session.connected(3);
    assert!(converse(&mut session, &[]).is_empty());
}

#[test]
fn the_last_will_is_an_offline_status() {
    let session = session(PowerDisk::default());
    let (topic, payload) = session.status(false).unwrap();
    assert_eq!(topic, "lapwing/v1/agent/gw-1/status");
    let Body::Status(status) = Message::decode(&payload).unwrap().body else { panic!() };
    assert_eq!((status.online, status.engine.as_str()), (false, "int8"));
}
