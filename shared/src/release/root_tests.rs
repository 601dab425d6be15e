//! Root documents, with each key stolen in turn.

use super::*;
use crate::release::accept::{Refusal, Terms, accept, accept_held};
use crate::release::digest::Hex;
use crate::release::signature::{SignatureError, Source};
use crate::release::testing::{chain, grant, manifest, root, root_key, signed, signed_root, terms};
use crate::release::update::UpdateState;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

/// Version 2 and what follows: key `k1` is withdrawn and `k2` of seed 2 signs.
fn withdrawn(version: u64) -> RootDocument {
    RootDocument { keys: heapless::Vec::from_slice(&[grant("k2", 2)]).unwrap(), ..root(version) }
}

fn rotated(version: u64, seed: u8) -> RootDocument {
    RootDocument { roots: heapless::Vec::from_slice(&[root_key(seed)]).unwrap(), ..root(version) }
}

fn newest(held: &RootDocument, documents: &[Vec<u8>]) -> Result<Option<u64>, RootError> {
    Ok(follow(held, &chain(documents))?.map(|(document, _)| document.version))
}

fn with(root: RootDocument) -> Terms {
    Terms { root: Some(root), ..terms() }
}

fn state() -> UpdateState {
    UpdateState { highest_confirmed: 2, ..UpdateState::new("home".try_into().unwrap()) }
}

const NOW: Option<u64> = Some(1_750_000_000);

#[test]
fn the_bytes_of_a_signed_document_do_not_change() {
    let mut document = root(300);
    document.keys[0].group = Some("home".try_into().unwrap());
    document.keys[0].ceiling = 1_000;
    let bytes = signed_root(&document, &[9]);
    assert_eq!(
        Hex(&bytes[98..]).to_string(),
        "01ac0280e2cfaa060001010472\
         6f6f74fd1724385aa0c75b64fb78cd602fa1d991fdebf76b13c58ed702eac835e9f6180102\
         6b318a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c000104686f6d6500e807"
            .replace([' ', '\n'], "")
    );
    assert_eq!(SignedRoot::decode(&bytes).unwrap().first_trusted(), Ok(document));
    assert_eq!(Hex(&root_signing_bytes(b"")[..16]).to_string(), Hex(b"lapwing root v1\0").to_string());
}

#[test]
fn the_longest_document_and_the_longest_signed_one_fit_their_limits() {
    let name: Name = "abcdefghijklmnopqrstuvwxyz012345".try_into().unwrap();
    let mut longest = root(u64::MAX);
    (longest.created_s, longest.expires_s) = (u64::MAX, u64::MAX);
    longest.roots = (1..=3).map(|seed| RootKey { name: name.clone(), ..root_key(seed) }).collect();
    let key = |number: u8| {
        let mut grant = grant("k", 40 + number);
        grant.name = std::format!("{}{number:02}", &name[..30]).as_str().try_into().unwrap();
        (grant.group, grant.until_s, grant.ceiling) = (Some(name.clone()), u64::MAX, u64::MAX);
        grant
    };
    longest.keys = (0..16).map(key).collect();
    let bytes = signed_root(&longest, &[1, 2, 3, 4, 5, 6]);
    assert!(bytes.len() <= SIGNED_ROOT_BYTES && 2 * (bytes.len() + 2) < CHAIN_BYTES, "{}", bytes.len());
    assert_eq!(SignedRoot::decode(&bytes).unwrap().first_trusted(), Ok(longest));
}

#[test]
fn a_newer_document_of_the_same_root_keys_is_followed_and_older_ones_never() {
    let documents: Vec<_> = (1..=5).map(|version| signed_root(&root(version), &[9])).collect();
    assert_eq!(newest(&root(1), &documents[4..]), Ok(Some(5)));
    assert_eq!(newest(&root(5), &documents[4..]), Ok(None), "the retained chain arrives at each connection");
    assert_eq!(newest(&root(5), &documents[..4]), Err(RootError::Older { found: 4, held: 5 }));
    let disordered = [documents[2].clone(), documents[1].clone()];
    assert_eq!(newest(&root(1), &disordered), Err(RootError::Order));
    assert_eq!(newest(&root(1), &[documents[1].clone(), documents[1].clone()]), Err(RootError::Order));
    assert_eq!(newest(&root(1), &[]), Err(RootError::Older { found: 0, held: 1 }));
}

