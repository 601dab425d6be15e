//! Packet times → waits that replay a capture at its own pace.

use crate::clock::Stopwatch;
use lapwing_shared::units::{Nanos, Timestamp};
use std::time::Duration;

/// Longest single wait: longer gaps in the capture are shortened to it.
pub(crate) const LONGEST_WAIT: Nanos = Nanos::from_secs(3600);

/// Delays packets until they are due, or does nothing.
pub(crate) struct Pace {
    began: Option<(Timestamp, Stopwatch)>,
    realtime: bool,
}

impl Pace {
    /// Waits only if `realtime`.
    pub(crate) fn new(realtime: bool) -> Self {
        Self { began: None, realtime }
    }

    /// Returns when as much time has passed since the first call as between the first packet and this one.
    #[inline]
    pub(crate) fn wait_for(&mut self, timestamp: Timestamp) {
        if self.realtime {
            self.hold_back(timestamp);
        }
    }

    #[cold]
    fn hold_back(&mut self, timestamp: Timestamp) {
        let (first, stopwatch) = self.began.get_or_insert_with(|| (timestamp, Stopwatch::start()));
        let ahead = timestamp.since(*first).0.saturating_sub(stopwatch.elapsed().0);
        if ahead > LONGEST_WAIT.0 {
            // The rest of the gap is skipped: this packet is now the first.
            (*first, *stopwatch) = (timestamp, Stopwatch::start());
        }
        std::thread::sleep(Duration::from_nanos(ahead.min(LONGEST_WAIT.0)));
    }
}
