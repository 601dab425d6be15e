//! Vectors of four to sixteen lanes that scaling and network have in common. Every operation gives the same bits on
//! every processor, with vector instructions and without.

use wide::{f32x4, i8x16, i16x8, i16x16, i32x4};

/// Lanes of a vector of 32-bit numbers.
pub(super) const FOUR: usize = 4;
/// Lanes of a vector of 16-bit numbers.
pub(super) const EIGHT: usize = 8;
/// Lanes of a vector of octets.
pub(super) const SIXTEEN: usize = 16;

/// The nearest integers, ties to even, of numbers within ±2²².
#[inline(always)]
pub(super) fn nearest(values: f32x4) -> i32x4 {
    // Adding 1.5·2²³ leaves no fraction bits, so the addition rounds half to even (IEEE 754 §4.3.1), and the integer
    // stands in the low bits of the sum.
    // Where the processor has an instruction for it, that is the same (Intel SDM, CVTPS2DQ, under the default rounding).
    const ROUNDER: f32 = 12_582_912.0;
    if cfg!(target_feature = "sse2") {
        return values.fast_round_int();
    }
    let sum = values + f32x4::splat(ROUNDER);
    bytemuck::cast::<f32x4, i32x4>(sum) - i32x4::splat(ROUNDER.to_bits().cast_signed())
}

/// Sixteen octets as numbers of 16 bits, with their sign.
#[inline(always)]
pub(super) fn widened(octets: &[i8; SIXTEEN]) -> [i16x8; 2] {
    bytemuck::cast(i16x16::from_i8x16(i8x16::new(*octets)))
}
