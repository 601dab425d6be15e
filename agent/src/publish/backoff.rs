//! Ended connections → the broker to try next, and the time to wait before.
//!
//! Each round tries every broker once. Within a round the waits are short, between rounds they double.

/// First wait, milliseconds.
pub(crate) const FIRST_MS: u64 = 1_000;
/// Longest wait, milliseconds.
pub(crate) const LONGEST_MS: u64 = 60_000;
/// Connections that last at least this long, milliseconds, reset the waits. Three times the longest wait: where two
/// agents have the same name, a connection lasts as long as the other agent waits.
pub(crate) const STABLE_MS: u64 = 180_000;
/// Accepted connections in a row that ended before [`STABLE_MS`], from which a second agent of the same name is likely.
pub(crate) const SUSPICIOUS: u32 = 3;

/// Waits that double from [`FIRST_MS`] to [`LONGEST_MS`], with jitter, so that agents do not reconnect all at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    random: fastrand::Rng,
    /// Number of brokers, at least 1.
    brokers: u32,
    /// The broker to try, in the agent's order.
    at: u32,
    failures: u32,
    /// A broker of this round asked for patience.
    patient: bool,
    short_lived: u32,
}

impl Backoff {
    /// `seed` should differ between agents.
    pub(crate) fn new(seed: u64, brokers: usize) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { random, brokers: brokers.max(1) as u32, at: 0, failures: 0, patient: false, short_lived: 0 }
    }

    /// Index of the broker to try now.
    pub(crate) fn broker(&self) -> usize {
        self.at as usize
    }

    /// To be called when a connection ended: how long it lasted, milliseconds, `None` if the broker did not accept it;
    /// and whether the broker ended it. The next broker follows; after a connection of [`STABLE_MS`], the first choice.
    pub(crate) fn ended(&mut self, lasted_ms: Option<u64>, by_broker: bool) {
        self.at = (self.at + 1) % self.brokers;
        if lasted_ms.is_some_and(|ms| ms >= STABLE_MS) {
            (self.at, self.failures, self.short_lived, self.patient) = (0, 0, 0, false);
        } else if lasted_ms.is_some() && by_broker {
            self.short_lived = self.short_lived.saturating_add(1);
        } else {
            self.short_lived = 0;
        }
    }

    /// Accepted connections in a row that the broker ended soon.
    pub(crate) fn short_lived(&self) -> u32 {
        self.short_lived
    }

    /// Time to wait after a connection, milliseconds: between half of the doubled time and all of it. If a broker of the
    /// round was `patient`, the wait after the round is the longest.
    pub(crate) fn wait_ms(&mut self, patient: bool) -> u64 {
        self.patient |= patient;
        let round = self.failures / self.brokers;
        self.failures = self.failures.saturating_add(1);
        let longest = if !self.failures.is_multiple_of(self.brokers) {
            FIRST_MS
        } else if std::mem::take(&mut self.patient) {
            LONGEST_MS
        } else {
            (FIRST_MS << round.min(16)).min(LONGEST_MS)
        };
        self.random.u64(longest / 2..=longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_restart_after_a_stable_connection() {
        let mut backoff = Backoff::new(1, 1);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            backoff.ended(None, false);
            let wait = backoff.wait_ms(false);
            assert!((seconds * 500..=seconds * 1000).contains(&wait), "{wait} ms, expected up to {seconds} s");
        }
        backoff.ended(Some(STABLE_MS), true);
        assert!(backoff.wait_ms(false) <= FIRST_MS);
        assert_ne!(Backoff::new(1, 1).wait_ms(false), Backoff::new(2, 1).wait_ms(false));
    }

    #[test]
    fn connections_that_the_broker_ends_soon_do_not_shorten_the_waits_and_are_counted() {
        let mut backoff = Backoff::new(1, 1);
        for _ in 0..7 {
            backoff.ended(Some(LONGEST_MS), true);
            backoff.wait_ms(false);
        }
        assert!(backoff.wait_ms(false) >= LONGEST_MS / 2 && backoff.short_lived() == 7);
        backoff.ended(Some(1), false);
        assert_eq!(backoff.short_lived(), 0);
    }

    #[test]
    fn a_busy_broker_gets_the_longest_wait_at_once() {
        assert!(Backoff::new(1, 1).wait_ms(true) >= LONGEST_MS / 2);
    }
    /// Brokers that are tried, and the longest wait before each, seconds.
    fn attempts(backoff: &mut Backoff, count: usize, patient_at: Option<usize>) -> Vec<(usize, u64)> {
        let mut attempts = Vec::new();
        for _ in 0..count {
            let broker = backoff.broker();
            backoff.ended(None, false);
            attempts.push((backoff.broker(), backoff.wait_ms(patient_at == Some(broker)).div_ceil(1_000)));
        }
        attempts
    }

    #[test]
    fn the_next_broker_follows_at_once_and_the_waits_between_rounds_double() {
        let mut backoff = Backoff::new(1, 3);
        let attempts = attempts(&mut backoff, 30, None);
        let brokers: Vec<usize> = attempts.iter().map(|(broker, _)| *broker).collect();
        assert_eq!(brokers[..7], [1, 2, 0, 1, 2, 0, 1]);
        for (number, (broker, seconds)) in attempts.iter().enumerate() {
            let longest = if *broker == 0 { (1 << (number / 3)).min(60) } else { 1 };
            assert!((longest / 2..=longest).contains(seconds), "{number}: {seconds} s, expected up to {longest}");
        }
    }

    #[test]
    fn a_busy_broker_is_spared_but_delays_no_other() {
        let mut backoff = Backoff::new(1, 2);
        let waits: Vec<u64> = attempts(&mut backoff, 4, Some(0)).iter().map(|(_, seconds)| *seconds).collect();
        assert!(waits[0] == 1 && waits[1] >= 30 && waits[2] == 1 && waits[3] >= 30, "{waits:?}");
    }

    #[test]
    fn after_a_stable_connection_the_agent_returns_to_its_first_choice() {
        let mut backoff = Backoff::new(1, 3);
        attempts(&mut backoff, 4, None);
        backoff.ended(Some(STABLE_MS - 1), true);
        assert_eq!(backoff.broker(), 2, "a short connection is a failure");
        backoff.ended(Some(STABLE_MS), true);
        assert_eq!(backoff.broker(), 0);
    }
}
