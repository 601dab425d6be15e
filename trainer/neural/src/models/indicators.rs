//! Row, model → the features that raise the probability of an attack most.
//!
//! Ablation of one feature at a time: its input columns are replaced by those of the typical benign row. The effect is
//! the change in log-odds, because probabilities near 1 hardly change.

use lapwing_tables::Matrix;
use lapwing_tables::stats::upper_median;
use serde::{Deserialize, Serialize};

/// Effect of one feature of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Indicator {
    pub feature: String,
    /// Probability of an attack with the feature's typical benign value.
    pub(crate) probability_without: f32,
    /// Increase of the log-odds of an attack by the feature; negative if it lowers them.
    pub(crate) log_odds: f32,
}

/// The typical benign row: the median of every column, and the most common category of one-hot columns.
///
/// `features` names the feature of each column. Adjacent columns of the same feature are its one-hot encoding.
pub fn usual_row(benign: &Matrix, features: &[&str]) -> Vec<f32> {
    let mut usual: Vec<f32> = (0..benign.columns()).map(|column| median(benign, column)).collect();
    for (from, to) in spans(features) {
        if to - from > 1 {
            let sum = |column: usize| benign.iter().map(|row| f64::from(row[column])).sum::<f64>();
            let sums: Vec<f64> = (from..to).map(sum).collect();
            let most_common = (0..sums.len()).max_by(|a, b| sums[*a].total_cmp(&sums[*b]).then(b.cmp(a)));
            usual[from..to].iter_mut().enumerate().for_each(|(at, value)| *value = f32::from(Some(at) == most_common));
        }
    }
    usual
}

/// All features of a row, largest increase of the log-odds first. `probability` predicts encoded rows.
///
/// # Errors
/// Errors of `probability`.
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
    let probabilities = probability(&Matrix::from_values(row.len(), rows).unwrap_or_default())?;
    let Some((with_all, without)) = probabilities.split_first() else { return Ok(Vec::new()) };
    let indicator = |((from, _), without): (&(usize, usize), &f32)| Indicator {
        feature: features[*from].to_owned(),
        probability_without: *without,
        log_odds: log_odds(*with_all) - log_odds(*without),
    };
    let mut indicators: Vec<Indicator> = spans.iter().zip(without).map(indicator).collect();
    indicators.sort_by(|a, b| b.log_odds.total_cmp(&a.log_odds));
    Ok(indicators)
}

fn log_odds(probability: f32) -> f32 {
    let probability = probability.clamp(1e-7, 1.0 - 1e-7);
    (probability / (1.0 - probability)).ln()
}

/// Start and end of each run of adjacent columns with the same feature.
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
    upper_median(&mut values).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::sigmoid;
    use std::convert::Infallible;

    #[test]
    fn indicators_are_sorted_by_change_in_log_odds() {
        let benign = Matrix::from_values(4, vec![1.0, 0.0, 1.0, 5.0, 2.0, 1.0, 0.0, 5.0, 9.0, 0.0, 1.0, 5.0]).unwrap();
        let features = ["rate", "proto", "proto", "size"];
        let usual = usual_row(&benign, &features);
        assert_eq!(usual, [2.0, 0.0, 1.0, 5.0]);
        let probability = |rows: &Matrix| -> Result<Vec<f32>, Infallible> {
            Ok(rows.iter().map(|row| sigmoid(0.1 * row[0] + 3.0 * row[1] - 0.5 * row[3])).collect())
        };
        let found = indicators(&[12.0, 1.0, 0.0, 7.0], &usual, &features, probability).unwrap();
        let names: Vec<&str> = found.iter().map(|indicator| indicator.feature.as_str()).collect();
        assert_eq!(names, ["proto", "rate", "size"]);
        let changes: Vec<f32> = found.iter().map(|indicator| indicator.log_odds).collect();
        let near = changes.iter().zip([3.0, 1.0, -1.0]).all(|(found, expected)| (found - expected).abs() < 1e-3);
        assert!(near, "{changes:?}");
    }
}
