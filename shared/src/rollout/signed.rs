//! Signed bytes ↔ rollout or assignment.
//!
//! The envelope is that of a signed manifest: version, length of the key name, key name, Ed25519 signature, frame. The
//! signature is over [`signing_bytes`], whose prefix differs from that of releases: no key signs both by accident, and a
//! rollout is neither a manifest nor an assignment even if one key is trusted for all. The agent stores these bytes as they are: after a restart
//! they are its newest serial.

use super::message::{ROLLOUT_BYTES, Rollout, RolloutError};
use crate::release::digest::sha256;
use crate::release::framing::FrameError;
use crate::release::manifest::Name;
use crate::release::signature::{SIGNATURE_BYTES, SignedManifest};
use ed25519_dalek::{Signature, VerifyingKey};
use heapless::Vec;

/// Prefix of the signed bytes of a rollout, before the digest.
pub const ROLLOUT_PREFIX: &[u8] = b"lapwing rollout v1\0";
/// Prefix of the signed bytes of an assignment, before the digest.
pub const ASSIGNMENT_PREFIX: &[u8] = b"lapwing assignment v1\0";
/// Longest prefix and digest, bytes.
const SIGNED_BYTES: usize = 22 + 32;

/// The keys that may sign rollouts.
pub trait RolloutKeys {
    /// The valid key with this name.
    fn rollout_key(&self, name: &Name) -> Option<VerifyingKey>;
}

impl RolloutKeys for (Name, VerifyingKey) {
    fn rollout_key(&self, name: &Name) -> Option<VerifyingKey> {
        (self.0 == *name).then_some(self.1)
    }
}

/// The bytes to sign for an encoded rollout or assignment: the prefix of its kind, then its SHA-256.
pub fn signing_bytes(prefix: &[u8], frame: &[u8]) -> Vec<u8, SIGNED_BYTES> {
    let mut bytes = Vec::new();
    // Both prefixes have room.
    let _ = bytes.extend_from_slice(prefix);
    let _ = bytes.extend_from_slice(&sha256(frame));
    bytes
}

/// Writes a rollout and its signature, which `sign` makes over [`signing_bytes`], into `out`; returns the written part.
///
/// # Errors
/// [`RolloutError::Field`] for an invalid rollout, [`RolloutError::Envelope`] for an invalid key name or too little room.
#[inline]
pub fn seal<'a>(
    rollout: &Rollout,
    key: &Name,
    sign: impl FnOnce(&[u8]) -> [u8; SIGNATURE_BYTES],
    out: &'a mut [u8],
) -> Result<&'a [u8], RolloutError> {
    let mut room = [0; ROLLOUT_BYTES];
    seal_frame(ROLLOUT_PREFIX, rollout.encode(&mut room)?, key, sign, out)
}

/// Writes an encoded message and its signature into `out`, as [`seal`].
///
/// # Errors
/// [`RolloutError::Envelope`].
#[inline]
pub(super) fn seal_frame<'a>(
    prefix: &[u8],
    frame: &[u8],
    key: &Name,
    sign: impl FnOnce(&[u8]) -> [u8; SIGNATURE_BYTES],
    out: &'a mut [u8],
) -> Result<&'a [u8], RolloutError> {
    let signature = sign(&signing_bytes(prefix, frame));
    let signed = SignedManifest { key: key.clone(), signature, manifest: frame };
    let sealed = signed.encode(out).map_err(|_| RolloutError::Envelope)?;
    if sealed.len() > ROLLOUT_BYTES { Err(RolloutError::Envelope) } else { Ok(sealed) }
}

