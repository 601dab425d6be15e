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
        tracing::info!(
            received = now.received,
            stored = now.stored,
            sample_rows = now.sample_rows,
            duplicates = now.duplicates,
            refused = now.refused,
            bad = now.bad_topic + now.bad_message + now.bad_kind,
            overrun = now.overrun,
            commits = now.commits,
            commit_failures = now.commit_failures,
            agent_moves = now.agent_moves,
            stale_statuses = now.stale_statuses,
            "collected messages"
        );
        brokers.iter().filter(|_| brokers.len() > 1).for_each(|broker| log_link(&broker.snapshot()));
        if now.has_abuse() {
            tracing::warn!(
                throttled = now.throttled,
                rejected = now.rejected,
                duplicate_alerts = now.duplicate_alerts,
                takeovers = now.takeovers,
                illegal = now.illegal,
                connections_refused = now.connections_refused,
                idle_closed = now.idle_closed,
                publications_refused = now.publications_refused,
                filters_refused = now.filters_refused,
                retained_dropped = now.retained_dropped,
                undelivered = now.undelivered,
                accept_failures = now.accept_failures,
                foreign_acknowledgements = now.foreign_acknowledgements,
                releases_missing = now.releases_missing,
                "refused or suspicious messages since the start"
            );
        }
    }
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
