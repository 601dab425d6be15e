//! Values of one column → how far two samples of them lie apart.
//!
//! The bins are fixed by quantiles of the reference, so that each holds about the same share of it and no outlier
//! decides where they lie. Two distances on them, both of them 0 for equal shares:
//!
//! - Kolmogorov and Smirnov's largest difference of the cumulated shares, 0 to 1 (Smirnov 1948, "Table for estimating
//!   the goodness of fit of empirical distributions"), at the bins' edges. It depends little on how many rows there
//!   are, and not at all on empty bins: verdicts rest on it.
//! - Population stability index, nats (Kullback and Leibler's J, 1951; under that name Siddiqi 2006, "Credit Risk
//!   Scorecards"), each bin smoothed by half a row. It is told because people know it; few rows or thin bins inflate
//!   it.

/// Bins for the Kolmogorov–Smirnov distance.
pub const FINE: usize = 100;
/// Bins for the population stability index.
pub const COARSE: usize = 10;
/// Rows that smoothing adds to each bin of the population stability index.
const SMOOTHING: f64 = 0.5;

/// Edges of bins: bin `i` holds the values up to edge `i` that lie over the edge before it, the last bin those over all
/// edges.
#[derive(Clone, Debug, PartialEq)]
pub struct Bins {
    edges: Vec<f64>,
}

/// Rows per bin; whole numbers where each row stands for one flow.
pub type Counts = Vec<f64>;

impl Bins {
    /// At most `count` bins of about equal weight, one more below the least value and one above the greatest. Equal
    /// values never lie in two bins, so there are fewer where values repeat. `sorted` are (value, weight), ascending
    /// and finite.
    pub fn of(sorted: &[(f64, f64)], count: usize) -> Self {
        let total: f64 = sorted.iter().map(|(_, weight)| weight).sum();
        // Below the least value, so that a column that was constant shows values on either side.
        let mut edges: Vec<f64> = sorted.first().map(|(least, _)| least.next_down()).into_iter().collect();
        let (mut cumulated, mut wanted) = (0.0, 1.0);
        for (value, weight) in sorted {
            cumulated += weight;
            // A hair less, because sums of shares are not exact.
            if cumulated >= total * (wanted - 1e-9) / count as f64 {
                edges.push(*value);
                wanted = (cumulated / total * count as f64 + 1e-9).floor() + 1.0;
            }
        }
        edges.extend(sorted.last().map(|(greatest, _)| *greatest));
        edges.dedup();
        Self { edges }
    }

    /// No rows yet.
    pub fn empty(&self) -> Counts {
        vec![0.0; self.edges.len() + 1]
    }

    /// Adds a row.
    pub fn add(&self, counts: &mut Counts, value: f64, weight: f64) {
        if let Some(count) = counts.get_mut(self.edges.partition_point(|edge| *edge < value)) {
            *count += weight;
        }
    }

    /// Counts values.
    pub fn count(&self, values: impl Iterator<Item = (f64, f64)>) -> Counts {
        let mut counts = self.empty();
        values.for_each(|(value, weight)| self.add(&mut counts, value, weight));
        counts
    }
}

/// Kolmogorov–Smirnov distance of two counts over the same bins, 0 to 1; 0 where either holds nothing.
pub fn kolmogorov_smirnov(one: &[f64], other: &[f64]) -> f64 {
    let totals = (one.iter().sum::<f64>(), other.iter().sum::<f64>());
    if totals.0 <= 0.0 || totals.1 <= 0.0 {
        return 0.0;
    }
    let (mut apart, mut farthest) = (0.0_f64, 0.0_f64);
    for (one, other) in one.iter().zip(other) {
        apart += one / totals.0 - other / totals.1;
        farthest = farthest.max(apart.abs());
    }
    farthest
}

/// Population stability index of two counts over the same bins, nats, 0 and more.
pub fn stability_index(one: &[f64], other: &[f64]) -> f64 {
    let room = SMOOTHING * one.len() as f64;
    let totals = (one.iter().sum::<f64>() + room, other.iter().sum::<f64>() + room);
    let term = |(one, other): (&f64, &f64)| {
        let (one, other) = ((one + SMOOTHING) / totals.0, (other + SMOOTHING) / totals.1);
        (one - other) * (one / other).ln()
    };
    one.iter().zip(other).map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ones(values: &[f64]) -> Vec<(f64, f64)> {
        values.iter().map(|value| (*value, 1.0)).collect()
    }

    #[test]
    fn bins_hold_equal_shares_and_keep_what_lies_outside_apart() {
        let sorted = ones(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let bins = Bins::of(&sorted, 4);
        assert_eq!(bins.edges, [1.0_f64.next_down(), 2.0, 4.0, 6.0, 8.0]);
        let seen = ones(&[0.0, 1.0, 2.0, 2.5, 8.0, 8.1]);
        assert_eq!(bins.count(seen.into_iter()), [1.0, 2.0, 1.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn equal_values_lie_in_one_bin_and_a_constant_has_a_bin_on_either_side() {
        let bins = Bins::of(&ones(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0]), 4);
        assert_eq!(bins.edges, [0.0_f64.next_down(), 0.0, 2.0], "zeros are three of the four quarters");
        let constant = Bins::of(&ones(&[7.0; 5]), 10);
        assert_eq!(constant.count(ones(&[6.0, 7.0, 7.0, 8.0]).into_iter()), [1.0, 2.0, 1.0]);
        assert!(Bins::of(&[], 10).edges.is_empty());
    }

    #[test]
    fn a_row_that_stands_for_several_weighs_as_much_as_they_do() {
        let weighed = Bins::of(&[(1.0, 3.0), (2.0, 1.0)], 2);
        assert_eq!(weighed, Bins::of(&ones(&[1.0, 1.0, 1.0, 2.0]), 2));
        assert_eq!(weighed.count([(1.0, 3.0)].into_iter()), [0.0, 3.0, 0.0, 0.0]);
    }

    #[test]
    fn kolmogorov_smirnov_is_the_largest_difference_of_cumulated_shares() {
        // Cumulated: .25 .5 .75 1 against .1 .2 .6 1: differences .15 .3 .15 0.
        assert!((kolmogorov_smirnov(&[5.0, 5.0, 5.0, 5.0], &[1.0, 1.0, 4.0, 4.0]) - 0.3).abs() < 1e-12);
        assert_eq!(kolmogorov_smirnov(&[2.0, 0.0], &[0.0, 9.0]), 1.0);
        assert_eq!(kolmogorov_smirnov(&[3.0, 1.0], &[6.0, 2.0]), 0.0);
        assert_eq!(kolmogorov_smirnov(&[0.0, 0.0], &[1.0, 1.0]), 0.0, "nothing is not far from anything");
    }

    #[test]
    fn the_stability_index_is_the_symmetric_sum_over_smoothed_shares() {
        // Smoothed: 9.5 and 0.5 of 10, 4.5 and 5.5 of 10.
        let expected = (0.95 - 0.45) * (0.95_f64 / 0.45).ln() + (0.05 - 0.55) * (0.05_f64 / 0.55).ln();
        let found = stability_index(&[9.0, 0.0], &[4.0, 5.0]);
        assert!((found - expected).abs() < 1e-12 && (expected - 1.572_55).abs() < 1e-4, "{found} {expected}");
        assert!((found - stability_index(&[4.0, 5.0], &[9.0, 0.0])).abs() < 1e-12);
        assert_eq!(stability_index(&[8.0, 8.0], &[8.0, 8.0]), 0.0);
    }
}
