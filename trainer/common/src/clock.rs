//! The system's clocks → seconds and instants; no other module of the trainer reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds since the epoch by the system's clock; 0 if it is set before the epoch.
#[expect(clippy::disallowed_methods, reason = "the only reader of the wall clock")]
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The monotonic clock, for intervals.
#[expect(clippy::disallowed_methods, reason = "the only reader of the monotonic clock")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// One reading of both clocks, to pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Wall clock, seconds since the epoch.
    pub wall_s: u64,
    /// Monotonic clock.
    pub monotonic: Instant,
}

/// Reads both clocks.
pub fn moment() -> Moment {
    Moment { wall_s: now_s(), monotonic: monotonic() }
}

/// The monotonic time after a duration from now, for deadlines.
pub fn after(span: Duration) -> Instant {
    monotonic() + span
}
