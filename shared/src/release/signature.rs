//! Manifest bytes ↔ signed manifest, and key file → trusted keys.
//!
//! Bytes of a signed manifest: [`SIGNED_VERSION`], length of the key name (1 byte), key name, signature (64 bytes),
//! encoded manifest. The signature is Ed25519 (RFC 8032 §5.1, strict verification) over [`signing_bytes`]: a prefix
//! unique to this use of the key, then the manifest's SHA-256, so that verification needs no copy of the manifest.

use super::digest::{Hex, parse_digest, sha256};
use super::manifest::{MANIFEST_BYTES, Name};
use super::name::parse_name;
use core::fmt;
use ed25519_dalek::{Signature, VerifyingKey};
use heapless::Vec;

/// First byte of a signed manifest; readers reject any other value.
pub const SIGNED_VERSION: u8 = 1;
/// Prefix of the signed bytes, before the digest.
pub const SIGNING_PREFIX: &[u8; 19] = b"lapwing release v1\0";
/// Length of a signature, bytes.
pub const SIGNATURE_BYTES: usize = 64;
/// Largest encoded signed manifest, bytes.
pub const SIGNED_MANIFEST_BYTES: usize = 2 + 32 + SIGNATURE_BYTES + MANIFEST_BYTES;
/// Limit on trusted keys: the current one and its successor, for two signers.
pub const TRUSTED_KEYS: usize = 4;

/// The bytes to sign for an encoded manifest: [`SIGNING_PREFIX`], then its SHA-256.
pub fn signing_bytes(manifest: &[u8]) -> [u8; 51] {
    let mut bytes = [0; 51];
    let (prefix, digest) = bytes.split_at_mut(SIGNING_PREFIX.len());
    prefix.copy_from_slice(SIGNING_PREFIX);
    digest.copy_from_slice(&sha256(manifest));
    bytes
}

/// Error in a signed manifest, a key or a key file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// Unknown format version.
    Version {
        /// First byte.
        found: u8,
    },
    /// Longer than [`SIGNED_MANIFEST_BYTES`].
    TooLong {
        /// Its length, bytes.
        bytes: usize,
    },
    /// Truncated in this part.
    Truncated {
        /// The part.
        part: &'static str,
    },
    /// Invalid key name.
    KeyName,
    /// The caller's buffer is too small.
    NoRoom,
    /// No trusted key has this name.
    UnknownKey(Name),
    /// The signature does not match this key and manifest.
    Wrong(Name),
    /// The key is not a point on the curve, or a weak one.
    BadKey(Name),
    /// Invalid line in a key file.
    KeyFile {
        /// Line, from 1.
        line: usize,
        /// Expected content.
        expected: &'static str,
    },
    /// More than [`TRUSTED_KEYS`] keys, or a duplicate name.
    TooManyKeys(Name),
    /// The key must not sign releases from this source.
    OtherUse {
        /// Name of the key.
        key: Name,
        /// Source of the release.
        source: Source,
    },
    /// The key signs releases of one group, and this is another.
    OtherGroup {
        /// Name of the key.
        key: Name,
        /// Group of the release.
        found: Name,
    },
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { found } => write!(f, "signed manifest: format version {found}, expected {SIGNED_VERSION}"),
            Self::TooLong { bytes } => {
                write!(f, "signed manifest: {bytes} bytes long, expected at most {SIGNED_MANIFEST_BYTES}")
            }
            Self::Truncated { part } => write!(f, "signed manifest: truncated in the {part}"),
            Self::KeyName => write!(
                f,
                "signed manifest: invalid key name, expected 1 to 32 of a-z A-Z 0-9 - _ . with a letter or digit first"
            ),
            Self::NoRoom => write!(f, "signed manifest: does not fit the buffer"),
            Self::UnknownKey(key) => write!(f, "signed with key {key}, which is not among the trusted keys"),
            Self::Wrong(key) => {
                write!(f, "signature does not match: not made with key {key}, or the manifest was changed")
            }
            Self::BadKey(key) => write!(f, "key {key} is not a safe Ed25519 public key; create a new one"),
            Self::KeyFile { line, expected } => write!(f, "key file: invalid line {line}, expected {expected}"),
            Self::TooManyKeys(key) => {
                write!(f, "key {key} is a duplicate or one too many, expected at most {TRUSTED_KEYS} different keys")
            }
            Self::OtherUse { key, source } => {
                write!(f, "key {key} is not trusted for releases from {source} (`use=` in its key file)")
            }
            Self::OtherGroup { key, found } => {
                write!(f, "key {key} does not sign releases of group {found} (key file or root document)")
            }
        }
    }
}

