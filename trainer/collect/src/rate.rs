//! Messages of each agent → those within its rate: a token bucket for each name.

use std::collections::HashMap;
use std::time::Instant;

/// Messages that an agent may send at once: more than a full outbox after an outage.
const BURST: f64 = 8_192.0;
/// Names with a bucket. Above it, full buckets are dropped, because they allow as much as a new one.
const NAMES: usize = 40_000;

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn refill(&mut self, rate: f64, now: Instant) {
        self.tokens = (self.tokens + rate * now.duration_since(self.at).as_secs_f64()).min(BURST);
        self.at = now;
    }
}

/// Rates of all agents.
pub(super) struct Rates {
    per_second: f64,
    buckets: HashMap<String, Bucket>,
}

impl Rates {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second: per_second.into(), buckets: HashMap::new() }
    }

    /// True if the agent may send another message now.
    pub(super) fn allow(&mut self, agent: &str, now: Instant) -> bool {
        if !self.buckets.contains_key(agent) {
            self.make_room(now);
            self.buckets.insert(agent.to_owned(), Bucket { tokens: BURST, at: now });
        }
        let rate = self.per_second;
        self.buckets.get_mut(agent).is_none_or(|bucket| {
            bucket.refill(rate, now);
            let is_allowed = bucket.tokens >= 1.0;
            bucket.tokens -= f64::from(u8::from(is_allowed));
            is_allowed
        })
    }

    fn make_room(&mut self, now: Instant) {
        if self.buckets.len() < NAMES {
            return;
        }
        let rate = self.per_second;
        self.buckets.retain(|_, bucket| {
            bucket.refill(rate, now);
            bucket.tokens < BURST
        });
        // Many names sent just now: forget them all rather than keep more.
        if self.buckets.len() >= NAMES {
            self.buckets.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_common::clock;
    use std::time::Duration;

    #[test]
    fn an_agent_above_its_rate_slows_only_itself() {
        let (mut rates, start) = (Rates::new(10), clock::monotonic());
        let allowed = (0..20_000).filter(|_| rates.allow("loud", start)).count();
        assert_eq!(allowed, BURST as usize);
        assert!(rates.allow("quiet", start));
        let later = start + Duration::from_secs(3);
        assert_eq!((0..100).filter(|_| rates.allow("loud", later)).count(), 30);
    }

    #[test]
    fn the_number_of_names_is_limited() {
        let (mut rates, start) = (Rates::new(10), clock::monotonic());
        for number in 0..2 * NAMES {
            rates.allow(&format!("agent-{number}"), start);
        }
        assert!(rates.buckets.len() <= NAMES);
    }
}
