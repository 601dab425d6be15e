//! Two samples → do they come from one distribution?
//!
//! Kolmogorov-Smirnov by the asymptotic distribution with Stephens' correction (Press et al., Numerical Recipes,
//! 14.3.3), Mann-Whitney by the normal approximation with tie and continuity correction, Holm's step-down correction
//! (1979). The approximations hold from about ten values on each side. A p-value of 0 is below 1e-300.

/// Largest distance between the distribution functions of two ascending samples, and its p-value; nothing when one is
/// empty.
pub fn kolmogorov_smirnov(a: &[f32], b: &[f32]) -> Option<(f64, f64)> {
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

/// Probability of a larger Kolmogorov statistic.
fn kolmogorov(statistic: f64) -> f64 {
    // The series alternates without end below this; the probability is 1 to ten digits.
    if statistic < 0.2 {
        return 1.0;
    }
    let term = |at: i32| libm::exp(-2.0 * f64::from(at * at) * statistic * statistic);
    let sum: f64 = (1..=100).map(|at| if at % 2 == 1 { term(at) } else { -term(at) }).sum();
    (2.0 * sum).clamp(0.0, 1.0)
}

/// Share of pairs in which the value of `b` is larger (ties half), and the p-value of 0.5, for two ascending samples;
/// nothing when one is empty.
pub fn mann_whitney(a: &[f32], b: &[f32]) -> Option<(f64, f64)> {
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

/// p-values corrected for their number: the chance of any false discovery among all tests stays below the level, with
/// any dependence between them. In the order given.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let (mut corrected, mut highest) = (vec![1.0; p_values.len()], 0.0_f64);
    for (place, index) in order.into_iter().enumerate() {
        highest = highest.max(p_values[index] * (p_values.len() - place) as f64).min(1.0);
        corrected[index] = highest;
    }
    corrected
}

/// Ranks (ties share theirs), shifted and scaled to a sum of 0 and a sum of squares of 1; nothing for equal values.
pub(super) fn standard_ranks(values: &[f32]) -> Option<Vec<f64>> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut from = 0;
    for run in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = from as f64 + (run.len() - 1) as f64 / 2.0;
        run.iter().for_each(|index| ranks[*index] = rank);
        from += run.len();
    }
    let mean = (values.len() as f64 - 1.0) / 2.0;
    let length = ranks.iter().map(|rank| (rank - mean) * (rank - mean)).sum::<f64>().sqrt();
    (length > 0.0).then(|| ranks.into_iter().map(|rank| (rank - mean) / length).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_those_of_scipy_and_of_counting() {
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
        assert_eq!(standard_ranks(&a), None);
    }

    #[test]
    fn holm_multiplies_the_smallest_most_and_never_reorders() {
        let corrected = holm(&[0.01, 0.04, 0.03]);
        assert!(corrected.iter().zip([0.03, 0.06, 0.06]).all(|(a, b)| (a - b).abs() < 1e-12), "{corrected:?}");
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }
}
