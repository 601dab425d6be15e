//! Results of several methods on the same rows, folds or seeds → whether they differ significantly.
//!
//! McNemar 1947 for two classifiers on the same rows; Wilcoxon 1945 (signed ranks) for two methods over folds; Friedman
//! 1937 for several methods over folds, as Demšar 2006 recommends ("Statistical comparisons of classifiers over
//! multiple data sets", JMLR 7). Folds of one data set share training rows, so p-values over folds are too small rather
//! than too large.

use lapwing_tables::stats::ranks;
use serde::{Deserialize, Serialize};

use super::distribution::{chi_squared_upper, fair_binomial_two_sided, normal_two_sided};
use crate::{MethodError, input::check_length};

/// Result of [`mcnemar`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// Rows that only the left method classified correctly.
    pub only_left: u64,
    /// Rows that only the right method classified correctly.
    pub only_right: u64,
    /// Two-sided, exact (binomial).
    pub p_value: f64,
}

/// Result of [`wilcoxon_signed_rank`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wilcoxon {
    /// Pairs that differ.
    pub(crate) pairs: usize,
    /// The smaller of the two rank sums.
    pub(crate) statistic: f64,
    /// Two-sided; 1 when no pair differs.
    pub p_value: f64,
    /// Whether the p-value is exact (up to 25 pairs) or by the normal approximation.
    pub(crate) exact: bool,
}

/// Result of [`friedman`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Friedman {
    /// Mean rank of each method, 1 = lowest values.
    pub mean_ranks: Vec<f64>,
    /// Chi-squared statistic, corrected for ties.
    pub(crate) statistic: f64,
    /// From the chi-squared distribution; inaccurate below ten blocks.
    pub p_value: f64,
    /// Mean ranks that differ by more are significantly different at 5 % (Nemenyi 1963); `None` beyond ten methods.
    pub critical_difference: Option<f64>,
}

/// McNemar's test of two classifiers on the same test rows; `left` and `right` say for each row whether it was
/// classified correctly.
///
/// # Errors
/// No rows, lists that differ in length.
pub fn mcnemar(left: &[bool], right: &[bool]) -> Result<McNemar, MethodError> {
    check_length("right results", right.len(), left.len())?;
    if left.is_empty() {
        return Err(MethodError::NoRows { what: "McNemar's test", needed: 1 });
    }
    let count =
        |left_correct: bool| left.iter().zip(right).filter(|(l, r)| l != r && **l == left_correct).count() as u64;
    let (only_left, only_right) = (count(true), count(false));
    let p_value = fair_binomial_two_sided(only_left.min(only_right), only_left + only_right);
    Ok(McNemar { only_left, only_right, p_value })
}

/// Wilcoxon's signed-rank test of two methods over paired results (folds, seeds); equal pairs are left out.
///
/// # Errors
/// No pairs, lists that differ in length, a result that is not finite.
pub fn wilcoxon_signed_rank(left: &[f64], right: &[f64]) -> Result<Wilcoxon, MethodError> {
    check_length("right results", right.len(), left.len())?;
    if left.is_empty() {
        return Err(MethodError::NoRows { what: "Wilcoxon's test", needed: 1 });
    }
    let differences: Vec<f64> = left.iter().zip(right).map(|(l, r)| l - r).filter(|d| *d != 0.0).collect();
    if let Some(position) = differences.iter().position(|value| !value.is_finite()) {
        return Err(MethodError::NotFiniteAt { what: "difference", position, value: differences[position] });
    }
    let sizes: Vec<f64> = differences.iter().map(|d| d.abs()).collect();
    let ranks = ranks(&sizes);
    let pairs = ranks.len();
    let above: f64 = ranks.iter().zip(&differences).filter(|(_, d)| **d > 0.0).map(|(rank, _)| rank).sum();
    let all = pairs as f64 * (pairs as f64 + 1.0) / 2.0;
    let statistic = above.min(all - above);
    let exact = pairs <= 25;
    let p_value = if pairs == 0 {
        1.0
    } else if exact {
        exact_tail(&ranks, statistic)
    } else {
        let variance: f64 = ranks.iter().map(|rank| rank * rank).sum::<f64>() / 4.0;
        normal_two_sided((statistic - all / 2.0) / libm::sqrt(variance))
    };
    Ok(Wilcoxon { pairs, statistic, p_value, exact })
}

/// Twice the share of the 2^n sign patterns with a rank sum this small. Ranks are multiples of ½, so doubled sums are
/// integers.
fn exact_tail(ranks: &[f64], statistic: f64) -> f64 {
    let doubled: Vec<usize> = ranks.iter().map(|rank| (2.0 * rank) as usize).collect();
    let mut patterns = vec![0.0; doubled.iter().sum::<usize>() + 1];
    patterns[0] = 1.0;
    for rank in doubled {
        for sum in (rank..patterns.len()).rev() {
            patterns[sum] += patterns[sum - rank];
        }
    }
    let below: f64 = patterns[..=(2.0 * statistic) as usize].iter().sum();
    (2.0 * below / libm::exp2(ranks.len() as f64)).min(1.0)
}

