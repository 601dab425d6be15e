//! Exponentially damped counters over three time scales.

use crate::units::{Nanos, Timestamp};
use wide::{f32x4, i32x4};

/// Time scales of the damped counters, seconds.
pub const SCALES_S: [u64; 3] = [3, 30, 300];

/// What is left of counts after `span`, for each of [`SCALES_S`]: e^(−span / scale).
///
/// A counter that grows by `r` a second settles at `r · scale`: it reads like a count over the last `scale` seconds.
#[inline]
pub fn decay(span: Nanos) -> [f32; 3] {
    let span_s = span.as_secs_f64();
    let scales = SCALES_S.map(|scale_s| span_s / scale_s as f64);
    if scales[0] >= LAST_SCALES { long_decay(scales) } else { powers(scales) }
}

/// Beyond so many time constants nothing is left in single precision.
const LAST_SCALES: f64 = 80.0;

#[cold]
fn long_decay(scales: [f64; 3]) -> [f32; 3] {
    let [x, y, z] = powers(scales.map(|scales| scales.min(LAST_SCALES)));
    let [a, b, c] = scales.map(|scales| scales >= LAST_SCALES);
    [if a { 0.0 } else { x }, if b { 0.0 } else { y }, if c { 0.0 } else { z }]
}

/// e to the negative of each, all 0 to [`LAST_SCALES`].
#[inline(always)]
fn powers(scales: [f64; 3]) -> [f32; 3] {
    let [x, y, z] = scales.map(|scales| -(scales as f32));
    let [x, y, z, _] = exp(f32x4::new([x, y, z, 0.0])).to_array();
    [x, y, z]
}

/// eˣ for x from −80 to 0: the operations of `libm::expf` (FreeBSD's `e_expf.c`) in their order, so the same bits, but
/// four at a time, without branches.
#[inline(always)]
fn exp(x: f32x4) -> f32x4 {
    // ln 2 in two parts, its inverse, and the coefficients of the polynomial.
    const LN2_HI: f32 = f32::from_bits(0x3f31_7200);
    const LN2_LO: f32 = f32::from_bits(0x35bf_be8e);
    const INV_LN2: f32 = f32::from_bits(0x3fb8_aa3b);
    const P1: f32 = 1.666_662_5e-1;
    const P2: f32 = -2.766_733_3e-3;
    let magnitude = bytemuck::cast::<f32x4, i32x4>(x) & i32x4::splat(0x7fff_ffff);
    // x as k · ln 2 + (hi − lo): k is 0 up to half of ln 2, −1 up to one and a half.
    let far = (x * f32x4::splat(INV_LN2) - f32x4::HALF).fast_trunc_int();
    let k = far & magnitude.simd_gt(i32x4::splat(0x3f85_1592));
    let near = magnitude.simd_gt(i32x4::splat(0x3eb1_7218)) & !magnitude.simd_gt(i32x4::splat(0x3f85_1592));
    let k = k | near;
    let kf = f32x4::from_i32x4(k);
    let hi = x - kf * f32x4::splat(LN2_HI);
    let lo = kf * f32x4::splat(LN2_LO);
    let reduced = hi - lo;
    let square = reduced * reduced;
    let c = reduced - square * (f32x4::splat(P1) + square * f32x4::splat(P2));
    let y = f32x4::ONE + (reduced * c / (f32x4::splat(2.0) - c) - lo + hi);
    // 2ᵏ is a normal number, and so is the product, which is exact then.
    let power: f32x4 = bytemuck::cast((k + i32x4::splat(0x7f)) << 23);
    let tiny = !magnitude.simd_gt(i32x4::splat(0x3900_0000));
    let chosen =
        (bytemuck::cast::<f32x4, i32x4>(f32x4::ONE + x) & tiny) | (bytemuck::cast::<f32x4, i32x4>(y * power) & !tiny);
    bytemuck::cast(chosen)
}

