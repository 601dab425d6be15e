//! Feature vector in plain units → the model's int8 input, and the weighted reconstruction error over it.
//!
//! Every step is an IEEE 754 single operation or pure-Rust `libm`, so the result is the same on every processor.

use crate::features::schema::Feature;
use crate::features::{FEATURES, FeatureVector};
use serde::{Deserialize, Serialize};

/// One quantum of model input and reconstruction is 1/32 of a scaled unit: the int8 range covers ±3.97.
pub const INPUT_QUANTA_PER_UNIT: f32 = 32.0;

/// Largest magnitude of a quantized input; −128 is not used, so that negation is safe.
pub const INPUT_LIMIT: i8 = 127;

/// What is done to a plain value before centring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transform {
    /// The value itself.
    Identity,
    /// ln(1 + max(x, 0)), for counts, sizes and times.
    Log1p,
}

impl Transform {
    /// What suits a feature: the logarithm for heavy tails.
    pub const fn of(feature: &Feature) -> Self {
        if feature.heavy_tailed { Self::Log1p } else { Self::Identity }
    }

    /// Applies the transform; NaN becomes 0.
    pub fn apply(self, value: f32) -> f32 {
        let value = if value.is_nan() { 0.0 } else { value };
        match self {
            Self::Identity => value,
            Self::Log1p => libm::log1pf(if value > 0.0 { value } else { 0.0 }),
        }
    }
}

/// How one feature is scaled, weighed and explained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureScaling {
    /// Applied first.
    pub transform: Transform,
    /// Subtracted after the transform.
    pub centre: f32,
    /// One scaled unit, after the transform; finite and greater than 0.
    pub unit: f32,
    /// Weight of the squared error of this feature in the score, 0 to [`FeatureScaling::WEIGHT_LIMIT`].
    pub weight: u16,
    /// 1 % quantile of the benign training rows, plain units.
    pub benign_low: f32,
    /// 99 % quantile of the benign training rows, plain units.
    pub benign_high: f32,
}

impl FeatureScaling {
    /// Largest weight: the score of [`FEATURES`] features then fits 32 bits.
    pub const WEIGHT_LIMIT: u16 = 1024;

    /// True when the numbers keep what the fields' texts promise.
    pub fn is_valid(&self) -> bool {
        self.centre.is_finite()
            && self.unit.is_finite()
            && self.unit > 0.0
            && self.weight <= Self::WEIGHT_LIMIT
            && self.benign_low <= self.benign_high
    }

    /// Plain value → int8 quanta, rounded half to even, clipped to ±[`INPUT_LIMIT`].
    pub fn quantize(&self, value: f32) -> i8 {
        scale(self.transform.apply(value), self.centre, self.unit)
    }
}

/// Transformed value → int8 quanta, rounded half to even, clipped to ±[`INPUT_LIMIT`]; NaN becomes 0. Written so that
/// a row of them becomes vector instructions.
#[inline(always)]
fn scale(transformed: f32, centre: f32, unit: f32) -> i8 {
    // Adding 1.5·2²³ leaves no fraction bits, so the addition itself rounds half to even (IEEE 754 §4.3.1), and the
    // integer stands in the low bits of the sum.
    const ROUNDER: f32 = 12_582_912.0;
    let limit = f32::from(INPUT_LIMIT);
    let scaled = (transformed - centre) / unit * INPUT_QUANTA_PER_UNIT;
    let scaled = if scaled.is_nan() { 0.0 } else { scaled };
    let scaled = if scaled > -limit { scaled } else { -limit };
    let scaled = if scaled < limit { scaled } else { limit };
    (scaled + ROUNDER).to_bits() as i8
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
    /// True with [`FEATURES`] valid entries.
    pub fn is_valid(&self) -> bool {
        self.features.is_full() && self.features.iter().all(FeatureScaling::is_valid)
    }

    /// Plain row → int8 row. Who has many rows to quantize does it with a [`RowScaler`].
    pub fn quantize(&self, row: &FeatureVector) -> QuantizedInput {
        RowScaler::new(self).quantize(row)
    }

    /// Weighted reconstruction error: Σ weightᵢ · (inputᵢ − reconstructionᵢ)², an exact integer.
    pub fn score(&self, input: &QuantizedInput, reconstruction: &[i8; FEATURES]) -> u32 {
        let pairs = input.iter().zip(reconstruction);
        self.features.iter().zip(pairs).fold(0, |sum, (scaling, pair)| sum.wrapping_add(contribution(scaling, pair)))
    }

    /// Which values lie outside the benign range of their feature.
    pub fn outside_benign(&self, row: &FeatureVector) -> [bool; FEATURES] {
        let mut outside = [false; FEATURES];
        for ((scaling, value), outside) in self.features.iter().zip(row).zip(&mut outside) {
            *outside = *value < scaling.benign_low || *value > scaling.benign_high;
        }
        outside
    }

    /// Each feature's share of [`Scaling::score`].
    pub fn contributions(&self, input: &QuantizedInput, reconstruction: &[i8; FEATURES]) -> [u32; FEATURES] {
        let mut parts = [0; FEATURES];
        let pairs = input.iter().zip(reconstruction);
        for ((scaling, pair), part) in self.features.iter().zip(pairs).zip(&mut parts) {
            *part = contribution(scaling, pair);
        }
        parts
    }
}