#[test]
fn an_expired_document_can_still_be_replaced() {
    let expired = RootDocument { expires_s: 1, ..root(1) };
    assert_eq!(newest(&expired, &[signed_root(&root(2), &[9])]), Ok(Some(2)));
}

#[test]
fn an_agent_that_was_away_follows_every_change_of_the_root_keys() {
    let first = root(1);
    let documents = [
        signed_root(&rotated(4, 8), &[9, 8]),
        signed_root(&rotated(7, 7), &[8, 7]),
        signed_root(&rotated(12, 7), &[7]),
    ];
    assert_eq!(newest(&first, &documents), Ok(Some(12)));
    assert_eq!(newest(&rotated(5, 8), &documents), Ok(Some(12)), "from the middle");
    // Without the document that changed the keys, nothing leads to the newest one.
    assert_eq!(newest(&first, &documents[1..]), Err(RootError::Unsigned { version: 7, by: 1 }));
}

#[test]
fn a_new_root_key_needs_the_signature_of_the_old_one_and_its_own() {
    let next = rotated(2, 8);
    assert_eq!(newest(&root(1), &[signed_root(&next, &[8])]), Err(RootError::Unsigned { version: 2, by: 1 }));
    assert_eq!(newest(&root(1), &[signed_root(&next, &[9])]), Err(RootError::Unsigned { version: 2, by: 2 }));
    assert_eq!(newest(&root(1), &[signed_root(&next, &[9, 8])]), Ok(Some(2)));
}

#[test]
fn a_stolen_root_key_is_withdrawn_and_below_the_threshold_it_is_worth_nothing() {
    // The thief of key 9 is too late: the agent has version 2, where key 8 replaces it.
    let replaced = rotated(2, 8);
    assert_eq!(newest(&replaced, &[signed_root(&root(3), &[9])]), Err(RootError::Unsigned { version: 3, by: 2 }));
    // Two of three must sign: one stolen key, or one key twice, is not enough.
    let three = |version| {
        let roots = [7, 8, 9].map(root_key);
        RootDocument { threshold: 2, roots: heapless::Vec::from_slice(&roots).unwrap(), ..root(version) }
    };
    let error = Err(RootError::Unsigned { version: 2, by: 1 });
    assert_eq!(newest(&three(1), &[signed_root(&three(2), &[9])]), error);
    assert_eq!(newest(&three(1), &[signed_root(&three(2), &[9, 9])]), error);
    assert_eq!(newest(&three(1), &[signed_root(&three(2), &[9, 1])]), error, "a foreign key does not count");
    assert_eq!(newest(&three(1), &[signed_root(&three(2), &[9, 7])]), Ok(Some(2)));
}

#[test]
fn no_other_key_signs_root_documents() {
    // The keys of releases and rollouts, and the authority's, which is not even of this kind.
    for seed in [1, 2, 3] {
        let error = newest(&root(1), &[signed_root(&withdrawn(2), &[seed])]);
        assert_eq!(error, Err(RootError::Unsigned { version: 2, by: 1 }));
    }
}

#[test]
fn a_stolen_release_key_is_withdrawn() {
    let bytes = signed(&manifest(3), 1);
    assert!(accept(&bytes, &with(root(1)), &state(), NOW).is_ok());
    let after = with(withdrawn(2));
    let refused = accept(&bytes, &after, &state(), NOW);
    assert_eq!(refused, Err(Refusal::Signature(SignatureError::UnknownKey("k1".try_into().unwrap()))));
    assert!(accept_held(&bytes, &after, Source::Broker).is_err(), "on trial or staged");
    // Key files are for files only, now.
    assert!(accept_held(&bytes, &after, Source::File).is_ok());
    // A new key of the same name is another key.
    let mut same_name = withdrawn(2);
    same_name.keys[0].name = "k1".try_into().unwrap();
    let refused = accept(&bytes, &with(same_name), &state(), NOW);
    assert!(matches!(refused, Err(Refusal::Signature(SignatureError::Wrong(_)))));
}

#[test]
fn a_stolen_rollout_key_signs_no_release() {
    let mut document = root(1);
    document.keys[0].purpose = Purpose::Rollout;
    let refused = accept(&signed(&manifest(3), 1), &with(document), &state(), NOW);
    assert_eq!(refused, Err(Refusal::Signature(SignatureError::UnknownKey("k1".try_into().unwrap()))));
}

