//! The agent's only clocks; everything else takes time as an argument.

use lapwing_shared::units::Nanos;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A wall clock before 2025-01-01T00:00:00Z is one that was never set: gateways without a battery begin in 1970, or at
/// the firmware's build date.
pub const EARLIEST_S: u64 = 1_735_689_600;

/// Wall clock, seconds since the epoch; nothing where it is not set.
#[expect(clippy::disallowed_methods, reason = "the one caller of the wall clock")]
pub fn wall_s() -> Option<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_secs()).filter(|now_s| *now_s >= EARLIEST_S)
}

/// Milliseconds since the first call; never goes back.
#[expect(clippy::disallowed_methods, reason = "the one caller of the monotonic clock")]
pub fn monotonic_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let now = Instant::now();
    let span = now.saturating_duration_since(*START.get_or_init(|| now));
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Measures a span on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "a caller of the monotonic clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Nanos {
        Nanos(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