fn contribution(scaling: &FeatureScaling, (input, output): (&i8, &i8)) -> u32 {
    weighted_square(scaling.weight, *input, *output)
}

/// weight · (input − output)². Wrapping arithmetic: weights and int8 values leave no overflow, nor does the sum over a
/// row, and checks would keep the loops from becoming vector instructions.
#[inline(always)]
fn weighted_square(weight: u16, input: i8, output: i8) -> u32 {
    // |difference| ≤ 255: its square fits 16 bits, of which a vector holds twice as many as of 32.
    let difference = i16::from(input).wrapping_sub(i16::from(output));
    let square = difference.wrapping_mul(difference).cast_unsigned();
    u32::from(weight).wrapping_mul(u32::from(square))
}

/// A [`Scaling`] laid out column by column for many rows; its results are the scaling's.
#[derive(Clone, Debug)]
pub struct RowScaler {
    centres: [f32; FEATURES],
    units: [f32; FEATURES],
    weights: [u16; FEATURES],
    /// All bits where the transform is the logarithm, else none.
    logarithmic: [u32; FEATURES],
}

impl RowScaler {
    /// From a scaling with [`FEATURES`] entries; features that it lacks are always 0.
    pub fn new(scaling: &Scaling) -> Self {
        let mut scaler = Self {
            centres: [0.0; FEATURES],
            units: [f32::INFINITY; FEATURES],
            weights: [0; FEATURES],
            logarithmic: [0; FEATURES],
        };
        for (index, feature) in scaling.features.iter().enumerate() {
            scaler.centres[index] = feature.centre;
            scaler.units[index] = feature.unit;
            scaler.weights[index] = feature.weight;
            scaler.logarithmic[index] = if feature.transform == Transform::Log1p { u32::MAX } else { 0 };
        }
        scaler
    }

    /// As [`Scaling::quantize`].
    pub fn quantize(&self, row: &FeatureVector) -> QuantizedInput {
        let mut input = [0; FEATURES];
        for index in 0..FEATURES {
            let value = if row[index].is_nan() { 0.0 } else { row[index] };
            let logarithm = log1p(if value > 0.0 { value } else { 0.0 });
            let mask = self.logarithmic[index];
            let transformed = f32::from_bits(logarithm.to_bits() & mask | value.to_bits() & !mask);
            input[index] = scale(transformed, self.centres[index], self.units[index]);
        }
        input
    }

    /// As [`Scaling::score`].
    pub fn score(&self, input: &QuantizedInput, reconstruction: &[i8; FEATURES]) -> u32 {
        let mut sum = 0_u32;
        for index in 0..FEATURES {
            sum = sum.wrapping_add(weighted_square(self.weights[index], input[index], reconstruction[index]));
        }
        sum
    }

    /// [`RowScaler::score`] where that is at most `limit`; ends as soon as it cannot be.
    pub fn score_within(&self, limit: u32, input: &QuantizedInput, centre: &QuantizedInput) -> Option<u32> {
        const STEP: usize = 16;
        let mut sum = 0_u32;
        for ((weights, input), centre) in self.weights.chunks(STEP).zip(input.chunks(STEP)).zip(centre.chunks(STEP)) {
            for ((weight, input), centre) in weights.iter().zip(input).zip(centre) {
                sum = sum.wrapping_add(weighted_square(*weight, *input, *centre));
            }
            if sum > limit {
                return None;
            }
        }
        Some(sum)
    }
}

