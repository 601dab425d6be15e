//! Row-major `f32` rows → columns of ranks, on which trees are grown.
//!
//! In a column with at most `bins` distinct values each rank is one value and splits are exact. Other columns are
//! binned by quantiles of the training rows into at most `bins` ranks. The threshold of a split is halfway between the
//! largest value of one rank and the smallest value of the next rank that occurs in the node.

use lapwing_tables::Matrix;
use rayon::prelude::*;

/// One column's ranks, and the range of values of each rank.
#[derive(Debug)]
pub(crate) struct Column {
    /// Rank of each row.
    pub(crate) ranks: Vec<u16>,
    /// Smallest value of each rank, ascending.
    lowest: Vec<f32>,
    /// Largest value of each rank, ascending.
    highest: Vec<f32>,
}

/// All columns of a table, as ranks.
#[derive(Debug)]
pub(crate) struct Columns {
    columns: Vec<Column>,
}

impl Columns {
    /// Ranks every column; expects finite values and `bins` between 2 and 65,535.
    pub(crate) fn new(rows: &Matrix, bins: usize) -> Self {
        let columns = (0..rows.columns()).into_par_iter().map(|column| Column::new(rows, column, bins)).collect();
        Self { columns }
    }

    pub(crate) fn count(&self) -> usize {
        self.columns.len()
    }

    pub(crate) fn column(&self, column: usize) -> &Column {
        &self.columns[column]
    }
}

impl Column {
    fn new(rows: &Matrix, column: usize, bins: usize) -> Self {
        // Adding zero turns −0 into 0, so that both are one value.
        let values: Vec<f32> = rows.iter().map(|row| row[column] + 0.0).collect();
        let mut sorted = values.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let (lowest, highest) = ranges(&sorted, bins);
        let ranks = values.iter().map(|value| highest.partition_point(|high| high < value) as u16).collect();
        Self { ranks, lowest, highest }
    }

    pub(crate) fn count(&self) -> usize {
        self.highest.len()
    }

    /// A threshold t with (values of rank `left`) ≤ t < (values of rank `right`).
    pub(crate) fn between(&self, left: u16, right: u16) -> f32 {
        let (low, high) = (self.highest[usize::from(left)], self.lowest[usize::from(right)]);
        // Halving first avoids overflow.
        keep_below(low / 2.0 + high / 2.0, low, high)
    }

    /// Cuts at a random value between the smallest of rank `first` and the largest of rank `last`; returns the last
    /// rank on the left and the threshold.
    pub(crate) fn random_cut(&self, first: u16, last: u16, random: f32) -> (u16, f32) {
        let (low, high) = (self.lowest[usize::from(first)], self.highest[usize::from(last)]);
        let cut = low * (1.0 - random) + high * random;
        let ranks = &self.lowest[usize::from(first)..=usize::from(last)];
        let left = ranks.partition_point(|lowest| *lowest <= cut).clamp(1, ranks.len() - 1) - 1;
        let left = usize::from(first) + left;
        (left as u16, keep_below(cut, self.highest[left], self.lowest[left + 1]))
    }
}

/// `value` where low ≤ value < high, otherwise `low`.
fn keep_below(value: f32, low: f32, high: f32) -> f32 {
    if value >= low && value < high { value } else { low }
}

/// Smallest and largest value of each rank.
fn ranges(sorted: &[f32], bins: usize) -> (Vec<f32>, Vec<f32>) {
    let distinct = sorted.chunk_by(|a, b| a == b);
    if distinct.clone().count() <= bins {
        let values: Vec<f32> = distinct.map(|run| run[0]).collect();
        return (values.clone(), values);
    }
    let (mut lowest, mut highest) = (Vec::new(), Vec::new());
    let (mut left, mut filled, mut target) = (sorted.len(), 0, 0);
    for run in distinct {
        // A rank is full when it has its share of the remaining rows; the last rank takes all.
        if filled >= target && highest.len() < bins {
            left -= filled;
            (filled, target) = (0, left.div_ceil(bins - highest.len()));
            lowest.push(run[0]);
            highest.push(run[0]);
        }
        if let Some(last) = highest.last_mut() {
            *last = run[0];
        }
        filled += run.len();
    }
    (lowest, highest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[f32], bins: usize) -> Column {
        Column::new(&Matrix::from_values(1, values.to_vec()).unwrap(), 0, bins)
    }

    #[test]
    fn few_values_are_ranked_exactly() {
        let ranked = column(&[5.0, -1.0, 5.0, 0.0, -0.0], 4);
        assert_eq!(ranked.ranks, [2, 0, 2, 1, 1]);
        assert_eq!(ranked.between(0, 1), -0.5);
        assert_eq!(ranked.between(0, 2), 2.0);
    }

    #[test]
    fn many_values_are_binned_by_quantiles() {
        let values: Vec<f32> = (0..1000).rev().map(|at| at as f32).collect();
        let ranked = column(&values, 10);
        assert_eq!(ranked.count(), 10);
        for rank in 0..10u16 {
            assert_eq!(ranked.ranks.iter().filter(|found| **found == rank).count(), 100);
        }
        assert_eq!(ranked.between(0, 1), 99.5);
    }

    #[test]
    fn a_dominant_value_has_its_own_rank() {
        let mut values = vec![0.0; 900];
        values.extend((1..=100).map(|at| at as f32));
        let ranked = column(&values, 11);
        assert_eq!(ranked.highest[0], 0.0);
        assert_eq!(ranked.count(), 11);
        assert_eq!(ranked.lowest[1], 1.0);
    }

    #[test]
    fn adjacent_and_huge_values_have_a_separating_threshold() {
        let next = f32::from_bits(1.0f32.to_bits() + 1);
        let ranked = column(&[1.0, next], 4);
        let threshold = ranked.between(0, 1);
        assert!(1.0 <= threshold && threshold < next);
        let huge = column(&[f32::MAX, f32::MIN], 4);
        assert!(huge.between(0, 1).is_finite());
    }

    #[test]
    fn a_random_cut_lies_between_the_given_ranks() {
        let ranked = column(&[0.0, 1.0, 2.0, 10.0], 4);
        assert_eq!(ranked.random_cut(0, 3, 0.0), (0, 0.0));
        assert_eq!(ranked.random_cut(0, 3, 0.5), (2, 5.0));
        assert_eq!(ranked.random_cut(1, 2, 0.99).0, 1);
        let (left, threshold) = ranked.random_cut(0, 3, 1.0);
        assert!(left == 2 && (2.0..10.0).contains(&threshold));
    }
}
