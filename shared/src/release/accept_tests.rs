//! Releases that are accepted and rejected.

use super::*;
use crate::release::testing::{artifact_bytes, manifest, signed, terms};
use crate::release::update::RefusedRelease;

const NOW: Option<u64> = Some(1_750_000_000);

fn state(highest_confirmed: u64) -> UpdateState {
    UpdateState { highest_confirmed, ..UpdateState::new("home".try_into().unwrap()) }
}

#[test]
fn a_valid_release_is_verified_with_its_artifact() {
    let verified = accept(&signed(&manifest(3), 1), &terms(), &state(2), NOW).unwrap();
    assert_eq!(verified.manifest(), &manifest(3));
    assert_eq!(verified.artifact().form, ArtifactForm::Int8);
    assert_eq!(verified.with_artifact(&artifact_bytes()), Ok(()));
    let mut wrong = artifact_bytes();
    wrong[40_000] ^= 1;
    assert_eq!(verified.with_artifact(&wrong), Err(Refusal::Artifact));
    assert_eq!(verified.with_artifact(&wrong[1..]), Err(Refusal::Artifact));
}

#[test]
fn a_wrong_key_and_a_tampered_manifest_are_rejected() {
    let refused = accept(&signed(&manifest(3), 2), &terms(), &state(2), NOW);
    assert!(matches!(refused, Err(Refusal::Signature(SignatureError::Wrong(_)))));
    let mut tampered = signed(&manifest(3), 1);
    *tampered.last_mut().unwrap() ^= 1;
    let refused = accept(&tampered, &terms(), &state(2), NOW);
    assert!(matches!(refused, Err(Refusal::Signature(SignatureError::Wrong(_)))));
}

#[test]
fn a_replayed_old_release_is_rejected_despite_its_signature() {
    for version in [1, 4, 5] {
        let refused = accept(&signed(&manifest(version), 1), &terms(), &state(5), NOW);
        assert_eq!(refused, Err(Refusal::NotNewer { found: version, confirmed: 5 }));
    }
    assert!(accept(&signed(&manifest(6), 1), &terms(), &state(5), NOW).is_ok());
}

#[test]
fn a_version_far_above_the_highest_confirmed_is_rejected() {
    let accepted = |version, highest| accept(&signed(&manifest(version), 1), &terms(), &state(highest), NOW);
    for highest in [0, 5] {
        let limit = highest + VERSION_STEP;
        assert!(accepted(limit, highest).is_ok());
        for found in [limit + 1, u64::MAX] {
            assert_eq!(accepted(found, highest), Err(Refusal::TooFarAhead { found, limit }));
        }
    }
    // Whatever was confirmed, a later release has a number.
    assert!(accepted(VERSION_STEP + 1, VERSION_STEP).is_ok());
}

#[test]
fn a_key_signs_only_for_its_source_and_its_group() {
    let bound = |words: &str| {
        let key = crate::release::testing::trusted("k1", 1).iter().next().unwrap().clone();
        let keys = TrustedKeys::parse(&std::format!("{key} {words}")).unwrap();
        Terms { keys, ..terms() }
    };
    let bytes = signed(&manifest(3), 1);
    let from_broker = |words| accept(&bytes, &bound(words), &state(2), NOW);
    let from_file = |words| accept_held(&bytes, &bound(words), Source::File);
    let other_use = |verified| matches!(verified, Err(Refusal::Signature(SignatureError::OtherUse { .. })));
    let other_group = |verified| matches!(verified, Err(Refusal::Signature(SignatureError::OtherGroup { .. })));
    assert!(other_use(from_broker("use=file")) && from_file("use=file").is_ok());
    assert!(other_use(from_file("use=broker")) && from_broker("use=broker").is_ok());
    assert!(other_use(accept_held(&bytes, &bound("use=file"), Source::Broker)));
    assert!(other_group(from_broker("group=work")) && other_group(from_file("group=work")));
    assert!(from_broker("group=home").is_ok() && from_broker("").is_ok() && from_file("use=any").is_ok());
}

#[test]
fn a_version_that_failed_before_is_rejected_but_not_the_next() {
    let mut state = state(2);
    state.refused = Some(RefusedRelease { version: 3, digest: [0; 32] });
    let refused = accept(&signed(&manifest(3), 1), &terms(), &state, NOW);
    assert_eq!(refused, Err(Refusal::RefusedBefore { version: 3 }));
    assert!(accept(&signed(&manifest(4), 1), &terms(), &state, NOW).is_ok());
}

#[test]
fn an_expired_release_is_rejected_if_the_clock_is_set() {
    let bytes = signed(&manifest(3), 1);
    let now_s = 1_800_000_000;
    let refused = accept(&bytes, &terms(), &state(2), Some(now_s));
    assert_eq!(refused, Err(Refusal::Expired { expires_s: now_s, now_s }));
    assert!(accept(&bytes, &terms(), &state(2), Some(now_s - 1)).is_ok());
    assert!(accept(&bytes, &terms(), &state(2), None).is_ok());
    assert!(accept_held(&bytes, &terms(), Source::Broker).is_ok());
}

#[test]
fn another_group_schema_or_form_is_rejected() {
    let refused = |manifest: &Manifest| accept(&signed(manifest, 1), &terms(), &state(2), NOW).unwrap_err();
    let mut other = manifest(3);
    other.group = "work".try_into().unwrap();
    assert!(matches!(refused(&other), Refusal::Group { .. }));
    let mut other = manifest(3);
    other.schema[31] ^= 1;
    assert_eq!(refused(&other), Refusal::Schema);
    let mut other = manifest(3);
    other.artifacts.retain(|artifact| artifact.form == ArtifactForm::Onnx);
    assert_eq!(refused(&other), Refusal::Form(ArtifactForm::Int8));
}

#[test]
fn the_way_back_is_open_for_the_named_version_only() {
    let back =
        |version, named, state: &UpdateState| accept_way_back(&signed(&manifest(version), 1), &terms(), state, named);
    assert_eq!(back(3, 3, &state(5)).unwrap().manifest().version, 3);
    assert_eq!(back(4, 3, &state(5)), Err(Refusal::NotNewer { found: 4, confirmed: 5 }));
    let mut failed = state(5);
    failed.refused = Some(RefusedRelease { version: 3, digest: [0; 32] });
    assert_eq!(back(3, 3, &failed), Err(Refusal::RefusedBefore { version: 3 }));
    let forged = accept_way_back(&signed(&manifest(3), 2), &terms(), &state(5), 3);
    assert!(matches!(forged, Err(Refusal::Signature(_))));
    let mut other = manifest(3);
    other.group = "work".try_into().unwrap();
    assert!(matches!(accept_way_back(&signed(&other, 1), &terms(), &state(5), 3), Err(Refusal::Group { .. })));
}
