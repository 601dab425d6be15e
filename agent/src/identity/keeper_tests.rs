//! Renewal over MQTT: when an agent asks, what it accepts from a broker that is not trusted, and power cuts.

use super::enrol::EnrolError;
use super::files::Identity;
use super::keeper::{RenewalError, renewed};
use super::tests::{Trainer, enrolment, identity, token};
use super::*;
use crate::disk::power::{Cut, PowerDisk};
use crate::disk::{Disk, Folder};
use lapwing_shared::enrolment::{
    Certificate, Enrolled, EnrolmentResponse, MESSAGE_BYTES_LIMIT, Proof, Refusal, RenewalRequest, is_proven_by_key,
    join_signed, renewal_binding,
};
use std::path::PathBuf;

/// Signs like the authority of these tests.
fn verify(authorities: &[Certificate], _: &[u8], signature: &[u8]) -> bool {
    authorities.iter().any(|authority| authority.as_slice() == [8; 8]) && signature == b"authority"
}

fn enrolled_on(disk: &mut impl Disk) -> Identity {
    identity(Trainer::default().enrol(disk, &enrolment(Some(token()), 1)).unwrap())
}

fn payload(signature: &[u8], response: &EnrolmentResponse) -> Vec<u8> {
    let mut room = vec![0; MESSAGE_BYTES_LIMIT];
    join_signed(signature, response.encode(&mut room).unwrap()).unwrap().to_vec()
}

/// The next certificate of an identity.
fn next(identity: &Identity) -> Enrolled {
    let Enrolled { issued_s, .. } = identity.enrolled;
    Enrolled { issued_s: issued_s + 700, until_s: issued_s + 1_700, ..identity.enrolled.clone() }
}

fn response(identity: &Identity) -> Vec<u8> {
    payload(b"authority", &EnrolmentResponse::Enrolled(next(identity)))
}

#[test]
fn what_a_hostile_broker_sends_changes_nothing() {
    let mut disk = PowerDisk::default();
    let own = enrolled_on(&mut disk);
    let of = |change: fn(&mut Enrolled)| {
        let mut enrolled = next(&own);
        change(&mut enrolled);
        payload(b"authority", &EnrolmentResponse::Enrolled(enrolled))
    };
    let forged = payload(b"broker", &EnrolmentResponse::Enrolled(next(&own)));
    let refusal = payload(b"authority", &EnrolmentResponse::Refused(Refusal::Revoked));
    let rejected = [
        (vec![], "not signed"),
        (vec![200, 1, 2], "not signed"),
        (forged, "not signed"),
        (payload(b"", &EnrolmentResponse::Enrolled(next(&own))), "not signed"),
        (join_signed(b"authority", b"x").unwrap().to_vec(), "enrolment response"),
        (refusal, "no certificate"),
        (of(|enrolled| enrolled.certificate.iter_mut().for_each(|byte| *byte = 0)), "no certificate"),
        (of(|enrolled| enrolled.issued_s = 1), "none that is newer"),
        (of(|enrolled| enrolled.group.clear()), "invalid group"),
    ];
    for (payload, expected) in rejected {
        let error = renewed(&mut disk, &own, &payload, verify).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}, expected {expected}");
        assert_eq!(read(&mut disk).unwrap().as_ref(), Some(&own));
    }
    let taken = renewed(&mut disk, &own, &response(&own), verify).unwrap();
    let replayed = renewed(&mut disk, &taken, &response(&own), verify);
    assert!(matches!(replayed, Err(RenewalError::Certificate)), "a replay");
}

#[test]
fn the_last_certificate_stays_until_the_newest_is_confirmed() {
    let mut disk = PowerDisk::default();
    let first = enrolled_on(&mut disk);
    assert_eq!(first.before(), None);
    let second = renewed(&mut disk, &first, &response(&first), verify).unwrap();
    assert_eq!((second.enrolled.issued_s, second.before()), (701, Some(first.clone())));
    assert_eq!(read(&mut disk).unwrap(), Some(second.clone()));
    let third = renewed(&mut disk, &second, &response(&second), verify).unwrap();
    assert_eq!(third.before(), Some(first), "no broker has accepted the second");
}