/// `COUNTS` counts over [`SCALES_S`]: one row a scale, so that fading is a few vector multiplications.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Damped<const COUNTS: usize>([[f32; COUNTS]; 3]);

impl<const COUNTS: usize> Default for Damped<COUNTS> {
    fn default() -> Self {
        Self([[0.0; COUNTS]; 3])
    }
}

impl<const COUNTS: usize> Damped<COUNTS> {
    /// Lets time pass.
    #[inline]
    pub fn fade(&mut self, factors: &[f32; 3]) {
        for (counts, factor) in self.0.iter_mut().zip(factors) {
            let (fours, rest) = counts.as_chunks_mut::<4>();
            for four in fours {
                *four = (f32x4::new(*four) * f32x4::splat(*factor)).to_array();
            }
            for count in rest {
                *count *= factor;
            }
        }
    }

    /// Lets time pass, then counts `amounts` now.
    #[inline]
    pub fn fade_and_add(&mut self, factors: &[f32; 3], amounts: &[f32; COUNTS]) {
        for (counts, factor) in self.0.iter_mut().zip(factors) {
            let ((fours, rest), (more_fours, more)) = (counts.as_chunks_mut::<4>(), amounts.as_chunks::<4>());
            for (four, amounts) in fours.iter_mut().zip(more_fours) {
                *four = (f32x4::new(*four) * f32x4::splat(*factor) + f32x4::new(*amounts)).to_array();
            }
            for (count, amount) in rest.iter_mut().zip(more) {
                *count = *count * factor + amount;
            }
        }
    }

    /// One count over every scale; `count` is below `COUNTS`.
    #[inline]
    pub fn of(&self, count: usize) -> [f32; 3] {
        self.0.map(|counts| counts[count])
    }
}

/// Time of the last fade of a set of counters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faded(Timestamp);

impl Faded {
    /// Factors for the time since the last call; `None` when no time has passed.
    pub fn until(&mut self, now: Timestamp) -> Option<[f32; 3]> {
        if now <= self.0 {
            return None;
        }
        let span = now.since(self.0);
        self.0 = now;
        Some(decay(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare_powers(every: usize) {
        let edges = [0, 0x3900_0000, 0x3eb1_7218, 0x3f85_1592, 0x42a0_0000_u32];
        let near = edges.into_iter().flat_map(|edge| edge.saturating_sub(9)..(edge + 9).min(0x42a0_0001));
        for bits in (0..=0x42a0_0000).step_by(every).chain(near) {
            let x = -f32::from_bits(bits);
            assert_eq!(exp(f32x4::splat(x)).to_array()[0].to_bits(), libm::expf(x).to_bits(), "{x:e}");
        }
    }

    #[test]
    fn the_power_has_the_bits_of_the_one_in_libm() {
        compare_powers(1021);
    }

    #[test]
    #[ignore = "takes a minute"]
    fn every_power_has_the_bits_of_the_one_in_libm() {
        compare_powers(1);
    }

    #[test]
    fn nothing_is_left_after_eighty_time_constants() {
        let [short, _, long] = decay(Nanos::from_secs(240));
        assert_eq!((short, long), (0.0, libm::expf(-0.8)));
        assert_ne!(decay(Nanos::from_millis(239_999))[0], 0.0);
        assert_eq!(decay(Nanos(u64::MAX)), [0.0; 3]);
        assert_eq!(decay(Nanos(0)), [1.0; 3]);
    }

    #[test]
    fn a_steady_rate_settles_at_rate_times_scale() {
        let mut count = Damped::<1>::default();
        let mut faded = Faded::default();
        for tick in 0..40_000 {
            let factors = faded.until(Timestamp::from_nanos(tick * 100_000_000));
            count.fade_and_add(&factors.unwrap_or([1.0; 3]), &[1.0]);
        }
        for (count, scale_s) in count.of(0).iter().zip(SCALES_S) {
            let expected = 10.0 * scale_s as f32;
            assert!((count / expected - 1.0).abs() < 0.03, "{count} for {expected}");
        }
    }
}
