//! Numbers of stored messages of one agent's run → the numbers to acknowledge, and duplicates.
//!
//! Numbers start at 1. Every number up to [`StoredNumbers::up_to`] is stored or given up; stored numbers beyond it are kept as
//! ranges. An agent whose full outbox drops a message leaves a gap that is never filled, so gaps are limited in count
//! ([`MAX_GAPS`]) and in age: a gap is given up when [`WINDOW`] numbers beyond it are stored, far more than any outbox
//! holds. Its numbers then count as stored, and [`StoredNumbers::given_up`] counts them. A single number far ahead, which a
//! forged message can have, ends no gap; [`StoredNumbers::is_too_far`] rejects it if the run is known.

/// Gaps in one run, at most; beyond it, the oldest gap is given up.
const MAX_GAPS: usize = 1024;
/// Stored numbers beyond a gap at which it is given up.
const WINDOW: u64 = 65_536;
/// Largest distance of a number from the highest stored one. An agent that sends an alert for each of its 64 episodes
/// every minute needs 11 days for it.
pub(crate) const MAX_JUMP: u64 = 1 << 20;

/// Stored numbers of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredNumbers {
    up_to: u64,
    beyond: Vec<(u64, u64)>,
    given_up: u64,
}

impl StoredNumbers {
    /// Every number up to this one is stored or given up.
    pub fn up_to(&self) -> u64 {
        self.up_to
    }

    /// Numbers given up since this value was created or loaded.
    pub(crate) fn given_up(&self) -> u64 {
        self.given_up
    }

    /// True if the number is too far beyond the highest stored one to be the agent's. Any first number is accepted: the
    /// store may be newer than the agent's run.
    pub(crate) fn is_too_far(&self, number: u64) -> bool {
        let highest = self.beyond.last().map_or(self.up_to, |range| range.1);
        highest > 0 && number > highest.saturating_add(MAX_JUMP)
    }

    /// True if the number is stored or given up. Numbers start at 1; 0 is never stored.
    pub fn contains(&self, number: u64) -> bool {
        let after = self.beyond.partition_point(|range| range.0 <= number);
        number != 0 && (number <= self.up_to || after.checked_sub(1).is_some_and(|at| self.beyond[at].1 >= number))
    }

    /// Adds a stored number; false if it was already stored or is 0.
    pub(crate) fn insert(&mut self, number: u64) -> bool {
        if number == 0 || self.contains(number) {
            return false;
        }
        let at = self.beyond.partition_point(|range| range.0 <= number);
        let joins_left = at > 0 && self.beyond[at - 1].1 + 1 == number;
        let joins_right = self.beyond.get(at).is_some_and(|range| range.0 - 1 == number);
        match (joins_left, joins_right) {
            (true, true) => {
                self.beyond[at - 1].1 = self.beyond[at].1;
                self.beyond.remove(at);
            }
            (true, false) => self.beyond[at - 1].1 = number,
            (false, true) => self.beyond[at].0 = number,
            (false, false) => self.beyond.insert(at, (number, number)),
        }
        self.advance();
        true
    }

    /// Advances `up_to` over contiguous numbers, and over gaps that exceed a limit.
    fn advance(&mut self) {
        let highest = self.beyond.last().map_or(self.up_to, |range| range.1);
        // Only a distant number needs the sum over all ranges.
        let is_distant = highest - self.up_to > WINDOW;
        let stored = |ranges: &[(u64, u64)]| ranges.iter().map(|(first, last)| last - first + 1).sum::<u64>();
        let mut beyond = if is_distant { stored(&self.beyond) } else { 0 };
        let mut merged = 0;
        for (first, last) in &self.beyond {
            let remaining = self.beyond.len() - merged;
            let gap = first - self.up_to - 1;
            if gap > 0 && remaining <= MAX_GAPS && beyond <= WINDOW {
                break;
            }
            beyond = beyond.saturating_sub(last - first + 1);
            self.given_up = self.given_up.saturating_add(gap);
            self.up_to = *last;
            merged += 1;
        }
        self.beyond.drain(..merged);
    }