impl core::error::Error for SignatureError {}

/// An encoded manifest with its signature, not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedManifest<'a> {
    /// Name of the signing key.
    pub key: Name,
    /// Ed25519 signature over [`signing_bytes`].
    pub signature: [u8; SIGNATURE_BYTES],
    /// The encoded manifest.
    pub manifest: &'a [u8],
}

impl<'a> SignedManifest<'a> {
    /// Writes it into `out`, for which [`SIGNED_MANIFEST_BYTES`] is always enough; returns the written part.
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

    /// Splits the bytes into their parts, without verifying the signature.
    ///
    /// # Errors
    /// [`SignatureError`] for version, length or key name.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Self, SignatureError> {
        if bytes.len() > SIGNED_MANIFEST_BYTES {
            return Err(SignatureError::TooLong { bytes: bytes.len() });
        }
        let (version, rest) = bytes.split_first().ok_or(SignatureError::Truncated { part: "version" })?;
        if *version != SIGNED_VERSION {
            return Err(SignatureError::Version { found: *version });
        }
        let (length, rest) = rest.split_first().ok_or(SignatureError::Truncated { part: "key name" })?;
        let named = rest.split_at_checked(usize::from(*length));
        let (key, rest) = named.ok_or(SignatureError::Truncated { part: "key name" })?;
        let key = core::str::from_utf8(key).ok().and_then(parse_name).ok_or(SignatureError::KeyName)?;
        let (signature, manifest) = rest.split_first_chunk().ok_or(SignatureError::Truncated { part: "signature" })?;
        if manifest.is_empty() {
            return Err(SignatureError::Truncated { part: "manifest" });
        }
        Ok(Self { key, signature: *signature, manifest })
    }
}

/// Where a release comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file on this machine.
    File,
    /// The broker, directly or through the state folder.
    Broker,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::File { "files" } else { "the broker" })
    }
}

/// Releases that a key may sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyUse {
    /// The key file does not say: releases from any source, with a warning.
    #[default]
    Unstated,
    /// `use=any`: releases from any source.
    Any,
    /// `use=file` or `use=broker`: releases from one source.
    Only(Source),
}

impl KeyUse {
    /// Parses the word after `use=`.
    #[inline]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "any" => Some(Self::Any),
            "file" => Some(Self::Only(Source::File)),
            "broker" => Some(Self::Only(Source::Broker)),
            _ => None,
        }
    }

    const fn word(self) -> Option<&'static str> {
        match self {
            Self::Unstated => None,
            Self::Any => Some("any"),
            Self::Only(Source::File) => Some("file"),
            Self::Only(Source::Broker) => Some("broker"),
        }
    }
}

/// A valid public key with its name, and the releases that it may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    id: Name,
    public: VerifyingKey,
    key_use: KeyUse,
    group: Option<Name>,
}

impl TrustedKey {
    /// Start of a key's line in a key file.
    pub const TAG: &'static str = "lapwing-key-v1";

    /// Validates the key.
    ///
    /// # Errors
    /// [`SignatureError::KeyName`], [`SignatureError::BadKey`].
    #[inline]
    pub fn new(id: Name, public: [u8; 32]) -> Result<Self, SignatureError> {
        let id = parse_name(&id).ok_or(SignatureError::KeyName)?;
        match VerifyingKey::from_bytes(&public) {
            Ok(public) if !public.is_weak() => Ok(Self { id, public, key_use: KeyUse::Unstated, group: None }),
            _ => Err(SignatureError::BadKey(id)),
        }
    }

