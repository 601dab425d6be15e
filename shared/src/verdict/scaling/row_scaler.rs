//! Many plain rows → int8 rows and scores: the scaling laid out by column, four features at a time.
//!
//! The vector code is explicit, because router builds are optimised for size and do not vectorise loops.

use super::logarithm::log1p;
use super::{INPUT_LIMIT, QuantizedInput, Scaling, Transform};
use crate::features::{FEATURES, FeatureVector};
use crate::lanes::{FOUR, SIXTEEN, nearest};
use wide::{f32x4, i8x16, i16x8, i32x4, i32x8, u8x16, u16x8, u32x4};

const FOURS: usize = FEATURES / FOUR;
const SIXTEENS: usize = FEATURES / SIXTEEN;
const _: () = assert!(FEATURES.is_multiple_of(SIXTEEN), "rows are processed sixteen features at a time");

/// A [`Scaling`] laid out by column for many rows, with identical results.
#[derive(Clone, Debug)]
pub struct RowScaler {
    /// Infinity for a valid feature; NaN for a missing or invalid one, whose value then becomes 0.
    bounds: [f32x4; FOURS],
    centres: [f32x4; FOURS],
    quanta: [f32x4; FOURS],
    /// All bits set where the transform is the logarithm, else 0.
    logarithmic: [i32x4; FOURS],
    /// At most [`super::FeatureScaling::WEIGHT_LIMIT`]; two vectors of eight features.
    weights: [[i16x8; 2]; SIXTEENS],
    /// Normal range, plain units.
    benign_lows: [f32x4; FOURS],
    benign_highs: [f32x4; FOURS],
}

/// Flag in a part of [`RowScaler::parts`]: the feature's value is outside its normal range.
pub(in crate::verdict) const OUTSIDE: u32 = 1 << 31;

impl RowScaler {
    /// From a scaling with [`FEATURES`] entries. Missing features, and those with an invalid centre or unit, quantize
    /// to 0.
    #[inline]
    pub fn new(scaling: &Scaling) -> Self {
        let mut bounds = [f32::NAN; FEATURES];
        let mut centres = [0.0; FEATURES];
        let mut quanta = [1.0; FEATURES];
        let mut logarithmic = [0; FEATURES];
        let mut weights = [0; FEATURES];
        let (mut lows, mut highs) = ([f32::NEG_INFINITY; FEATURES], [f32::INFINITY; FEATURES]);
        for (index, feature) in scaling.features.iter().enumerate() {
            if feature.centre.is_finite() && feature.quantum().is_normal() && feature.unit > 0.0 {
                (bounds[index], centres[index], quanta[index]) = (f32::INFINITY, feature.centre, feature.quantum());
            }
            logarithmic[index] = if feature.transform == Transform::Log1p { -1 } else { 0 };
            weights[index] = feature.clamped_weight();
            (lows[index], highs[index]) = (feature.benign_low, feature.benign_high);
        }
        let fours = |values: [f32; FEATURES]| bytemuck::cast::<_, [[f32; FOUR]; FOURS]>(values).map(f32x4::new);
        Self {
            bounds: fours(bounds),
            centres: fours(centres),
            quanta: fours(quanta),
            logarithmic: bytemuck::cast::<_, [[i32; FOUR]; FOURS]>(logarithmic).map(i32x4::new),
            weights: bytemuck::cast::<_, [[[i16; 8]; 2]; SIXTEENS]>(weights).map(|halves| halves.map(i16x8::new)),
            benign_lows: fours(lows),
            benign_highs: fours(highs),
        }
    }

    /// Same as [`Scaling::quantize`].
    #[inline(never)]
    pub fn quantize(&self, row: &FeatureVector) -> QuantizedInput {
        let mut input = [0; FEATURES];
        let fours = row.as_chunks::<FOUR>().0;
        for (sixteen, input) in input.as_chunks_mut::<SIXTEEN>().0.iter_mut().enumerate() {
            let quanta: [i32x4; 4] = core::array::from_fn(|four| self.quantize_four(sixteen * 4 + four, fours));
            let halves = bytemuck::cast::<_, [i32x8; 2]>(quanta).map(i16x8::from_i32x8_saturate);
            *input = i8x16::from_i16x16_saturate(bytemuck::cast(halves)).to_array();
        }
        input
    }

    /// Quantizes group `four` (below [`FOURS`]) of a row's features.
    #[inline(always)]
    fn quantize_four(&self, four: usize, fours: &[[f32; FOUR]]) -> i32x4 {
        // NaN counts as 0, and the logarithm takes only positive values.
        let values = f32x4::new(fours[four]);
        let values = masked(values, mask(values.simd_le(self.bounds[four])));
        let positive = values.fast_max(f32x4::ZERO);
        let logarithmic = self.logarithmic[four];
        // Many counts are 0; then the logarithm is not computed.
        let logarithms = if needs_logarithm(logarithmic, positive) { log1p(positive) } else { f32x4::ZERO };
        scale(chosen(logarithmic, logarithms, values), self.centres[four], self.quanta[four])
    }

