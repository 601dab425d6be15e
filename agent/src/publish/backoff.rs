//! Failed connections in a row → time to wait before the next one.

/// First wait, milliseconds.
pub const FIRST_MS: u64 = 1_000;
/// Longest wait, milliseconds.
pub const LONGEST_MS: u64 = 60_000;

/// Doubles from [`FIRST_MS`] to [`LONGEST_MS`], with jitter, so that agents that lost one broker do not return as one.
#[derive(Debug)]
pub struct Backoff {
    random: fastrand::Rng,
    failures: u32,
}

impl Backoff {
    /// `seed` differs between agents.
    pub fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), failures: 0 }
    }

    /// A connection was made.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// A connection failed: how long to wait, milliseconds, between half of the doubled time and all of it.
    pub fn wait_ms(&mut self) -> u64 {
        let whole = (FIRST_MS << self.failures.min(16)).min(LONGEST_MS);
        self.failures = self.failures.saturating_add(1);
        self.random.u64(whole / 2..=whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_begin_anew() {
        let mut backoff = Backoff::new(1);
        for whole in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let wait = backoff.wait_ms();
            assert!((whole * 500..=whole * 1000).contains(&wait), "{wait} of {whole} s");
        }
        backoff.reset();
        assert!(backoff.wait_ms() <= FIRST_MS);
        assert_ne!(Backoff::new(1).wait_ms(), Backoff::new(2).wait_ms());
    }
}
