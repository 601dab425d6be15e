//! Scores of benign validation rows → a threshold; scores and a threshold → rates, overall and by attack class.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{MethodError, input::check_length, input::check_setting};

/// Rates at a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Rows with a higher score are predicted positive.
    pub threshold: f32,
    /// Share of positive rows predicted positive; `None` without positive rows.
    pub recall: Option<f64>,
    /// Share of negative rows predicted positive; `None` without negative rows.
    pub false_positive_rate: Option<f64>,
    /// Share of the rows predicted positive that are positive; `None` when no row is.
    pub precision: Option<f64>,
}

/// Recall of one attack class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct KindRecall {
    /// Name of the class.
    pub kind: String,
    pub rows: usize,
    /// Rows with a score above the threshold.
    pub(crate) caught: usize,
    /// `caught / rows`.
    pub recall: f64,
}

/// The lowest score among `normals` that at most a share of `false_positive_rate` of them exceeds.
///
/// `normals` are the scores of benign validation rows, never of test rows or attacks.
///
/// # Errors
/// No rows, a score that is not finite, a rate outside 0..1.
pub fn threshold_at(normals: &[f32], false_positive_rate: f64) -> Result<f32, MethodError> {
    let holds = (0.0..1.0).contains(&false_positive_rate);
    check_setting("false_positive_rate", false_positive_rate, holds, "at least 0 and below 1")?;
    if normals.is_empty() {
        return Err(MethodError::NoRows { what: "a threshold", needed: 1 });
    }
    if let Some(position) = normals.iter().position(|score| !score.is_finite()) {
        let value = f64::from(normals[position]);
        return Err(MethodError::NotFiniteAt { what: "score", position, value });
    }
    let mut sorted = normals.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    // The tolerance keeps 0.05 × 100 at five rows, although 0.05 has no exact binary form.
    let allowed = (false_positive_rate * sorted.len() as f64 + 1e-9) as usize;
    Ok(sorted[sorted.len() - 1 - allowed.min(sorted.len() - 1)])
}

/// Rates when every row with a score above `threshold` is predicted positive.
///
/// # Errors
/// No rows, lists that differ in length.
pub fn rates_at(scores: &[f32], positive: &[bool], threshold: f32) -> Result<Rates, MethodError> {
    check_length("truth", positive.len(), scores.len())?;
    if scores.is_empty() {
        return Err(MethodError::NoRows { what: "rates", needed: 1 });
    }
    let mut counts = [[0u64; 2]; 2];
    for (score, is) in scores.iter().zip(positive) {
        counts[usize::from(*is)][usize::from(*score > threshold)] += 1;
    }
    let share = |part: u64, other: u64| (part + other > 0).then(|| part as f64 / (part + other) as f64);
    Ok(Rates {
        threshold,
        recall: share(counts[1][1], counts[1][0]),
        false_positive_rate: share(counts[0][1], counts[0][0]),
        precision: share(counts[1][1], counts[0][1]),
    })
}

/// Share of each class's rows with a score above `threshold`, by name; for benign rows this is the false-positive rate.
///
/// # Errors
/// Lists that differ in length.
pub fn recall_by_kind<S: AsRef<str>>(
    scores: &[f32],
    kinds: &[S],
    threshold: f32,
) -> Result<Vec<KindRecall>, MethodError> {
    check_length("kinds", kinds.len(), scores.len())?;
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (score, kind) in scores.iter().zip(kinds) {
        let (rows, caught) = counts.entry(kind.as_ref()).or_default();
        *rows += 1;
        *caught += usize::from(*score > threshold);
    }
    let recall = |(kind, (rows, caught)): (&str, (usize, usize))| KindRecall {
        kind: kind.to_owned(),
        rows,
        caught,
        recall: caught as f64 / rows as f64,
    };
    Ok(counts.into_iter().map(recall).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_given_share_exceeds_the_threshold() {
        let normals: Vec<f32> = (0..100).map(|at| at as f32).collect();
        let threshold = threshold_at(&normals, 0.05).unwrap();
        assert_eq!(threshold, 94.0);
        assert_eq!(normals.iter().filter(|score| **score > threshold).count(), 5);
        assert_eq!(threshold_at(&normals, 0.0).unwrap(), 99.0);
        assert_eq!(threshold_at(&normals, 0.999).unwrap(), 0.0);
    }

    #[test]
    fn ties_never_raise_the_rate_above_the_limit() {
        let normals = [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0];
        let threshold = threshold_at(&normals, 0.3).unwrap();
        assert_eq!(normals.iter().filter(|score| **score > threshold).count(), 0);
    }

    #[test]
    fn rates_and_recall_by_class_match_hand_counts() {
        let (scores, truth) = ([0.1, 0.9, 0.8, 0.2], [false, false, true, true]);
        let rates = rates_at(&scores, &truth, 0.5).unwrap();
        assert_eq!((rates.recall, rates.false_positive_rate, rates.precision), (Some(0.5), Some(0.5), Some(0.5)));
        assert_eq!(rates_at(&scores, &[true; 4], 1.0).unwrap().false_positive_rate, None);
        let kinds = recall_by_kind(&scores, &["benign", "benign", "scan", "flood"], 0.5).unwrap();
        assert_eq!(kinds.iter().map(|kind| kind.kind.as_str()).collect::<Vec<_>>(), ["benign", "flood", "scan"]);
        assert_eq!(kinds.iter().map(|kind| kind.caught).collect::<Vec<_>>(), [1, 0, 1]);
    }

    #[test]
    fn a_rate_of_one_and_no_rows_are_rejected() {
        assert!(matches!(threshold_at(&[1.0], 1.0), Err(MethodError::Setting { .. })));
        assert!(matches!(threshold_at(&[], 0.1), Err(MethodError::NoRows { .. })));
    }
}
