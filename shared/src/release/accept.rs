//! Bytes of a signed manifest → [`Verified`], the proof that this release may be fetched; or the reason why not.
//!
//! [`accept`] is the only way to a [`Verified`], and [`Verified::with_artifact`] and
//! [`super::golden::check_golden`] are what stands between it and a trial.

use super::ManifestError;
use super::digest::sha256;
use super::manifest::{Artifact, ArtifactForm, Digest, Manifest, Name};
use super::signature::{SignatureError, SignedManifest, TrustedKeys};
use super::update::UpdateState;
use crate::features::SchemaId;
use core::fmt;

/// What this agent takes.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Keys that may sign.
    pub keys: TrustedKeys,
    /// The agent's group.
    pub group: Name,
    /// Schema that the agent computes.
    pub schema: SchemaId,
    /// Form that the agent's engine reads.
    pub form: ArtifactForm,
}

/// Why a release is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The envelope, the key or the signature.
    Signature(SignatureError),
    /// The manifest is broken, though signed.
    Manifest(ManifestError),
    /// It is for another group.
    Group {
        /// Group that it is for.
        found: Name,
        /// The agent's group.
        expected: Name,
    },
    /// Its version is not above the highest ever confirmed: an old release sent again.
    NotNewer {
        /// Its version.
        found: u64,
        /// Highest version ever confirmed here.
        confirmed: u64,
    },
    /// This version was refused or rolled back here before; the next try needs a higher one.
    RefusedBefore {
        /// Its version.
        version: u64,
    },
    /// It is past its time.
    Expired {
        /// Its end, seconds since the epoch.
        expires_s: u64,
        /// The clock, seconds since the epoch.
        now_s: u64,
    },
    /// Its network reads another feature schema than the agent computes.
    Schema,
    /// It carries no artifact in the form that the agent's engine reads.
    Form(ArtifactForm),
    /// The artifact's bytes are not those that the manifest names.
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
            Self::RefusedBefore { version } => {
                write!(f, "release version {version} failed here before, publish a higher version")
            }
            Self::Expired { expires_s, now_s } => write!(f, "release expired at {expires_s} s, now it is {now_s} s"),
            Self::Schema => write!(f, "release reads another feature schema than this agent computes"),
            Self::Form(form) => write!(f, "release has no artifact in the form {form:?}, which this engine reads"),
            Self::Artifact => write!(f, "artifact does not have the size and SHA-256 that the manifest names"),
        }
    }
}

impl core::error::Error for Refusal {}

/// A release whose signature, group, version, expiry, schema and form were checked; only [`accept`] and
/// [`accept_held`] make it.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    manifest: Manifest,
    digest: Digest,
    artifact: Artifact,
}

impl Verified {
    /// What the release says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the encoded manifest: names this release exactly.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The artifact for the agent's engine.
    pub fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    /// Holds an artifact's bytes against the manifest.
    ///
    /// # Errors
    /// [`Refusal::Artifact`].
    pub fn with_artifact(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let fits = bytes.len() == self.artifact.size_bytes as usize && sha256(bytes) == self.artifact.sha256;
        if fits { Ok(()) } else { Err(Refusal::Artifact) }
    }

    /// Gives the manifest away.
    pub fn into_manifest(self) -> Manifest {
        self.manifest
    }
}

/// Checks a new release. `now_s` is the wall clock in seconds since the epoch, nothing where it is not set: then the
/// expiry is not enforced, since a gateway without a battery-backed clock must not be locked out of every release; the
/// version rule still refuses what is old.
///
/// # Errors
/// The first [`Refusal`], in the order: envelope, key, signature, manifest, group, version, refused before, expiry,
/// schema, form.
pub fn accept(bytes: &[u8], terms: &Terms, state: &UpdateState, now_s: Option<u64>) -> Result<Verified, Refusal> {
    let (manifest, digest) = read_signed(bytes, &terms.keys)?;
    if manifest.group != terms.group {
        return Err(Refusal::Group { found: manifest.group, expected: terms.group.clone() });
    }
    let (found, confirmed) = (manifest.version, state.highest_confirmed);
    if found <= confirmed {
        return Err(Refusal::NotNewer { found, confirmed });
    }
    if state.refused.is_some_and(|refused| refused.version == found) {
        return Err(Refusal::RefusedBefore { version: found });
    }
    let expires_s = manifest.expires_s;
    match now_s {
        Some(now_s) if now_s >= expires_s => return Err(Refusal::Expired { expires_s, now_s }),
        _ => {}
    }
    fitting(manifest, digest, terms)
}

/// Checks a release that this agent holds on its own disk: all but group, version and expiry, which bind new releases
/// only (a confirmed release stays in use).
///
/// # Errors
/// [`Refusal`]; a key that is no longer trusted refuses what it signed.
pub fn accept_held(bytes: &[u8], terms: &Terms) -> Result<Verified, Refusal> {
    let (manifest, digest) = read_signed(bytes, &terms.keys)?;
    fitting(manifest, digest, terms)
}