    /// Restricts the key to a source and, if there is one, a group.
    #[must_use]
    pub fn bound(self, key_use: KeyUse, group: Option<Name>) -> Self {
        Self { key_use, group, ..self }
    }

    /// Releases that it may sign.
    pub fn key_use(&self) -> KeyUse {
        self.key_use
    }

    /// Checks that it may sign a release of this source and group.
    ///
    /// # Errors
    /// [`SignatureError::OtherUse`], [`SignatureError::OtherGroup`].
    pub fn may_sign(&self, source: Source, group: &Name) -> Result<(), SignatureError> {
        if matches!(self.key_use, KeyUse::Only(only) if only != source) {
            return Err(SignatureError::OtherUse { key: self.id.clone(), source });
        }
        match &self.group {
            Some(own) if own != group => Err(SignatureError::OtherGroup { key: self.id.clone(), found: group.clone() }),
            _ => Ok(()),
        }
    }

    /// The key's name.
    pub fn id(&self) -> &Name {
        &self.id
    }

    /// The only group whose releases it signs, if it is bound to one.
    pub fn group(&self) -> Option<&Name> {
        self.group.as_ref()
    }

    /// The public key's 32 bytes.
    pub fn public(&self) -> [u8; 32] {
        self.public.to_bytes()
    }
}

/// The key's line in a key file: `lapwing-key-v1 NAME 64-HEX-DIGITS [use=any|file|broker] [group=NAME]`.
impl fmt::Display for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", Self::TAG, self.id, Hex(self.public.as_bytes()))?;
        if let Some(word) = self.key_use.word() {
            write!(f, " use={word}")?;
        }
        self.group.as_ref().map_or(Ok(()), |group| write!(f, " group={group}"))
    }
}

/// The keys that may sign releases. Without keys no release is accepted.
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

    /// Parses a key file: one key per line, as displayed by [`TrustedKey`]. Empty lines and lines starting with `#` are
    /// ignored.
    ///
    /// # Errors
    /// [`SignatureError::KeyFile`] with the line, [`SignatureError::BadKey`], [`SignatureError::TooManyKeys`].
    #[inline]
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

    /// Verifies the signature.
    ///
    /// # Errors
    /// [`SignatureError::UnknownKey`], [`SignatureError::Wrong`].
    #[inline]
    pub fn verify(&self, signed: &SignedManifest<'_>) -> Result<(), SignatureError> {
        self.signer(signed).map(|_| ())
    }

    /// Verifies the signature; returns the key that made it, whose [`TrustedKey::may_sign`] the caller checks.
    ///
    /// # Errors
    /// As [`Self::verify`].
    #[inline]
    pub fn signer(&self, signed: &SignedManifest<'_>) -> Result<&TrustedKey, SignatureError> {
        let key = self.get(&signed.key).ok_or_else(|| SignatureError::UnknownKey(signed.key.clone()))?;
        let signature = Signature::from_bytes(&signed.signature);
        let verified = key.public.verify_strict(&signing_bytes(signed.manifest), &signature);
        verified.map(|()| key).map_err(|_| SignatureError::Wrong(signed.key.clone()))
    }

    fn get(&self, id: &Name) -> Option<&TrustedKey> {
        self.keys.iter().find(|key| key.id == *id)
    }
}

