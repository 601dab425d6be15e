//! Two lists of scores → whether they order rows alike: Spearman's rank correlation, with mean ranks for ties.

use lapwing_tables::stats::rank_correlation;

use crate::{MethodError, input::check_length};

/// Spearman's rank correlation, −1..=1; `None` when one list is constant.
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
    let widen = |list: &[f32]| list.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
    Ok(rank_correlation(&widen(left), &widen(right)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_correlation_of_small_lists() {
        assert_eq!(spearman(&[1.0, 2.0, 9.0], &[3.0, 5.0, 700.0]).unwrap(), Some(1.0));
        assert_eq!(spearman(&[1.0, 2.0, 9.0], &[3.0, 2.0, 1.0]).unwrap(), Some(-1.0));
        // By d²: ranks 1 2 3 4 5 against 2 1 4 3 5, sum d² = 4, 1 − 6·4/(5·24) = 0.8.
        let r = spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.0, 1.0, 4.0, 3.0, 5.0]).unwrap().unwrap();
        assert!((r - 0.8).abs() < 1e-12);
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]).unwrap(), None);
    }

    #[test]
    fn short_lists_and_nan_are_rejected() {
        assert!(matches!(spearman(&[1.0], &[1.0]), Err(MethodError::TooFewRows { rows: 1, .. })));
        assert!(matches!(spearman(&[1.0, 2.0], &[1.0]), Err(MethodError::LengthDiffers { .. })));
        assert!(matches!(spearman(&[1.0, f32::NAN], &[1.0, 2.0]), Err(MethodError::NotFiniteAt { position: 1, .. })));
    }
}
