//! Sizes by agent → how much of each to delete, so that the limit of a table is kept.
//!
//! The agents with the most rows are reduced to a common level, so an agent that floods the store displaces its own rows
//! first.

/// Deletes an extra 1/64 of the limit each time, so that not every commit deletes.
const PRUNE_SHARE: u64 = 64;

/// What remains of a table that has exceeded its limit.
pub(crate) const fn kept(limit: u64) -> u64 {
    limit - limit / PRUNE_SHARE
}

/// The level to which the largest shares must be reduced to remove at least `excess` in total.
pub(crate) fn level(mut shares: Vec<u64>, excess: u64) -> u64 {
    shares.sort_unstable_by(|a, b| b.cmp(a));
    let mut sum = 0;
    for (index, share) in shares.iter().enumerate() {
        sum += share;
        let level = sum.saturating_sub(excess) / (index as u64 + 1);
        if shares.get(index + 1).is_none_or(|next| level >= *next) {
            return level;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_removes_the_excess_from_the_largest_shares() {
        for (shares, excess, expected) in [
            (vec![10], 3, 7),
            (vec![100, 10, 10], 50, 50),
            (vec![100, 90, 10], 50, 70),
            (vec![5, 5, 5], 1, 4),
            (vec![1, 2, 3], 6, 0),
            (vec![], 1, 0),
        ] {
            let found = level(shares.clone(), excess);
            assert_eq!(found, expected, "{shares:?}");
            let removed: u64 = shares.iter().map(|share| share.saturating_sub(found)).sum();
            assert!(removed >= excess || shares.is_empty(), "{shares:?}");
        }
    }
}