/// ln(1 + x) for x from 0 to infinity: the operations of `libm::log1pf` (FreeBSD's `s_log1pf.c`) in their order, so
/// the same bits, but without branches, so that a row of them becomes vector instructions.
#[inline(always)]
fn log1p(x: f32) -> f32 {
    // ln 2 in two parts, and the coefficients of the polynomial.
    const LN2_HI: f32 = f32::from_bits(0x3f31_7180);
    const LN2_LO: f32 = f32::from_bits(0x3717_f7d1);
    const LG: [u32; 4] = [0x3f2a_aaaa, 0x3ecc_ce13, 0x3e91_e9ee, 0x3e78_9e26];
    // The bits of 1 and of √2 / 2.
    const ONE: u32 = 0x3f80_0000;
    const HALF_ROOT: u32 = 0x3f35_04f3;
    // 1 + x as 2ᵏ · (1 + f) with 1 + f from √2 / 2 to √2; c is what rounding 1 + x lost.
    let sum = 1.0 + x;
    let shifted = sum.to_bits().wrapping_add(ONE - HALF_ROOT);
    let exponent = (shifted >> 23).wrapping_sub(0x7f).cast_signed();
    let lost = if exponent >= 2 { 1.0 - (sum - x) } else { x - (sum - 1.0) } / sum;
    let lost = if exponent < 25 { lost } else { 0.0 };
    let reduced = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(HALF_ROOT)) - 1.0;
    let is_small = x.to_bits() < 0x3ed4_13d0;
    let (f, k, c) = if is_small { (x, 0.0, 0.0) } else { (reduced, exponent as f32, lost) };
    let lg = LG.map(f32::from_bits);
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let r = z * (lg[0] + w * lg[2]) + w * (lg[1] + w * lg[3]);
    let hfsq = 0.5 * f * f;
    let result = s * (hfsq + r) + (k * LN2_LO + c) - hfsq + f + k * LN2_HI;
    // Below 2⁻²⁴ and at infinity it is x.
    if x.to_bits() < 0x3380_0000 || x.to_bits() >= 0x7f80_0000 { x } else { result }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare_logarithms(every: usize) {
        let edges = [0, 0x3380_0000, 0x3ed4_13d0, 0x3f80_0000, 0x7f80_0000_u32];
        let near = edges.into_iter().flat_map(|edge| edge.saturating_sub(9)..(edge + 9).min(0x7f80_0001));
        for bits in (0..=0x7f80_0000).step_by(every).chain(near) {
            let x = f32::from_bits(bits);
            assert_eq!(log1p(x).to_bits(), libm::log1pf(x).to_bits(), "{x:e}");
        }
    }

    #[test]
    fn the_logarithm_has_the_bits_of_the_one_in_libm() {
        compare_logarithms(1021);
    }

    #[test]
    #[ignore = "takes a minute"]
    fn every_logarithm_has_the_bits_of_the_one_in_libm() {
        compare_logarithms(1);
    }

    #[test]
    fn a_score_within_a_limit_is_the_score_and_beyond_it_none() {
        let feature = |index: usize| FeatureScaling {
            transform: Transform::Identity,
            centre: 0.0,
            unit: 1.0,
            weight: (index * 97 % 1025) as u16,
            benign_low: 0.0,
            benign_high: 1.0,
        };
        let scaling = Scaling { features: (0..FEATURES).map(feature).collect() };
        let scaler = RowScaler::new(&scaling);
        for round in 0..200_usize {
            let row = |salt: usize| core::array::from_fn(|index| (round * 31 + index * salt) as u8 as i8);
            let (input, centre) = (row(57), if round == 0 { [-128; FEATURES] } else { row(113) });
            let score = scaling.score(&input, &centre);
            assert_eq!(scaler.score(&input, &centre), score);
            assert_eq!(scaler.score_within(score, &input, &centre), Some(score));
            assert_eq!(scaler.score_within(score + 1, &input, &centre), Some(score));
            assert_eq!(scaler.score_within(score - 1, &input, &centre), None);
        }
    }

    #[test]
    fn a_row_is_quantized_like_its_features_one_by_one() {
        let feature = |index: usize| FeatureScaling {
            transform: if index.is_multiple_of(3) { Transform::Identity } else { Transform::Log1p },
            centre: index as f32 * 0.1 - 2.0,
            unit: 0.01 + index as f32 * 0.05,
            weight: index as u16 * 20,
            benign_low: 0.0,
            benign_high: 1.0,
        };
        let scaling = Scaling { features: (0..FEATURES).map(feature).collect() };
        let odd = [0.0, -0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE, 1e-45, 1.0, 3e38];
        for round in 0..2000_usize {
            let value = |index: usize| match (round + index) % 5 {
                0 => odd[(round / 5 + index) % odd.len()],
                _ => ((round * 7919 + index * 104_729) % 100_003) as f32 / (1 + round % 977) as f32,
            };
            let row: FeatureVector = core::array::from_fn(value);
            let quantized = scaling.quantize(&row);
            for index in 0..FEATURES {
                assert_eq!(quantized[index], scaling.features[index].quantize(row[index]), "{}", row[index]);
            }
        }
    }
}