fn parse_line(line: &str, number: usize) -> Result<TrustedKey, SignatureError> {
    let invalid = |expected| SignatureError::KeyFile { line: number, expected };
    let mut words = line.split_ascii_whitespace();
    if words.next() != Some(TrustedKey::TAG) {
        return Err(invalid("lapwing-key-v1 at its start"));
    }
    let id = words
        .next()
        .and_then(parse_name)
        .ok_or(invalid("a key name of 1 to 32 of a-z A-Z 0-9 - _ . with a letter or digit first"))?;
    let public = words.next().and_then(parse_digest).ok_or(invalid("64 lower-case hex digits"))?;
    let (mut key_use, mut group) = (KeyUse::Unstated, None);
    for word in words {
        match word.split_once('=') {
            Some(("use", word)) if key_use == KeyUse::Unstated => {
                key_use = KeyUse::parse(word).ok_or(invalid("use=any, use=file or use=broker"))?;
            }
            Some(("group", name)) if group.is_none() => {
                group = Some(parse_name(name).ok_or(invalid("a group name of 1 to 32 of a-z A-Z 0-9 - _ ."))?);
            }
            _ => return Err(invalid("only use=any|file|broker and group=NAME after the key, each once")),
        }
    }
    Ok(TrustedKey::new(id, public)?.bound(key_use, group))
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
    fn a_changed_signed_manifest_does_not_verify() {
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
    fn a_signature_over_the_bare_manifest_does_not_verify() {
        use ed25519_dalek::Signer;
        let bytes = signed(&manifest(3), 1);
        let mut read = SignedManifest::decode(&bytes).unwrap();
        read.signature = signing_key(1).sign(read.manifest).to_bytes();
        assert!(trusted("k1", 1).verify(&read).is_err());
    }

    #[test]
    fn a_truncated_envelope_is_rejected() {
        let bytes = signed(&manifest(3), 1);
        let head = 2 + 2 + SIGNATURE_BYTES;
        for cut in 0..=head {
            assert!(matches!(SignedManifest::decode(&bytes[..cut]), Err(SignatureError::Truncated { .. })), "{cut}");
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
    fn a_key_file_round_trips() {
        let one = trusted("k1", 1).iter().next().unwrap().clone();
        let two = trusted("k2", 2).iter().next().unwrap().clone();
        let text = ["# the keys", "", &one.to_string(), &two.to_string()].join("\n");
        let keys = TrustedKeys::parse(&text).unwrap();
        assert_eq!(keys.iter().collect::<Vec<_>>(), [&one, &two]);
        let line = "lapwing-key-v1 k1 8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";
        assert_eq!(one.to_string(), line);
    }

    #[test]
    fn a_key_file_may_bind_a_key_to_a_source_and_a_group() {
        let plain = trusted("k1", 1).iter().next().unwrap().to_string();
        let key = |words: &str| TrustedKeys::parse(&[&plain, words].concat()).unwrap().iter().next().unwrap().clone();
        let (home, work): (Name, Name) = ("home".try_into().unwrap(), "work".try_into().unwrap());
        for (words, file, broker, other_group) in [
            ("", true, true, true),
            (" use=any", true, true, true),
            (" use=file", true, false, false),
            (" use=broker group=home", false, true, false),
        ] {
            let key = key(words);
            assert_eq!(key.to_string(), [&plain, words].concat());
            assert_eq!(key.may_sign(Source::File, &home).is_ok(), file, "{words}");
            assert_eq!(key.may_sign(Source::Broker, &home).is_ok(), broker, "{words}");
            assert_eq!(key.may_sign(Source::Broker, &work).is_ok(), other_group, "{words}");
        }
        assert_eq!(key("").key_use(), KeyUse::Unstated);
        for words in [" use=all", " use=any use=any", " group=a/b", " group=", " since=2026"] {
            assert!(matches!(
                TrustedKeys::parse(&[&plain, words].concat()),
                Err(SignatureError::KeyFile { line: 1, .. })
            ));
        }
    }

    #[test]
    fn an_invalid_key_file_gives_the_line() {
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
    fn weak_keys_are_rejected() {
        // The neutral element, for which anyone can create signatures.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let id: Name = "k1".try_into().unwrap();
        assert_eq!(TrustedKey::new(id.clone(), neutral), Err(SignatureError::BadKey(id)));
    }
}