#[test]
fn a_key_signs_up_to_its_ceiling_for_its_group_and_until_its_end() {
    let granted = |change: fn(&mut RootDocument)| {
        let mut document = root(1);
        change(&mut document);
        accept(&signed(&manifest(3), 1), &with(document), &state(), NOW).map(|_| ())
    };
    assert_eq!(granted(|root| root.keys[0].ceiling = 3), Ok(()));
    // Without a ceiling, the thief of a release key could use up the versions of a group.
    assert_eq!(granted(|root| root.keys[0].ceiling = 2), Err(Refusal::AboveCeiling { found: 3, ceiling: 2 }));
    assert_eq!(granted(|root| root.keys[0].until_s = 1_750_000_001), Ok(()));
    let until_s = 1_750_000_000;
    assert_eq!(granted(|root| root.keys[0].until_s = 1_750_000_000), Err(Refusal::KeyEnded { until_s }));
    assert_eq!(granted(|root| root.expires_s = 1_750_000_000), Err(Refusal::KeyEnded { until_s }));
    let other = granted(|root| root.keys[0].group = Some("work".try_into().unwrap()));
    assert!(matches!(other, Err(Refusal::Signature(SignatureError::OtherGroup { .. }))));
    // The end is for new releases: one that was accepted stays.
    let mut ended = root(1);
    ended.keys[0].until_s = 1;
    assert!(accept_held(&signed(&manifest(3), 1), &with(ended), Source::Broker).is_ok());
}

#[test]
fn invalid_documents_are_rejected() {
    type Change = fn(&mut RootDocument);
    let invalid: [(&str, Change); 9] = [
        ("version", |root| root.version = 0),
        ("threshold", |root| root.threshold = 0),
        ("threshold", |root| root.threshold = 2),
        ("roots", |root| root.roots.push(root_key(9)).unwrap()),
        ("roots", |root| root.roots[0].name.clear()),
        ("keys", |root| root.keys.push(grant("k1", 3)).unwrap()),
        ("keys", |root| root.keys[0].public = root_key(9).public),
        ("keys", |root| {
            let alias = Grant { name: "alias".try_into().unwrap(), ..root.keys[0].clone() };
            root.keys.push(alias).unwrap();
        }),
        ("group", |root| root.keys[0].group = Some(Name::new())),
    ];
    for (field, change) in invalid {
        let mut document = root(1);
        change(&mut document);
        let error = document.encode(&mut [0; ROOT_BYTES]).unwrap_err();
        assert!(matches!(error, RootError::Field { field: found, .. } if found == field), "{field}: {error}");
        // The writer's check is the reader's, too.
        let mut room = [0; ROOT_BYTES];
        let bytes = framing::encode(ROOT_VERSION, &document, &mut room).unwrap();
        assert_eq!(RootDocument::decode(bytes), Err(error));
    }
}

#[test]
fn ten_thousand_changed_chains_lead_to_no_other_document() {
    let documents = [signed_root(&rotated(2, 8), &[9, 8]), signed_root(&rotated(5, 8), &[8])];
    let (genuine, held) = (chain(&documents), root(1));
    let mut random = 1_u64;
    let mut draw = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    for _ in 0..10_000 {
        let mut changed = genuine.clone();
        match draw(4) {
            0 => changed.truncate(draw(changed.len())),
            1 => changed.insert(draw(changed.len()), draw(256) as u8),
            2 => drop(changed.remove(draw(changed.len()))),
            _ => changed[draw(genuine.len())] ^= 1 << draw(8),
        }
        if changed == genuine {
            continue;
        }
        // Signatures of keys that no document names are not read, so some changes have no effect.
        if let Ok(Some((document, _))) = follow(&held, &changed) {
            assert!([rotated(2, 8), rotated(5, 8)].contains(&document), "{document}");
        }
    }
}

#[test]
fn a_chain_beyond_its_limit_is_rejected_unread() {
    let error = follow(&root(1), &vec![CHAIN_VERSION; CHAIN_BYTES + 1]).unwrap_err();
    assert_eq!(error, RootError::Frame(FrameError::TooLong { bytes: CHAIN_BYTES + 1, limit: CHAIN_BYTES }));
}