/// Friedman's test of several methods over the same blocks (folds, seeds); `blocks` has one list per block with one
/// result per method.
///
/// # Errors
/// Fewer than two blocks or methods, blocks that differ in length, a result that is not finite.
pub fn friedman(blocks: &[Vec<f64>]) -> Result<Friedman, MethodError> {
    let what = "Friedman's test";
    let methods = blocks.first().map_or(0, Vec::len);
    if blocks.len() < 2 || methods < 2 {
        return Err(MethodError::TooFewRows { what, rows: blocks.len().min(methods), needed: 2 });
    }
    let (mut sums, mut ties) = (vec![0.0; methods], 0.0);
    for block in blocks {
        check_length("results of a block", block.len(), methods)?;
        if let Some(position) = block.iter().position(|value| !value.is_finite()) {
            return Err(MethodError::NotFiniteAt { what: "result", position, value: block[position] });
        }
        let ranks = ranks(block);
        for (sum, rank) in sums.iter_mut().zip(&ranks) {
            *sum += rank;
        }
        // Each group of t equal values adds t³ − t, which is t² − 1 for each value.
        let equals = |value: &f64| block.iter().filter(|other| *other == value).count() as f64;
        ties += block.iter().map(|value| equals(value) * equals(value) - 1.0).sum::<f64>();
    }
    let (n, k) = (blocks.len() as f64, methods as f64);
    let squares: f64 = sums.iter().map(|sum| sum * sum).sum();
    let plain = 12.0 / (n * k * (k + 1.0)) * squares - 3.0 * n * (k + 1.0);
    let correction = 1.0 - ties / (n * k * (k * k - 1.0));
    let statistic = if correction > 0.0 { (plain / correction).max(0.0) } else { 0.0 };
    Ok(Friedman {
        mean_ranks: sums.iter().map(|sum| sum / n).collect(),
        statistic,
        p_value: chi_squared_upper(statistic, k - 1.0),
        critical_difference: nemenyi(methods).map(|q| q * libm::sqrt(k * (k + 1.0) / (6.0 * n))),
    })
}

/// Studentised range over √2 at 5 %, Demšar 2006, table 5(a).
fn nemenyi(methods: usize) -> Option<f64> {
    [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164].get(methods.checked_sub(2)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mcnemar_is_the_binomial_test_of_the_differing_rows() {
        let mut left = vec![true; 20];
        let mut right = vec![true; 20];
        left[..2].fill(false);
        right[2..10].fill(false);
        let test = mcnemar(&left, &right).unwrap();
        assert_eq!((test.only_left, test.only_right), (8, 2));
        assert!((test.p_value - 112.0 / 1024.0).abs() < 1e-12);
        assert_eq!(mcnemar(&left, &left).unwrap().p_value, 1.0);
    }

    #[test]
    fn five_wins_of_five_have_a_p_value_of_one_in_sixteen() {
        let test = wilcoxon_signed_rank(&[1.0, 2.0, 3.0, 4.0, 5.0], &[0.0; 5]).unwrap();
        assert_eq!((test.statistic, test.p_value, test.exact), (0.0, 2.0 / 32.0, true));
        let same = wilcoxon_signed_rank(&[1.0; 4], &[1.0; 4]).unwrap();
        assert_eq!((same.pairs, same.p_value), (0, 1.0));
    }

    #[test]
    fn the_signed_rank_test_matches_a_worked_example() {
        // Differences 15 −7 5 20 0 −9 17 −12 5 −10 (Wikipedia's example): W+ = 27, W− = 18, nine pairs.
        let left = [125.0, 115.0, 130.0, 140.0, 140.0, 115.0, 140.0, 125.0, 140.0, 135.0];
        let right = [110.0, 122.0, 125.0, 120.0, 140.0, 124.0, 123.0, 137.0, 135.0, 145.0];
        let test = wilcoxon_signed_rank(&left, &right).unwrap();
        assert_eq!((test.pairs, test.statistic), (9, 18.0));
        assert!((test.p_value - 0.65).abs() < 0.02, "{test:?}");
    }

    #[test]
    fn many_pairs_use_the_normal_approximation() {
        let left: Vec<f64> = (0..40).map(|at| f64::from(at % 7) - 1.0).collect();
        let test = wilcoxon_signed_rank(&left, &[0.0; 40]).unwrap();
        assert!(!test.exact && test.p_value < 1e-4, "{test:?}");
    }

    #[test]
    fn friedman_matches_a_calculation_by_hand() {
        // Three methods in the same order in all four blocks: mean ranks 1 2 3, statistic 12·224/48 − 48 = 8.
        let blocks = vec![vec![1.0, 2.0, 3.0]; 4];
        let test = friedman(&blocks).unwrap();
        assert_eq!(test.mean_ranks, [1.0, 2.0, 3.0]);
        assert!((test.statistic - 8.0).abs() < 1e-12);
        assert!((test.p_value - libm::exp(-4.0)).abs() < 1e-12);
        assert!((test.critical_difference.unwrap() - 2.343 * libm::sqrt(0.5)).abs() < 1e-12);
        let same = friedman(&[vec![1.0; 3], vec![2.0; 3]]).unwrap();
        assert_eq!((same.statistic, same.p_value), (0.0, 1.0));
        assert!(friedman(&[vec![1.0, 2.0], vec![1.0]]).is_err());
        assert!(friedman(&[]).is_err());
    }
}