/// Verifies the signature of an encoded message; returns the message and the name of the key.
///
/// # Errors
/// [`RolloutError`]: envelope, key or signature.
pub(super) fn open_frame<'a>(
    prefix: &[u8],
    bytes: &'a [u8],
    keys: &dyn RolloutKeys,
) -> Result<(&'a [u8], Name), RolloutError> {
    if bytes.len() > ROLLOUT_BYTES {
        return Err(FrameError::TooLong { bytes: bytes.len(), limit: ROLLOUT_BYTES }.into());
    }
    let signed = SignedManifest::decode(bytes).map_err(|_| RolloutError::Envelope)?;
    let Some(key) = keys.rollout_key(&signed.key) else { return Err(RolloutError::UnknownKey(signed.key)) };
    let signature = Signature::from_bytes(&signed.signature);
    match key.verify_strict(&signing_bytes(prefix, signed.manifest), &signature) {
        Ok(()) => Ok((signed.manifest, signed.key)),
        Err(_) => Err(RolloutError::Signature(signed.key)),
    }
}

/// Verifies a signed rollout of a group. The signature is checked before the body is decoded.
///
/// # Errors
/// [`RolloutError`], but never [`RolloutError::Stale`]: see [`Rollout::replaces`].
#[inline]
pub fn open(bytes: &[u8], keys: &dyn RolloutKeys, group: &Name) -> Result<Rollout, RolloutError> {
    Ok(open_with_key(bytes, keys, group)?.0)
}

/// As [`open`]; also returns the name of the key.
pub(super) fn open_with_key(
    bytes: &[u8],
    keys: &dyn RolloutKeys,
    group: &Name,
) -> Result<(Rollout, Name), RolloutError> {
    let (frame, key) = open_frame(ROLLOUT_PREFIX, bytes, keys)?;
    let rollout = Rollout::decode(frame)?;
    if rollout.group == *group { Ok((rollout, key)) } else { Err(RolloutError::Group(rollout.group)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::testing::signing_key;
    use crate::rollout::testing::rollout;
    use ed25519_dalek::Signer;
    use std::vec::Vec;

    fn name(text: &str) -> Name {
        text.try_into().unwrap()
    }

    fn keys(id: &str, seed: u8) -> (Name, VerifyingKey) {
        (name(id), signing_key(seed).verifying_key())
    }

    fn sealed(seed: u8) -> Vec<u8> {
        let sign = |bytes: &[u8]| signing_key(seed).sign(bytes).to_bytes();
        seal(&rollout(7, 3), &name("r1"), sign, &mut [0; ROLLOUT_BYTES]).unwrap().to_vec()
    }

    #[test]
    fn a_rollout_opens_under_its_key_and_for_its_group_only() {
        let bytes = sealed(1);
        assert_eq!(open(&bytes, &keys("r1", 1), &name("home")), Ok(rollout(7, 3)));
        assert_eq!(open(&bytes, &keys("r1", 2), &name("home")), Err(RolloutError::Signature(name("r1"))));
        assert_eq!(open(&bytes, &keys("r2", 1), &name("home")), Err(RolloutError::UnknownKey(name("r1"))));
        assert_eq!(open(&bytes, &keys("r1", 1), &name("work")), Err(RolloutError::Group(name("home"))));
    }

    #[test]
    fn every_changed_and_cut_rollout_is_rejected() {
        let bytes = sealed(1);
        for place in 0..bytes.len() {
            assert!(open(&bytes[..place], &keys("r1", 1), &name("home")).is_err(), "{place}");
            let mut changed = bytes.clone();
            changed[place] ^= 0x10;
            assert!(open(&changed, &keys("r1", 1), &name("home")).is_err(), "byte {place}");
        }
        let long = [bytes, Vec::from([0; ROLLOUT_BYTES])].concat();
        assert!(matches!(open(&long, &keys("r1", 1), &name("home")), Err(RolloutError::Frame(_))));
    }

    #[test]
    fn a_release_signature_does_not_sign_a_rollout() {
        let mut room = [0; ROLLOUT_BYTES];
        let value = rollout(7, 3);
        let frame = value.encode(&mut room).unwrap();
        let signature = signing_key(1).sign(&crate::release::signature::signing_bytes(frame)).to_bytes();
        let mut out = [0; ROLLOUT_BYTES];
        let forged = SignedManifest { key: name("r1"), signature, manifest: frame }.encode(&mut out).unwrap();
        assert_eq!(open(forged, &keys("r1", 1), &name("home")), Err(RolloutError::Signature(name("r1"))));
    }
}
