//! Root documents: which keys may sign releases and rollouts, signed with root keys that are kept offline.
//!
//! Bytes of a document: [`ROOT_VERSION`], then postcard; its version comes first. Bytes of a signed document:
//! [`SIGNED_ROOT_VERSION`], number of signatures (1 byte), each signature as public key (32 bytes) and Ed25519 signature
//! (64 bytes) over [`root_signing_bytes`], then the document.
//!
//! Bytes of a chain: [`CHAIN_VERSION`], then signed documents in ascending order of their versions, each after its length
//! (2 bytes, big-endian). It has the newest document, and every earlier one that changed the root keys: each document is
//! signed by the root keys before it and by its own, so an agent that was away for long can follow them.

use super::digest::sha256;
use super::framing::{self, FrameError};
use super::manifest::Name;
use super::name::{NAME_RULE, is_name};
use super::signature::SIGNATURE_BYTES;
use core::fmt;
use ed25519_dalek::{Signature, VerifyingKey};
use heapless::Vec;
use serde::{Deserialize, Serialize};

/// First byte of a document; readers reject any other value.
pub const ROOT_VERSION: u8 = 1;
/// First byte of a signed document.
pub const SIGNED_ROOT_VERSION: u8 = 1;
/// First byte of a chain.
pub const CHAIN_VERSION: u8 = 1;
/// Prefix of the signed bytes, before the digest.
pub const ROOT_PREFIX: &[u8; 16] = b"lapwing root v1\0";
/// Root keys of a document, at most.
pub const ROOT_KEYS: usize = 3;
/// Keys for releases and rollouts in a document, at most.
pub const GRANTS: usize = 16;
/// Signatures of a document, at most: those of the root keys before it and of its own.
pub const ROOT_SIGNATURES: usize = 2 * ROOT_KEYS;
/// Longest document, bytes.
pub const ROOT_BYTES: usize = 2_304;
/// Longest signed document, bytes.
pub const SIGNED_ROOT_BYTES: usize = 2 + ROOT_SIGNATURES * SIGNER_BYTES + ROOT_BYTES;
/// Longest chain, bytes.
pub const CHAIN_BYTES: usize = 8 * 1024;

/// Public key and signature, bytes.
const SIGNER_BYTES: usize = 32 + SIGNATURE_BYTES;

/// The bytes to sign for an encoded document: [`ROOT_PREFIX`], then its SHA-256.
pub fn root_signing_bytes(document: &[u8]) -> [u8; 48] {
    let mut bytes = [0; 48];
    let (prefix, digest) = bytes.split_at_mut(ROOT_PREFIX.len());
    prefix.copy_from_slice(ROOT_PREFIX);
    digest.copy_from_slice(&sha256(document));
    bytes
}

/// Whether the key of these bytes is valid and signed `message` (RFC 8032 §5.1, strict verification).
fn is_signed_by(public: &[u8; 32], message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
    let key = VerifyingKey::from_bytes(public).ok().filter(|key| !key.is_weak());
    key.is_some_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}

/// A key that signs root documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootKey {
    /// Its name, for people; the public key identifies it.
    pub name: Name,
    /// The public key.
    pub public: [u8; 32],
}

/// What a key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Manifests of releases.
    Release,
    /// Rollouts: which agents install which release.
    Rollout,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Release { "releases" } else { "rollouts" })
    }
}

/// A key with what it may sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Name of the key.
    pub name: Name,
    /// The public key.
    pub public: [u8; 32],
    /// What it signs.
    pub purpose: Purpose,
    /// The only group for which it signs. `None`: every group.
    pub group: Option<Name>,
    /// Time from which agents accept nothing new that it signs, seconds since the epoch; 0: never.
    pub until_s: u64,
    /// Highest version that it may sign; 0: no limit. A stolen key cannot raise the version of a group above it.
    pub ceiling: u64,
}

/// Which keys may sign, until a document with a higher version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootDocument {
    /// Its number; agents never go back to a lower one. It comes first, so that it is readable before the signatures are
    /// checked.
    pub version: u64,
    /// Creation time, seconds since the epoch.
    pub created_s: u64,
    /// Time from which its keys sign nothing new, seconds since the epoch; 0: never. Newer documents are accepted later, too.
    pub expires_s: u64,
    /// Number of root keys that must sign.
    pub threshold: u8,
    /// Keys that sign this document and the next one.
    pub roots: Vec<RootKey, ROOT_KEYS>,
    /// Keys for releases and rollouts, each name and each public key once: whoever withdraws a key by its name withdraws all of it.
    pub keys: Vec<Grant, GRANTS>,
}

