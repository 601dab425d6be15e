//! Ended connections → the pause before the next attempt; the caller adds jitter.

use std::time::{Duration, Instant};

/// First and longest pause.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(30)];
/// A connection of this length resets the pauses.
const STABLE: Duration = Duration::from_secs(60);

/// Pauses that double with each connection that fails or ends early.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    failures: u32,
    connected: Option<Instant>,
}

impl Pauses {
    /// The broker accepted the connection.
    pub(super) fn connected(&mut self, now: Instant) {
        self.connected = Some(now);
    }

    /// An attempt failed, or a connection ended; returns the pause.
    pub(super) fn ended(&mut self, now: Instant) -> Duration {
        if self.connected.take().is_some_and(|at| now.duration_since(at) >= STABLE) {
            self.failures = 0;
        }
        let pause = PAUSES[0].saturating_mul(1 << self.failures.min(16)).min(PAUSES[1]);
        self.failures = self.failures.saturating_add(1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_common::clock;

    #[test]
    fn pauses_double_and_only_a_stable_connection_resets_them() {
        let (mut pauses, start) = (Pauses::default(), clock::monotonic());
        let millis: Vec<u128> = (0..10).map(|_| pauses.ended(start).as_millis()).collect();
        assert_eq!(millis, [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
        pauses.connected(start);
        assert_eq!(pauses.ended(start + STABLE - Duration::from_secs(1)), PAUSES[1], "accepted and closed soon");
        pauses.connected(start);
        assert_eq!(pauses.ended(start + STABLE), PAUSES[0]);
    }
}
