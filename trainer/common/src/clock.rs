//! The system's clocks → seconds and instants; no other module of the trainer reads a clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// See [`set_ahead`].
static AHEAD_S: AtomicU64 = AtomicU64::new(0);

/// Sets the wall clock of this process ahead of the system's. Campaigns take days, and the system tests run them with real
/// processes; no program that is shipped calls this.
pub fn set_ahead(seconds: u64) {
    AHEAD_S.store(seconds, Ordering::Relaxed);
}

/// Seconds since the epoch by the system's clock; 0 if it is set before the epoch.
#[expect(clippy::disallowed_methods, reason = "the only reader of the wall clock")]
pub fn now_s() -> u64 {
    let system_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    system_s.saturating_add(AHEAD_S.load(Ordering::Relaxed))
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