/// Why a root document is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootError {
    /// The framing of a document or chain is invalid.
    Frame(FrameError),
    /// A field has an invalid value.
    Field {
        /// The field.
        field: &'static str,
        /// Expected value.
        expected: &'static str,
    },
    /// Too few of the root keys signed it.
    Unsigned {
        /// Version of the document.
        version: u64,
        /// Version of the document whose root keys did not sign it.
        by: u64,
    },
    /// The versions in a chain do not increase.
    Order,
    /// The chain ends before the document that the agent has.
    Older {
        /// Highest version in the chain.
        found: u64,
        /// Version that the agent has.
        held: u64,
    },
}

impl From<FrameError> for RootError {
    #[inline]
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("root document: ")?;
        match self {
            Self::Frame(error) => write!(f, "{error}"),
            Self::Field { field, expected } => write!(f, "invalid {field}, expected {expected}"),
            Self::Unsigned { version, by } => {
                write!(f, "version {version} is not signed by enough root keys of version {by}")
            }
            Self::Order => f.write_str("versions of the chain do not increase"),
            Self::Older { found, held } => write!(f, "version {found} is older than {held}, which is in use"),
        }
    }
}

impl core::error::Error for RootError {}

/// Version and keys, for people.
impl fmt::Display for RootDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {}:", self.version)?;
        for grant in &self.keys {
            write!(f, " {}", grant.name)?;
        }
        Ok(())
    }
}

impl RootDocument {
    /// Writes the document into `out`, for which [`ROOT_BYTES`] is always enough; returns the written part.
    ///
    /// # Errors
    /// [`RootError`] if a field is invalid or `out` is too small.
    pub fn encode<'a>(&self, out: &'a mut [u8]) -> Result<&'a [u8], RootError> {
        self.check()?;
        Ok(framing::encode(ROOT_VERSION, self, out)?)
    }

    /// Reads and checks a document, without its signatures.
    ///
    /// # Errors
    /// [`RootError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RootError> {
        let document: Self = framing::decode(ROOT_VERSION, bytes, ROOT_BYTES)?;
        document.check()?;
        Ok(document)
    }

    fn check(&self) -> Result<(), RootError> {
        let expect =
            |holds: bool, field, expected| if holds { Ok(()) } else { Err(RootError::Field { field, expected }) };
        expect(self.version >= 1, "version", "1 or more")?;
        let roots = &self.roots;
        expect((1..=roots.len()).contains(&usize::from(self.threshold)), "threshold", "1 to the number of root keys")?;
        let is_root_once = |key: &RootKey| roots.iter().filter(|other| other.public == key.public).count() == 1;
        expect(roots.iter().all(|key| is_name(&key.name) && is_root_once(key)), "roots", "different, named keys")?;
        // A root key that also signs releases would be online.
        let is_root = |grant: &Grant| roots.iter().any(|root| root.public == grant.public);
        let is_same = |one: &Grant, other: &Grant| one.name == other.name || one.public == other.public;
        let is_once = |grant: &Grant| self.keys.iter().filter(|other| is_same(grant, other)).count() == 1;
        let is_valid = |grant: &Grant| is_name(&grant.name) && is_once(grant) && !is_root(grant);
        expect(self.keys.iter().all(is_valid), "keys", "different keys and names, and no root keys")?;
        let has_group = |grant: &Grant| grant.group.as_ref().is_none_or(|group| is_name(group));
        expect(self.keys.iter().all(has_group), "group", NAME_RULE)
    }

    /// The key of this name.
    pub fn grant(&self, name: &Name) -> Option<&Grant> {
        self.keys.iter().find(|grant| grant.name == *name)
    }
}

/// An encoded document with its signatures, not verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedRoot<'a> {
    signatures: &'a [u8],
    /// The encoded document.
    pub document: &'a [u8],
}

