//! Two lists → do they order rows alike? Spearman 1904, with mean ranks for ties.

use crate::{MethodError, input::check_length};

/// Ranks from 1; equal values share the mean of their ranks. Values must not be NaN to be meaningful.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let value = values[order[start]];
        let length = order[start..].iter().take_while(|at| values[**at] == value).count().max(1);
        let mean = start as f64 + (length as f64 + 1.0) / 2.0;
        for at in &order[start..start + length] {
            ranks[*at] = mean;
        }
        start += length;
    }
    ranks
}

/// Spearman's rank correlation, −1..=1; nothing when one list is constant.
///
/// # Errors
/// Fewer than two values, lists that differ in length, a NaN.
pub fn spearman(left: &[f32], right: &[f32]) -> Result<Option<f64>, MethodError> {
    check_length("right list", right.len(), left.len())?;
    if left.len() < 2 {
        return Err(MethodError::TooFewRows { what: "a rank correlation", rows: left.len(), needed: 2 });
    }
    for (what, list) in [("left value", left), ("right value", right)] {
        if let Some(position) = list.iter().position(|value| value.is_nan()) {
            return Err(MethodError::NotFiniteAt { what, position, value: f64::NAN });
        }
    }
    let of = |list: &[f32]| ranks(&list.iter().map(|value| f64::from(*value)).collect::<Vec<_>>());
    let (left, right) = (of(left), of(right));
    let mean = (left.len() as f64 + 1.0) / 2.0;
    let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let spread = libm::sqrt(sum(&left, &left) * sum(&right, &right));
    Ok((spread > 0.0).then(|| sum(&left, &right) / spread))
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
    fn the_correlation_of_small_lists() {
        assert_eq!(spearman(&[1.0, 2.0, 9.0], &[3.0, 5.0, 700.0]).unwrap(), Some(1.0));
        assert_eq!(spearman(&[1.0, 2.0, 9.0], &[3.0, 2.0, 1.0]).unwrap(), Some(-1.0));
        // By d²: ranks 1 2 3 4 5 against 2 1 4 3 5, sum d² = 4, 1 − 6·4/(5·24) = 0.8.
        let r = spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.0, 1.0, 4.0, 3.0, 5.0]).unwrap().unwrap();
        assert!((r - 0.8).abs() < 1e-12);
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]).unwrap(), None);
    }
}
