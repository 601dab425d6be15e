//! Signed manifest → [`Verified`], proof that this release may be downloaded, or the reason for rejecting it.
//!
//! A trial additionally requires [`Verified::with_artifact`] and [`super::golden::check_golden`].

use super::ManifestError;
use super::digest::sha256;
use super::manifest::{Artifact, ArtifactForm, Digest, Manifest, Name};
use super::refusal_text::{ARTIFACT, FORM, SCHEMA};
use super::root::{Grant, Purpose, RootDocument};
use super::signature::{KeyUse, SignatureError, SignedManifest, Source, TrustedKey, TrustedKeys};
use super::update::UpdateState;
use crate::features::SchemaId;
use crate::units::Utc;
use core::fmt;

/// Most by which a new version may exceed the highest confirmed one. Without a bound, one signed release with the
/// largest version would leave no number for any later release of the group.
pub const VERSION_STEP: u64 = 1 << 20;

/// Acceptance terms of an agent.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Trusted keys of key files; for releases from the broker, the keys of the root document replace them.
    pub keys: TrustedKeys,
    /// The newest root document, if the agent has one.
    pub root: Option<RootDocument>,
    /// The agent's group.
    pub group: Name,
    /// Feature schema of the agent.
    pub schema: SchemaId,
    /// Artifact form of the agent's engine.
    pub form: ArtifactForm,
}

/// Reason for rejecting a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Invalid envelope, key or signature.
    Signature(SignatureError),
    /// Signed, but invalid manifest.
    Manifest(ManifestError),
    /// The release is for another group.
    Group {
        /// Group of the release.
        found: Name,
        /// The agent's group.
        expected: Name,
    },
    /// The version is not above the highest ever confirmed: a replayed old release.
    NotNewer {
        /// Its version.
        found: u64,
        /// Highest version ever confirmed here.
        confirmed: u64,
    },
    /// The version is below the highest floor of the manifests that were accepted here.
    BelowFloor {
        /// Its version.
        found: u64,
        /// The floor.
        floor: u64,
    },
    /// The version is more than [`VERSION_STEP`] above the highest ever confirmed.
    TooFarAhead {
        /// Its version.
        found: u64,
        /// Highest version that is accepted now.
        limit: u64,
    },
    /// This version was rejected or rolled back here before; only a higher one is accepted.
    RefusedBefore {
        /// Its version.
        version: u64,
    },
    /// The release has expired.
    Expired {
        /// Expiry, seconds since the epoch.
        expires_s: u64,
        /// Current time, seconds since the epoch.
        now_s: u64,
    },
    /// The key signs nothing new: it or the root document has ended.
    KeyEnded {
        /// Its end, seconds since the epoch.
        until_s: u64,
    },
    /// The key may not sign versions as high as this.
    AboveCeiling {
        /// Version of the release.
        found: u64,
        /// Highest version that the key may sign.
        ceiling: u64,
    },
    /// The network uses another feature schema than the agent.
    Schema,
    /// No artifact in the form of the agent's engine.
    Form(ArtifactForm),
    /// The artifact does not match the manifest.
    Artifact,
}

impl From<SignatureError> for Refusal {
    fn from(error: SignatureError) -> Self {
        Self::Signature(error)
    }
}

