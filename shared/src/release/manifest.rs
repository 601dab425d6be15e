//! Trained model → manifest: the signed description of one model version.
//!
//! The manifest contains everything that the detector needs except the network's weights, so that one signature covers
//! it. The weights are artifacts, downloaded in chunks and verified by their SHA-256.

use crate::features::{FEATURES, SchemaId};
pub use crate::verdict::LATENT;
use crate::verdict::calibration::Calibration;
pub use crate::verdict::kinds::{KINDS, KindProfile};
use crate::verdict::scaling::Scaling;
use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

/// First byte of an encoded manifest without a floor.
pub const MANIFEST_VERSION: u8 = 1;
/// First byte of an encoded manifest with a floor, whose eight little-endian bytes follow the body. Agents that do not know
/// floors reject it.
pub const FLOOR_VERSION: u8 = 2;
/// Largest encoded manifest, bytes.
pub const MANIFEST_BYTES: usize = 16 * 1024;
/// Largest artifact, bytes.
pub const ARTIFACT_BYTES: u32 = 2 * 1024 * 1024;
/// Size of every artifact chunk but the last, bytes.
pub const CHUNK_BYTES: u32 = 32 * 1024;
/// Limit on golden vectors per manifest.
pub const GOLDEN_VECTORS: usize = 8;
/// Limit on points of the curve from the false-alert budget to the evidence threshold.
pub const LIMIT_KNOTS: usize = 8;

/// A SHA-256 digest.
pub type Digest = [u8; 32];
/// Name of a group, key or attack class.
pub type Name = String<32>;

/// Format of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArtifactForm {
    /// ONNX of QLinearConv 1×1 layers, for the `tract` engine.
    Onnx,
    /// The layer list of [`crate::verdict::network`], for the `int8` engine.
    Int8,
}

/// One file of a release: the network in one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Form.
    pub form: ArtifactForm,
    /// SHA-256 of the whole file.
    pub sha256: Digest,
    /// Length, 1 to [`ARTIFACT_BYTES`].
    pub size_bytes: u32,
}

impl Artifact {
    /// Number of chunks of [`CHUNK_BYTES`].
    pub fn chunks(&self) -> u32 {
        self.size_bytes.div_ceil(CHUNK_BYTES)
    }
}

/// Input, and the output that every engine must reproduce bit for bit before a release goes on trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoldenVector {
    /// Plain feature row, [`FEATURES`] values.
    pub row: Vec<f32, FEATURES>,
    /// Its quantized form.
    pub input: Vec<i8, FEATURES>,
    /// The network's reconstruction.
    pub reconstruction: Vec<i8, FEATURES>,
    /// The network's latent layer.
    pub latent: Vec<i8, LATENT>,
    /// Weighted reconstruction error.
    pub score: u32,
}

/// Evidence threshold for one false-alert budget.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitKnot {
    /// False-alert budget: false alerts per day and site.
    pub alerts_per_day: f32,
    /// Evidence threshold, nats, that yields this rate on benign validation rows.
    pub evidence_nats: f32,
}

/// Origin of the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// SHA-256 over the training rows, in order.
    pub data_sha256: Digest,
    /// Rows trained on.
    pub rows: u32,
    /// Seed of every random choice.
    pub seed: u64,
    /// Version of the code that trained it.
    pub code: String<48>,
}

/// One model version, signed by the trainer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Group of agents.
    pub group: Name,
    /// Version, at least 1 and greater than all earlier versions of the group.
    pub version: u64,
    /// Creation time, seconds since the epoch.
    pub created_s: u64,
    /// Expiry, seconds since the epoch. Agents reject it afterwards; a confirmed release stays in use.
    pub expires_s: u64,
    /// Feature schema of the network.
    pub schema: SchemaId,
    /// The network, at most once per form.
    pub artifacts: Vec<Artifact, 2>,
    /// Width of the latent layer, 1 to [`LATENT`].
    pub latent_width: u8,
    /// Scaling of the features.
    pub scaling: Scaling,
    /// Benign score distribution.
    pub calibration: Calibration,
    /// Nats subtracted from the evidence of a host for every flow (the CUSUM's drift), more than 1.
    pub evidence_drift_nats: f32,
    /// Evidence thresholds by false-alert budget, increasing `alerts_per_day`.
    pub limits: Vec<LimitKnot, LIMIT_KNOTS>,
    /// Attack classes, may be empty.
    pub kinds: Vec<KindProfile, KINDS>,
    /// Golden vectors, at least one.
    pub golden: Vec<GoldenVector, GOLDEN_VECTORS>,
    /// Origin of the weights.
    pub origin: Origin,
    /// Lowest version to which an agent that has accepted this manifest ever goes back, below `version`; 0: none.
    #[serde(skip)]
    pub floor: u64,
}

impl Manifest {
    /// Evidence threshold for a false-alert budget: linear interpolation over the logarithm of `alerts_per_day`,
    /// constant beyond the first and last knot. Infinite without knots.
    pub fn evidence_limit(&self, alerts_per_day: f32) -> f32 {
        let after = self.limits.partition_point(|knot| knot.alerts_per_day <= alerts_per_day);
        match (after.checked_sub(1).and_then(|before| self.limits.get(before)), self.limits.get(after)) {
            (Some(low), Some(high)) => {
                let position = libm::logf(alerts_per_day / low.alerts_per_day);
                let share = position / libm::logf(high.alerts_per_day / low.alerts_per_day);
                low.evidence_nats + share * (high.evidence_nats - low.evidence_nats)
            }
            (Some(end), None) | (None, Some(end)) => end.evidence_nats,
            (None, None) => f32::INFINITY,
        }
    }
}
