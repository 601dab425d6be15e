//! Ed25519 key and agent name ↔ certificate request (PKCS #10, RFC 2986) in DER.
//!
//! The request has one form: version 0, the common name as its only name, an Ed25519 key (RFC 8410), no attributes. The
//! reader accepts exactly the bytes that the writer makes, so that no general ASN.1 parser reads what strangers send.

use crate::messages::AgentName;
use crate::release::digest::sha256;
use crate::release::manifest::Digest;
use crate::release::name::parse_name;
use core::fmt;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use heapless::Vec;

/// Length of a request without the name, bytes.
const BYTES_BESIDE_NAME: usize = 141;
const NAME_BYTES: usize = 32;
/// Longest request, bytes.
pub const CERTIFICATE_REQUEST_BYTES: usize = BYTES_BESIDE_NAME + NAME_BYTES;
/// Place of the name in a request.
const NAME_AT: usize = 21;
/// Bytes between name and key.
const KEY_AFTER_NAME: usize = 12;
/// `AlgorithmIdentifier` of Ed25519: a sequence with the object identifier 1.3.101.112.
const ED25519: &[u8] = &[0x30, 5, 0x06, 3, 0x2b, 0x65, 0x70];
/// `SubjectPublicKeyInfo` of an Ed25519 key, before its 32 bytes.
const KEY_HEAD: &[u8] = &[0x30, 42, 0x30, 5, 0x06, 3, 0x2b, 0x65, 0x70, 0x03, 33, 0];
/// The attribute type commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x06, 3, 0x55, 4, 3];

/// An encoded request.
pub type CertificateRequestBytes = Vec<u8, CERTIFICATE_REQUEST_BYTES>;

/// An agent's own key.
#[derive(Clone)]
pub struct AgentKey(SigningKey);

impl AgentKey {
    /// The key of 32 random bytes.
    #[inline]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The 32 bytes it was made from, which are as secret as the key.
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public key.
    #[inline]
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Ed25519 signature (RFC 8032).
    #[inline]
    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }

    /// Request of a certificate for a name.
    #[inline]
    pub fn request(&self, name: &AgentName) -> CertificateRequestBytes {
        let info = info(name, &self.public());
        assemble(&info, &self.sign(&info))
    }
}

/// Error in a certificate request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateRequestError {
    /// Not the one form that agents use.
    Form,
    /// The common name is not a valid agent name.
    Name,
    /// The key is not a safe Ed25519 key.
    Key,
    /// The signature is not the key's.
    Signature,
}

impl fmt::Display for CertificateRequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => {
                "certificate request: expected PKCS #10 with a common name, an Ed25519 key and nothing else"
            }
            Self::Name => {
                "certificate request: invalid agent name, expected 1 to 32 of a-z A-Z 0-9 - _ . with a letter or digit first"
            }
            Self::Key => "certificate request: not a safe Ed25519 key",
            Self::Signature => "certificate request: not signed with its own key",
        })
    }
}

impl core::error::Error for CertificateRequestError {}

/// A request whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Name that the agent wants to have.
    pub name: AgentName,
    /// Its Ed25519 key.
    pub public: [u8; 32],
}

impl CertificateRequest {
    /// Reads a request and verifies its signature.
    ///
    /// # Errors
    /// [`CertificateRequestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CertificateRequestError> {
        let form = CertificateRequestError::Form;
        let length = bytes.len().checked_sub(BYTES_BESIDE_NAME).filter(|length| *length <= NAME_BYTES).ok_or(form)?;
        let name = bytes.get(NAME_AT..NAME_AT + length).ok_or(form)?;
        let key = bytes.get(NAME_AT + length + KEY_AFTER_NAME..).and_then(<[u8]>::first_chunk::<32>).ok_or(form)?;
        let signature = bytes.last_chunk::<64>().ok_or(form)?;
        let name = core::str::from_utf8(name).ok().and_then(parse_name).ok_or(CertificateRequestError::Name)?;
        let info = info(&name, key);
        if assemble(&info, signature) != bytes {
            return Err(form);
        }
        let public = VerifyingKey::from_bytes(key).ok().filter(|public| !public.is_weak());
        let public = public.ok_or(CertificateRequestError::Key)?;
        let signed = public.verify_strict(&info, &Signature::from_bytes(signature));
        signed.map_err(|_| CertificateRequestError::Signature)?;
        Ok(Self { name, public: *key })
    }

    /// SHA-256 of the key as a `SubjectPublicKeyInfo`, by which an operator recognises it.
    pub fn fingerprint(&self) -> Digest {
        key_fingerprint(&self.public)
    }
}