impl From<ManifestError> for Refusal {
    fn from(error: ManifestError) -> Self {
        Self::Manifest(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature(error) => write!(f, "{error}"),
            Self::Manifest(error) => write!(f, "{error}"),
            Self::Group { found, expected } => write!(f, "release is for group {found}, expected {expected}"),
            Self::NotNewer { found, confirmed } => {
                write!(f, "release version {found} is not above {confirmed}, the highest ever confirmed")
            }
            Self::BelowFloor { found, floor } => {
                write!(f, "release version {found} is below {floor}, the floor of a release that was accepted here")
            }
            Self::TooFarAhead { found, limit } => {
                write!(
                    f,
                    "release version {found} is too far ahead, expected at most {limit}; number releases 1, 2, 3, …"
                )
            }
            Self::RefusedBefore { version } => {
                write!(f, "release version {version} failed on this agent before; publish a higher version")
            }
            Self::Expired { expires_s, now_s } => {
                write!(f, "release expired at {} UTC, now {} UTC", Utc(*expires_s), Utc(*now_s))
            }
            Self::KeyEnded { until_s } => {
                write!(f, "the signing key or the root document ended at {} UTC", Utc(*until_s))
            }
            Self::AboveCeiling { found, ceiling } => {
                write!(f, "release version {found} is above {ceiling}, the highest that its key may sign")
            }
            Self::Schema => f.write_str(SCHEMA),
            Self::Form(form) => write!(f, "{FORM}{form:?}, which this engine needs"),
            Self::Artifact => f.write_str(ARTIFACT),
        }
    }
}

impl core::error::Error for Refusal {}

/// A release that passed the checks of [`accept`] or [`accept_held`].
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    manifest: Manifest,
    digest: Digest,
    artifact: Artifact,
}

impl Verified {
    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the encoded manifest, the identity of the release.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The artifact for the agent's engine.
    pub fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    /// Compares an artifact's bytes with the manifest.
    ///
    /// # Errors
    /// [`Refusal::Artifact`].
    pub fn with_artifact(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let matches = bytes.len() == self.artifact.size_bytes as usize && sha256(bytes) == self.artifact.sha256;
        if matches { Ok(()) } else { Err(Refusal::Artifact) }
    }

    /// Returns the manifest.
    pub fn into_manifest(self) -> Manifest {
        self.manifest
    }
}

/// Checks a new release. `now_s` is the wall clock in seconds since the epoch, `None` if it is not set. The expiry is
/// then not enforced, because a gateway without a battery-backed clock must be able to update; the version check still
/// rejects old releases.
///
/// # Errors
/// The first [`Refusal`], in the order: envelope, key, signature, manifest, use of the key, group, version, refused
/// before, expiry, terms of the key, schema, form.
#[inline]
pub fn accept(bytes: &[u8], terms: &Terms, state: &UpdateState, now_s: Option<u64>) -> Result<Verified, Refusal> {
    let (manifest, digest, grant) = read_signed(bytes, terms, Source::Broker)?;
    check_group(&manifest, terms)?;
    let (found, confirmed) = (manifest.version, state.highest_confirmed);
    if found <= confirmed {
        return Err(Refusal::NotNewer { found, confirmed });
    }
    let limit = confirmed.saturating_add(VERSION_STEP);
    if found > limit {
        return Err(Refusal::TooFarAhead { found, limit });
    }
    if state.refused.is_some_and(|refused| refused.version == found) {
        return Err(Refusal::RefusedBefore { version: found });
    }
    let expires_s = manifest.expires_s;
    match now_s {
        Some(now_s) if now_s >= expires_s => return Err(Refusal::Expired { expires_s, now_s }),
        _ => {}
    }
    if let (Some(grant), Some(root)) = (grant, &terms.root) {
        check_grant(grant, root, found, now_s)?;
    }
    check_fit(manifest, digest, terms)
}

fn check_group(manifest: &Manifest, terms: &Terms) -> Result<(), Refusal> {
    if manifest.group == terms.group {
        return Ok(());
    }
    Err(Refusal::Group { found: manifest.group.clone(), expected: terms.group.clone() })
}

/// Checks a release below the highest confirmed version, to which a signed rollout sends the agent back. Its time may have
/// ended since it was made, and that of its key; the rollout is new.
///
/// # Errors
/// [`Refusal`]; [`Refusal::NotNewer`] for another version than `named`.
#[inline]
pub fn accept_way_back(bytes: &[u8], terms: &Terms, state: &UpdateState, named: u64) -> Result<Verified, Refusal> {
    let (manifest, digest, grant) = read_signed(bytes, terms, Source::Broker)?;
    check_group(&manifest, terms)?;
    let found = manifest.version;
    if found != named {
        return Err(Refusal::NotNewer { found, confirmed: state.highest_confirmed });
    }
    if state.refused.is_some_and(|refused| refused.version == found) {
        return Err(Refusal::RefusedBefore { version: found });
    }
    if let (Some(grant), Some(root)) = (grant, &terms.root) {
        check_grant(grant, root, found, None)?;
    }
    check_fit(manifest, digest, terms)
}

