//! Arbitrary bytes as what a broker sends for a release → a refusal, or a release that a trusted key signed for this
//! agent's group, newer than the confirmed one and not expired.
//!
//! Byte 0 chooses how the rest is used: as a signed manifest; as a manifest signed by the trusted key, so that the checks
//! after the signature run too; as one signed by another key; as changes to a genuine signed manifest; as a key file.
#![no_main]

use lapwing_shared::release::accept::{Refusal, Terms, accept};
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::release::signature::{
    SIGNED_MANIFEST_BYTES, SignatureError, SignedManifest, TrustedKeys, signing_bytes,
};
use lapwing_shared::release::testing::{artifact_bytes, manifest, signed, signing_key, terms};
use lapwing_shared::release::update::UpdateState;
use libfuzzer_sys::fuzz_target;

use ed25519_dalek::Signer;

/// Highest version that the agent has confirmed; [`manifest`] makes the next one.
const CONFIRMED: u64 = 2;
const NOW_S: u64 = 1_750_000_000;

fn state() -> UpdateState {
    UpdateState { highest_confirmed: CONFIRMED, ..UpdateState::new("home".try_into().expect("a group")) }
}

/// Accepts or refuses; an accepted release must satisfy every rule.
fn check(bytes: &[u8], terms: &Terms) -> Result<Manifest, Refusal> {
    let verified = accept(bytes, terms, &state(), Some(NOW_S))?;
    let envelope = SignedManifest::decode(bytes).expect("an accepted manifest has an envelope");
    terms.keys.verify(&envelope).expect("an accepted manifest has a valid signature");
    let manifest = verified.manifest();
    assert_eq!(manifest.group, terms.group);
    assert_eq!(manifest.schema, terms.schema);
    assert!(manifest.version > CONFIRMED && manifest.expires_s > NOW_S);
    let matches = manifest.artifact(terms.form).is_some_and(|artifact| artifact == verified.artifact());
    assert!(matches, "the artifact is not that of the manifest");
    let own = verified.with_artifact(&artifact_bytes()).is_ok();
    let mut changed = artifact_bytes();
    changed[0] ^= 1;
    assert!(!(own && verified.with_artifact(&changed).is_ok()), "two artifacts have the same digest");
    Ok(verified.into_manifest())
}

/// The bytes as an encoded manifest, signed with the key of this seed under the name of the trusted key.
fn sign(manifest: &[u8], seed: u8) -> Option<Vec<u8>> {
    let signature = signing_key(seed).sign(&signing_bytes(manifest)).to_bytes();
    let key = "k1".try_into().expect("a key name");
    let mut room = vec![0; SIGNED_MANIFEST_BYTES];
    SignedManifest { key, signature, manifest }.encode(&mut room).ok().map(<[u8]>::to_vec)
}

/// Replaces bytes of a genuine signed manifest: place (2 bytes) and new value, repeatedly.
fn changed(changes: &[u8]) -> Option<Vec<u8>> {
    let genuine = signed(&manifest(CONFIRMED + 1), 1);
    let mut bytes = genuine.clone();
    for change in changes.chunks_exact(3) {
        let place = usize::from(u16::from_be_bytes([change[0], change[1]])) % bytes.len();
        bytes[place] = change[2];
    }
    (bytes != genuine).then_some(bytes)
}

fuzz_target!(|input: &[u8]| {
    let Some((mode, rest)) = input.split_first() else { return };
    let terms = terms();
    match mode % 5 {
        0 => drop(check(rest, &terms)),
        1 => {
            let Some(bytes) = sign(rest, 1) else { return };
            // A manifest may be refused for what it says, but not for its signature.
            assert!(!matches!(check(&bytes, &terms), Err(Refusal::Signature(SignatureError::Wrong(_)))));
        }
        2 => {
            let Some(bytes) = sign(rest, 2) else { return };
            assert!(matches!(check(&bytes, &terms), Err(Refusal::Signature(_))), "another key was accepted");
        }
        3 => {
            let Some(bytes) = changed(rest) else { return };
            assert!(matches!(check(&bytes, &terms), Err(Refusal::Signature(_))), "a changed manifest was accepted");
        }
        _ => drop(core::str::from_utf8(rest).map(TrustedKeys::parse)),
    }
});
