//! The only place of the trainer that reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds since the epoch by the system's clock; 0 when it stands before the epoch.
#[expect(clippy::disallowed_methods, reason = "the trainer's one reader of the wall clock")]
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The monotonic clock, for intervals.
#[expect(clippy::disallowed_methods, reason = "the trainer's one reader of the monotonic clock")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// A point so far ahead on the monotonic clock.
pub fn after(span: Duration) -> Instant {
    monotonic() + span
}
