//! What makes a row suspicious: the features whose return to their benign usual value moves the probability most.
//!
//! Ablation of one feature at a time: all its input columns become those of the usual benign row, everything else
//! stays. A change is told in log-odds, because probabilities near 1 hardly move.

use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

/// One feature of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Indicator {
    /// Name of the feature.
    pub feature: String,
    /// Probability of an attack with the feature as it usually is in benign rows.
    pub probability_without: f32,
    /// By how much the feature raises the log-odds of an attack; negative where it speaks against one.
    pub log_odds: f32,
}

/// The usual benign row: the median of every column, and of columns that belong to one category the commonest one.
///
/// `features` names each column's feature, columns of one feature side by side; rows are benign training rows. A
/// feature with several columns is taken as one of 0 and 1 a category.
pub fn usual_row(benign: &Matrix, features: &[&str]) -> Vec<f32> {
    let mut usual: Vec<f32> = (0..benign.columns()).map(|column| median(benign, column)).collect();
    for (from, to) in spans(features) {
        if to - from > 1 {
            let sum = |column: usize| benign.iter().map(|row| f64::from(row[column])).sum::<f64>();
            let sums: Vec<f64> = (from..to).map(sum).collect();
            let commonest = (0..sums.len()).max_by(|a, b| sums[*a].total_cmp(&sums[*b]).then(b.cmp(a)));
            usual[from..to].iter_mut().enumerate().for_each(|(at, value)| *value = f32::from(Some(at) == commonest));
        }
    }
    usual
}

/// All features of a row by how much each speaks for an attack, most first. `probability` judges encoded rows.
///
/// # Errors
/// What `probability` fails with.
pub fn indicators<E>(
    row: &[f32],
    usual: &[f32],
    features: &[&str],
    probability: impl FnOnce(&Matrix) -> Result<Vec<f32>, E>,
) -> Result<Vec<Indicator>, E> {
    let spans = spans(features);
    let mut rows = row.to_vec();
    for (from, to) in &spans {
        let mut changed = row.to_vec();
        changed[*from..*to].copy_from_slice(&usual[*from..*to]);
        rows.extend(changed);
    }
    let found = probability(&Matrix::from_values(row.len(), rows).unwrap_or_default())?;
    let Some((now, without)) = found.split_first() else { return Ok(Vec::new()) };
    let indicator = |((from, _), without): (&(usize, usize), &f32)| Indicator {
        feature: features[*from].to_owned(),
        probability_without: *without,
        log_odds: log_odds(*now) - log_odds(*without),
    };
    let mut indicators: Vec<Indicator> = spans.iter().zip(without).map(indicator).collect();
    indicators.sort_by(|a, b| b.log_odds.total_cmp(&a.log_odds));
    Ok(indicators)
}

fn log_odds(probability: f32) -> f32 {
    let probability = probability.clamp(1e-7, 1.0 - 1e-7);
    (probability / (1.0 - probability)).ln()
}

/// Where neighbouring columns of one feature start and end.
fn spans(features: &[&str]) -> Vec<(usize, usize)> {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for (column, feature) in features.iter().enumerate() {
        match spans.last_mut() {
            Some((from, to)) if features[*from] == *feature => *to = column + 1,
            _ => spans.push((column, column + 1)),
        }
    }
    spans
}

fn median(rows: &Matrix, column: usize) -> f32 {
    let mut values: Vec<f32> = rows.iter().map(|row| row[column]).collect();
    values.sort_unstable_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::sigmoid;
    use std::convert::Infallible;

    #[test]
    fn the_feature_that_makes_the_difference_comes_first() {
        let benign = Matrix::from_values(4, vec![1.0, 0.0, 1.0, 5.0, 2.0, 1.0, 0.0, 5.0, 9.0, 0.0, 1.0, 5.0]).unwrap();
        let features = ["rate", "proto", "proto", "size"];
        let usual = usual_row(&benign, &features);
        assert_eq!(usual, [2.0, 0.0, 1.0, 5.0]);
        let judge = |rows: &Matrix| -> Result<Vec<f32>, Infallible> {
            Ok(rows.iter().map(|row| sigmoid(0.1 * row[0] + 3.0 * row[1] - 0.5 * row[3])).collect())
        };
        let found = indicators(&[12.0, 1.0, 0.0, 7.0], &usual, &features, judge).unwrap();
        let names: Vec<&str> = found.iter().map(|indicator| indicator.feature.as_str()).collect();
        assert_eq!(names, ["proto", "rate", "size"]);
        let changes: Vec<f32> = found.iter().map(|indicator| indicator.log_odds).collect();
        let near = changes.iter().zip([3.0, 1.0, -1.0]).all(|(found, expected)| (found - expected).abs() < 1e-3);
        assert!(near, "{changes:?}");
    }
}