    /// Same as [`Scaling::score`].
    #[inline(never)]
    pub fn score(&self, input: &QuantizedInput, reconstruction: &QuantizedInput) -> u32 {
        let sixteens = input.as_chunks::<SIXTEEN>().0.iter().zip(reconstruction.as_chunks::<SIXTEEN>().0);
        let parts = self.weights.iter().zip(sixteens);
        parts.fold(Squares::default(), |sum, (weights, (a, b))| sum.plus(weights, a, b)).total()
    }

    /// Each feature's part of [`RowScaler::score`], with [`OUTSIDE`] set if its value is outside its normal range.
    #[inline(never)]
    pub(in crate::verdict) fn parts(
        &self,
        row: &FeatureVector,
        input: &QuantizedInput,
        reconstruction: &QuantizedInput,
    ) -> [u32; FEATURES] {
        let mut parts = [[u32x4::ZERO; 4]; SIXTEENS];
        let sixteens = input.as_chunks::<SIXTEEN>().0.iter().zip(reconstruction.as_chunks::<SIXTEEN>().0);
        for (parts, (weights, (a, b))) in parts.iter_mut().zip(self.weights.iter().zip(sixteens)) {
            let distances = distances(a, b);
            let product = |half: usize| {
                let square: u16x8 = bytemuck::cast(distances[half] * distances[half]);
                bytemuck::cast::<_, u16x8>(weights[half]).widening_mul(square)
            };
            *parts = bytemuck::cast([product(0), product(1)]);
        }
        let mut parts: [u32x4; FOURS] = bytemuck::cast(parts);
        let ranges = self.benign_lows.iter().zip(&self.benign_highs);
        for (part, (values, (low, high))) in parts.iter_mut().zip(row.as_chunks::<FOUR>().0.iter().zip(ranges)) {
            let values = f32x4::new(*values);
            let outside = values.simd_lt(*low) | values.simd_gt(*high);
            *part |= bytemuck::cast::<f32x4, u32x4>(outside) & u32x4::splat(OUTSIDE);
        }
        bytemuck::cast(parts)
    }

    /// [`RowScaler::score`] if it is at most `limit`; stops as soon as the sum exceeds it.
    #[inline(never)]
    pub fn score_within(&self, limit: u32, input: &QuantizedInput, centre: &QuantizedInput) -> Option<u32> {
        let sixteens = input.as_chunks::<SIXTEEN>().0.iter().zip(centre.as_chunks::<SIXTEEN>().0);
        let mut sum = 0_u32;
        for (weights, (a, b)) in self.weights.iter().zip(sixteens) {
            sum = sum.wrapping_add(Squares::default().plus(weights, a, b).total());
            if sum > limit {
                return None;
            }
        }
        Some(sum)
    }
}

/// Σ weight · difference² in four lanes, separately for the low and high byte of each square. |difference| ≤ 255, so a
/// square fits an unsigned 16-bit number and each of its bytes a signed one. Over one row no lane overflows, and the
/// total fits an unsigned 32-bit number.
#[derive(Clone, Copy)]
struct Squares {
    low: i32x4,
    high: i32x4,
}

impl Default for Squares {
    fn default() -> Self {
        Self { low: i32x4::ZERO, high: i32x4::ZERO }
    }
}

impl Squares {
    /// Adds sixteen features.
    #[inline(always)]
    fn plus(self, weights: &[i16x8; 2], a: &[i8; SIXTEEN], b: &[i8; SIXTEEN]) -> Self {
        let [first, second] = distances(a, b);
        self.plus_eight(weights[0], first).plus_eight(weights[1], second)
    }

    /// Adds eight features; the sign of a difference does not matter.
    #[inline(always)]
    fn plus_eight(self, weights: i16x8, difference: i16x8) -> Self {
        let square: u16x8 = bytemuck::cast(difference * difference);
        let low: i16x8 = bytemuck::cast(square & u16x8::splat(0xff));
        let high: i16x8 = bytemuck::cast(square >> 8);
        Self { low: self.low + weights.dot(low), high: self.high + weights.dot(high) }
    }

    #[inline(always)]
    fn total(self) -> u32 {
        let high: i32x4 = self.high << 8;
        (self.low + high).reduce_add().cast_unsigned()
    }
}

