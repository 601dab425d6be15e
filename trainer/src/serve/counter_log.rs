//! The collector's counters → log lines, at most once a minute; an idle server logs none.

use lapwing_collect::{Counts, LinkState, Snapshot};
use lapwing_fleet::BrokerLink;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Interval between two log lines with the counters.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Time and counters of the last log line.
pub(super) struct CounterLog {
    logged: Instant,
    counts: Snapshot,
}

impl CounterLog {
    pub(super) fn new(now: Instant) -> Self {
        Self { logged: now, counts: Snapshot::default() }
    }

    /// The counters, if the interval is over and one of them has changed.
    fn due(&mut self, counts: &Counts, now: Instant) -> Option<Snapshot> {
        if now.duration_since(self.logged) < LOG_INTERVAL {
            return None;
        }
        self.logged = now;
        let counts = counts.snapshot();
        let is_new = std::mem::replace(&mut self.counts, counts) != counts;
        is_new.then_some(counts)
    }

    /// Logs the counters if the interval is over and one of them has changed; with several brokers, also those of each.
    pub(super) fn pass(&mut self, counts: &Counts, brokers: &[Arc<LinkState>], now: Instant) {
        let Some(now) = self.due(counts, now) else { return };
        let counters = above_zero(&now);
        if now.has_abuse() {
            tracing::warn!(counters, "collected messages, some refused or suspicious, since the start");
        } else {
            tracing::info!(counters, "collected messages since the start");
        }
        brokers.iter().filter(|_| brokers.len() > 1).for_each(|broker| log_link(&broker.snapshot()));
    }
}

/// The counters above 0 with their names, as at `/metrics`.
fn above_zero(counts: &Snapshot) -> String {
    let counted = counts.named().filter(|(.., value)| *value > 0);
    counted.map(|(name, _, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

/// Logs the state and the counters of a link.
fn log_link(link: &BrokerLink) {
    tracing::info!(
        broker = link.broker,
        connected = link.connected,
        connections = link.connections,
        failures = link.failures,
        received = link.received,
        acknowledgements = link.acknowledgements,
        refusals = link.refusals,
        refills = link.refills,
        releases_missing = link.releases_missing,
        missing_parts = link.missing_parts,
        "link to a broker"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_common::clock;

    #[test]
    fn a_line_has_every_counter_above_0() {
        let counts = Counts::default();
        counts.received.add(3);
        counts.throttled.add(12);
        assert_eq!(above_zero(&counts.snapshot()), "received 3, throttled 12");
    }

    #[test]
    fn an_idle_server_logs_no_counters() {
        let (counts, start) = (Counts::default(), clock::monotonic());
        let mut log = CounterLog::new(start);
        let mut due = |minutes: u32| log.due(&counts, start + minutes * LOG_INTERVAL).map(|counts| counts.received);
        assert_eq!((due(2), due(4)), (None, None));
        counts.received.add(3);
        assert_eq!((due(6), due(8)), (Some(3), None));
        counts.received.add(1);
        assert_eq!((due(8), due(10)), (None, Some(4)));
    }
}
