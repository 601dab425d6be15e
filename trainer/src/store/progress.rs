//! Message numbers of one agent's run that are stored ↔ what may be acknowledged and what is a duplicate.
//!
//! Numbers start at 1. Everything up to [`Progress::up_to`] is stored or given up; stored numbers beyond it are kept as
//! ranges. An agent whose full outbox drops a message leaves a gap that is never filled, so gaps are bounded twice:
//! by their count ([`GAPS`]) and by their age in numbers ([`WINDOW`], far more than any outbox holds). A gap given up
//! counts as stored from then on, and [`Progress::given_up`] says how many numbers that was.

/// Most gaps that one run may have; the oldest is given up beyond it.
pub(super) const GAPS: usize = 1024;
/// Distance from the highest stored number at which a gap is given up.
pub(super) const WINDOW: u64 = 65_536;

/// Stored numbers of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    up_to: u64,
    beyond: Vec<(u64, u64)>,
    given_up: u64,
}

impl Progress {
    /// Every number up to this one is stored or given up.
    pub fn up_to(&self) -> u64 {
        self.up_to
    }

    /// Numbers given up since this value was made or read back.
    pub fn given_up(&self) -> u64 {
        self.given_up
    }

    /// True when the number is stored already. Numbers start at 1; 0 is never stored.
    pub fn contains(&self, number: u64) -> bool {
        let after = self.beyond.partition_point(|range| range.0 <= number);
        number != 0 && (number <= self.up_to || after.checked_sub(1).is_some_and(|at| self.beyond[at].1 >= number))
    }

    /// Notes a number as stored; false when it was so already, or is 0.
    pub fn insert(&mut self, number: u64) -> bool {
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
        self.settle();
        true
    }

    /// Moves `up_to` over what has become contiguous, and over gaps that exceed the bounds.
    fn settle(&mut self) {
        let highest = self.beyond.last().map_or(self.up_to, |range| range.1);
        let mut merged = 0;
        for (first, last) in &self.beyond {
            let waiting = self.beyond.len() - merged;
            let gap = first - self.up_to - 1;
            if gap > 0 && waiting <= GAPS && highest - self.up_to <= WINDOW {
                break;
            }
            self.given_up = self.given_up.saturating_add(gap);
            self.up_to = *last;
            merged += 1;
        }
        self.beyond.drain(..merged);
    }

    /// The ranges beyond `up_to` as bytes: pairs of little-endian u64.
    pub fn ranges_to_bytes(&self) -> Vec<u8> {
        self.beyond.iter().flat_map(|(first, last)| [first.to_le_bytes(), last.to_le_bytes()].concat()).collect()
    }

    /// Reads [`Progress::ranges_to_bytes`] back; nothing when the bytes are no rising, separate ranges beyond `up_to`.
    pub fn from_parts(up_to: u64, ranges: &[u8]) -> Option<Self> {
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
    fn any_order_of_arrival_gives_what_a_set_gives() {
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..200 {
            let (mut progress, mut set) = (Progress::default(), BTreeSet::new());
            for _ in 0..200 {
                let number = random.u64(1..120);
                assert_eq!(progress.insert(number), set.insert(number), "round {round}, number {number}");
            }
            let contiguous = (1..).take_while(|number| set.contains(number)).last().unwrap_or(0);
            assert_eq!(progress.up_to(), contiguous, "round {round}");
            assert!((0..130).all(|number| progress.contains(number) == set.contains(&number)), "round {round}");
            let back = Progress::from_parts(progress.up_to(), &progress.ranges_to_bytes()).unwrap();
            assert_eq!(back, progress, "round {round}");
        }
    }

    #[test]
    fn gaps_are_bounded_in_number() {
        let mut progress = Progress::default();
        for odd in 0..4 * GAPS as u64 {
            progress.insert(2 * odd + 3);
        }
        assert_eq!(progress.beyond.len(), GAPS);
        assert!(progress.given_up() > 0);
    }

    #[test]
    fn a_gap_older_than_the_window_is_given_up() {
        let mut progress = Progress::default();
        progress.insert(3);
        progress.insert(2 + WINDOW);
        assert_eq!((progress.up_to(), progress.given_up()), (3, 2));
        progress.insert(u64::MAX);
        assert_eq!(progress.up_to(), u64::MAX);
        assert!(!progress.insert(u64::MAX));
    }

    #[test]
    fn number_zero_is_never_stored() {
        let mut progress = Progress::default();
        assert!(!progress.insert(0));
        assert!(!progress.contains(0));
    }

    #[test]
    fn damaged_ranges_are_refused() {
        let range = |first: u64, last: u64| [first.to_le_bytes(), last.to_le_bytes()].concat();
        assert_eq!(Progress::from_parts(5, &range(6, 7)), None);
        assert_eq!(Progress::from_parts(5, &range(9, 8)), None);
        assert_eq!(Progress::from_parts(5, &range(9, 9)[1..]), None);
        assert!(Progress::from_parts(5, &range(9, 9)).is_some());
    }
}