/// SHA-256 of an Ed25519 key as a `SubjectPublicKeyInfo` in DER.
#[inline]
fn key_fingerprint(public: &[u8; 32]) -> Digest {
    let mut bytes: Vec<u8, 44> = Vec::new();
    put(&mut bytes, KEY_HEAD);
    put(&mut bytes, public);
    sha256(&bytes)
}

impl AgentKey {
    /// [`CertificateRequest::fingerprint`] of its requests.
    #[inline]
    pub fn fingerprint(&self) -> Digest {
        key_fingerprint(&self.public())
    }
}

/// Every buffer has room for the longest name.
fn put<const N: usize>(bytes: &mut Vec<u8, N>, part: &[u8]) {
    let _ = bytes.extend_from_slice(part);
}

/// The signed part: `CertificationRequestInfo`. All lengths are below 128, so each has one byte.
fn info(name: &AgentName, public: &[u8; 32]) -> Vec<u8, 96> {
    let length = name.len() as u8;
    let mut bytes = Vec::new();
    put(&mut bytes, &[0x30, 62 + length, 0x02, 1, 0]);
    put(&mut bytes, &[0x30, 11 + length, 0x31, 9 + length, 0x30, 7 + length]);
    put(&mut bytes, COMMON_NAME);
    put(&mut bytes, &[0x0c, length]);
    put(&mut bytes, name.as_bytes());
    put(&mut bytes, KEY_HEAD);
    put(&mut bytes, public);
    // No attributes.
    put(&mut bytes, &[0xa0, 0]);
    bytes
}

/// The whole request: signed part, algorithm, signature.
fn assemble(info: &[u8], signature: &[u8; 64]) -> CertificateRequestBytes {
    let mut bytes = Vec::new();
    let length = info.len() + ED25519.len() + 67;
    put(&mut bytes, &[0x30, 0x81, length as u8]);
    put(&mut bytes, info);
    put(&mut bytes, ED25519);
    put(&mut bytes, &[0x03, 65, 0]);
    put(&mut bytes, signature);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};
    use std::string::String;

    fn key() -> AgentKey {
        AgentKey::from_seed(&[9; 32])
    }

    fn name(text: &str) -> AgentName {
        parse_name(text).unwrap()
    }

    #[test]
    fn a_request_of_a_short_and_of_the_longest_name_round_trips() {
        for text in ["a", "home-a", "abcdefghijklmnopqrstuvwxyz012345"] {
            let bytes = key().request(&name(text));
            assert_eq!(bytes.len(), BYTES_BESIDE_NAME + text.len());
            let request = CertificateRequest::parse(&bytes).unwrap();
            assert_eq!((request.name.as_str(), request.public), (text, key().public()));
            assert_eq!(request.fingerprint(), key().fingerprint());
        }
        assert_eq!(key().request(&name("home-a")).len(), 147);
    }

    #[test]
    fn openssl_reads_and_verifies_a_request() {
        let mut openssl = Command::new("openssl")
            .args(["req", "-inform", "DER", "-noout", "-verify", "-subject", "-pubkey"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("openssl is installed");
        openssl.stdin.take().unwrap().write_all(&key().request(&name("home-a"))).unwrap();
        let output = openssl.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{stderr}");
        assert!(stderr.contains("verify OK"), "{stderr}");
        assert!(stdout.contains("CN = home-a") || stdout.contains("CN=home-a"), "{stdout}");
    }

    #[test]
    fn every_changed_and_cut_request_is_rejected() {
        let bytes = key().request(&name("home-a"));
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(CertificateRequest::parse(&changed).is_err(), "byte {place}");
            assert!(CertificateRequest::parse(&bytes[..place]).is_err(), "cut at {place}");
        }
        let mut longer = bytes.clone();
        longer.push(0).unwrap();
        assert!(CertificateRequest::parse(&longer).is_err());
        assert_eq!(CertificateRequest::parse(&[0; 4096]), Err(CertificateRequestError::Form));
    }

    #[test]
    fn a_request_with_another_name_or_a_weak_key_says_so() {
        let changed = |from: &[u8], to: &[u8]| {
            let bytes = key().request(&name("home-a"));
            let at = bytes.windows(from.len()).position(|part| part == from).unwrap();
            let mut changed = bytes.clone();
            changed[at..at + to.len()].copy_from_slice(to);
            CertificateRequest::parse(&changed)
        };
        assert_eq!(changed(b"home-a", b"home-b"), Err(CertificateRequestError::Signature));
        assert_eq!(changed(b"home-a", b"home/a"), Err(CertificateRequestError::Name));
        assert_eq!(changed(b"home-a", b"_admin"), Err(CertificateRequestError::Name));
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(changed(&key().public(), &identity), Err(CertificateRequestError::Key));
    }
}
