//! Vectors of 4 to 16 lanes → rounding, widening and 2ˣ, shared by context, scaling and network. Every operation gives
//! the same bits on every processor, with and without vector instructions.

use wide::{f32x4, i8x16, i16x8, i16x16, i32x4};

/// Lanes of a vector of 32-bit numbers.
pub(crate) const FOUR: usize = 4;
/// Lanes of a vector of 16-bit numbers.
pub(crate) const EIGHT: usize = 8;
/// Lanes of a vector of bytes.
pub(crate) const SIXTEEN: usize = 16;

/// Rounds numbers within ±2²² to the nearest integers, ties to even.
#[inline(always)]
pub(crate) fn nearest(values: f32x4) -> i32x4 {
    // Adding 1.5·2²³ leaves no fraction bits, so the addition rounds half to even (IEEE 754 §4.3.1), and the integer
    // is in the low bits of the sum. CVTPS2DQ does the same under the default rounding mode (Intel SDM).
    const ROUNDER: f32 = 12_582_912.0;
    if cfg!(target_feature = "sse2") {
        return values.fast_round_int();
    }
    let sum = values + f32x4::splat(ROUNDER);
    bytemuck::cast::<f32x4, i32x4>(sum) - i32x4::splat(ROUNDER.to_bits().cast_signed())
}

/// Sixteen signed bytes as 16-bit numbers.
#[inline(always)]
pub(crate) fn widened(octets: &[i8; SIXTEEN]) -> [i16x8; 2] {
    bytemuck::cast(i16x16::from_i8x16(i8x16::new(*octets)))
}

/// 2ˣ for x ≤ 0, with a relative error of at most 2.2 · 10⁻⁷; 0 for x ≤ −126, where results would be subnormal. Only
/// IEEE 754 single operations, so the bits are the same on every processor.
///
/// x = k + f with f from −½ to ½, and 2ᶠ by a minimax polynomial of degree 5, relative error 9.2 · 10⁻⁸.
#[inline(always)]
pub(crate) fn exp2(x: f32x4) -> f32x4 {
    #[allow(clippy::approx_constant, reason = "a fitted coefficient close to ln 2")]
    const COEFFICIENTS: [f32; 6] = [1.0, 0.693_147, 0.240_222_42, 0.055_507_336, 0.009_671_507, 0.001_326_471];
    let lowest = f32x4::splat(-126.0);
    let clamped = x.fast_max(lowest);
    let k = nearest(clamped);
    let f = clamped - f32x4::from_i32x4(k);
    let [rest @ .., last] = COEFFICIENTS.map(f32x4::splat);
    let mantissa = rest.into_iter().rev().fold(last, |sum, coefficient| sum * f + coefficient);
    // 2ᵏ is a normal number with mantissa 0.
    let power: f32x4 = bytemuck::cast((k + i32x4::splat(127)) << 23);
    let in_range: i32x4 = bytemuck::cast(x.simd_gt(lowest));
    bytemuck::cast(bytemuck::cast::<f32x4, i32x4>(mantissa * power) & in_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(every: usize) {
        for bits in (0..0x42fc_0000_u32).step_by(every) {
            let x = -f32::from_bits(bits);
            let (ours, exact) = (exp2(f32x4::splat(x)).to_array()[0], libm::exp2(f64::from(x)));
            assert!((f64::from(ours) / exact - 1.0).abs() < 2.2e-7, "2^{x:e} is {exact:e}, not {ours:e}");
        }
    }

    #[test]
    fn exp2_is_accurate() {
        compare(1021);
    }

    #[test]
    #[ignore = "takes a minute"]
    fn exp2_is_accurate_for_every_number() {
        compare(1);
    }
}
