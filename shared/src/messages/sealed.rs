//! Payload ↔ sealed payload: a key that agent and trainer share authenticates it end to end, whatever broker is between.
//!
//! ```text
//! 0x80 · tag (16 bytes) · payload
//! tag = first 16 bytes of HMAC-SHA-256(key, "lapwing seal v1\0" · topic · 0 · payload)
//! ```
//! The topic names the agent and the kind of message, the payload has run and number: a seal is valid nowhere else. It
//! neither encrypts nor distinguishes a repeated message from the first one.

use crate::release::manifest::Digest;
use core::fmt;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// First byte of a sealed payload, which no message version uses.
pub const SEALED: u8 = 0x80;
/// Bytes before the payload.
pub const SEAL_BYTES: usize = 1 + TAG_BYTES;
const TAG_BYTES: usize = 16;
/// Prefixes of what is authenticated, one for each use.
const MESSAGE_PREFIX: &[u8] = b"lapwing seal v1\0";
const KEY_PREFIX: &[u8] = b"lapwing agent key v1\0";

/// Secret of a trainer's store, of which the keys of its agents are derived.
pub type SealSecret = [u8; 32];

/// Key of one agent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealKey([u8; 32]);

/// Omits the key.
impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("seal key")
    }
}

/// Why a sealed payload cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// It has no seal.
    Missing,
    /// It has the seal of another key, topic or payload.
    Wrong,
}

/// Only these keys seal, and HMAC takes keys of any length.
fn mac(key: &[u8; 32], parts: [&[u8]; 4]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in parts {
        mac.update(part);
    }
    Some(mac)
}

impl SealKey {
    /// The key of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key of an agent, whose own key has this fingerprint.
    pub fn derive(secret: &SealSecret, fingerprint: &Digest) -> Self {
        let mac = mac(secret, [KEY_PREFIX, fingerprint, &[], &[]]);
        Self(mac.map_or([0; 32], |mac| mac.finalize().into_bytes().into()))
    }

    fn mac(&self, topic: &str, payload: &[u8]) -> Option<Hmac<Sha256>> {
        mac(&self.0, [MESSAGE_PREFIX, topic.as_bytes(), &[0], payload])
    }

    /// What to put before the payload.
    pub fn seal(&self, topic: &str, payload: &[u8]) -> [u8; SEAL_BYTES] {
        let mut seal = [SEALED; SEAL_BYTES];
        if let Some(mac) = self.mac(topic, payload) {
            for (byte, tag) in seal.iter_mut().skip(1).zip(mac.finalize().into_bytes()) {
                *byte = tag;
            }
        }
        seal
    }

    /// The payload of a sealed one. Takes the same time for every wrong seal.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn open<'a>(&self, topic: &str, sealed: &'a [u8]) -> Result<&'a [u8], SealError> {
        let (seal, payload) = sealed.split_at_checked(SEAL_BYTES).ok_or(SealError::Missing)?;
        let Some((&SEALED, tag)) = seal.split_first() else { return Err(SealError::Missing) };
        let is_right = self.mac(topic, payload).is_some_and(|mac| mac.verify_truncated_left(tag).is_ok());
        if is_right { Ok(payload) } else { Err(SealError::Wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{EXTENDED_VERSION, MESSAGE_VERSION};
    use crate::release::digest::Hex;
    use std::string::ToString;
    use std::vec::Vec;

    const TOPIC: &str = "lapwing/v1/agent/gw-1/ack";

    fn key() -> SealKey {
        SealKey::derive(&[1; 32], &[2; 32])
    }

    fn sealed(topic: &str, payload: &[u8]) -> Vec<u8> {
        [&key().seal(topic, payload), payload].concat()
    }

    #[test]
    fn the_bytes_of_key_and_seal_do_not_change() {
        // python3: k = hmac.new(bytes([1]*32), b"lapwing agent key v1\0" + bytes([2]*32), "sha256")
        assert_eq!(Hex(&key().0).to_string(), "63cb3b60fb39950eb2e9d96890618a401d265954953bd9d74bdf1e90f1778632");
        // python3: hmac.new(k.digest(), b"lapwing seal v1\0lapwing/v1/agent/gw-1/ack\0" + bytes([1, 2, 3]), "sha256")
        assert_eq!(Hex(&sealed(TOPIC, &[1, 2, 3])).to_string(), "80436cd10fd8f03d85172612b0aa8bedc8010203");
    }

    #[test]
    fn a_seal_is_valid_for_its_topic_payload_and_key_only() {
        let bytes = sealed(TOPIC, b"payload");
        assert_eq!(key().open(TOPIC, &bytes), Ok(&b"payload"[..]));
        for topic in ["lapwing/v1/agent/gw-1/alert", "lapwing/v1/agent/gw-2/ack", ""] {
            assert_eq!(key().open(topic, &bytes), Err(SealError::Wrong), "{topic}");
        }
        assert_eq!(SealKey::derive(&[1; 32], &[3; 32]).open(TOPIC, &bytes), Err(SealError::Wrong), "another agent");
        assert_eq!(SealKey::derive(&[4; 32], &[2; 32]).open(TOPIC, &bytes), Err(SealError::Wrong), "another trainer");
        for place in 1..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 0x80;
            assert_eq!(key().open(TOPIC, &changed), Err(SealError::Wrong), "byte {place}");
        }
        for cut in 0..bytes.len() {
            assert!(key().open(TOPIC, &bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn the_end_of_a_topic_is_not_the_begin_of_a_payload() {
        let seal = key().seal("a/b", b"c\0d");
        assert_eq!(key().open("a/bc", &[&seal[..], b"\0d"].concat()), Err(SealError::Wrong));
    }

    #[test]
    fn a_message_without_a_seal_is_no_wrong_seal() {
        for version in [MESSAGE_VERSION, EXTENDED_VERSION, 0, 3] {
            assert_eq!(key().open(TOPIC, &[version; 40]), Err(SealError::Missing));
        }
        assert_eq!(key().open(TOPIC, &[]), Err(SealError::Missing));
        assert_eq!(key().open(TOPIC, &sealed(TOPIC, b"")), Ok(&[][..]));
    }
}
