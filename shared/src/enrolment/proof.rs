//! Secret of a token, or known key → proof that a request comes from its owner on this connection.

use super::certificate_request::AgentKey;
use super::token::SECRET_BYTES;
use ed25519_dalek::{Signature, VerifyingKey};
use heapless::Vec;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Label of the value that both ends export from the TLS connection (RFC 8446 §7.5), without context.
pub const BINDING_LABEL: &[u8] = b"EXPORTER-lapwing-enrolment-v1";
/// Prefixes of what is authenticated, one for each use.
const TOKEN_PREFIX: &[u8] = b"lapwing enrolment v1\0";
const KEY_PREFIX: &[u8] = b"lapwing renewal v1\0";

/// Exported value of a connection: the nonce of both ends, which no other connection has.
pub type Binding = [u8; 32];

/// Proof of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proof {
    /// Of a token's secret.
    Token {
        /// Number of the token.
        id: u32,
        /// HMAC-SHA-256.
        mac: [u8; 32],
    },
    /// Of the key that the trainer knows for this name.
    Key {
        /// Ed25519 signature, 64 bytes.
        signature: Vec<u8, 64>,
    },
}

fn mac(secret: &[u8; SECRET_BYTES], request: &[u8], binding: &Binding) -> Option<Hmac<Sha256>> {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(TOKEN_PREFIX);
    mac.update(request);
    mac.update(binding);
    Some(mac)
}

/// Proof of a token for a certificate request on a connection.
#[inline]
pub fn token_proof(id: u32, secret: &[u8; SECRET_BYTES], request: &[u8], binding: &Binding) -> Proof {
    let mac = mac(secret, request, binding).map_or([0; 32], |mac| mac.finalize().into_bytes().into());
    Proof::Token { id, mac }
}

/// Whether a token's secret made this MAC; takes the same time for every wrong one.
pub fn is_proven_by_token(secret: &[u8; SECRET_BYTES], found: &[u8; 32], request: &[u8], binding: &Binding) -> bool {
    mac(secret, request, binding).is_some_and(|mac| mac.verify_slice(found).is_ok())
}

fn signed(request: &[u8], binding: &Binding) -> Vec<u8, 256> {
    let mut bytes = Vec::new();
    for part in [KEY_PREFIX, &crate::release::digest::sha256(request), binding] {
        let _ = bytes.extend_from_slice(part);
    }
    bytes
}

/// Proof of the agent's key for a certificate request on a connection.
#[inline]
pub fn key_proof(key: &AgentKey, request: &[u8], binding: &Binding) -> Proof {
    let mut signature = Vec::new();
    let _ = signature.extend_from_slice(&key.sign(&signed(request, binding)));
    Proof::Key { signature }
}

/// Whether an agent's key made this signature.
pub fn is_proven_by_key(public: &[u8; 32], signature: &[u8], request: &[u8], binding: &Binding) -> bool {
    let (Ok(key), Ok(signature)) = (VerifyingKey::from_bytes(public), Signature::from_slice(signature)) else {
        return false;
    };
    key.verify_strict(&signed(request, binding), &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::digest::Hex;
    use std::string::ToString;

    #[test]
    fn a_mac_covers_request_connection_and_secret() {
        let (secret, binding) = ([1; 16], [2; 32]);
        let Proof::Token { id: 7, mac } = token_proof(7, &secret, b"request", &binding) else { panic!() };
        // python3: hmac.new(bytes([1]*16), b"lapwing enrolment v1\0request" + bytes([2]*32), "sha256")
        assert_eq!(Hex(&mac).to_string(), "33f6922caa02db3a3550969f65db5b0089bf5df5ea13a4654c8049839d9dc06c");
        assert!(is_proven_by_token(&secret, &mac, b"request", &binding));
        assert!(!is_proven_by_token(&[3; 16], &mac, b"request", &binding), "secret");
        assert!(!is_proven_by_token(&secret, &mac, b"another", &binding), "request");
        assert!(!is_proven_by_token(&secret, &mac, b"request", &[4; 32]), "connection");
        for place in 0..mac.len() {
            let mut changed = mac;
            changed[place] ^= 0x80;
            assert!(!is_proven_by_token(&secret, &changed, b"request", &binding), "byte {place}");
        }
    }

    #[test]
    fn a_signature_covers_request_connection_and_key() {
        let (key, binding) = (AgentKey::from_seed(&[5; 32]), [2; 32]);
        let Proof::Key { signature } = key_proof(&key, b"request", &binding) else { panic!() };
        let other = AgentKey::from_seed(&[6; 32]).public();
        assert!(is_proven_by_key(&key.public(), &signature, b"request", &binding));
        assert!(!is_proven_by_key(&other, &signature, b"request", &binding), "key");
        assert!(!is_proven_by_key(&key.public(), &signature, b"another", &binding), "request");
        assert!(!is_proven_by_key(&key.public(), &signature, b"request", &[4; 32]), "connection");
        assert!(!is_proven_by_key(&key.public(), &signature[..63], b"request", &binding), "cut");
    }
}
