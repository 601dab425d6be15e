//! The limit by age → when to look for rows that exceed it, and which do.

use crate::Limits;

/// Time between two looks when nothing more was found, seconds.
const INTERVAL_S: i64 = 3_600;
/// Rows of each table that one commit deletes at most.
pub(crate) const AT_ONCE: i64 = 1_000;

/// When a writer looks next.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    next_s: i64,
}

impl Expiry {
    /// The time before which rows are too old, if a look is due; seconds since the epoch.
    pub(crate) fn due(&self, limits: &Limits, now_s: i64) -> Option<i64> {
        // After a clock that was far ahead, `next_s` is not waited for.
        let is_due = now_s >= self.next_s || now_s.saturating_add(INTERVAL_S) < self.next_s;
        limits.age_s.filter(|_| is_due).map(|age_s| now_s.saturating_sub_unsigned(age_s))
    }

    /// A look has ended; `has_more` if it deleted as many rows as it may.
    pub(crate) fn looked(&mut self, now_s: i64, has_more: bool) {
        self.next_s = if has_more { now_s } else { now_s.saturating_add(INTERVAL_S) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_looks_hourly_and_at_once_while_there_is_more() {
        let limits = Limits { age_s: Some(100), ..Limits::default() };
        let mut expiry = Expiry::default();
        assert_eq!(expiry.due(&Limits::default(), 5_000), None, "no limit");
        assert_eq!(expiry.due(&limits, 5_000), Some(4_900));
        expiry.looked(5_000, true);
        assert_eq!(expiry.due(&limits, 5_000), Some(4_900));
        expiry.looked(5_000, false);
        assert_eq!(expiry.due(&limits, 8_599), None);
        assert_eq!(expiry.due(&limits, 8_600), Some(8_500));
        expiry.looked(1_000_000, false);
        assert_eq!(expiry.due(&limits, 9_000), Some(8_900), "the clock went back");
    }
}
