//! Attempts by name and by address → whether another one is allowed.

use std::collections::HashMap;
use std::hash::Hash;

/// Attempts in a window, at most.
pub const ATTEMPTS: u32 = 10;
/// Length of a window, seconds. It begins with the first attempt.
pub const WINDOW_S: u64 = 15 * 60;
/// Most keys that are counted.
const KEYS: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Window {
    began_s: u64,
    attempts: u32,
}

/// Counts attempts of each key. When it is full, it forgets the windows that have ended, and otherwise the one with the fewest
/// attempts: whoever uses many keys does not free one that has used up its attempts.
#[derive(Debug)]
pub struct Throttle<K> {
    windows: HashMap<K, Window>,
    keys: usize,
    most: u32,
}

impl<K: Clone + Eq + Hash> Default for Throttle<K> {
    fn default() -> Self {
        Self::with_limit(ATTEMPTS)
    }
}

impl<K: Clone + Eq + Hash> Throttle<K> {
    /// Allows `most` attempts in a window.
    pub fn with_limit(most: u32) -> Self {
        Self { windows: HashMap::new(), keys: KEYS, most }
    }

    /// Counts an attempt before it is made.
    ///
    /// # Errors
    /// Seconds to wait, if the key has used up its attempts; then nothing is counted.
    pub fn attempt(&mut self, key: &K, now_s: u64) -> Result<(), u64> {
        if !self.windows.contains_key(key) {
            self.make_room(now_s);
        }
        let window = self.windows.entry(key.clone()).or_insert(Window { began_s: now_s, attempts: 0 });
        // A window that begins later is of a clock that was set back.
        if has_ended(window, now_s) {
            *window = Window { began_s: now_s, attempts: 0 };
        }
        if window.attempts >= self.most {
            return Err((window.began_s + WINDOW_S).saturating_sub(now_s).max(1));
        }
        window.attempts += 1;
        Ok(())
    }

    /// Takes back one attempt of a key, after a success.
    pub fn give_back(&mut self, key: &K) {
        if let Some(window) = self.windows.get_mut(key) {
            window.attempts = window.attempts.saturating_sub(1);
        }
    }

    /// Forgets the attempts of a key, after a success.
    pub fn clear(&mut self, key: &K) {
        self.windows.remove(key);
    }

    fn make_room(&mut self, now_s: u64) {
        if self.windows.len() < self.keys {
            return;
        }
        self.windows.retain(|_, window| !has_ended(window, now_s));
        if self.windows.len() < self.keys {
            return;
        }
        let least = self.windows.iter().min_by_key(|(_, window)| (window.attempts, window.began_s));
        if let Some(key) = least.map(|(key, _)| key.clone()) {
            self.windows.remove(&key);
        }
    }
}

const fn has_ended(window: &Window, now_s: u64) -> bool {
    now_s >= window.began_s + WINDOW_S || now_s < window.began_s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_attempt_waits_for_the_end_of_the_window() {
        let mut throttle = Throttle::default();
        for second in 0..10 {
            assert_eq!(throttle.attempt(&"ann", 1_000 + second), Ok(()));
        }
        assert_eq!(throttle.attempt(&"ann", 1_010), Err(WINDOW_S - 10));
        assert_eq!(throttle.attempt(&"bob", 1_010), Ok(()));
        assert_eq!(throttle.attempt(&"ann", 1_000 + WINDOW_S - 1), Err(1));
        assert_eq!(throttle.attempt(&"ann", 1_000 + WINDOW_S), Ok(()));
        throttle.clear(&"bob");
        assert_eq!((0..11).filter(|_| throttle.attempt(&"bob", 1_020).is_ok()).count(), 10);
    }

    #[test]
    fn an_attempt_that_is_given_back_does_not_count() {
        let mut throttle = Throttle::default();
        for _ in 0..ATTEMPTS {
            assert_eq!(throttle.attempt(&"lan", 1_000), Ok(()));
            throttle.give_back(&"lan");
        }
        throttle.give_back(&"lan");
        assert_eq!((0..11).filter(|_| throttle.attempt(&"lan", 1_000).is_ok()).count(), 10);
    }

    #[test]
    fn a_clock_that_was_set_back_locks_no_one_out() {
        let mut throttle = Throttle::default();
        assert_eq!((0..11).filter(|_| throttle.attempt(&"ann", 9_000).is_ok()).count(), 10);
        assert_eq!(throttle.attempt(&"ann", 10), Ok(()));
    }

    #[test]
    fn many_keys_neither_fill_the_memory_nor_free_one_that_is_locked() {
        let mut throttle = Throttle { keys: 100, ..Throttle::default() };
        for _ in 0..ATTEMPTS {
            throttle.attempt(&0, 1_000).unwrap();
        }
        for key in 1..10_000 {
            throttle.attempt(&key, 1_001).unwrap();
        }
        assert_eq!(throttle.windows.len(), 100);
        assert!(throttle.attempt(&0, 1_002).is_err());
    }
}