/// Checks what the root document says of a key that signed a new release.
fn check_grant(grant: &Grant, root: &RootDocument, found: u64, now_s: Option<u64>) -> Result<(), Refusal> {
    let ended = |until_s: &u64| *until_s != 0 && now_s.is_some_and(|now_s| now_s >= *until_s);
    if let Some(until_s) = [grant.until_s, root.expires_s].into_iter().find(ended) {
        return Err(Refusal::KeyEnded { until_s });
    }
    match grant.ceiling {
        0 => Ok(()),
        ceiling if found <= ceiling => Ok(()),
        ceiling => Err(Refusal::AboveCeiling { found, ceiling }),
    }
}

/// Checks a release on the agent's own disk: everything but group, version and expiry, which apply to new releases only
/// (a confirmed release stays in use).
///
/// # Errors
/// [`Refusal`], also if the signing key is no longer trusted for releases from `source`.
#[inline]
pub fn accept_held(bytes: &[u8], terms: &Terms, source: Source) -> Result<Verified, Refusal> {
    let (manifest, digest, _) = read_signed(bytes, terms, source)?;
    check_fit(manifest, digest, terms)
}

/// Reads a release file's manifest **without checking its signature**, to inspect a file given on the command line.
/// Never use it for data from the network.
///
/// # Errors
/// [`Refusal`], but never for the signature.
pub fn accept_without_checking_the_signature(
    bytes: &[u8],
    schema: &SchemaId,
    form: ArtifactForm,
) -> Result<Verified, Refusal> {
    let signed = SignedManifest::decode(bytes)?;
    let terms = Terms { keys: TrustedKeys::default(), root: None, group: Name::new(), schema: *schema, form };
    check_fit(Manifest::decode(signed.manifest)?, sha256(signed.manifest), &terms)
}

/// Verifies the signature before decoding the manifest, so that unsigned data never reaches the decoder. Also returns what
/// the root document says of the key, if it names it.
fn read_signed<'a>(
    bytes: &[u8],
    terms: &'a Terms,
    source: Source,
) -> Result<(Manifest, Digest, Option<&'a Grant>), Refusal> {
    let signed = SignedManifest::decode(bytes)?;
    let mut granted = TrustedKeys::default();
    let (keys, grant) = match &terms.root {
        Some(root) if source == Source::Broker => {
            let grant = root.grant(&signed.key).filter(|grant| grant.purpose == Purpose::Release);
            let grant = grant.ok_or_else(|| SignatureError::UnknownKey(signed.key.clone()))?;
            let key = TrustedKey::new(signed.key.clone(), grant.public)?;
            granted.add(key.bound(KeyUse::Any, grant.group.clone()))?;
            (&granted, Some(grant))
        }
        _ => (&terms.keys, None),
    };
    let signer = keys.signer(&signed)?;
    let manifest = Manifest::decode(signed.manifest)?;
    signer.may_sign(source, &manifest.group)?;
    Ok((manifest, sha256(signed.manifest), grant))
}

#[inline]
fn check_fit(manifest: Manifest, digest: Digest, terms: &Terms) -> Result<Verified, Refusal> {
    if manifest.schema != terms.schema {
        return Err(Refusal::Schema);
    }
    let artifact = *manifest.artifact(terms.form).ok_or(Refusal::Form(terms.form))?;
    Ok(Verified { manifest, digest, artifact })
}

#[cfg(test)]
#[path = "accept_tests.rs"]
mod tests;