/// Reads a release file's manifest **without checking who signed it**: for looking at a file that the person at the
/// command line named. Nothing that arrives over a network may come this way.
///
/// # Errors
/// [`Refusal`]; the signature is not looked at.
pub fn accept_without_checking_the_signature(
    bytes: &[u8],
    schema: &SchemaId,
    form: ArtifactForm,
) -> Result<Verified, Refusal> {
    let signed = SignedManifest::decode(bytes)?;
    let terms = Terms { keys: TrustedKeys::default(), group: Name::new(), schema: *schema, form };
    fitting(Manifest::decode(signed.manifest)?, sha256(signed.manifest), &terms)
}

/// The signature is checked before the manifest is read: nothing unsigned reaches the decoder.
fn read_signed(bytes: &[u8], keys: &TrustedKeys) -> Result<(Manifest, Digest), Refusal> {
    let signed = SignedManifest::decode(bytes)?;
    keys.verify(&signed)?;
    Ok((Manifest::decode(signed.manifest)?, sha256(signed.manifest)))
}

fn fitting(manifest: Manifest, digest: Digest, terms: &Terms) -> Result<Verified, Refusal> {
    if manifest.schema != terms.schema {
        return Err(Refusal::Schema);
    }
    let artifact = *manifest.artifact(terms.form).ok_or(Refusal::Form(terms.form))?;
    Ok(Verified { manifest, digest, artifact })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::testing::{artifact_bytes, manifest, signed, terms};
    use crate::release::update::RefusedRelease;

    const NOW: Option<u64> = Some(1_750_000_000);

    fn state(highest_confirmed: u64) -> UpdateState {
        UpdateState { highest_confirmed, ..UpdateState::new("home".try_into().unwrap()) }
    }

    #[test]
    fn a_good_release_is_verified_with_its_artifact() {
        let verified = accept(&signed(&manifest(3), 1), &terms(), &state(2), NOW).unwrap();
        assert_eq!(verified.manifest(), &manifest(3));
        assert_eq!(verified.artifact().form, ArtifactForm::Int8);
        assert_eq!(verified.with_artifact(&artifact_bytes()), Ok(()));
        let mut wrong = artifact_bytes();
        wrong[40_000] ^= 1;
        assert_eq!(verified.with_artifact(&wrong), Err(Refusal::Artifact));
        assert_eq!(verified.with_artifact(&wrong[1..]), Err(Refusal::Artifact));
    }

    #[test]
    fn a_wrong_key_and_a_tampered_manifest_are_refused() {
        let refused = accept(&signed(&manifest(3), 2), &terms(), &state(2), NOW);
        assert!(matches!(refused, Err(Refusal::Signature(SignatureError::Wrong(_)))));
        let mut tampered = signed(&manifest(3), 1);
        *tampered.last_mut().unwrap() ^= 1;
        let refused = accept(&tampered, &terms(), &state(2), NOW);
        assert!(matches!(refused, Err(Refusal::Signature(SignatureError::Wrong(_)))));
    }

    #[test]
    fn a_replayed_old_release_is_refused_though_signed() {
        for version in [1, 4, 5] {
            let refused = accept(&signed(&manifest(version), 1), &terms(), &state(5), NOW);
            assert_eq!(refused, Err(Refusal::NotNewer { found: version, confirmed: 5 }));
        }
        assert!(accept(&signed(&manifest(6), 1), &terms(), &state(5), NOW).is_ok());
    }

    #[test]
    fn a_version_that_failed_here_is_refused_and_its_successor_is_not() {
        let mut state = state(2);
        state.refused = Some(RefusedRelease { version: 3, digest: [0; 32] });
        let refused = accept(&signed(&manifest(3), 1), &terms(), &state, NOW);
        assert_eq!(refused, Err(Refusal::RefusedBefore { version: 3 }));
        assert!(accept(&signed(&manifest(4), 1), &terms(), &state, NOW).is_ok());
    }

    #[test]
    fn an_expired_release_is_refused_where_the_clock_is_set() {
        let bytes = signed(&manifest(3), 1);
        let now_s = 1_800_000_000;
        let refused = accept(&bytes, &terms(), &state(2), Some(now_s));
        assert_eq!(refused, Err(Refusal::Expired { expires_s: now_s, now_s }));
        assert!(accept(&bytes, &terms(), &state(2), Some(now_s - 1)).is_ok());
        assert!(accept(&bytes, &terms(), &state(2), None).is_ok());
        assert!(accept_held(&bytes, &terms()).is_ok());
    }

    #[test]
    fn another_group_schema_or_form_is_refused() {
        let refused = |manifest: &Manifest| accept(&signed(manifest, 1), &terms(), &state(2), NOW).unwrap_err();
        let mut other = manifest(3);
        other.group = "work".try_into().unwrap();
        assert!(matches!(refused(&other), Refusal::Group { .. }));
        let mut other = manifest(3);
        other.schema[31] ^= 1;
        assert_eq!(refused(&other), Refusal::Schema);
        let mut other = manifest(3);
        other.artifacts.retain(|artifact| artifact.form == ArtifactForm::Onnx);
        assert_eq!(refused(&other), Refusal::Form(ArtifactForm::Int8));
    }
}
