//! Events that the network can cause → at most a fixed number of log lines and reports a minute.

use lapwing_shared::release::manifest::Digest;

/// Time for which further events are only counted, milliseconds.
pub(super) const QUIET_MS: u64 = 60_000;
/// Digests that [`Recent`] passes in [`QUIET_MS`].
pub(super) const RECENT: usize = 8;

/// Passes one event every [`QUIET_MS`].
#[derive(Debug, Default)]
pub(super) struct Limit {
    until_ms: u64,
    suppressed: u64,
}

impl Limit {
    /// `None` for an event to suppress; otherwise the number of events that were suppressed before it.
    pub(super) fn allow(&mut self, now_ms: u64) -> Option<u64> {
        if now_ms < self.until_ms {
            self.suppressed += 1;
            return None;
        }
        self.until_ms = now_ms + QUIET_MS;
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// Passes each digest once every [`QUIET_MS`], and at most [`RECENT`] digests.
#[derive(Debug, Default)]
pub(super) struct Recent {
    seen: Vec<(Digest, u64)>,
}

impl Recent {
    /// Whether to report an event about this digest.
    pub(super) fn allow(&mut self, digest: Digest, now_ms: u64) -> bool {
        self.seen.retain(|(_, until_ms)| now_ms < *until_ms);
        let is_new = self.seen.len() < RECENT && !self.has(&digest);
        if is_new {
            self.seen.push((digest, now_ms + QUIET_MS));
        }
        is_new
    }

    /// Whether the digest passed recently.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.seen.iter().any(|(seen, _)| seen == digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_a_minute_passes_with_the_number_of_suppressed_ones() {
        let mut limit = Limit::default();
        assert_eq!(limit.allow(0), Some(0));
        (1..100).for_each(|ms| assert_eq!(limit.allow(ms), None));
        assert_eq!((limit.allow(QUIET_MS), limit.allow(QUIET_MS + 1)), (Some(99), None));
    }

    #[test]
    fn eight_digests_a_minute_pass_each_once() {
        let mut recent = Recent::default();
        let allowed = (0..100_u8).flat_map(|n| [n, n]).filter(|n| recent.allow([*n; 32], 0)).count();
        assert_eq!(allowed, RECENT);
        assert!(!recent.allow([0; 32], QUIET_MS - 1) && recent.allow([0; 32], QUIET_MS));
    }
}