/// |a − b| of sixteen features.
#[inline(always)]
fn distances(a: &[i8; SIXTEEN], b: &[i8; SIXTEEN]) -> [i16x8; 2] {
    // Shifted by 128 they are unsigned bytes, so the smaller can be subtracted from the larger.
    let unsigned = |octets: &[i8; SIXTEEN]| u8x16::new(bytemuck::cast(*octets)) ^ u8x16::splat(0x80);
    let (a, b) = (unsigned(a), unsigned(b));
    let distance = a.max(b) - a.min(b);
    [i16x8::from_u8x16_low(distance), i16x8::from_u8x16_high(distance)]
}

/// The part of [`RowScaler::score`] from eight features.
#[inline(always)]
pub(in crate::verdict) fn part_of_score(weights: i16x8, difference: i16x8) -> u32 {
    Squares::default().plus_eight(weights, difference).total()
}

/// True if any lane needs the logarithm of a value above 0.
#[inline(always)]
fn needs_logarithm(logarithmic: i32x4, positive: f32x4) -> bool {
    (logarithmic & bytemuck::cast::<f32x4, i32x4>(positive).simd_gt(i32x4::ZERO)).any()
}

/// Transformed values, possibly infinite → int8 quanta; see [`super::scale`]. A finite centre and a finite positive
/// quantum exclude NaN.
#[inline(always)]
fn scale(transformed: f32x4, centre: f32x4, quantum: f32x4) -> i32x4 {
    let limit = f32::from(INPUT_LIMIT);
    let scaled = (transformed - centre) / quantum;
    nearest(scaled.fast_max(f32x4::splat(-limit)).fast_min(f32x4::splat(limit)))
}

#[inline(always)]
fn mask(lanes: f32x4) -> i32x4 {
    bytemuck::cast(lanes)
}

/// The values where the mask is set, 0 elsewhere.
#[inline(always)]
fn masked(values: f32x4, mask: i32x4) -> f32x4 {
    bytemuck::cast(bytemuck::cast::<f32x4, i32x4>(values) & mask)
}

/// `set` where the mask is set, `unset` elsewhere.
#[inline(always)]
fn chosen(mask: i32x4, set: f32x4, unset: f32x4) -> f32x4 {
    bytemuck::cast((bytemuck::cast::<f32x4, i32x4>(set) & mask) | (bytemuck::cast::<f32x4, i32x4>(unset) & !mask))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::scaling::FeatureScaling;

    #[test]
    fn score_within_returns_the_score_up_to_the_limit() {
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
    fn parts_sum_to_the_score_and_flag_values_outside_the_range() {
        let feature = |index: usize| FeatureScaling {
            transform: Transform::Identity,
            centre: 0.0,
            unit: 1.0,
            weight: if index == 0 { 1024 } else { (index * 97 % 1025) as u16 },
            benign_low: -1.0,
            benign_high: 2.0,
        };
        let scaling = Scaling { features: (0..FEATURES - 1).map(feature).collect() };
        let scaler = RowScaler::new(&scaling);
        let values = [-1.0, 2.0, f32::NAN, 0.5, -1.5, 2.5, f32::INFINITY, f32::NEG_INFINITY];
        for round in 0..200_usize {
            let quanta = |salt: usize| core::array::from_fn(|index| (round * 31 + index * salt) as u8 as i8);
            let (mut input, mut output): (QuantizedInput, QuantizedInput) = (quanta(57), quanta(113));
            (input[0], output[0]) = (-128, 127);
            let row: FeatureVector = core::array::from_fn(|index| values[(round + index) % values.len()]);
            let parts = scaler.parts(&row, &input, &output);
            assert_eq!(parts.iter().map(|part| part & !OUTSIDE).sum::<u32>(), scaling.score(&input, &output));
            for (index, part) in parts.iter().enumerate() {
                let present = index < FEATURES - 1;
                let difference = u32::from(input[index].abs_diff(output[index]));
                let weight = if present { u32::from(scaling.features[index].weight) } else { 0 };
                assert_eq!(part & !OUTSIDE, weight * difference * difference);
                assert_eq!(part & OUTSIDE != 0, present && (row[index] < -1.0 || row[index] > 2.0), "{}", row[index]);
            }
        }
    }

    #[test]
    fn a_row_is_quantized_like_its_single_features() {
        let feature = |index: usize| FeatureScaling {
            transform: if index.is_multiple_of(3) { Transform::Identity } else { Transform::Log1p },
            centre: index as f32 * 0.1 - 2.0,
            unit: 0.01 + index as f32 * 0.05,
            weight: index as u16 * 20,
            benign_low: 0.0,
            benign_high: 1.0,
        };
        let scaling = Scaling { features: (0..FEATURES).map(feature).collect() };
        let special =
            [0.0, -0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE, 1e-45, 1.0, 3e38];
        for round in 0..2000_usize {
            let value = |index: usize| match (round + index) % 5 {
                0 => special[(round / 5 + index) % special.len()],
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
