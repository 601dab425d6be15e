//! Arbitrary bytes as what a broker sends for the rollout of a group → an error, or a rollout that the rollout key signed for
//! this group, newer than the newest accepted one.
//!
//! Byte 0 chooses how the rest is used: as a signed rollout or assignment; as changes to a genuine rollout; as a rollout signed by
//! the rollout key; as one signed by another key; as an assignment signed by either.
#![no_main]

use ed25519_dalek::Signer;
use lapwing_shared::release::signature::SignedManifest;
use lapwing_shared::release::testing::{signing_key, trusted};
use lapwing_shared::release::update::UpdateState;
use lapwing_shared::rollout::accept::{RolloutTerms, accept, accept_assignment};
use lapwing_shared::rollout::assignment::Assignment;
use lapwing_shared::rollout::decide::{Action, Settings, Situation, decide};
use lapwing_shared::rollout::message::{ROLLOUT_BYTES, Rollout};
use lapwing_shared::rollout::signed::{ASSIGNMENT_PREFIX, ROLLOUT_PREFIX, signing_bytes};
use lapwing_shared::rollout::testing::{assignment, rollout, signed_rollout};
use libfuzzer_sys::fuzz_target;

/// Serial of the newest accepted rollout.
const NEWEST: u64 = 7;

/// The bytes as an encoded rollout, signed with the key of this seed under the name of the rollout key.
fn sign(prefix: &[u8], frame: &[u8], seed: u8) -> Option<Vec<u8>> {
    let signature = signing_key(seed).sign(&signing_bytes(prefix, frame)).to_bytes();
    let key = "r1".try_into().expect("a key name");
    let mut room = [0; 2 * ROLLOUT_BYTES];
    SignedManifest { key, signature, manifest: frame }.encode(&mut room).ok().map(<[u8]>::to_vec)
}

fn accepted(bytes: &[u8]) -> Option<Rollout> {
    let (keys, group) = (trusted("r1", 5), "home".try_into().expect("a group"));
    let terms = RolloutTerms { root: None, keys: &keys, group: &group };
    let found = accept(bytes, &terms, Some(&rollout(NEWEST, 3)), None).ok()??;
    assert!(found.serial > NEWEST && found.group == group && bytes.len() <= ROLLOUT_BYTES);
    let mut room = [0; ROLLOUT_BYTES];
    let frame = found.encode(&mut room).expect("an accepted rollout encodes");
    assert_eq!(Rollout::decode(frame).as_ref(), Ok(&found));
    obey(&found);
    Some(found)
}

/// The same for an assignment.
fn assigned(bytes: &[u8]) -> Option<Assignment> {
    let (keys, group) = (trusted("r1", 5), "home".try_into().expect("a group"));
    let terms = RolloutTerms { root: None, keys: &keys, group: &group };
    let newest = assignment(NEWEST);
    let found = accept_assignment(bytes, &terms, &newest.agent, Some(&newest), None).ok()??;
    assert!(found.serial > NEWEST && found.agent == newest.agent && found.validate().is_ok());
    Some(found)
}

/// An agent without a release installs nothing that is withdrawn.
fn obey(rollout: &Rollout) {
    let (agent, state) = ("gw-1".try_into().expect("a name"), UpdateState::new(rollout.group.clone()));
    let settings = Settings::default();
    let situation = Situation { agent: &agent, settings, state: &state, spare: None, floor: 0, now_s: None };
    if let Action::Install(version) | Action::GoBack(version) = decide(rollout, &situation) {
        assert!(!rollout.is_withdrawn(version));
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((mode, rest)) = input.split_first() else { return };
    let genuine = rollout(NEWEST + 1, 3);
    match mode % 6 {
        0 => {
            assert!(accepted(rest).is_none_or(|found| found == genuine));
            assert!(assigned(rest).is_none(), "no genuine assignment exists");
        }
        1 => {
            let mut bytes = signed_rollout(&genuine, 5);
            for change in rest.chunks_exact(2) {
                let place = usize::from(change[0]) % bytes.len();
                bytes[place] = change[1];
            }
            assert!(accepted(&bytes).is_none_or(|found| found == genuine));
        }
        2 => {
            drop(sign(ROLLOUT_PREFIX, rest, 5).and_then(|bytes| accepted(&bytes)));
            assert!(sign(ROLLOUT_PREFIX, rest, 5).is_none_or(|bytes| assigned(&bytes).is_none()), "a rollout assigned");
        }
        3 => {
            let bytes = sign(ROLLOUT_PREFIX, rest, 6);
            assert!(bytes.is_none_or(|bytes| accepted(&bytes).is_none()), "another key was accepted");
        }
        4 => drop(sign(ASSIGNMENT_PREFIX, rest, 5).and_then(|bytes| assigned(&bytes))),
        _ => {
            let bytes = sign(ASSIGNMENT_PREFIX, rest, 6);
            assert!(bytes.is_none_or(|bytes| assigned(&bytes).is_none()), "another key was accepted");
        }
    }
});