    /// The ranges beyond `up_to` as bytes: pairs of little-endian u64.
    pub(crate) fn ranges_to_bytes(&self) -> Vec<u8> {
        self.beyond.iter().flat_map(|(first, last)| [first.to_le_bytes(), last.to_le_bytes()].concat()).collect()
    }

    /// Inverse of [`Self::ranges_to_bytes`]; `None` unless the ranges are ascending, separate and beyond `up_to`.
    pub(crate) fn from_parts(up_to: u64, ranges: &[u8]) -> Option<Self> {
        let (pairs, rest) = ranges.as_chunks::<16>();
        let mut progress = Self { up_to, ..Self::default() };
        let mut floor = up_to;
        for pair in pairs {
            let (words, _) = pair.as_chunks::<8>();
            let (first, last) = (u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1]));
            if first <= floor.checked_add(1)? || last < first {
                return None;
            }
            progress.beyond.push((first, last));
            floor = last;
        }
        rest.is_empty().then_some(progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_in_any_order_match_a_set() {
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..200 {
            let (mut progress, mut set) = (StoredNumbers::default(), BTreeSet::new());
            for _ in 0..200 {
                let number = random.u64(1..120);
                assert_eq!(progress.insert(number), set.insert(number), "round {round}, number {number}");
            }
            let contiguous = (1..).take_while(|number| set.contains(number)).last().unwrap_or(0);
            assert_eq!(progress.up_to(), contiguous, "round {round}");
            assert!((0..130).all(|number| progress.contains(number) == set.contains(&number)), "round {round}");
            let back = StoredNumbers::from_parts(progress.up_to(), &progress.ranges_to_bytes()).unwrap();
            assert_eq!(back, progress, "round {round}");
        }
    }

    #[test]
    fn number_of_gaps_is_limited() {
        let mut progress = StoredNumbers::default();
        for odd in 0..4 * MAX_GAPS as u64 {
            progress.insert(2 * odd + 3);
        }
        assert_eq!(progress.beyond.len(), MAX_GAPS);
        assert!(progress.given_up() > 0);
    }

    #[test]
    fn a_gap_is_given_up_when_many_later_numbers_are_stored() {
        let mut progress = StoredNumbers::default();
        assert!((3..WINDOW + 3).all(|number| progress.insert(number)));
        assert_eq!((progress.up_to(), progress.given_up()), (0, 0));
        progress.insert(WINDOW + 3);
        assert_eq!((progress.up_to(), progress.given_up()), (WINDOW + 3, 2));
    }

    #[test]
    fn a_single_number_far_ahead_marks_no_other_as_stored() {
        let mut progress = StoredNumbers::default();
        assert!(!progress.is_too_far(u64::MAX), "the first number of a run may be any");
        assert!((1..=5).all(|number| progress.insert(number)));
        assert!(
            progress.is_too_far(u64::MAX) && progress.is_too_far(6 + MAX_JUMP) && !progress.is_too_far(5 + MAX_JUMP)
        );
        for far in [5 + MAX_JUMP, 4 + 2 * MAX_JUMP, u64::MAX] {
            assert!(progress.insert(far));
        }
        assert_eq!((progress.up_to(), progress.given_up()), (5, 0));
        assert!((6..1_000).all(|number| progress.insert(number)));
        assert_eq!(progress.up_to(), 999);
        assert!(!progress.is_too_far(u64::MAX) && !progress.insert(u64::MAX));
    }

    #[test]
    fn number_zero_is_never_stored() {
        let mut progress = StoredNumbers::default();
        assert!(!progress.insert(0));
        assert!(!progress.contains(0));
    }

    #[test]
    fn damaged_ranges_are_rejected() {
        let range = |first: u64, last: u64| [first.to_le_bytes(), last.to_le_bytes()].concat();
        assert_eq!(StoredNumbers::from_parts(5, &range(6, 7)), None);
        assert_eq!(StoredNumbers::from_parts(5, &range(9, 8)), None);
        assert_eq!(StoredNumbers::from_parts(5, &range(9, 9)[1..]), None);
        assert!(StoredNumbers::from_parts(5, &range(9, 9)).is_some());
    }
}