#[test]
fn a_power_cut_in_a_renewal_over_mqtt_leaves_a_certificate() {
    let mut start = PowerDisk::default();
    let first = enrolled_on(&mut start);
    for cut in [Cut::NothingPending, Cut::TornFiles] {
        for left in 0.. {
            let mut disk = PowerDisk { left: Some(left), ..start.clone() };
            let is_done = renewed(&mut disk, &first, &response(&first), verify).is_ok();
            let kept = read(&mut disk.after(cut)).unwrap().unwrap();
            let has_first = kept == first || kept.before().as_ref() == Some(&first);
            assert!(has_first && kept.key().public() == first.key().public(), "{cut:?} after {left}");
            if is_done {
                assert!(left > 3 && kept.enrolled.issued_s == 701, "{cut:?} after {left}");
                break;
            }
        }
    }
}

#[test]
fn a_renewal_at_the_port_keeps_the_last_certificate_too() {
    let (mut disk, mut trainer) = (PowerDisk::default(), Trainer::default());
    let first = identity(trainer.enrol(&mut disk, &enrolment(Some(token()), 1)).unwrap());
    let second = identity(trainer.enrol(&mut disk, &enrolment(None, 1)).unwrap());
    assert_eq!(second.before(), Some(first));
    let error = trainer.enrol(&mut disk, &enrolment(Some(token()), 3)).unwrap_err();
    assert!(matches!(error, EnrolError::Refused(Refusal::TokenUsed)), "{error}");
}

/// A keeper on a real folder, and its identity.
fn keeper(test: &str) -> (PathBuf, Keeper, Identity) {
    let path = std::env::temp_dir().join(format!("lapwing-keeper-{test}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    let mut folder = Folder::open(&path).unwrap();
    let identity = enrolled_on(&mut folder);
    (path, Keeper::new(folder, identity.clone(), verify), identity)
}

#[test]
fn an_agent_asks_after_two_thirds_of_the_life_and_then_every_hour_or_two() {
    let (path, mut keeper, identity) = keeper("asks");
    let from_s = identity.renew_from_s();
    // Issued at 1, until 1,000.
    assert!((667..=709).contains(&from_s), "{from_s}");
    assert_eq!(keeper.request(0, Some(from_s - 1)), None);
    let request = RenewalRequest::decode(&keeper.request(0, Some(from_s)).unwrap()).unwrap();
    let Proof::Key { signature } = &request.request.proof else { panic!("{request:?}") };
    let binding = renewal_binding(1_000);
    let public = identity.key().public();
    assert!(is_proven_by_key(&public, signature, &request.request.certificate_request, &binding));
    assert_eq!(request.until_s, 1_000);
    let hour_ms = 3_600_000;
    assert_eq!(keeper.request(hour_ms - 1, Some(from_s)), None);
    assert!(keeper.request(2 * hour_ms, Some(from_s)).is_some());
    let (blind_path, mut blind, _) = self::keeper("blind");
    assert!(blind.request(0, None).is_some(), "without a clock, the trainer decides");
    assert_eq!(blind.request(24 * hour_ms - 1, None), None);
    for path in [path, blind_path] {
        std::fs::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn a_running_agent_uses_what_another_program_wrote_if_it_can() {
    let (path, mut keeper, first) = keeper("looks");
    let mut folder = Folder::open(&path).unwrap();
    assert!(!keeper.look(10_000), "nothing new");
    let second = renewed(&mut folder, &first, &response(&first), verify).unwrap();
    assert!(!keeper.look(19_999) && keeper.look(20_000));
    assert_eq!(keeper.identity(), &second);
    keeper.confirm().unwrap();
    assert_eq!(read(&mut folder).unwrap().unwrap().previous, None);
    std::fs::write(path.join("identity"), b"damaged").unwrap();
    assert!(!keeper.look(30_000));
    let mut other = Trainer { name: Some("cellar"), ..Trainer::default() };
    let _ = std::fs::remove_file(path.join("identity"));
    identity(other.enrol(&mut folder, &enrolment(Some(token()), 7)).unwrap());
    assert!(!keeper.look(40_000), "another name");
    assert_eq!(keeper.identity().name, first.name);
    std::fs::remove_dir_all(&path).unwrap();
}
