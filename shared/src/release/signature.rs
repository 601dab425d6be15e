//! Who may sign a manifest, what exactly is signed, and how both travel.
//!
//! Bytes of a signed manifest: [`SIGNED_VERSION`], length of the key's name (1 byte), the name, the signature (64
//! bytes), the encoded manifest to the end. The signature is Ed25519 (RFC 8032 §5.1), verified strictly, over
//! [`signing_bytes`]: a prefix that no other use of the key shares, then the manifest's SHA-256, so that a reader
//! needs no copy of the manifest to check it.

use super::digest::{Hex, parse_digest, sha256};
use super::manifest::{MANIFEST_BYTES, Name};
use super::name::parse_name;
use core::fmt;
use ed25519_dalek::{Signature, VerifyingKey};
use heapless::Vec;

/// First byte of a signed manifest; a reader refuses any other value.
pub const SIGNED_VERSION: u8 = 1;
/// What the signature covers in front of the digest.
pub const SIGNING_PREFIX: &[u8; 19] = b"lapwing release v1\0";
/// Length of a signature, bytes.
pub const SIGNATURE_BYTES: usize = 64;
/// Largest encoded signed manifest, bytes.
pub const SIGNED_MANIFEST_BYTES: usize = 2 + 32 + SIGNATURE_BYTES + MANIFEST_BYTES;
/// Keys that an agent may trust at once: the one in use, its successor, and the same again for a second signer.
pub const TRUSTED_KEYS: usize = 4;

/// The bytes to sign for an encoded manifest: [`SIGNING_PREFIX`], then its SHA-256.
pub fn signing_bytes(manifest: &[u8]) -> [u8; 51] {
    let mut bytes = [0; 51];
    let (prefix, digest) = bytes.split_at_mut(SIGNING_PREFIX.len());
    prefix.copy_from_slice(SIGNING_PREFIX);
    digest.copy_from_slice(&sha256(manifest));
    bytes
}

/// Why bytes are no signed manifest, or a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// The first byte names a format that this reader does not know.
    Version {
        /// First byte.
        found: u8,
    },
    /// More bytes than a signed manifest may have.
    TooLong {
        /// Length seen, bytes.
        bytes: usize,
    },
    /// Fewer bytes than the named part needs.
    CutOff {
        /// The part.
        part: &'static str,
    },
    /// The key's name is none.
    KeyName,
    /// The caller's buffer is too small.
    NoRoom,
    /// No trusted key has this name.
    UnknownKey(Name),
    /// The signature is not that key's over this manifest.
    Wrong(Name),
    /// The key is no point of the curve, or one of its weak points.
    BadKey(Name),
    /// A key file does not hold what it should.
    KeyFile {
        /// Line, from 1.
        line: usize,
        /// What it must be.
        expected: &'static str,
    },
    /// More than [`TRUSTED_KEYS`] keys, or one name twice.
    TooManyKeys(Name),
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { found } => write!(f, "signed manifest: format version {found}, expected {SIGNED_VERSION}"),
            Self::TooLong { bytes } => {
                write!(f, "signed manifest: {bytes} bytes long, expected {SIGNED_MANIFEST_BYTES} at most")
            }
            Self::CutOff { part } => write!(f, "signed manifest: cut off in its {part}"),
            Self::KeyName => write!(f, "signed manifest: key name is wrong, expected 1 to 32 of a-z A-Z 0-9 - _ ."),
            Self::NoRoom => write!(f, "signed manifest: does not fit the buffer"),
            Self::UnknownKey(key) => write!(f, "signed with key {key}, which is not among the trusted keys"),
            Self::Wrong(key) => write!(f, "signature does not match: not made by key {key}, or changed on the way"),
            Self::BadKey(key) => write!(f, "key {key} is no safe Ed25519 public key, make a new one"),
            Self::KeyFile { line, expected } => write!(f, "key file: line {line} is wrong, expected {expected}"),
            Self::TooManyKeys(key) => {
                write!(f, "key {key} is one too many or named twice, expected {TRUSTED_KEYS} different keys at most")
            }
        }
    }
}

impl core::error::Error for SignatureError {}

/// A manifest's bytes with the signature over them; nothing is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedManifest<'a> {
    /// Name of the key that signed.
    pub key: Name,
    /// Ed25519 signature over [`signing_bytes`].
    pub signature: [u8; SIGNATURE_BYTES],
    /// The encoded manifest.
    pub manifest: &'a [u8],
}

