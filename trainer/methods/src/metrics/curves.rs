//! Scores and truth → receiver operating characteristic and precision-recall curve, with their areas.
//!
//! Rows of equal score are one point, so a tie counts one half in the ROC area, as in the Mann-Whitney statistic
//! (Fawcett 2006, "An introduction to ROC analysis"); average precision is the step sum of Davis and Goadrich 2006.

use lapwing_tables::stats;
use serde::{Deserialize, Serialize};

use crate::{MethodError, input::check_length};

/// One point of a [`Roc`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RocPoint {
    /// Rows with at least this score are predicted positive; `None` at the first point of the curve.
    pub threshold: Option<f32>,
    /// Share of negative rows predicted positive.
    pub false_positive_rate: f64,
    /// Share of positive rows predicted positive.
    pub true_positive_rate: f64,
}

/// A receiver operating characteristic from (0, 0) to (1, 1), with one point per distinct score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roc {
    /// By descending threshold.
    pub points: Vec<RocPoint>,
    /// Area under the curve; 0.5 is chance level.
    pub auc: f64,
}

/// One point of a [`PrecisionRecall`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecallPoint {
    /// Rows with at least this score are predicted positive.
    pub threshold: f32,
    /// Share of the rows predicted positive that are positive.
    pub precision: f64,
    /// Share of positive rows predicted positive.
    pub recall: f64,
}

/// A precision-recall curve with one point per distinct score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecall {
    /// By descending threshold and ascending recall.
    pub points: Vec<PrecisionRecallPoint>,
    /// Sum of precision × step in recall; chance level is the share of positive rows.
    pub average_precision: f64,
    /// Share of positive rows.
    pub positive_share: f64,
}

/// Numbers of rows with at least a given score.
struct Level {
    threshold: f32,
    positives: u64,
    negatives: u64,
}

fn check(scores: &[f32], positive: &[bool]) -> Result<(), MethodError> {
    check_length("truth", positive.len(), scores.len())?;
    if scores.is_empty() {
        return Err(MethodError::NoRows { what: "a curve", needed: 2 });
    }
    if let Some(position) = scores.iter().position(|score| !score.is_finite()) {
        let value = f64::from(scores[position]);
        return Err(MethodError::NotFiniteAt { what: "score", position, value });
    }
    if positive.iter().all(|is| *is == positive[0]) {
        return Err(one_class(positive));
    }
    Ok(())
}

fn one_class(positive: &[bool]) -> MethodError {
    MethodError::OneClass { what: "a curve", rows: positive.len(), class: u32::from(positive[0]) }
}

/// Cumulative counts at each distinct score, highest first.
fn levels(scores: &[f32], positive: &[bool]) -> Result<Vec<Level>, MethodError> {
    check(scores, positive)?;
    let mut order: Vec<(f32, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
    order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let mut levels: Vec<Level> = Vec::new();
    let (mut positives, mut negatives) = (0, 0);
    for (score, is) in order {
        positives += u64::from(is);
        negatives += u64::from(!is);
        match levels.last_mut() {
            Some(last) if last.threshold == score => (last.positives, last.negatives) = (positives, negatives),
            _ => levels.push(Level { threshold: score, positives, negatives }),
        }
    }
    Ok(levels)
}

/// The ROC curve over all thresholds.
///
/// # Errors
/// No rows, lists that differ in length, rows of one class only, a score that is not finite.
pub fn roc(scores: &[f32], positive: &[bool]) -> Result<Roc, MethodError> {
    let levels = levels(scores, positive)?;
    let last = &levels[levels.len() - 1];
    let (positives, negatives) = (last.positives as f64, last.negatives as f64);
    let mut points = vec![RocPoint { threshold: None, false_positive_rate: 0.0, true_positive_rate: 0.0 }];
    points.extend(levels.iter().map(|level| RocPoint {
        threshold: Some(level.threshold),
        false_positive_rate: level.negatives as f64 / negatives,
        true_positive_rate: level.positives as f64 / positives,
    }));
    Ok(Roc { points, auc: auc(scores, positive)? })
}

/// Area under the ROC curve, without building the curve.
///
/// # Errors
/// As [`roc`].
pub fn auc(scores: &[f32], positive: &[bool]) -> Result<f64, MethodError> {
    check(scores, positive)?;
    stats::auc(scores, positive).ok_or_else(|| one_class(positive))
}

/// The precision-recall curve over all thresholds.
///
/// # Errors
/// As [`roc`].
pub fn precision_recall(scores: &[f32], positive: &[bool]) -> Result<PrecisionRecall, MethodError> {
    let levels = levels(scores, positive)?;
    let positives = levels[levels.len() - 1].positives as f64;
    let (mut average_precision, mut before) = (0.0, 0.0);
    let mut points = Vec::with_capacity(levels.len());
    for level in &levels {
        let precision = level.positives as f64 / (level.positives + level.negatives) as f64;
        let recall = level.positives as f64 / positives;
        average_precision += precision * (recall - before);
        before = recall;
        points.push(PrecisionRecallPoint { threshold: level.threshold, precision, recall });
    }
    Ok(PrecisionRecall { points, average_precision, positive_share: positives / scores.len() as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_counts_ordered_pairs() {
        // Positives .9 .6 .4, negatives .7 .3: of six pairs (.9>.7, .9>.3, .6>.3, .4>.3) four are in order.
        let roc = roc(&[0.9, 0.7, 0.6, 0.4, 0.3], &[true, false, true, true, false]).unwrap();
        assert!((roc.auc - 4.0 / 6.0).abs() < 1e-12);
        assert_eq!(roc.points.len(), 6);
        assert_eq!(roc.points[2].false_positive_rate, 0.5);
    }

    #[test]
    fn ties_count_one_half_in_any_order() {
        let scores = [1.0, 1.0, 1.0, 0.0];
        assert_eq!(auc(&scores, &[true, false, true, false]).unwrap(), 0.75);
        assert_eq!(auc(&scores, &[false, true, true, false]).unwrap(), 0.75);
        assert_eq!(auc(&[5.0; 4], &[true, false, true, false]).unwrap(), 0.5);
        assert_eq!(roc(&[5.0; 4], &[true, false, true, false]).unwrap().points.len(), 2);
        assert_eq!(auc(&[0.0, -0.0], &[true, false]).unwrap(), 0.5);
    }

    #[test]
    fn average_precision_matches_scikit_learn() {
        // scikit-learn's documented example: y = 0 0 1 1, scores .1 .4 .35 .8 give .8333...
        let curve = precision_recall(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]).unwrap();
        assert!((curve.average_precision - 0.833_333_333).abs() < 1e-8);
        assert_eq!(curve.positive_share, 0.5);
        assert_eq!(curve.points[0], PrecisionRecallPoint { threshold: 0.8, precision: 1.0, recall: 0.5 });
    }

    #[test]
    fn one_class_a_nan_and_a_missing_label_are_rejected() {
        assert!(matches!(roc(&[1.0, 2.0], &[true, true]), Err(MethodError::OneClass { class: 1, .. })));
        assert!(matches!(roc(&[f32::NAN, 2.0], &[true, false]), Err(MethodError::NotFiniteAt { position: 0, .. })));
        assert!(matches!(roc(&[1.0], &[true, false]), Err(MethodError::LengthDiffers { .. })));
        assert!(matches!(roc(&[], &[]), Err(MethodError::NoRows { .. })));
    }
}
