//! Signed bytes ↔ rollout.
//!
//! The envelope is that of a signed manifest: version, length of the key name, key name, Ed25519 signature, frame. The
//! signature is over [`signing_bytes`], whose prefix differs from that of releases: no key signs both by accident, and a
//! rollout is no manifest even if one key is trusted for both. The agent stores these bytes as they are: after a restart
//! they are its newest serial.

use super::message::{ROLLOUT_BYTES, Rollout, RolloutError};
use crate::release::digest::sha256;
use crate::release::framing::FrameError;
use crate::release::manifest::Name;
use crate::release::signature::{SIGNATURE_BYTES, SignedManifest};
use ed25519_dalek::{Signature, VerifyingKey};

/// Prefix of the signed bytes, before the digest.
pub const ROLLOUT_PREFIX: &[u8; 19] = b"lapwing rollout v1\0";

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

/// The bytes to sign for an encoded rollout: [`ROLLOUT_PREFIX`], then its SHA-256.
#[inline]
pub fn signing_bytes(rollout: &[u8]) -> [u8; 51] {
    let mut bytes = [0; 51];
    let (prefix, digest) = bytes.split_at_mut(ROLLOUT_PREFIX.len());
    prefix.copy_from_slice(ROLLOUT_PREFIX);
    digest.copy_from_slice(&sha256(rollout));
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
    let frame = rollout.encode(&mut room)?;
    let signed = SignedManifest { key: key.clone(), signature: sign(&signing_bytes(frame)), manifest: frame };
    let sealed = signed.encode(out).map_err(|_| RolloutError::Envelope)?;
    if sealed.len() > ROLLOUT_BYTES { Err(RolloutError::Envelope) } else { Ok(sealed) }
}

/// Verifies a signed rollout of a group. The signature is checked before the body is decoded.
///
/// # Errors
/// [`RolloutError`], but never [`RolloutError::Stale`]: see [`Rollout::replaces`].
#[inline]
pub fn open(bytes: &[u8], keys: &dyn RolloutKeys, group: &Name) -> Result<Rollout, RolloutError> {
    if bytes.len() > ROLLOUT_BYTES {
        return Err(FrameError::TooLong { bytes: bytes.len(), limit: ROLLOUT_BYTES }.into());
    }
    let signed = SignedManifest::decode(bytes).map_err(|_| RolloutError::Envelope)?;
    let key = keys.rollout_key(&signed.key).ok_or_else(|| RolloutError::UnknownKey(signed.key.clone()))?;
    let signature = Signature::from_bytes(&signed.signature);
    if key.verify_strict(&signing_bytes(signed.manifest), &signature).is_err() {
        return Err(RolloutError::Signature(signed.key));
    }
    let rollout = Rollout::decode(signed.manifest)?;
    if rollout.group == *group { Ok(rollout) } else { Err(RolloutError::Group(rollout.group)) }
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
