//! Artifacts, golden vectors and thresholds → a manifest checked with both engines → a signed release file.

use super::golden::{golden_rows, golden_vector};
use super::keys::{KeyError, ReleaseKey};
use super::verify::{VerifyError, verify};
use crate::quantize::{Artifacts, QuantizeError};
use crate::train::run::TrainRun;
use heapless::Vec as Fixed;
use lapwing_shared::features::FeatureVector;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::release::ManifestError;
use lapwing_shared::release::digest::{parse_digest, sha256};
use lapwing_shared::release::file::{FileError, MAGIC, ReleaseFile};
use lapwing_shared::release::manifest::{
    ARTIFACT_BYTES, Artifact, ArtifactForm, KINDS, KindProfile, LIMIT_KNOTS, LimitKnot, MANIFEST_BYTES, Manifest,
    Origin,
};
use lapwing_shared::release::name::parse_name;
use lapwing_shared::release::signature::{SignatureError, SignedManifest};
use lapwing_shared::verdict::calibration::Calibration;
use lapwing_shared::verdict::network::{Int8Network, NetworkError};
use lapwing_shared::verdict::scaling::QuantizedInput;

/// Maximum number of rows on which both engines must agree before signing.
const VERIFY_ROWS: usize = 256;

/// Why a release cannot be built.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum ReleaseError {
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// The signed file has no signed manifest.
    #[error(transparent)]
    Envelope(#[from] SignatureError),
    /// The engine rejects the `int8` artifact.
    #[error("int8 artifact: {0}")]
    Network(#[from] NetworkError),
    /// The two artifacts differ, or tract rejects one.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The manifest violates a rule.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It cannot be signed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It does not fit a file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A part does not fit the manifest.
    #[error("invalid {what} for a manifest, expected {expected}")]
    Field { what: &'static str, expected: &'static str },
    /// A signed file has another manifest or other artifacts than the release that waits.
    #[error("it is not the release that waits: sign the file that `candidate` writes")]
    OtherRelease,
}

/// Contents of a release besides its network.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct ReleaseTerms {
    pub group: String,
    /// Version, greater than every earlier one.
    pub version: u64,
    /// Now, seconds since the epoch.
    pub created_s: u64,
    /// When it is no longer taken, seconds since the epoch.
    pub expires_s: u64,
    /// Lowest version to which agents that accept it ever go back; 0: none.
    pub floor: u64,
    /// Benign score distribution ([`crate::calibrate::calibrate`]).
    pub calibration: Calibration,
    /// CUSUM drift, nats.
    pub evidence_drift_nats: f32,
    /// Evidence limits (`evidence_limits`).
    pub limits: Fixed<LimitKnot, LIMIT_KNOTS>,
    /// Attack kinds (`class_profiles`).
    pub kinds: Fixed<KindProfile, KINDS>,
}

/// Makes the manifest; golden vectors come from the `int8` engine, and both engines must agree on them and on `rows`.
///
/// # Errors
/// [`ReleaseError`] when the engines differ or a term breaks the manifest's rules.
pub fn manifest(
    run: &TrainRun,
    artifacts: &Artifacts,
    rows: &[FeatureVector],
    terms: &ReleaseTerms,
) -> Result<Manifest, ReleaseError> {
    let network = Int8Network::parse(artifacts.int8.as_slice())?;
    let golden_rows = golden_rows(&run.scaling, rows);
    let checked = golden_rows.iter().chain(rows.iter().take(VERIFY_ROWS));
    let inputs: Vec<QuantizedInput> = checked.map(|row| run.scaling.quantize(row)).collect();
    verify(&artifacts.onnx, &network, &inputs)?;
    let field = |what, expected| ReleaseError::Field { what, expected };
    let listed = [artifact(ArtifactForm::Int8, &artifacts.int8)?, artifact(ArtifactForm::Onnx, &artifacts.onnx)?];
    let manifest = Manifest {
        group: parse_name(&terms.group)
            .ok_or(field("group", "1 to 32 of a-z A-Z 0-9 - _ . with a letter or digit first"))?,
        version: terms.version,
        created_s: terms.created_s,
        expires_s: terms.expires_s,
        schema: schema_id(),
        artifacts: listed.into_iter().collect(),
        latent_width: network.latent_width() as u8,
        scaling: run.scaling.clone(),
        calibration: terms.calibration.clone(),
        evidence_drift_nats: terms.evidence_drift_nats,
        limits: terms.limits.clone(),
        kinds: terms.kinds.clone(),
        golden: golden_rows.iter().map(|row| golden_vector(&network, &run.scaling, row)).collect(),
        origin: Origin {
            data_sha256: parse_digest(&run.data_sha256).ok_or(field("data digest", "64 hexadecimal digits"))?,
            rows: u32::try_from(run.report.training_rows).unwrap_or(u32::MAX),
            seed: run.config.seed,
            code: run.code.as_str().try_into().map_err(|_| field("code version", "at most 48 bytes"))?,
        },
        floor: terms.floor,
    };
    manifest.validate()?;
    Ok(manifest)
}