impl<'a> SignedManifest<'a> {
    /// Writes it into `out`, for which [`SIGNED_MANIFEST_BYTES`] always suffice; returns the written part.
    ///
    /// # Errors
    /// [`SignatureError::NoRoom`], [`SignatureError::TooLong`], [`SignatureError::KeyName`].
    pub fn encode<'b>(&self, out: &'b mut [u8]) -> Result<&'b [u8], SignatureError> {
        let key = parse_name(&self.key).ok_or(SignatureError::KeyName)?;
        let head = [SIGNED_VERSION, key.len() as u8];
        let parts = [&head[..], key.as_bytes(), &self.signature, self.manifest];
        let length = parts.iter().map(|part| part.len()).sum();
        if length > SIGNED_MANIFEST_BYTES {
            return Err(SignatureError::TooLong { bytes: length });
        }
        let out = out.get_mut(..length).ok_or(SignatureError::NoRoom)?;
        let mut rest = &mut *out;
        for part in parts {
            let (here, after) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = after;
        }
        Ok(out)
    }

    /// Takes the bytes apart; checks the form only.
    ///
    /// # Errors
    /// [`SignatureError`] of the form: version, length, key name.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, SignatureError> {
        if bytes.len() > SIGNED_MANIFEST_BYTES {
            return Err(SignatureError::TooLong { bytes: bytes.len() });
        }
        let (version, rest) = bytes.split_first().ok_or(SignatureError::CutOff { part: "version" })?;
        if *version != SIGNED_VERSION {
            return Err(SignatureError::Version { found: *version });
        }
        let (length, rest) = rest.split_first().ok_or(SignatureError::CutOff { part: "key name" })?;
        let named = rest.split_at_checked(usize::from(*length));
        let (key, rest) = named.ok_or(SignatureError::CutOff { part: "key name" })?;
        let key = core::str::from_utf8(key).ok().and_then(parse_name).ok_or(SignatureError::KeyName)?;
        let (signature, manifest) = rest.split_first_chunk().ok_or(SignatureError::CutOff { part: "signature" })?;
        if manifest.is_empty() {
            return Err(SignatureError::CutOff { part: "manifest" });
        }
        Ok(Self { key, signature: *signature, manifest })
    }
}

/// A public key with its name; its point was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    id: Name,
    public: VerifyingKey,
}

impl TrustedKey {
    /// First word of a public key's line.
    pub const TAG: &'static str = "lapwing-key-v1";

    /// Checks the key.
    ///
    /// # Errors
    /// [`SignatureError::KeyName`], [`SignatureError::BadKey`].
    pub fn new(id: Name, public: [u8; 32]) -> Result<Self, SignatureError> {
        let id = parse_name(&id).ok_or(SignatureError::KeyName)?;
        match VerifyingKey::from_bytes(&public) {
            Ok(public) if !public.is_weak() => Ok(Self { id, public }),
            _ => Err(SignatureError::BadKey(id)),
        }
    }

    /// The key's name.
    pub fn id(&self) -> &Name {
        &self.id
    }

    /// The public key's 32 bytes.
    pub fn public(&self) -> [u8; 32] {
        self.public.to_bytes()
    }
}

/// The line that stands for it in a key file: `lapwing-key-v1 NAME 64-HEX-DIGITS`.
impl fmt::Display for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", Self::TAG, self.id, Hex(self.public.as_bytes()))
    }
}

/// The keys that may sign releases; without one, no release is accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedKeys {
    keys: Vec<TrustedKey, TRUSTED_KEYS>,
}

impl TrustedKeys {
    /// Adds a key.
    ///
    /// # Errors
    /// [`SignatureError::TooManyKeys`].
    pub fn add(&mut self, key: TrustedKey) -> Result<(), SignatureError> {
        if self.get(&key.id).is_some() {
            return Err(SignatureError::TooManyKeys(key.id));
        }
        self.keys.push(key).map_err(|key| SignatureError::TooManyKeys(key.id))
    }

    /// Reads a key file: one key a line as [`TrustedKey`] displays it; empty lines and lines that begin with `#` are
    /// passed over.
    ///
    /// # Errors
    /// [`SignatureError::KeyFile`] with the line, [`SignatureError::BadKey`], [`SignatureError::TooManyKeys`].
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let mut keys = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                keys.add(parse_line(line, index + 1)?)?;
            }
        }
        Ok(keys)
    }

    /// The keys.
    pub fn iter(&self) -> impl Iterator<Item = &TrustedKey> {
        self.keys.iter()
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`SignatureError::UnknownKey`], [`SignatureError::Wrong`].
    pub fn verify(&self, signed: &SignedManifest<'_>) -> Result<(), SignatureError> {
        let key = self.get(&signed.key).ok_or_else(|| SignatureError::UnknownKey(signed.key.clone()))?;
        let signature = Signature::from_bytes(&signed.signature);
        let verified = key.public.verify_strict(&signing_bytes(signed.manifest), &signature);
        verified.map_err(|_| SignatureError::Wrong(signed.key.clone()))
    }

    fn get(&self, id: &Name) -> Option<&TrustedKey> {
        self.keys.iter().find(|key| key.id == *id)
    }
}

