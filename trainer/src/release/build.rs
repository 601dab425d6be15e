//! Puts a release together: quantize, artifacts, golden vectors, check with both engines, manifest, signature, file.

use super::golden::{golden_rows, golden_vector};
use super::keys::{KeyError, ReleaseKey};
use super::verify::{VerifyError, verify};
use crate::quantize::convert::{QuantizeConfig, QuantizeError, quantize};
use crate::quantize::onnx;
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
use lapwing_shared::verdict::calibration::Calibration;
use lapwing_shared::verdict::network::{Int8Network, NetworkError};
use lapwing_shared::verdict::scaling::QuantizedInput;

/// Rows on which both engines must agree before anything is signed, at most.
const VERIFY_ROWS: usize = 256;

/// Why there is no release.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Quantization failed.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// The `int8` artifact is refused by its own engine.
    #[error("int8 artifact: {0}")]
    Network(#[from] NetworkError),
    /// The two forms differ, or tract refuses one.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The manifest breaks a rule.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It cannot be signed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It does not fit a file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something does not fit the manifest.
    #[error("{what} is not what a manifest takes, expected {expected}")]
    Field {
        /// The part.
        what: &'static str,
        /// What it may be.
        expected: &'static str,
    },
}

/// The two forms of one network.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifacts {
    /// For the `int8` engine.
    pub int8: Vec<u8>,
    /// For the `tract` engine.
    pub onnx: Vec<u8>,
}

/// Quantizes a training's network and writes both forms.
///
/// # Errors
/// [`ReleaseError::Quantize`], [`ReleaseError::Network`].
pub fn artifacts(
    run: &TrainRun,
    calibration_rows: &[QuantizedInput],
    config: &QuantizeConfig,
) -> Result<Artifacts, ReleaseError> {
    let network = quantize(&run.network, calibration_rows, config)?;
    Ok(Artifacts { int8: network.to_int8()?, onnx: onnx::encode(&network) })
}

/// What a release says besides its network.
#[derive(Clone, Debug, PartialEq)]
pub struct ReleaseTerms {
    /// Group of agents.
    pub group: String,
    /// Version, greater than every earlier one.
    pub version: u64,
    /// Now, seconds since the epoch.
    pub created_s: u64,
    /// When it is no longer taken, seconds since the epoch.
    pub expires_s: u64,
    /// Benign score distribution ([`crate::calibrate::calibrate`]).
    pub calibration: Calibration,
    /// CUSUM drift, nats.
    pub evidence_drift_nats: f32,
    /// Evidence limits ([`crate::calibrate::limits::evidence_limits`]).
    pub limits: Fixed<LimitKnot, LIMIT_KNOTS>,
    /// Attack kinds ([`super::kinds::profile`]).
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
        group: parse_name(&terms.group).ok_or(field("group", "1 to 32 of a-z A-Z 0-9 - _ ."))?,
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
            code: run.code.as_str().try_into().map_err(|_| field("code version", "48 bytes at most"))?,
        },
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
    let forms = manifest.artifacts.iter().map(|artifact| match artifact.form {
        ArtifactForm::Int8 => artifacts.int8.as_slice(),
        ArtifactForm::Onnx => artifacts.onnx.as_slice(),
    });
    let file = ReleaseFile { signed: &signed, artifacts: forms.collect() };
    // Three lengths of at most five bytes each, and the number of artifacts.
    let mut bytes = vec![0; MAGIC.len() + 16 + signed.len() + artifacts.int8.len() + artifacts.onnx.len()];
    let length = file.encode(&mut bytes)?.len();
    bytes.truncate(length);
    Ok(bytes)
}

fn artifact(form: ArtifactForm, bytes: &[u8]) -> Result<Artifact, ReleaseError> {
    let size_bytes = u32::try_from(bytes.len()).ok().filter(|size| *size <= ARTIFACT_BYTES);
    let too_large = ReleaseError::Field { what: "artifact", expected: "2 MiB at most" };
    Ok(Artifact { form, sha256: sha256(bytes), size_bytes: size_bytes.ok_or(too_large)? })
}
