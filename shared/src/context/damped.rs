//! Exponentially damped counters over three time scales.

use crate::units::{Nanos, Timestamp};

/// Time scales of the damped counters, seconds.
pub const SCALES_S: [u64; 3] = [3, 30, 300];

/// What is left of counts after `span`, for each of [`SCALES_S`]: e^(−span / scale).
///
/// A counter that grows by `r` a second settles at `r · scale`: it reads like a count over the last `scale` seconds.
pub fn decay(span: Nanos) -> [f32; 3] {
    SCALES_S.map(|scale_s| {
        let scales = span.as_secs_f64() / scale_s as f64;
        // Beyond 80 time constants nothing is left in single precision.
        if scales >= 80.0 { 0.0 } else { libm::expf(-(scales as f32)) }
    })
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
            for count in counts {
                *count *= factor;
            }
        }
    }

    /// Counts `amount` now; `count` is below `COUNTS`.
    #[inline]
    pub fn add(&mut self, count: usize, amount: f32) {
        for counts in &mut self.0 {
            counts[count] += amount;
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

    #[test]
    fn a_steady_rate_settles_at_rate_times_scale() {
        let mut count = Damped::<1>::default();
        let mut faded = Faded::default();
        for tick in 0..40_000 {
            if let Some(factors) = faded.until(Timestamp::from_nanos(tick * 100_000_000)) {
                count.fade(&factors);
            }
            count.add(0, 1.0);
        }
        for (count, scale_s) in count.of(0).iter().zip(SCALES_S) {
            let expected = 10.0 * scale_s as f32;
            assert!((count / expected - 1.0).abs() < 0.03, "{count} for {expected}");
        }
    }
}
