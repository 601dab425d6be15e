//! The agent's only clocks; everything else takes time as an argument.

use lapwing_live::steady::Reading;
use lapwing_shared::units::Nanos;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A wall clock before 2025-01-01T00:00:00Z was never set: gateways without a battery start in 1970, or at the firmware's
/// build date.
pub(crate) const EARLIEST_S: u64 = 1_735_689_600;

/// Wall clock, seconds since the epoch; `None` if it is not set.
#[expect(clippy::disallowed_methods, reason = "the one caller of the wall clock")]
pub(crate) fn wall_s() -> Option<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_secs()).filter(|now_s| *now_s >= EARLIEST_S)
}

/// A wall-clock second that has certainly passed, set by [`passed`]. A mutex, since 32-bit MIPS has no 64-bit atomics.
static FLOOR_S: Mutex<u64> = Mutex::new(EARLIEST_S);

fn floor() -> MutexGuard<'static, u64> {
    FLOOR_S.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Raises the floor to a second that has certainly passed: the newest that an earlier run saw.
pub(crate) fn passed(second: u64) {
    let mut floor = floor();
    *floor = second.max(*floor);
}

/// The newest second that has certainly passed.
pub(crate) fn floor_s() -> u64 {
    *floor()
}

/// The wall clock, or the floor if it is not set, so that a gateway without a clock rejects releases that expired before
/// the floor. A wall clock behind the floor is used as it is: otherwise one run with a clock far ahead would make the
/// agent reject every later release.
pub(crate) fn at_least_s() -> Option<u64> {
    Some(wall_s().unwrap_or_else(floor_s))
}

/// Both clocks at one moment, for live capture.
#[expect(clippy::disallowed_methods, reason = "a caller of both clocks")]
pub(crate) fn reading() -> Reading {
    static START: OnceLock<Instant> = OnceLock::new();
    let now = Instant::now();
    let monotonic = now.saturating_duration_since(*START.get_or_init(|| now)).as_nanos();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let nanos = |span: u128| u64::try_from(span).unwrap_or(u64::MAX);
    Reading { wall: nanos(wall), monotonic: nanos(monotonic) }
}

/// Milliseconds since the first call; never decreases.
#[expect(clippy::disallowed_methods, reason = "the one caller of the monotonic clock")]
pub(crate) fn monotonic_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let now = Instant::now();
    let span = now.saturating_duration_since(*START.get_or_init(|| now));
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Measures time on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a caller of the monotonic clock")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Nanos {
        Nanos(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