fn parse_line(line: &str, number: usize) -> Result<TrustedKey, SignatureError> {
    let wrong = |expected| SignatureError::KeyFile { line: number, expected };
    let mut words = line.split_ascii_whitespace();
    if words.next() != Some(TrustedKey::TAG) {
        return Err(wrong("lapwing-key-v1 first"));
    }
    let id = words.next().and_then(parse_name).ok_or(wrong("a key name of 1 to 32 of a-z A-Z 0-9 - _ ."))?;
    let public = words.next().and_then(parse_digest).ok_or(wrong("64 lower-case hex digits"))?;
    match words.next() {
        None => TrustedKey::new(id, public),
        Some(_) => Err(wrong("nothing behind the key")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::testing::{manifest, signed, signing_key, trusted};
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn a_signed_manifest_verifies_under_its_key_only() {
        let bytes = signed(&manifest(3), 1);
        let read = SignedManifest::decode(&bytes).unwrap();
        assert_eq!(trusted("k1", 1).verify(&read), Ok(()));
        assert_eq!(trusted("k1", 2).verify(&read), Err(SignatureError::Wrong(read.key.clone())));
        assert_eq!(trusted("k2", 1).verify(&read), Err(SignatureError::UnknownKey(read.key.clone())));
        assert_eq!(TrustedKeys::default().verify(&read), Err(SignatureError::UnknownKey(read.key.clone())));
    }

    #[test]
    fn no_changed_bit_of_a_signed_manifest_verifies() {
        let bytes = signed(&manifest(3), 1);
        let keys = trusted("k1", 1);
        for place in (0..bytes.len()).step_by(7).chain(0..80) {
            let mut changed = bytes.clone();
            changed[place] ^= 0x10;
            let verified = SignedManifest::decode(&changed).and_then(|read| keys.verify(&read));
            assert!(verified.is_err(), "byte {place}");
        }
    }

    #[test]
    fn a_signature_over_the_bare_manifest_does_not_count() {
        use ed25519_dalek::Signer;
        let bytes = signed(&manifest(3), 1);
        let mut read = SignedManifest::decode(&bytes).unwrap();
        read.signature = signing_key(1).sign(read.manifest).to_bytes();
        assert!(trusted("k1", 1).verify(&read).is_err());
    }

    #[test]
    fn every_cut_of_the_envelope_is_named() {
        let bytes = signed(&manifest(3), 1);
        let head = 2 + 2 + SIGNATURE_BYTES;
        for cut in 0..=head {
            assert!(matches!(SignedManifest::decode(&bytes[..cut]), Err(SignatureError::CutOff { .. })), "{cut}");
        }
        let mut changed = bytes.clone();
        changed[0] = 2;
        assert_eq!(SignedManifest::decode(&changed), Err(SignatureError::Version { found: 2 }));
        changed[0] = SIGNED_VERSION;
        changed[1] = 0;
        assert_eq!(SignedManifest::decode(&changed), Err(SignatureError::KeyName));
        changed.resize(SIGNED_MANIFEST_BYTES + 1, 0);
        let error = SignatureError::TooLong { bytes: SIGNED_MANIFEST_BYTES + 1 };
        assert_eq!(SignedManifest::decode(&changed), Err(error));
    }

    #[test]
    fn a_key_file_reads_back_as_written() {
        let one = trusted("k1", 1).iter().next().unwrap().clone();
        let two = trusted("k2", 2).iter().next().unwrap().clone();
        let text = ["# the keys", "", &one.to_string(), &two.to_string()].join("\n");
        let keys = TrustedKeys::parse(&text).unwrap();
        assert_eq!(keys.iter().collect::<Vec<_>>(), [&one, &two]);
        let line = "lapwing-key-v1 k1 8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";
        assert_eq!(one.to_string(), line);
    }

    #[test]
    fn a_bad_key_file_says_which_line_is_wrong() {
        let good = trusted("k1", 1).iter().next().unwrap().to_string();
        let line = |text: &str| match TrustedKeys::parse(text) {
            Err(SignatureError::KeyFile { line, .. }) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!(line(&["", "lapwing-key-v2 k1 00"].join("\n")), 2);
        assert_eq!(line("lapwing-key-v1 a/b 00"), 1);
        assert_eq!(line("lapwing-key-v1 k1 00"), 1);
        assert_eq!(line(&[&good, " more"].concat()), 1);
        let twice = [good.as_str(), &good].join("\n");
        assert!(matches!(TrustedKeys::parse(&twice), Err(SignatureError::TooManyKeys(_))));
    }

    #[test]
    fn weak_keys_are_refused() {
        // The neutral element, under which anybody can make signatures.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let id: Name = "k1".try_into().unwrap();
        assert_eq!(TrustedKey::new(id.clone(), neutral), Err(SignatureError::BadKey(id)));
    }
}
