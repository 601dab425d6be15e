//! Benign training rows → scaling; residuals of benign validation rows → score weights.

use lapwing_shared::features::{FEATURES, FeatureVector};
use lapwing_shared::verdict::scaling::{FeatureScaling, Scaling, Transform};
use lapwing_tables::stats::lower_quantile;

/// Interquartile range of the standard normal distribution.
const NORMAL_IQR: f32 = 1.349;
/// Share of rows trimmed at each end before computing the standard deviation, because of outliers.
const TRIM: f64 = 0.005;
/// Smallest residual variance that affects weights, quanta²: an eighth of a unit. Features below are nearly constant
/// and must not dominate the score.
const VARIANCE_FLOOR: f32 = 16.0;

/// Smallest unit after the transform. For a feature that was constant in training, one natural step (0 → 1; ln 2 after
/// Log1p) is then about four units, the end of the int8 range.
fn unit_floor(transform: Transform) -> f32 {
    match transform {
        Transform::Identity => 0.25,
        Transform::Log1p => 0.175,
    }
}

/// Fits centre (median), unit (the larger of IQR / 1.349, trimmed standard deviation, floor) and the 1 % and 99 %
/// quantiles of every feature; weights are all 1 until [`fit_weights`].
pub(super) fn fit(rows: &[&FeatureVector], transforms: &[Transform; FEATURES]) -> Scaling {
    let features = transforms.iter().enumerate().map(|(feature, transform)| {
        let mut plain: Vec<f32> = rows.iter().map(|row| row[feature]).filter(|value| value.is_finite()).collect();
        plain.sort_unstable_by(f32::total_cmp);
        let transformed: Vec<f32> = plain.iter().map(|value| transform.apply(*value)).collect();
        FeatureScaling {
            transform: *transform,
            centre: quantile(&transformed, 0.5),
            unit: unit(&transformed, *transform),
            weight: 1,
            benign_low: quantile(&plain, 0.01),
            benign_high: quantile(&plain, 0.99),
        }
    });
    Scaling { features: features.collect() }
}

/// Sets every feature's score weight to the inverse of its residual variance, scaled to [`FeatureScaling::WEIGHT_LIMIT`].
pub(super) fn fit_weights(scaling: &mut Scaling, residuals: &[[f32; FEATURES]]) {
    let rows = residuals.len().max(1) as f32;
    let mut variances = [0.0_f32; FEATURES];
    for row in residuals {
        variances.iter_mut().zip(row).for_each(|(variance, residual)| *variance += residual * residual / rows);
    }
    for (feature, variance) in scaling.features.iter_mut().zip(variances) {
        let share = VARIANCE_FLOOR / (VARIANCE_FLOOR + variance);
        feature.weight = (f32::from(FeatureScaling::WEIGHT_LIMIT) * share).round().max(1.0) as u16;
    }
}

fn unit(sorted: &[f32], transform: Transform) -> f32 {
    let trim = (sorted.len() as f64 * TRIM).ceil() as usize;
    let middle = sorted.get(trim..sorted.len().saturating_sub(trim)).unwrap_or(&[]);
    let count = middle.len().max(1) as f64;
    let mean = middle.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let variance = middle.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
    let spread = (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / NORMAL_IQR;
    spread.max(variance.sqrt() as f32).max(unit_floor(transform))
}

/// Lower quantile of ascending values; 0 without values.
fn quantile(sorted: &[f32], share: f64) -> f32 {
    lower_quantile(sorted, share).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit_one(values: &[f32], transform: Transform) -> FeatureScaling {
        let rows: Vec<FeatureVector> = values.iter().map(|value| [*value; FEATURES]).collect();
        let scaling = fit(&rows.iter().collect::<Vec<_>>(), &[transform; FEATURES]);
        assert!(scaling.is_valid());
        scaling.features[0]
    }

    #[test]
    fn a_step_of_a_constant_feature_stays_in_the_int8_range() {
        for transform in [Transform::Identity, Transform::Log1p] {
            let scaling = fit_one(&[0.0; 100], transform);
            assert_eq!(scaling.quantize(0.0), 0);
            assert!((100..=127).contains(&scaling.quantize(1.0)), "{transform:?}: {}", scaling.quantize(1.0));
        }
    }

    #[test]
    fn a_few_outliers_do_not_change_the_unit() {
        let mut values: Vec<f32> = (0..10_000).map(|value| (value % 100) as f32).collect();
        let clean = fit_one(&values, Transform::Identity);
        values[..40].fill(1e9);
        let dirty = fit_one(&values, Transform::Identity);
        assert!((dirty.unit / clean.unit - 1.0).abs() < 0.05, "{} against {}", dirty.unit, clean.unit);
        assert_eq!((clean.benign_low, clean.benign_high), (0.0, 98.0));
    }

    #[test]
    fn weights_fall_with_the_residuals_and_stay_in_range() {
        let mut scaling = fit(&[&[0.0; FEATURES]], &[Transform::Identity; FEATURES]);
        let mut residual = [0.0; FEATURES];
        (residual[1], residual[2]) = (4.0, 200.0);
        fit_weights(&mut scaling, &[residual; 10]);
        let weights: Vec<u16> = scaling.features.iter().take(3).map(|feature| feature.weight).collect();
        assert_eq!(weights, [1024, 512, 1]);
    }

    #[test]
    fn no_rows_give_a_valid_scaling() {
        assert!(fit(&[], &[Transform::Log1p; FEATURES]).is_valid());
    }
}
