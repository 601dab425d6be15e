//! Positions in the order of arrival, as ranges.

use std::collections::BTreeMap;

/// A set of positions. Neighbours take no more memory than one.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    /// Last position of each range, by the first.
    ranges: BTreeMap<u64, u64>,
}

impl Positions {
    pub(crate) fn contains(&self, position: u64) -> bool {
        self.ranges.range(..=position).next_back().is_some_and(|(_, last)| *last >= position)
    }

    pub(crate) fn insert(&mut self, position: u64) {
        if self.contains(position) {
            return;
        }
        let before = self.ranges.range(..position).next_back();
        let first = before.filter(|(_, last)| **last + 1 == position).map_or(position, |(first, _)| *first);
        let after = position.checked_add(1).and_then(|next| self.ranges.remove(&next));
        self.ranges.insert(first, after.unwrap_or(position));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn positions_in_any_order_match_a_set_in_few_ranges() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..100 {
            let (mut positions, mut set) = (Positions::default(), BTreeSet::new());
            for _ in 0..150 {
                let position = random.u64(0..100);
                positions.insert(position);
                set.insert(position);
            }
            assert!((0..110).all(|position| positions.contains(position) == set.contains(&position)));
            let ends = set.iter().filter(|position| !set.contains(&(**position + 1))).count();
            assert_eq!(positions.ranges.len(), ends);
        }
        let mut positions = Positions::default();
        [u64::MAX, 0, u64::MAX - 1].into_iter().for_each(|position| positions.insert(position));
        assert_eq!(positions.ranges, BTreeMap::from([(0, 0), (u64::MAX - 1, u64::MAX)]));
    }
}
