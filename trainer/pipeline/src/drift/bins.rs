//! Values of one column → the distance between two samples of them.
//!
//! Bins are quantiles of the reference, so each has about the same share of it and outliers do not affect them. Two
//! distances on the bins, both 0 for equal shares:
//!
//! - Kolmogorov and Smirnov's largest difference of the cumulative shares, 0 to 1 (Smirnov 1948, "Table for estimating
//!   the goodness of fit of empirical distributions"), at the bins' edges. It depends little on the number
//!   of rows and not at all on empty bins, so drift is decided by it.
//! - Population stability index, nats (Kullback and Leibler's J, 1951; under that name Siddiqi 2006, "Credit Risk
//!   Scorecards"), each bin smoothed by half a row. For information only, because it is widely known; few rows or
//!   sparse bins inflate it.

/// Bins for the Kolmogorov–Smirnov distance.
pub(super) const FINE: usize = 100;
/// Bins for the population stability index.
pub(super) const COARSE: usize = 10;
/// Rows that smoothing adds to each bin of the population stability index.
const SMOOTHING: f64 = 0.5;

/// Edges of bins: bin `i` has the values above edge `i − 1` up to edge `i`, the last bin those above all edges.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bins {
    edges: Vec<f64>,
}

/// Sum of weights per bin.
pub(super) type Counts = Vec<f64>;

impl Bins {
    /// At most `count` bins of about equal weight, plus one below the smallest and one above the largest value. Equal
    /// values share a bin, so repeated values give fewer bins. `sorted` has (value, weight) pairs, ascending and finite.
    pub(super) fn of(sorted: &[(f64, f64)], count: usize) -> Self {
        let total: f64 = sorted.iter().map(|(_, weight)| weight).sum();
        // Below the smallest value, so that a constant column has bins on either side.
        let mut edges: Vec<f64> = sorted.first().map(|(least, _)| least.next_down()).into_iter().collect();
        let (mut cumulated, mut next) = (0.0, 1.0);
        for (value, weight) in sorted {
            cumulated += weight;
            // With a tolerance, because sums of shares are inexact.
            if cumulated >= total * (next - 1e-9) / count as f64 {
                edges.push(*value);
                next = (cumulated / total * count as f64 + 1e-9).floor() + 1.0;
            }
        }
        edges.extend(sorted.last().map(|(greatest, _)| *greatest));
        edges.dedup();
        Self { edges }
    }

    fn empty(&self) -> Counts {
        vec![0.0; self.edges.len() + 1]
    }

    fn add(&self, counts: &mut Counts, value: f64, weight: f64) {
        if let Some(count) = counts.get_mut(self.edges.partition_point(|edge| *edge < value)) {
            *count += weight;
        }
    }

    /// Sums the weights of (value, weight) pairs per bin.
    pub(super) fn count(&self, values: impl Iterator<Item = (f64, f64)>) -> Counts {
        let mut counts = self.empty();
        values.for_each(|(value, weight)| self.add(&mut counts, value, weight));
        counts
    }
}

/// Population stability index of two counts over the same bins, nats, at least 0.
pub(super) fn stability_index(one: &[f64], other: &[f64]) -> f64 {
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
    fn bins_have_equal_shares_and_outer_bins() {
        let sorted = ones(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let bins = Bins::of(&sorted, 4);
        assert_eq!(bins.edges, [1.0_f64.next_down(), 2.0, 4.0, 6.0, 8.0]);
        let seen = ones(&[0.0, 1.0, 2.0, 2.5, 8.0, 8.1]);
        assert_eq!(bins.count(seen.into_iter()), [1.0, 2.0, 1.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn equal_values_share_a_bin_and_a_constant_has_outer_bins() {
        let bins = Bins::of(&ones(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0]), 4);
        assert_eq!(bins.edges, [0.0_f64.next_down(), 0.0, 2.0], "zeros fill three of the four quarters");
        let constant = Bins::of(&ones(&[7.0; 5]), 10);
        assert_eq!(constant.count(ones(&[6.0, 7.0, 7.0, 8.0]).into_iter()), [1.0, 2.0, 1.0]);
        assert!(Bins::of(&[], 10).edges.is_empty());
    }

    #[test]
    fn a_weighted_row_counts_as_many_rows() {
        let weighed = Bins::of(&[(1.0, 3.0), (2.0, 1.0)], 2);
        assert_eq!(weighed, Bins::of(&ones(&[1.0, 1.0, 1.0, 2.0]), 2));
        assert_eq!(weighed.count([(1.0, 3.0)].into_iter()), [0.0, 3.0, 0.0, 0.0]);
    }

    #[test]
    fn the_stability_index_sums_over_smoothed_shares() {
        // Smoothed: 9.5 and 0.5 of 10, 4.5 and 5.5 of 10.
        let expected = (0.95 - 0.45) * (0.95_f64 / 0.45).ln() + (0.05 - 0.55) * (0.05_f64 / 0.55).ln();
        let index = stability_index(&[9.0, 0.0], &[4.0, 5.0]);
        assert!((index - expected).abs() < 1e-12 && (expected - 1.572_55).abs() < 1e-4, "{index} {expected}");
        assert!((index - stability_index(&[4.0, 5.0], &[9.0, 0.0])).abs() < 1e-12);
        assert_eq!(stability_index(&[8.0, 8.0], &[8.0, 8.0]), 0.0);
    }
}
