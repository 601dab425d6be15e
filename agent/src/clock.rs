//! The agent's only clocks; everything else takes time as an argument.

use lapwing_live::steady::Reading;
use lapwing_shared::units::Nanos;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
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

/// A wall-clock second that has certainly passed, told by [`passed`]. No atomic: MIPS of 32 bits has none of 64.
static FLOOR_S: Mutex<u64> = Mutex::new(EARLIEST_S);

fn floor() -> MutexGuard<'static, u64> {
    FLOOR_S.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes a second that has certainly passed: the newest that an earlier run saw.
pub fn passed(second: u64) {
    let mut floor = floor();
    *floor = second.max(*floor);
}

/// The newest second that has certainly passed: [`EARLIEST_S`], or what an earlier run saw.
pub fn floor_s() -> u64 {
    *floor()
}

/// The wall clock, or where it is not set the floor: what expired before that has expired, whatever the time is. Always
/// something, so that a gateway without a clock does not take every release for a fresh one. A wall clock behind the
/// floor is believed: else one start with a clock far ahead would refuse every later release.
pub fn at_least_s() -> Option<u64> {
    Some(wall_s().unwrap_or_else(floor_s))
}

/// Both clocks at one moment, for live packets.
#[expect(clippy::disallowed_methods, reason = "a caller of both clocks")]
pub fn reading() -> Reading {
    static START: OnceLock<Instant> = OnceLock::new();
    let now = Instant::now();
    let monotonic = now.saturating_duration_since(*START.get_or_init(|| now)).as_nanos();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let nanos = |span: u128| u64::try_from(span).unwrap_or(u64::MAX);
    Reading { wall: nanos(wall), monotonic: nanos(monotonic) }
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
