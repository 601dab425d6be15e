//! Two samples → do they come from one distribution?
//!
//! Kolmogorov-Smirnov by the asymptotic distribution with Stephens' correction (Press et al., Numerical Recipes,
//! 14.3.3), Mann-Whitney by the normal approximation with tie and continuity correction, Holm's step-down correction
//! (1979). The approximations hold from about ten values in each sample. A p-value of 0 means below 1e-300.

/// Largest distance between the distribution functions of two ascending samples, and its p-value; `None` when one is
/// empty.
pub(crate) fn kolmogorov_smirnov(a: &[f32], b: &[f32]) -> Option<(f64, f64)> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let (count_a, count_b) = (a.len() as f64, b.len() as f64);
    let (mut at_a, mut at_b, mut distance) = (0, 0, 0.0_f64);
    while at_a < a.len() && at_b < b.len() {
        let value = a[at_a].min(b[at_b]);
        at_a += a[at_a..].iter().take_while(|other| **other <= value).count();
        at_b += b[at_b..].iter().take_while(|other| **other <= value).count();
        distance = distance.max((at_a as f64 / count_a - at_b as f64 / count_b).abs());
    }
    let root = (count_a * count_b / (count_a + count_b)).sqrt();
    Some((distance, kolmogorov((root + 0.12 + 0.11 / root) * distance)))
}

/// Largest distance between the distribution functions of two counts over the same bins, 0 to 1; 0 when one of them
/// counts nothing. Counts may be weighted.
pub fn kolmogorov_smirnov_binned(one: &[f64], other: &[f64]) -> f64 {
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

/// Probability of a larger Kolmogorov statistic.
fn kolmogorov(statistic: f64) -> f64 {
    // Below this the alternating series does not settle; the probability is 1 to ten digits.
    if statistic < 0.2 {
        return 1.0;
    }
    let term = |at: i32| libm::exp(-2.0 * f64::from(at * at) * statistic * statistic);
    let sum: f64 = (1..=100).map(|at| if at % 2 == 1 { term(at) } else { -term(at) }).sum();
    (2.0 * sum).clamp(0.0, 1.0)
}

/// Share of pairs in which the value of `b` is larger, ties one half, and the p-value of the hypothesis that it is 0.5,
/// for two ascending samples; `None` when one is empty. The share equals [`super::auc`]; the same pass counts the ties
/// that the p-value needs.
pub(crate) fn mann_whitney(a: &[f32], b: &[f32]) -> Option<(f64, f64)> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let (count_a, count_b) = (a.len() as f64, b.len() as f64);
    let total = count_a + count_b;
    let (mut at_a, mut at_b, mut larger, mut ties) = (0, 0, 0.0, 0.0);
    while at_b < b.len() {
        let value = if at_a < a.len() { a[at_a].min(b[at_b]) } else { b[at_b] };
        let same_a = a[at_a..].iter().take_while(|other| **other <= value).count();
        let same_b = b[at_b..].iter().take_while(|other| **other <= value).count();
        larger += same_b as f64 * (at_a as f64 + same_a as f64 / 2.0);
        let same = (same_a + same_b) as f64;
        ties += same * same * same - same;
        (at_a, at_b) = (at_a + same_a, at_b + same_b);
    }
    // Values of `a` above all of `b` may tie among themselves.
    for run in a[at_a..].chunk_by(|one, other| one == other) {
        let same = run.len() as f64;
        ties += same * same * same - same;
    }
    let pairs = count_a * count_b;
    let variance = pairs / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    let off = ((larger - pairs / 2.0).abs() - 0.5).max(0.0);
    let p = if variance > 0.0 { libm::erfc(off / (2.0 * variance).sqrt()) } else { 1.0 };
    Some((larger / pairs, p))
}

/// p-values corrected for multiple testing, in the order given: the probability of at least one false discovery stays
/// below the level, whatever the dependence between the tests.
pub(crate) fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let (mut corrected, mut highest) = (vec![1.0; p_values.len()], 0.0_f64);
    for (place, index) in order.into_iter().enumerate() {
        highest = highest.max(p_values[index] * (p_values.len() - place) as f64).min(1.0);
        corrected[index] = highest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_match_scipy_and_hand_counts() {
        let a = [1.0, 2.0, 2.0, 3.0, 5.0, 8.0];
        let b = [2.0, 4.0, 6.0, 6.0, 9.0];
        let (distance, p) = kolmogorov_smirnov(&a, &b).unwrap();
        // 4 of 6 values of a, 1 of 5 of b are at most 3.
        assert!((distance - (4.0 / 6.0 - 0.2)).abs() < 1e-12 && p > 0.3);
        let (larger, p) = mann_whitney(&a, &b).unwrap();
        // Wins of b: 1 + 2·½ for 2, 4 for 4, 5 for each 6, 6 for 9, of 30 pairs.
        assert!((larger - 22.0 / 30.0).abs() < 1e-12);
        // scipy 1.17.1, `mannwhitneyu(b, a, method='asymptotic')`.
        assert!((p - 0.229_963_800_685_730).abs() < 1e-12, "{p}");
        assert_eq!(kolmogorov_smirnov(&a, &[]), None);
        assert!((kolmogorov(1.36) - 0.0494).abs() < 1e-3);
    }

    #[test]
    fn equal_samples_do_not_differ() {
        let a = [1.0, 1.0, 1.0];
        assert_eq!(mann_whitney(&a, &a), Some((0.5, 1.0)));
        assert_eq!(kolmogorov_smirnov(&a, &a), Some((0.0, 1.0)));
    }

    #[test]
    fn binned_distance_is_the_largest_difference_of_cumulated_shares() {
        // Cumulated: .25 .5 .75 1 against .1 .2 .6 1: differences .15 .3 .15 0.
        assert!((kolmogorov_smirnov_binned(&[5.0, 5.0, 5.0, 5.0], &[1.0, 1.0, 4.0, 4.0]) - 0.3).abs() < 1e-12);
        assert_eq!(kolmogorov_smirnov_binned(&[2.0, 0.0], &[0.0, 9.0]), 1.0);
        assert_eq!(kolmogorov_smirnov_binned(&[3.0, 1.0], &[6.0, 2.0]), 0.0);
        assert_eq!(kolmogorov_smirnov_binned(&[0.0, 0.0], &[1.0, 1.0]), 0.0);
    }

    #[test]
    fn holm_multiplies_the_smallest_most_and_keeps_the_order() {
        let corrected = holm(&[0.01, 0.04, 0.03]);
        assert!(corrected.iter().zip([0.03, 0.06, 0.06]).all(|(a, b)| (a - b).abs() < 1e-12), "{corrected:?}");
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }
}
