//! Rows in the journal and small segments → what to write now; pure functions of the time.

use crate::writer::Limits;
use std::collections::BTreeMap;

/// Seconds after which segments may be merged. Longer than anything reads the rows of a store.
const MERGE_AGE_S: u64 = 86_400;
/// A segment with less than this share of the rows of a full one is small.
const SMALL_SHARE: u64 = 4;

/// Rows of a group that are in no segment yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Group of the agents.
    pub group: String,
    /// Rows.
    pub rows: u64,
}

/// Remembers since when each group has rows.
#[derive(Debug, Default)]
pub struct Planner {
    since_s: BTreeMap<String, u64>,
}

impl Planner {
    /// The groups of which a segment is to be written at `now_s`: those whose rows fill one, or are waiting for the age.
    pub fn due(&mut self, pending: &[Pending], limits: &Limits, now_s: u64) -> Vec<String> {
        self.since_s.retain(|group, _| pending.iter().any(|pending| pending.group == *group && pending.rows > 0));
        let mut due = Vec::new();
        for Pending { group, rows } in pending.iter().filter(|pending| pending.rows > 0) {
            let since_s = self.since_s.entry(group.clone()).or_insert(now_s);
            // A clock that was set back starts the age again.
            *since_s = (*since_s).min(now_s);
            if *rows >= limits.rows() || now_s.saturating_sub(*since_s) >= limits.age_s {
                due.push(group.clone());
            }
        }
        due
    }

    /// The rows of a group were written; the age of those left begins now.
    pub fn written(&mut self, group: &str) {
        self.since_s.remove(group);
    }
}

/// The first run of small segments that are to be merged at `now_s`, as positions. `segments` are those of one group in
/// order of arrival, each with its number of rows and the time when it was written. Segments of today stay: they would be
/// merged again and again.
pub fn mergeable(segments: &[(u64, u64)], limits: &Limits, now_s: u64) -> Option<std::ops::Range<usize>> {
    let full = limits.rows();
    let day = |at_s: u64| at_s / MERGE_AGE_S;
    let is_old = |written_s: u64| written_s.saturating_add(MERGE_AGE_S) <= now_s && day(written_s) < day(now_s);
    let (mut start, mut rows) = (0, 0_u64);
    for (index, (more, written_s)) in segments.iter().enumerate() {
        let is_small = *more * SMALL_SHARE < full && is_old(*written_s);
        if is_small && rows + more <= full {
            rows += more;
            continue;
        }
        if index > start + 1 {
            return Some(start..index);
        }
        (start, rows) = if is_small { (index, *more) } else { (index + 1, 0) };
    }
    (segments.len() > start + 1).then_some(start..segments.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Row;
    use crate::writer::SEGMENT_BYTES;

    fn pending(rows: [u64; 2]) -> Vec<Pending> {
        ["home", "work"].into_iter().zip(rows).map(|(group, rows)| Pending { group: group.into(), rows }).collect()
    }

    #[test]
    fn a_segment_is_due_when_its_rows_fill_it_or_have_waited_for_the_age() {
        let (mut planner, limits) = (Planner::default(), Limits::default());
        let full = SEGMENT_BYTES / size_of::<Row>() as u64;
        assert!(planner.due(&pending([1, 0]), &limits, 1_000).is_empty());
        assert!(planner.due(&pending([2, 9]), &limits, 1_100).is_empty());
        assert_eq!(planner.due(&pending([full, 9]), &limits, 1_200), ["home"]);
        assert_eq!(planner.due(&pending([full - 1, 9]), &limits, 1_300), ["home"], "of age");
        planner.written("home");
        assert_eq!(planner.due(&pending([5, 9]), &limits, 1_400), ["work"], "the age of home's rows starts again");
        assert_eq!(planner.due(&pending([0, 0]), &limits, 2_000), [] as [&str; 0]);
        assert!(planner.due(&pending([1, 0]), &limits, 2_001).is_empty(), "rows that came later");
        assert!(planner.due(&pending([1, 0]), &limits, 500).is_empty(), "the clock was set back");
        assert_eq!(planner.due(&pending([1, 0]), &limits, 800), ["home"]);
    }

    #[test]
    fn small_segments_of_earlier_days_are_merged_up_to_a_full_one() {
        let limits = Limits { bytes: 1_000 * size_of::<Row>() as u64, age_s: 300 };
        let now_s = 10 * MERGE_AGE_S + 100;
        let merge = |segments: &[(u64, u64)]| mergeable(segments, &limits, now_s);
        let old = |rows: u64| (rows, 5 * MERGE_AGE_S);
        assert_eq!(merge(&[old(10), old(20), old(30)]), Some(0..3));
        assert_eq!(merge(&[old(10)]), None);
        assert_eq!(merge(&[]), None);
        assert_eq!(merge(&[old(900), old(10), old(20), old(900), old(30), old(30)]), Some(1..3), "the first run only");
        assert_eq!(merge(&[old(10), old(900), old(20), old(900)]), None, "only neighbours in order of arrival");
        let many = [old(240), old(240), old(240), old(240), old(240), old(240)];
        assert_eq!(merge(&many), Some(0..4), "five would exceed a full segment");
        let (today, yesterday) = ((10, 10 * MERGE_AGE_S + 1), (10, 9 * MERGE_AGE_S + 200));
        assert_eq!(merge(&[today, today, yesterday, yesterday]), None, "less than a day old");
        assert_eq!(merge(&[old(10), old(10), today, today]), Some(0..2));
    }
}
