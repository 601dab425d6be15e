//! Replay at the capture's own pace.

use crate::clock::Stopwatch;
use lapwing_shared::units::{Nanos, Timestamp};
use std::time::Duration;

/// Longest single wait: a gap in the capture longer than this is shortened to it.
pub const LONGEST_WAIT: Nanos = Nanos::from_secs(3600);

/// Holds back packets until their time has come, or does nothing.
pub struct Pace {
    began: Option<(Timestamp, Stopwatch)>,
    realtime: bool,
}

impl Pace {
    /// `realtime` false never waits.
    pub fn new(realtime: bool) -> Self {
        Self { began: None, realtime }
    }

    /// Returns when as much time has passed since the first call as between the two packets.
    #[inline]
    pub fn wait_for(&mut self, timestamp: Timestamp) {
        if self.realtime {
            self.hold_back(timestamp);
        }
    }

    #[cold]
    fn hold_back(&mut self, timestamp: Timestamp) {
        let (first, stopwatch) = self.began.get_or_insert_with(|| (timestamp, Stopwatch::start()));
        let ahead = timestamp.since(*first).0.saturating_sub(stopwatch.elapsed().0);
        if ahead > LONGEST_WAIT.0 {
            // The rest of the gap is skipped: from here on this packet counts as on time.
            (*first, *stopwatch) = (timestamp, Stopwatch::start());
        }
        std::thread::sleep(Duration::from_nanos(ahead.min(LONGEST_WAIT.0)));
    }
}
