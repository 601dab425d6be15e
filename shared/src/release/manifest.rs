//! The signed description of one model version.
//!
//! Everything that the detector needs besides the network's weights stands in the manifest itself, so that one
//! signature covers it; the weights are artifacts, fetched in chunks and held against their SHA-256.

use crate::features::{FEATURES, SchemaId};
pub use crate::verdict::LATENT;
use crate::verdict::calibration::Calibration;
pub use crate::verdict::kinds::{KINDS, KindProfile};
use crate::verdict::scaling::Scaling;
use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

/// First byte of every encoded manifest; a reader refuses any other value.
pub const MANIFEST_VERSION: u8 = 1;
/// Largest encoded manifest, bytes.
pub const MANIFEST_BYTES: usize = 16 * 1024;
/// Largest artifact, bytes.
pub const ARTIFACT_BYTES: u32 = 2 * 1024 * 1024;
/// Size of every artifact chunk but the last, bytes.
pub const CHUNK_BYTES: u32 = 32 * 1024;
/// Golden vectors that a manifest holds.
pub const GOLDEN_VECTORS: usize = 8;
/// Points of the curve from the operator's knob to the evidence threshold.
pub const LIMIT_KNOTS: usize = 8;

/// SHA-256 of something.
pub type Digest = [u8; 32];
/// A short name: group, key, kind.
pub type Name = String<32>;

/// Which form of the network an artifact holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArtifactForm {
    /// ONNX of QLinearConv 1×1 layers, for the `tract` engine.
    Onnx,
    /// The layer list of [`crate::verdict::network`], for the `int8` engine.
    Int8,
}

/// One fetched file.
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
    /// Number of chunks of [`CHUNK_BYTES`] that it travels in.
    pub fn chunks(&self) -> u32 {
        self.size_bytes.div_ceil(CHUNK_BYTES)
    }
}

/// Input and what every engine must answer, to the bit, before a release may go on trial.
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

/// Evidence threshold for one setting of the operator's knob.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitKnot {
    /// False alerts a day and site that the operator accepts.
    pub alerts_per_day: f32,
    /// Evidence threshold in nats that gives them on the validation normals.
    pub evidence_nats: f32,
}

/// Where the weights come from.
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

/// One model version, as the trainer signs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Group of agents that it is for.
    pub group: Name,
    /// Version: greater than every earlier one of the group, 1 or more.
    pub version: u64,
    /// When it was made, seconds since the epoch.
    pub created_s: u64,
    /// After this it is refused, seconds since the epoch; a confirmed release stays in use.
    pub expires_s: u64,
    /// Feature schema that the network reads.
    pub schema: SchemaId,
    /// The same network in each form; one entry a form.
    pub artifacts: Vec<Artifact, 2>,
    /// Width of the latent layer, 1 to [`LATENT`].
    pub latent_width: u8,
    /// Scaling of the features.
    pub scaling: Scaling,
    /// Benign score distribution.
    pub calibration: Calibration,
    /// Nats that every scored flow takes off its hosts' evidence (the CUSUM's drift), more than 1.
    pub evidence_drift_nats: f32,
    /// Evidence thresholds by knob setting, rising `alerts_per_day`.
    pub limits: Vec<LimitKnot, LIMIT_KNOTS>,
    /// Attack kinds, may be empty.
    pub kinds: Vec<KindProfile, KINDS>,
    /// Golden vectors, one at least.
    pub golden: Vec<GoldenVector, GOLDEN_VECTORS>,
    /// Where it comes from.
    pub origin: Origin,
}

impl Manifest {
    /// Evidence threshold for a setting of the operator's knob: linear between the knots over the logarithm of
    /// `alerts_per_day`, held at the first and last knot. Infinite without knots.
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
