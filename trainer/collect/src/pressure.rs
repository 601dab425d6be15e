//! Payload bytes between intake and commit, with a limit.
//!
//! The queue counts messages, which differ in size: 8,192 messages of 60 KiB would need half a gigabyte.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// See the module.
pub(super) struct Pressure {
    bytes: Mutex<usize>,
    changed: Condvar,
    limit: usize,
}

impl Pressure {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { bytes: Mutex::new(0), changed: Condvar::new(), limit })
    }

    /// Adds a payload once there is room, at once if there is nothing else; false after the timeout.
    pub(super) fn add(&self, bytes: usize, timeout: Duration) -> bool {
        let lock = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |used: &mut usize| *used > 0 && *used + bytes > self.limit;
        let waited = self.changed.wait_timeout_while(lock, timeout, is_full);
        let (mut used, result) = waited.unwrap_or_else(PoisonError::into_inner);
        if !result.timed_out() {
            *used += bytes;
        }
        !result.timed_out()
    }

    pub(super) fn remove(&self, bytes: usize) {
        let mut used = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *used = used.saturating_sub(bytes);
        // Several intakes may wait, with payloads of different sizes.
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_wait_for_room() {
        let pressure = Pressure::new(100);
        let at_once = Duration::from_millis(1);
        assert!(pressure.add(500, at_once), "a payload above the limit passes alone");
        assert!(!pressure.add(1, at_once));
        pressure.remove(500);
        assert!(pressure.add(60, at_once) && pressure.add(40, at_once) && !pressure.add(1, at_once));
        let waiting = Arc::clone(&pressure);
        let waiter = std::thread::spawn(move || waiting.add(30, Duration::from_secs(20)));
        pressure.remove(60);
        assert!(waiter.join().unwrap());
    }
}
