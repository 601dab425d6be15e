//! Values → quantiles, in each of the definitions that callers need: saved models depend on the exact one.

/// Quantile of ascending values, interpolated linearly between neighbours (type 7 of Hyndman and Fan 1996).
///
/// # Panics
/// Without values.
pub fn quantile<T: Copy + Into<f64>>(sorted: &[T], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (low, part) = (at.floor() as usize, at.fract());
    let high = (low + 1).min(sorted.len() - 1);
    let value = |place: usize| -> f64 { sorted[place].into() };
    value(low) * (1.0 - part) + value(high) * part
}

/// The value at place ⌊`share` · (n − 1)⌋ of n ascending values; `None` without values.
pub fn lower_quantile(sorted: &[f32], share: f64) -> Option<f32> {
    sorted.get((last(sorted) * share).floor() as usize).copied()
}

/// The value at the place nearest to `share` · (n − 1) of n ascending values; `None` without values.
pub fn nearest_quantile(sorted: &[f32], share: f64) -> Option<f32> {
    sorted.get((last(sorted) * share).round() as usize).copied()
}

fn last(sorted: &[f32]) -> f64 {
    sorted.len().saturating_sub(1) as f64
}

/// The middle value, the upper of the two middle ones for an even count; reorders the values. `None` without values.
pub fn upper_median(values: &mut [f32]) -> Option<f32> {
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable_by(middle, f32::total_cmp).1)
}

/// The smallest of ascending (value, weight) pairs up to which at least half of the weight lies; `None` without pairs.
pub fn weighted_median(sorted: &[(f64, f64)]) -> Option<f64> {
    let half = sorted.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut cumulated = 0.0;
    let reached = sorted.iter().find(|(_, weight)| {
        cumulated += weight;
        cumulated >= half
    });
    reached.map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_differ_by_definition() {
        let sorted = [1.0_f32, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&sorted, 0.5), 3.0);
        assert_eq!(quantile(&[0.0_f64, 10.0], 0.25), 2.5);
        assert_eq!((quantile(&sorted, 0.0), quantile(&sorted, 1.0)), (1.0, 8.0));
        assert_eq!((lower_quantile(&sorted, 0.5), nearest_quantile(&sorted, 0.5)), (Some(2.0), Some(4.0)));
        assert_eq!((lower_quantile(&[], 0.5), nearest_quantile(&[], 0.5)), (None, None));
    }

    #[test]
    fn the_upper_of_two_middle_values_is_the_median() {
        assert_eq!(upper_median(&mut [8.0, 1.0, 4.0, 2.0]), Some(4.0));
        assert_eq!(upper_median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(upper_median(&mut []), None);
    }

    #[test]
    fn a_weighted_median_counts_weights() {
        assert_eq!(weighted_median(&[(1.0, 1.0), (2.0, 1.0), (9.0, 5.0)]), Some(9.0));
        assert_eq!(weighted_median(&[(1.0, 1.0), (2.0, 1.0)]), Some(1.0));
        assert_eq!(weighted_median(&[]), None);
    }
}
