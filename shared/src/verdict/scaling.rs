//! Feature vector in plain units → the model's int8 input, and its weighted reconstruction error.
//!
//! Every step is an IEEE 754 single operation, so the result is the same on every processor.

mod logarithm;
mod row_scaler;

pub use row_scaler::RowScaler;
pub(super) use row_scaler::{OUTSIDE, part_of_score};

use crate::features::schema::Feature;
use crate::features::{FEATURES, FeatureVector};
use logarithm::log1p;
use serde::{Deserialize, Serialize};
use wide::f32x4;

/// One quantum of model input and reconstruction is 1/32 of a scaled unit: the int8 range covers ±3.97.
pub const INPUT_QUANTA_PER_UNIT: f32 = 32.0;

/// Largest magnitude of a quantized input; −128 is not used, so that negation is safe.
pub const INPUT_LIMIT: i8 = 127;

/// Transform of a plain value before centring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transform {
    /// The value itself.
    Identity,
    /// ln(1 + max(x, 0)), for counts, sizes and times.
    Log1p,
}

impl Transform {
    /// The logarithm for heavy-tailed features, else the identity.
    pub const fn of(feature: &Feature) -> Self {
        if feature.heavy_tailed { Self::Log1p } else { Self::Identity }
    }

    /// Applies the transform. NaN becomes 0; the logarithm of infinity is 128 ln 2.
    pub fn apply(self, value: f32) -> f32 {
        let value = if value.is_nan() { 0.0 } else { value };
        match self {
            Self::Identity => value,
            Self::Log1p => {
                let [logarithm, ..] = log1p(f32x4::splat(if value > 0.0 { value } else { 0.0 })).to_array();
                logarithm
            }
        }
    }
}

/// Scaling, weight and normal range of one feature.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureScaling {
    /// Transform, applied first.
    pub transform: Transform,
    /// Subtracted after the transform.
    pub centre: f32,
    /// One scaled unit, after the transform; finite and at least 2⁻¹²¹, so that the quantum is a normal number.
    pub unit: f32,
    /// Weight of the squared error of this feature in the score, 0 to [`FeatureScaling::WEIGHT_LIMIT`].
    pub weight: u16,
    /// 1 % quantile of the benign training rows, plain units.
    pub benign_low: f32,
    /// 99 % quantile of the benign training rows, plain units.
    pub benign_high: f32,
}

impl FeatureScaling {
    /// Largest weight; keeps the score of [`FEATURES`] features within 32 bits.
    pub const WEIGHT_LIMIT: u16 = 1024;

    /// True if every field is within its documented range.
    pub fn is_valid(&self) -> bool {
        self.centre.is_finite()
            && self.unit.is_finite()
            && self.unit > 0.0
            && self.quantum().is_normal()
            && self.weight <= Self::WEIGHT_LIMIT
            && self.benign_low <= self.benign_high
    }

    /// Width of one quantum, after the transform.
    pub(super) fn quantum(&self) -> f32 {
        self.unit / INPUT_QUANTA_PER_UNIT
    }

    /// The weight, clamped to its limit.
    pub(super) fn clamped_weight(&self) -> i16 {
        self.weight.min(Self::WEIGHT_LIMIT).cast_signed()
    }

    /// Plain value → int8 quanta, rounded half to even, clipped to ±[`INPUT_LIMIT`].
    pub fn quantize(&self, value: f32) -> i8 {
        scale(self.transform.apply(value), self.centre, self.quantum())
    }
}

/// Transformed value → int8 quanta, rounded half to even, clipped to ±[`INPUT_LIMIT`]; NaN becomes 0.
fn scale(transformed: f32, centre: f32, quantum: f32) -> i8 {
    let limit = f32::from(INPUT_LIMIT);
    let scaled = (transformed - centre) / quantum;
    let scaled = if scaled.is_nan() { 0.0 } else { scaled };
    libm::rintf(scaled.clamp(-limit, limit)) as i8
}

/// Quantized model input.
pub type QuantizedInput = [i8; FEATURES];

/// Scaling of every feature, in schema order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// Exactly [`FEATURES`] entries.
    pub features: heapless::Vec<FeatureScaling, FEATURES>,
}

impl Scaling {
    /// True if there are [`FEATURES`] valid entries.
    pub fn is_valid(&self) -> bool {
        self.features.is_full() && self.features.iter().all(FeatureScaling::is_valid)
    }

    /// Plain row → int8 row. For many rows, use a [`RowScaler`].
    pub fn quantize(&self, row: &FeatureVector) -> QuantizedInput {
        RowScaler::new(self).quantize(row)
    }

    /// Weighted reconstruction error: Σ weightᵢ · (inputᵢ − reconstructionᵢ)², an exact integer.
    pub fn score(&self, input: &QuantizedInput, reconstruction: &[i8; FEATURES]) -> u32 {
        let pairs = input.iter().zip(reconstruction);
        self.features.iter().zip(pairs).map(|(scaling, pair)| contribution(scaling, pair)).sum()
    }
}

fn contribution(scaling: &FeatureScaling, (input, output): (&i8, &i8)) -> u32 {
    let difference = u32::from(input.abs_diff(*output));
    u32::from(scaling.weight) * difference * difference
}
