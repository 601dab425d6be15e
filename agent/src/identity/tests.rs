//! Enrolment on a disk that loses power at every operation, and with a trainer whose answers are lost.

use super::enrol::EnrolError;
use super::*;
use crate::disk::Disk;
use crate::disk::power::{Cut, PowerDisk};
use lapwing_shared::enrolment::{
    Binding, CertificateRequest, Enrolled, EnrolmentRequest, EnrolmentResponse, Proof, Refusal, Token,
    is_proven_by_key, is_proven_by_token,
};
use lapwing_shared::messages::AgentName;
use lapwing_shared::messages::sealed::SealKey;
use lapwing_shared::release::name::parse_name;

const BINDING: Binding = [3; 32];
const SECRET: [u8; 16] = [5; 16];

fn name(text: &str) -> AgentName {
    parse_name(text).unwrap()
}

pub(super) fn token() -> Token {
    Token::new([1; 32], 7, SECRET, "hub.lan:8481").unwrap()
}

pub(super) fn enrolment(token: Option<Token>, seed: u8) -> Enrolment {
    Enrolment { token, chosen: None, default_name: name("gw-1"), seed: [seed; 32] }
}

/// A trainer with one token for one agent.
#[derive(Default)]
pub(super) struct Trainer {
    pub(super) known: Option<CertificateRequest>,
    pub(super) uses: u32,
    pub(super) issued: u64,
    /// The name that the token is for.
    pub(super) name: Option<&'static str>,
    pub(super) must_accept: bool,
    pub(super) seal: Option<SealKey>,
}

impl Trainer {
    fn answer(&mut self, request: &EnrolmentRequest) -> EnrolmentResponse {
        let found = CertificateRequest::parse(&request.certificate_request).unwrap();
        let bytes = &request.certificate_request;
        let refuse = EnrolmentResponse::Refused;
        match &request.proof {
            Proof::Token { id: 7, mac } if is_proven_by_token(&SECRET, mac, bytes, &BINDING) => {}
            Proof::Key { signature } if is_proven_by_key(&found.public, signature, bytes, &BINDING) => {}
            _ => return refuse(Refusal::Token),
        }
        if let Some(expected) = self.name.filter(|expected| *expected != found.name.as_str()) {
            return refuse(Refusal::OtherName(name(expected)));
        }
        match &self.known {
            None if matches!(request.proof, Proof::Key { .. }) => return refuse(Refusal::UnknownKey),
            None => {
                self.uses += 1;
                self.known = Some(found.clone());
            }
            Some(known) if *known != found => return refuse(Refusal::TokenUsed),
            Some(_) => {}
        }
        if self.must_accept {
            return EnrolmentResponse::Waiting { retry_after_s: 30 };
        }
        self.issued += 1;
        EnrolmentResponse::Enrolled(Enrolled {
            certificate: heapless::Vec::from_slice(&[&found.public[..], &[9; 9]].concat()).unwrap(),
            authorities: [heapless::Vec::from_slice(&[8; 8]).unwrap()].into_iter().collect(),
            brokers: heapless::Vec::new(),
            group: name("home"),
            keys: heapless::Vec::new(),
            root: heapless::Vec::new(),
            issued_s: self.issued,
            until_s: 1_000,
            seal: self.seal.clone(),
        })
    }

    pub(super) fn enrol(&mut self, disk: &mut impl Disk, enrolment: &Enrolment) -> Result<Progress, EnrolError> {
        enrol(disk, enrolment, |port, make| {
            assert_eq!((port.address.as_str(), port.authority), ("hub.lan:8481", [1; 32]));
            Ok(self.answer(&make(&BINDING)))
        })
    }
}

pub(super) fn identity(progress: Progress) -> Identity {
    match progress {
        Progress::Enrolled(identity) => *identity,
        waiting @ Progress::Waiting { .. } => panic!("{waiting:?}"),
    }
}

#[test]
fn an_enrolled_agent_has_the_identity_after_a_restart_and_renews_it_with_its_key() {
    let (mut disk, mut trainer) = (PowerDisk::default(), Trainer::default());
    let first = identity(trainer.enrol(&mut disk, &enrolment(Some(token()), 1)).unwrap());
    assert_eq!((first.name.as_str(), first.enrolled.group.as_str()), ("gw-1", "home"));
    assert_eq!(first.key().public(), trainer.known.as_ref().unwrap().public);
    assert_eq!(read(&mut disk).unwrap(), Some(first.clone()));
    assert_eq!(disk.files(), ["identity"]);
    let renewed = identity(trainer.enrol(&mut disk, &enrolment(None, 2)).unwrap());
    assert_eq!((renewed.enrolled.issued_s, renewed.key().seed()), (2, first.key().seed()));
    assert_eq!((read(&mut disk).unwrap(), trainer.uses), (Some(renewed), 1));
}

