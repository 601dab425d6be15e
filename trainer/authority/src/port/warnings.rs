//! Warnings that strangers can cause → a bounded number of log lines.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Interval in which [`LINES`] warnings are logged at most.
const INTERVAL: Duration = Duration::from_secs(60);
const LINES: u32 = 10;

/// Warnings of the present interval.
#[derive(Default)]
pub(super) struct Warnings(Mutex<Window>);

#[derive(Default)]
struct Window {
    began: Option<Instant>,
    lines: u32,
    unlogged: u64,
}

impl Warnings {
    /// `None` for a warning to leave out; otherwise the number of those that were left out before it.
    pub(super) fn allow(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.began.is_none_or(|began| now.saturating_duration_since(began) >= INTERVAL) {
            (window.began, window.lines) = (Some(now), 0);
        }
        if window.lines == LINES {
            window.unlogged += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_warnings_a_minute_are_logged_and_the_others_counted() {
        let (warnings, now) = (Warnings::default(), lapwing_common::clock::monotonic());
        let logged = (0..50).filter(|_| warnings.allow(now).is_some()).count();
        assert_eq!(logged, 10);
        assert_eq!((warnings.allow(now + INTERVAL), warnings.allow(now + INTERVAL)), (Some(40), Some(0)));
    }
}
