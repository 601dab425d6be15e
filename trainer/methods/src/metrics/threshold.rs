//! Scores of validation normals → a threshold; scores and a threshold → rates, for all and by kind of attack.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{MethodError, input::check_length, input::check_setting};

/// What a threshold does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Rows scored above this are called positive.
    pub threshold: f32,
    /// Share of positive rows called positive; nothing without positive rows.
    pub recall: Option<f64>,
    /// Share of negative rows called positive; nothing without negative rows.
    pub false_positive_rate: Option<f64>,
    /// Share of rows called positive that are; nothing when none is called so.
    pub precision: Option<f64>,
}

/// How much of one kind is caught.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindRecall {
    /// Name of the kind.
    pub kind: String,
    /// Its rows.
    pub rows: usize,
    /// Those scored above the threshold.
    pub caught: usize,
    /// `caught / rows`.
    pub recall: f64,
}

/// The lowest score of `normals` above which at most a share of `false_positive_rate` of them lies.
///
/// `normals` are validation rows known to be benign: never test rows, never attacks.
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
    // The tolerance keeps 0.05 × 100 at five rows although 0.05 is no binary fraction.
    let allowed = (false_positive_rate * sorted.len() as f64 + 1e-9) as usize;
    Ok(sorted[sorted.len() - 1 - allowed.min(sorted.len() - 1)])
}

/// What calling every row scored above `threshold` positive does.
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

/// Share of each kind's rows scored above `threshold`, by name; for the benign kind this is the false-positive rate.
///
/// # Errors
/// Lists that differ in length.
pub fn recall_by_kind<S: AsRef<str>>(
    scores: &[f32],
    kinds: &[S],
    threshold: f32,
) -> Result<Vec<KindRecall>, MethodError> {
    check_length("kinds", kinds.len(), scores.len())?;
    let mut found: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (score, kind) in scores.iter().zip(kinds) {
        let (rows, caught) = found.entry(kind.as_ref()).or_default();
        *rows += 1;
        *caught += usize::from(*score > threshold);
    }
    let told = |(kind, (rows, caught)): (&str, (usize, usize))| KindRecall {
        kind: kind.to_owned(),
        rows,
        caught,
        recall: caught as f64 / rows as f64,
    };
    Ok(found.into_iter().map(told).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_lets_exactly_the_share_pass() {
        let normals: Vec<f32> = (0..100).map(|at| at as f32).collect();
        let threshold = threshold_at(&normals, 0.05).unwrap();
        assert_eq!(threshold, 94.0);
        assert_eq!(normals.iter().filter(|score| **score > threshold).count(), 5);
        assert_eq!(threshold_at(&normals, 0.0).unwrap(), 99.0);
        assert_eq!(threshold_at(&normals, 0.999).unwrap(), 0.0);
    }

    #[test]
    fn ties_never_raise_the_rate_above_the_share() {
        let normals = [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0];
        let threshold = threshold_at(&normals, 0.3).unwrap();
        assert_eq!(normals.iter().filter(|score| **score > threshold).count(), 0);
    }

    #[test]
    fn rates_and_kinds_by_hand() {
        let (scores, truth) = ([0.1, 0.9, 0.8, 0.2], [false, false, true, true]);
        let rates = rates_at(&scores, &truth, 0.5).unwrap();
        assert_eq!((rates.recall, rates.false_positive_rate, rates.precision), (Some(0.5), Some(0.5), Some(0.5)));
        assert_eq!(rates_at(&scores, &[true; 4], 1.0).unwrap().false_positive_rate, None);
        let kinds = recall_by_kind(&scores, &["benign", "benign", "scan", "flood"], 0.5).unwrap();
        assert_eq!(kinds.iter().map(|kind| kind.kind.as_str()).collect::<Vec<_>>(), ["benign", "flood", "scan"]);
        assert_eq!(kinds.iter().map(|kind| kind.caught).collect::<Vec<_>>(), [1, 0, 1]);
    }

    #[test]
    fn a_rate_of_one_and_no_normals_are_refused() {
        assert!(matches!(threshold_at(&[1.0], 1.0), Err(MethodError::Setting { .. })));
        assert!(matches!(threshold_at(&[], 0.1), Err(MethodError::NoRows { .. })));
    }
}