impl<'a> SignedRoot<'a> {
    /// Splits the bytes into their parts, without verifying the signatures.
    ///
    /// # Errors
    /// [`RootError::Frame`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RootError> {
        if bytes.len() > SIGNED_ROOT_BYTES {
            return Err(FrameError::TooLong { bytes: bytes.len(), limit: SIGNED_ROOT_BYTES }.into());
        }
        let (&[found, count], rest) = bytes.split_first_chunk().ok_or(FrameError::Malformed)?;
        if found != SIGNED_ROOT_VERSION {
            return Err(FrameError::Version { found, expected: SIGNED_ROOT_VERSION }.into());
        }
        let count = Some(usize::from(count)).filter(|count| *count <= ROOT_SIGNATURES);
        let parts = count.and_then(|count| rest.split_at_checked(count * SIGNER_BYTES));
        let (signatures, document) = parts.ok_or(FrameError::Malformed)?;
        Ok(Self { signatures, document })
    }

    /// Public keys and signatures.
    pub fn signatures(&self) -> impl Iterator<Item = (&'a [u8; 32], &'a [u8; SIGNATURE_BYTES])> {
        let part = |signer: &'a [u8]| {
            let (public, signature) = signer.split_first_chunk()?;
            Some((public, signature.first_chunk()?))
        };
        self.signatures.chunks_exact(SIGNER_BYTES).filter_map(part)
    }

    /// Version of the document, before its signatures are checked.
    ///
    /// # Errors
    /// [`RootError::Frame`].
    pub fn version(&self) -> Result<u64, RootError> {
        Ok(framing::decode_prefix(ROOT_VERSION, self.document, ROOT_BYTES)?.0)
    }

    /// Whether enough root keys of `by` signed this document. Verifies at most one signature for each root key.
    pub fn is_signed_by(&self, by: &RootDocument) -> bool {
        let signed = root_signing_bytes(self.document);
        let has_signed = |root: &&RootKey| {
            let own = self.signatures().find(|(public, _)| **public == root.public);
            own.is_some_and(|(public, signature)| is_signed_by(public, &signed, signature))
        };
        by.roots.iter().filter(has_signed).count() >= usize::from(by.threshold)
    }

    /// The document, if the root keys of `trusted` and its own signed it. Nothing of it but its version is decoded before
    /// those of `trusted` are verified.
    ///
    /// # Errors
    /// [`RootError`].
    pub fn verify(&self, trusted: &RootDocument) -> Result<RootDocument, RootError> {
        if !self.is_signed_by(trusted) {
            return Err(RootError::Unsigned { version: self.version()?, by: trusted.version });
        }
        self.first_trusted()
    }

    /// The document, if its own root keys signed it: the first one that an agent has, which came with its identity or its
    /// configuration.
    ///
    /// # Errors
    /// [`RootError`].
    pub fn first_trusted(&self) -> Result<RootDocument, RootError> {
        let document = RootDocument::decode(self.document)?;
        if self.is_signed_by(&document) {
            return Ok(document);
        }
        Err(RootError::Unsigned { version: document.version, by: document.version })
    }
}

/// Follows a chain from the document that an agent has to the newest one: that document and its signed bytes, or `None` if
/// the chain has no newer one. Time has no part in this: an agent without a clock must learn of a withdrawal, and so must one
/// whose document has expired.
///
/// # Errors
/// [`RootError`]; the agent then keeps its document.
pub fn follow<'a>(held: &RootDocument, chain: &'a [u8]) -> Result<Option<(RootDocument, &'a [u8])>, RootError> {
    let mut newest: Option<(RootDocument, &[u8])> = None;
    let mut last = 0;
    let mut documents = ChainDocuments::new(chain)?;
    while let Some(bytes) = documents.next().transpose()? {
        let signed = SignedRoot::decode(bytes)?;
        let version = signed.version()?;
        if version <= last {
            return Err(RootError::Order);
        }
        last = version;
        let trusted = newest.as_ref().map_or(held, |(document, _)| document);
        if version > trusted.version {
            newest = Some((signed.verify(trusted)?, bytes));
        }
    }
    if last < held.version {
        return Err(RootError::Older { found: last, held: held.version });
    }
    Ok(newest)
}

/// The signed documents of a chain, not verified; ends after an error.
pub struct ChainDocuments<'a> {
    rest: &'a [u8],
}

impl<'a> ChainDocuments<'a> {
    /// Begins to read a chain.
    ///
    /// # Errors
    /// [`RootError::Frame`].
    pub fn new(chain: &'a [u8]) -> Result<Self, RootError> {
        if chain.len() > CHAIN_BYTES {
            return Err(FrameError::TooLong { bytes: chain.len(), limit: CHAIN_BYTES }.into());
        }
        match chain.split_first() {
            Some((&CHAIN_VERSION, rest)) => Ok(Self { rest }),
            Some((&found, _)) => Err(FrameError::Version { found, expected: CHAIN_VERSION }.into()),
            None => Err(FrameError::Empty.into()),
        }
    }

    fn split(&self) -> Option<(&'a [u8], &'a [u8])> {
        let (length, rest) = self.rest.split_first_chunk()?;
        rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
    }
}

impl<'a> Iterator for ChainDocuments<'a> {
    type Item = Result<&'a [u8], RootError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Some((document, rest)) = self.split() else {
            self.rest = &[];
            return Some(Err(FrameError::Malformed.into()));
        };
        self.rest = rest;
        Some(Ok(document))
    }
}

#[cfg(test)]
#[path = "root_tests.rs"]
mod tests;