#[test]
fn a_renewal_without_a_seal_key_keeps_the_present_one_of_the_same_key() {
    let (mut disk, mut trainer) = (PowerDisk::default(), Trainer::default());
    let seal = Some(SealKey::from_bytes([4; 32]));
    trainer.seal = seal.clone();
    trainer.enrol(&mut disk, &enrolment(Some(token()), 1)).unwrap();
    trainer.seal = None;
    assert_eq!(identity(trainer.enrol(&mut disk, &enrolment(None, 2)).unwrap()).enrolled.seal, seal);
    assert_eq!(read(&mut disk).unwrap().unwrap().enrolled.seal, seal);
    trainer.seal = Some(SealKey::from_bytes([8; 32]));
    let changed = identity(trainer.enrol(&mut disk, &enrolment(None, 2)).unwrap());
    assert_eq!(changed.enrolled.seal, trainer.seal);
    (trainer.known, trainer.seal) = (None, None);
    let other = Token::new([1; 32], 7, SECRET, "hub.lan:8481").unwrap();
    assert_eq!(identity(trainer.enrol(&mut disk, &enrolment(Some(other), 3)).unwrap()).enrolled.seal, None);
}

#[test]
fn a_refused_name_or_token_keeps_the_key_of_an_enrolment_that_waits() {
    let (mut disk, mut trainer) = (PowerDisk::default(), Trainer { must_accept: true, ..Trainer::default() });
    trainer.enrol(&mut disk, &enrolment(Some(token()), 1)).unwrap();
    trainer.name = Some("gw-1");
    let other = Enrolment { chosen: Some(name("gw-2")), ..enrolment(Some(token()), 2) };
    assert!(trainer.enrol(&mut disk, &other).is_err(), "another name");
    let unknown = Token::new([1; 32], 8, SECRET, "hub.lan:8481").unwrap();
    assert!(trainer.enrol(&mut disk, &enrolment(Some(unknown), 3)).is_err(), "another token");
    trainer.must_accept = false;
    let enrolled = identity(trainer.enrol(&mut disk, &enrolment(None, 4)).unwrap());
    assert_eq!((enrolled.name.as_str(), enrolled.key().public()), ("gw-1", trainer.known.unwrap().public));
}

#[test]
fn a_power_cut_at_any_operation_leaves_an_identity_or_an_enrolment_that_goes_on() {
    for cut in [Cut::NothingPending, Cut::TornFiles] {
        for left in 0.. {
            let mut trainer = Trainer::default();
            let mut disk = PowerDisk { left: Some(left), ..PowerDisk::default() };
            let is_done = trainer.enrol(&mut disk, &enrolment(Some(token()), 1)).is_ok();
            let mut disk = disk.after(cut);
            let kept = read(&mut disk).unwrap();
            assert!(!is_done || kept.is_some(), "{cut:?} after {left}");
            // Without the token if the enrolment had begun, as at the next start; otherwise the operator repeats it.
            let again = match trainer.enrol(&mut disk, &enrolment(None, 2)) {
                Err(EnrolError::NoToken) => {
                    assert_eq!(trainer.uses, 0, "{cut:?} after {left}: the token is used and its key is lost");
                    trainer.enrol(&mut disk, &enrolment(Some(token()), 3))
                }
                other => other,
            };
            let again = identity(again.unwrap());
            assert_eq!(again.key().public(), trainer.known.as_ref().unwrap().public, "{cut:?} after {left}");
            assert_eq!((trainer.uses, disk.files()), (1, vec!["identity"]), "{cut:?} after {left}");
            if is_done {
                assert!(left > 8, "an enrolment takes more operations than that");
                break;
            }
        }
    }
}

#[test]
fn a_power_cut_in_a_renewal_leaves_the_old_or_the_new_identity() {
    let (mut start, mut trainer) = (PowerDisk::default(), Trainer::default());
    trainer.enrol(&mut start, &enrolment(Some(token()), 1)).unwrap();
    for cut in [Cut::NothingPending, Cut::TornFiles] {
        for left in 0..8 {
            let mut disk = PowerDisk { left: Some(left), ..start.clone() };
            let _ = trainer.enrol(&mut disk, &enrolment(None, 2));
            let kept = read(&mut disk.after(cut)).unwrap().unwrap();
            assert_eq!(kept.name.as_str(), "gw-1", "{cut:?} after {left}");
        }
    }
}