/// Signs a manifest and puts it into a release file with its artifacts.
///
/// # Errors
/// [`ReleaseError::Manifest`], [`ReleaseError::Key`], [`ReleaseError::File`].
pub fn release_file(manifest: &Manifest, artifacts: &Artifacts, key: &ReleaseKey) -> Result<Vec<u8>, ReleaseError> {
    let mut room = vec![0; MANIFEST_BYTES];
    let signed = key.sign(manifest.encode(&mut room)?)?;
    file_of(&signed, forms(manifest, artifacts))
}

/// Puts a manifest into a file without a signature, which no reader of release files accepts, until [`sign_held`].
///
/// # Errors
/// [`ReleaseError::Manifest`], [`ReleaseError::File`].
pub fn held_file(manifest: &Manifest, artifacts: &Artifacts) -> Result<Vec<u8>, ReleaseError> {
    let mut room = vec![0; MANIFEST_BYTES];
    file_of(manifest.encode(&mut room)?, forms(manifest, artifacts))
}

/// Signs the file of [`held_file`]: the release file that [`release_file`] would have made, or with another floor.
///
/// # Errors
/// [`ReleaseError::File`] and [`ReleaseError::Manifest`] when it is another file, [`ReleaseError::Field`] when it is
/// damaged, [`ReleaseError::Key`].
pub fn sign_held(bytes: &[u8], key: &ReleaseKey, floor: Option<u64>) -> Result<Vec<u8>, ReleaseError> {
    let file = ReleaseFile::decode(bytes)?;
    let mut manifest = Manifest::decode(file.signed)?;
    let intact = |(artifact, bytes): (&Artifact, &&[u8])| sha256(bytes) == artifact.sha256;
    if file.artifacts.len() != manifest.artifacts.len() || !manifest.artifacts.iter().zip(&file.artifacts).all(intact) {
        return Err(ReleaseError::Field { what: "artifact", expected: "the digest in the manifest" });
    }
    let Some(floor) = floor else { return file_of(&key.sign(file.signed)?, file.artifacts) };
    manifest.floor = floor;
    let mut room = vec![0; MANIFEST_BYTES];
    file_of(&key.sign(manifest.encode(&mut room)?)?, file.artifacts)
}

fn forms<'a>(manifest: &Manifest, artifacts: &'a Artifacts) -> Fixed<&'a [u8], 2> {
    let form = |artifact: &Artifact| match artifact.form {
        ArtifactForm::Int8 => artifacts.int8.as_slice(),
        ArtifactForm::Onnx => artifacts.onnx.as_slice(),
    };
    manifest.artifacts.iter().map(form).collect()
}

/// Checks that a release file is the file of [`held_file`] with a signature, which another machine added: same manifest, which
/// may have another floor, and same artifacts, byte for byte. The caller verifies the signature.
///
/// # Errors
/// [`ReleaseError::File`] and [`ReleaseError::Envelope`] when one is another file, [`ReleaseError::OtherRelease`] when they differ.
pub fn check_signed(held: &[u8], signed: &[u8]) -> Result<(), ReleaseError> {
    let (held, signed) = (ReleaseFile::decode(held)?, ReleaseFile::decode(signed)?);
    let manifest = SignedManifest::decode(signed.signed)?.manifest;
    let without_floor = |bytes| Manifest::decode(bytes).map(|manifest| Manifest { floor: 0, ..manifest });
    let is_same_manifest = manifest == held.signed || without_floor(manifest)? == without_floor(held.signed)?;
    let is_same = is_same_manifest && signed.artifacts == held.artifacts;
    if is_same { Ok(()) } else { Err(ReleaseError::OtherRelease) }
}

fn file_of(signed: &[u8], artifacts: Fixed<&[u8], 2>) -> Result<Vec<u8>, ReleaseError> {
    let artifact_bytes: usize = artifacts.iter().map(|artifact| artifact.len()).sum();
    let file = ReleaseFile { signed, artifacts };
    // Space for three lengths of at most five bytes each, and the number of artifacts.
    let mut bytes = vec![0; MAGIC.len() + 16 + signed.len() + artifact_bytes];
    let length = file.encode(&mut bytes)?.len();
    bytes.truncate(length);
    Ok(bytes)
}

fn artifact(form: ArtifactForm, bytes: &[u8]) -> Result<Artifact, ReleaseError> {
    let size_bytes = u32::try_from(bytes.len()).ok().filter(|size| *size <= ARTIFACT_BYTES);
    let too_large = ReleaseError::Field { what: "artifact", expected: "at most 2 MiB" };
    Ok(Artifact { form, sha256: sha256(bytes), size_bytes: size_bytes.ok_or(too_large)? })
}
