//! One reading of both clocks, which the caller takes once and passes on.

use std::time::Duration;

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, seconds since the epoch. It may jump in both directions.
    pub wall_s: u64,
    /// Monotonic clock, since any fixed moment of this process.
    pub elapsed: Duration,
}