#[test]
fn the_trainer_names_the_agent_unless_the_operator_chose_a_name() {
    let mut trainer = Trainer { name: Some("attic"), ..Trainer::default() };
    let named = identity(trainer.enrol(&mut PowerDisk::default(), &enrolment(Some(token()), 1)).unwrap());
    assert_eq!(named.name.as_str(), "attic");
    let (mut disk, mut trainer) = (PowerDisk::default(), Trainer { name: Some("attic"), ..Trainer::default() });
    let chosen = Enrolment { chosen: Some(name("cellar")), ..enrolment(Some(token()), 1) };
    let error = trainer.enrol(&mut disk, &chosen).unwrap_err();
    assert_eq!(error.to_string(), "expected the name attic, of the token or of the trainer's list of identities");
    assert!(disk.files().is_empty() && !error.is_temporary());
}

#[test]
fn an_agent_that_waits_keeps_its_key_until_it_is_accepted() {
    let (mut disk, mut trainer) = (PowerDisk::default(), Trainer { must_accept: true, ..Trainer::default() });
    let waiting = trainer.enrol(&mut disk, &enrolment(Some(token()), 1)).unwrap();
    let Progress::Waiting { name, fingerprint, retry_after_s: 30 } = waiting else { panic!("{waiting:?}") };
    assert_eq!((name.as_str(), fingerprint), ("gw-1", trainer.known.as_ref().unwrap().fingerprint()));
    assert_eq!((read(&mut disk).unwrap(), disk.files()), (None, vec!["enrolment"]));
    trainer.must_accept = false;
    identity(trainer.enrol(&mut disk, &enrolment(None, 2)).unwrap());
}

#[test]
fn a_token_whose_port_does_not_answer_keeps_no_agent_from_its_next_certificate() {
    let (mut disk, mut trainer) = (PowerDisk::default(), Trainer::default());
    trainer.enrol(&mut disk, &enrolment(Some(token()), 1)).unwrap();
    let dead = Token::new([2; 32], 8, SECRET, "dead.lan:8481").unwrap();
    let mut with = |token: Option<Token>| {
        enrol(&mut disk, &enrolment(token, 2), |port, make| match port.address.as_str() {
            "hub.lan:8481" => Ok(trainer.answer(&make(&BINDING))),
            _ => Err("connection refused".to_owned()),
        })
    };
    assert!(with(Some(dead.clone())).unwrap_err().is_temporary());
    let renewed = identity(with(None).unwrap());
    assert_eq!((renewed.enrolled.issued_s, renewed.address.as_str()), (2, "hub.lan:8481"));
    let pending = files::read_pending(&mut disk).unwrap().unwrap();
    assert_eq!(pending.token, dead.text(), "the operator may still want it");
}

#[test]
fn refusals_and_lost_answers_say_how_to_go_on() {
    let mut disk = PowerDisk::default();
    let mut ask = |answer: Asked| enrol(&mut disk, &enrolment(Some(token()), 1), |_, _| answer.clone()).unwrap_err();
    let lost = ask(Err("connection refused".into()));
    assert!(lost.is_temporary() && lost.to_string() == "enrolment port hub.lan:8481: connection refused", "{lost}");
    assert!(ask(Ok(EnrolmentResponse::Refused(Refusal::TooMany { retry_after_s: 9 }))).is_temporary());
    let mut other = Trainer::default();
    let foreign = lapwing_shared::enrolment::AgentKey::from_seed(&[77; 32]);
    let request = foreign.request(&name("gw-1"));
    let proof = lapwing_shared::enrolment::token_proof(7, &SECRET, &request, &BINDING);
    let version = heapless::String::new();
    let answer = other.answer(&EnrolmentRequest { agent_version: version, certificate_request: request, proof });
    assert!(matches!(ask(Ok(answer)), EnrolError::OtherKey));
    assert!(matches!(ask(Ok(EnrolmentResponse::Refused(Refusal::TokenEnded))), EnrolError::Refused(_)));
    let error = enrol(&mut disk, &enrolment(None, 1), |_, _| unreachable!()).unwrap_err();
    assert!(error.to_string().contains("lapwing-agent enroll TOKEN"), "{error}");
}

#[test]
fn damaged_files_are_reported_and_a_new_token_helps() {
    let (mut disk, mut trainer) = (PowerDisk::default(), Trainer::default());
    trainer.enrol(&mut disk, &enrolment(Some(token()), 1)).unwrap();
    for file in FILES {
        disk.damage(file, |bytes| *bytes = vec![1, 2, 3]);
    }
    let error = read(&mut disk).unwrap_err().to_string();
    assert!(error.contains("identity in the state folder is damaged") && error.contains("new token"), "{error}");
    assert!(trainer.enrol(&mut disk, &enrolment(None, 1)).is_err());
    trainer.known = None;
    identity(trainer.enrol(&mut disk, &enrolment(Some(token()), 4)).unwrap());
    assert!(read(&mut disk).unwrap().is_some());
}
