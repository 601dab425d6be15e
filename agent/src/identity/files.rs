//! The two files ↔ identity and pending enrolment.

use crate::disk::Disk;
use lapwing_shared::enrolment::{ADDRESS_BYTES, AgentKey, Enrolled, MESSAGE_BYTES_LIMIT, TOKEN_BYTES};
use lapwing_shared::messages::AgentName;
use lapwing_shared::release::framing::{self, FrameError};
use lapwing_shared::release::manifest::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;

/// Names of the files.
pub(crate) const FILES: [&str; 2] = [IDENTITY, PENDING];
const IDENTITY: &str = "identity";
const PENDING: &str = "enrolment";
/// First byte of both files.
const VERSION: u8 = 1;
/// Longest file, bytes.
const FILE_BYTES: usize = 2 * MESSAGE_BYTES_LIMIT + 256;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("cannot read {file} in the state folder: {source}")]
    Read { file: &'static str, source: io::Error },
    #[error("cannot write {file} in the state folder: {source}; free some space and run `lapwing-agent enroll` again")]
    Write { file: &'static str, source: io::Error },
    #[error("{file} in the state folder is damaged ({source}); enrol again with a new token")]
    Damaged { file: &'static str, source: FrameError },
}

/// An agent's name, key and certificate, and what it needs to work.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Name in the certificate.
    pub(crate) name: AgentName,
    /// The secret key.
    seed: [u8; 32],
    /// SHA-256 of the key of the authority that issued the certificate.
    pub(crate) authority: Digest,
    /// Address of the enrolment port.
    pub(crate) address: heapless::String<ADDRESS_BYTES>,
    /// The trainer's response.
    pub(crate) enrolled: Enrolled,
    /// The response before it, until a broker has accepted the certificate of the newest.
    pub(crate) previous: Option<Box<Enrolled>>,
}

/// Omits the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "identity {}", self.name)
    }
}

impl Identity {
    pub(super) fn new(pending: &Pending, authority: Digest, address: &str, enrolled: Enrolled) -> Self {
        // The address is of a token or of an identity.
        let address = heapless::String::try_from(address).unwrap_or_default();
        Self { name: pending.name.clone(), seed: pending.seed, authority, address, enrolled, previous: None }
    }

    /// The same identity with a newer response. The last one that a broker may have accepted is kept.
    pub(super) fn with(mut self, mut enrolled: Enrolled) -> Self {
        // Responses over MQTT have no key for seals, and an older trainer gives none.
        enrolled.seal = enrolled.seal.or_else(|| self.enrolled.seal.clone());
        let last = std::mem::replace(&mut self.enrolled, enrolled);
        self.previous.get_or_insert_with(|| Box::new(last));
        self
    }

    /// The identity with its last certificate.
    pub(crate) fn before(&self) -> Option<Self> {
        let enrolled = self.previous.as_deref()?.clone();
        Some(Self { enrolled, previous: None, ..self.clone() })
    }

    /// Whether a response has a certificate of this identity's key.
    pub(super) fn has_key_of(&self, enrolled: &Enrolled) -> bool {
        has_key(enrolled, &self.key())
    }

    /// Whether a running agent with this identity can continue with another one. It cannot under another name, or with what
    /// another trainer granted to another key.
    pub(crate) fn fits(&self, other: &Self) -> bool {
        let (own, others) = (&self.enrolled, &other.enrolled);
        let has_same_grants =
            || (&own.brokers, &own.group, &own.keys) == (&others.brokers, &others.group, &others.keys);
        self.name == other.name && (self.seed == other.seed || has_same_grants())
    }

    /// When to ask for the next certificate: after two thirds of the life of the present one, and up to a 24th later, so that
    /// agents that were enrolled together spread.
    pub(crate) fn renew_from_s(&self) -> u64 {
        let Enrolled { issued_s, until_s, .. } = self.enrolled;
        let life_s = until_s.saturating_sub(issued_s);
        let [spread, ..] = self.key().public();
        issued_s + life_s / 3 * 2 + life_s / 24 / 256 * u64::from(spread)
    }

    /// The key.
    pub(crate) fn key(&self) -> AgentKey {
        AgentKey::from_seed(&self.seed)
    }

    pub(super) fn pending(&self) -> Pending {
        Pending { token: heapless::String::new(), name: self.name.clone(), seed: self.seed }
    }
}

/// Whether a response has a certificate of this key.
pub(super) fn has_key(enrolled: &Enrolled, key: &AgentKey) -> bool {
    let public = key.public();
    enrolled.certificate.windows(public.len()).any(|part| part == public)
}

/// An enrolment that has begun.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// The token; empty for an agent that renews its certificate.
    pub(super) token: heapless::String<TOKEN_BYTES>,
    pub(super) name: AgentName,
    pub(super) seed: [u8; 32],
}

/// The identity, if the agent is enrolled.
///
/// # Errors
/// [`IdentityError::Read`], [`IdentityError::Damaged`].
pub(crate) fn read(disk: &mut impl Disk) -> Result<Option<Identity>, IdentityError> {
    read_file(disk, IDENTITY)
}

/// The enrolment that has begun, if there is one.
pub(super) fn read_pending(disk: &mut impl Disk) -> Result<Option<Pending>, IdentityError> {
    read_file(disk, PENDING)
}

pub(super) fn write_pending(disk: &mut impl Disk, pending: &Pending) -> Result<(), IdentityError> {
    write_file(disk, PENDING, pending)
}

pub(super) fn write(disk: &mut impl Disk, identity: &Identity) -> Result<(), IdentityError> {
    write_file(disk, IDENTITY, identity)
}

pub(super) fn remove_pending(disk: &mut impl Disk) -> Result<(), IdentityError> {
    let removed = disk.remove(PENDING).and_then(|()| disk.sync_folder(PENDING));
    removed.map_err(|source| IdentityError::Write { file: PENDING, source })
}

fn read_file<T: DeserializeOwned>(disk: &mut impl Disk, file: &'static str) -> Result<Option<T>, IdentityError> {
    let bytes = disk.read(file, FILE_BYTES).map_err(|source| IdentityError::Read { file, source })?;
    let decode = |bytes: Vec<u8>| framing::decode(VERSION, &bytes, FILE_BYTES);
    bytes.map(decode).transpose().map_err(|source| IdentityError::Damaged { file, source })
}

fn write_file<T: Serialize>(disk: &mut impl Disk, file: &'static str, value: &T) -> Result<(), IdentityError> {
    let mut room = vec![0; FILE_BYTES];
    let bytes = framing::encode(VERSION, value, &mut room).map_err(|source| IdentityError::Damaged { file, source })?;
    disk.replace(file, bytes).map_err(|source| IdentityError::Write { file, source })
}
