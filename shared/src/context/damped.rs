//! Counts → exponentially damped counters over three time scales.

use crate::lanes::exp2;
use crate::units::{Nanos, Timestamp};
use core::f32::consts::LOG2_E;
use wide::f32x4;

/// Time scales of the damped counters, seconds.
pub const SCALES_S: [u64; 3] = [3, 30, 300];

/// log₂ e over each of [`SCALES_S`].
const HALVINGS_PER_SECOND: f32x4 =
    f32x4::new([LOG2_E / SCALES_S[0] as f32, LOG2_E / SCALES_S[1] as f32, LOG2_E / SCALES_S[2] as f32, 0.0]);

/// Decay factor after `span` for each of [`SCALES_S`]: e^(−span / scale).
///
/// A counter that grows by `r` per second converges to `r · scale`, like a count over the last `scale` seconds.
#[inline]
pub fn decay(span: Nanos) -> [f32; 3] {
    let span_s = span.as_secs_f64() as f32;
    let [short, middle, long, _] = exp2(f32x4::splat(-span_s) * HALVINGS_PER_SECOND).to_array();
    [short, middle, long]
}

/// `COUNTS` counters over [`SCALES_S`]: one row per scale, so that decay is a few vector multiplications.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Damped<const COUNTS: usize>([[f32; COUNTS]; 3]);

impl<const COUNTS: usize> Default for Damped<COUNTS> {
    fn default() -> Self {
        Self([[0.0; COUNTS]; 3])
    }
}

impl<const COUNTS: usize> Damped<COUNTS> {
    /// Decays all counters.
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

    /// Decays all counters, then adds `amounts`.
    #[inline]
    pub fn fade_and_add(&mut self, factors: &[f32; 3], amounts: &[f32; COUNTS]) {
        for (counts, factor) in self.0.iter_mut().zip(factors) {
            let ((fours, rest), (amount_fours, amount_rest)) = (counts.as_chunks_mut::<4>(), amounts.as_chunks::<4>());
            for (four, amounts) in fours.iter_mut().zip(amount_fours) {
                *four = (f32x4::new(*four) * f32x4::splat(*factor) + f32x4::new(*amounts)).to_array();
            }
            for (count, amount) in rest.iter_mut().zip(amount_rest) {
                *count = *count * factor + amount;
            }
        }
    }

    /// One counter over every scale; `count` is its index, below `COUNTS`.
    #[inline]
    pub fn of(&self, count: usize) -> [f32; 3] {
        self.0.map(|counts| counts[count])
    }
}

/// Time of the last decay of a set of counters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faded(Timestamp);

impl Faded {
    /// Time of the last decay.
    pub fn at(&self) -> Timestamp {
        self.0
    }

    /// Decay factors for the time since the last call; `None` if no time has passed.
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

    #[test]
    fn decay_is_exponential_and_reaches_0_after_88_time_constants() {
        for millis in [1, 10, 500, 3_000, 29_999, 200_000] {
            let left = decay(Nanos::from_millis(millis));
            for (left, scale_s) in left.into_iter().zip(SCALES_S) {
                let constants = millis as f64 / 1000.0 / scale_s as f64;
                let exact = libm::exp(-constants);
                assert!((f64::from(left) / exact - 1.0).abs() < 3e-7 + 2e-7 * constants, "{millis} ms: {left}");
            }
        }
        assert_eq!(decay(Nanos::from_secs(264))[0], 0.0);
        assert_ne!(decay(Nanos::from_secs(260))[0], 0.0);
        assert_eq!(decay(Nanos(u64::MAX)), [0.0; 3]);
        assert_eq!(decay(Nanos(0)), [1.0; 3]);
    }

    #[test]
    fn a_steady_rate_converges_to_rate_times_scale() {
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
