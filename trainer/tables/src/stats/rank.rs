//! Values → ranks, and what follows from ranks alone: rank correlation and the area under the ROC curve.

/// Ranks from 1; equal values share the mean of their ranks. Meaningful only without NaN.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for run in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let mean = start as f64 + (run.len() as f64 + 1.0) / 2.0;
        run.iter().for_each(|at| ranks[*at] = mean);
        start += run.len();
    }
    ranks
}

/// Spearman's rank correlation (1904) of two lists of equal length, −1..=1; `None` when one of them is constant.
pub fn rank_correlation(left: &[f64], right: &[f64]) -> Option<f64> {
    let (left, right) = (ranks(left), ranks(right));
    let mean = (left.len() as f64 + 1.0) / 2.0;
    let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let spread = libm::sqrt(sum(&left, &left) * sum(&right, &right));
    (spread > 0.0).then(|| sum(&left, &right) / spread)
}

/// Ranks centred on 0 and scaled to a sum of squares of 1, so that the product of two such lists is Spearman's rank
/// correlation; `None` for equal values.
pub(crate) fn standard_ranks(values: &[f64]) -> Option<Vec<f64>> {
    let ranks = ranks(values);
    let mean = (values.len() as f64 + 1.0) / 2.0;
    let length = ranks.iter().map(|rank| (rank - mean) * (rank - mean)).sum::<f64>().sqrt();
    (length > 0.0).then(|| ranks.into_iter().map(|rank| (rank - mean) / length).collect())
}

/// Area under the ROC curve: the share of (positive, negative) pairs in which the positive score is larger, ties one
/// half (Mann and Whitney 1947). `None` without positive or without negative scores.
///
/// Pairs are counted in integers; the only rounding is that of the division.
pub fn auc<S: Copy + Into<f64>>(scores: &[S], positive: &[bool]) -> Option<f64> {
    let wide = |score: S| -> f64 { score.into() };
    let mut order: Vec<(S, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
    order.sort_unstable_by(|a, b| wide(b.0).total_cmp(&wide(a.0)));
    let (mut twice, mut positives, mut negatives) = (0u128, 0u64, 0u64);
    for ties in order.chunk_by(|a, b| wide(a.0) == wide(b.0)) {
        let here = ties.iter().filter(|(_, positive)| *positive).count() as u64;
        let others = ties.len() as u64 - here;
        twice += u128::from(others) * (2 * u128::from(positives) + u128::from(here));
        positives += here;
        negatives += others;
    }
    (positives > 0 && negatives > 0).then(|| twice as f64 / (2.0 * positives as f64 * negatives as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(ranks(&[10.0, 20.0, 10.0, 30.0]), [1.5, 3.0, 1.5, 4.0]);
        assert_eq!(ranks(&[]), [0.0; 0]);
    }

    #[test]
    fn rank_correlation_ignores_the_scale() {
        let (a, b) = ([1.0, 2.0, 3.0, 10.0], [-5.0, 0.0, 1.0, 1.5]);
        assert_eq!(rank_correlation(&a, &b), Some(1.0));
        assert_eq!(rank_correlation(&a, &b.map(|value| -value)), Some(-1.0));
        assert_eq!(rank_correlation(&a, &[7.0; 4]), None);
        assert_eq!(rank_correlation(&[], &[]), None);
    }

    #[test]
    fn standard_ranks_multiply_to_the_rank_correlation() {
        let (a, b) = ([1.0, 5.0, 2.0, 9.0, 9.0], [3.0, 3.0, -1.0, 4.0, 0.5]);
        let product: f64 =
            standard_ranks(&a).unwrap().iter().zip(standard_ranks(&b).unwrap()).map(|(a, b)| a * b).sum();
        assert!((product - rank_correlation(&a, &b).unwrap()).abs() < 1e-12);
        assert_eq!(standard_ranks(&[1.0; 3]), None);
    }

    #[test]
    fn auc_counts_pairs_in_order() {
        let truth = [false, false, true, true];
        assert_eq!(auc(&[1.0, 2.0, 3.0, 4.0], &truth), Some(1.0));
        assert_eq!(auc(&[3.0, 4.0, 1.0, 2.0], &truth), Some(0.0));
        assert_eq!(auc(&[1.0, 3.0, 2.0, 4.0], &truth), Some(0.75));
        assert_eq!(auc(&[5.0_f32; 4], &truth), Some(0.5));
        assert_eq!(auc(&[1.0, 2.0], &[true, true]), None);
    }

    #[test]
    fn auc_equals_the_rank_sum_form_to_the_bit() {
        let mut random = fastrand::Rng::with_seed(7);
        let scores: Vec<f64> = (0..999).map(|_| f64::from(random.u8(..200))).collect();
        let truth: Vec<bool> = scores.iter().map(|score| random.f64() * 300.0 < *score).collect();
        let positives = truth.iter().filter(|positive| **positive).count() as f64;
        let sum: f64 = ranks(&scores).iter().zip(&truth).filter(|(_, positive)| **positive).map(|(rank, _)| rank).sum();
        let expected = (sum - positives * (positives + 1.0) / 2.0) / (positives * (999.0 - positives));
        assert_eq!(auc(&scores, &truth), Some(expected));
    }
}
