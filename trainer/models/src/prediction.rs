//! Rows of a table → predictions of a saved model, with suspicious features.

use super::model::{Model, Usual};
use crate::{Answers, InferenceError};
use lapwing_tables::{Matrix, Table, Values};
use serde::Serialize;
use utoipa::ToSchema;

/// Maximum number of suspicious features per row.
const SUSPICIOUS: usize = 5;

/// A feature that makes a row look like an attack.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Suspicious {
    /// Name of the feature.
    pub feature: String,
    /// Its value in the row.
    pub value: String,
    /// Its usual value in benign rows.
    pub usual: String,
    /// Score of the row with the usual value of this feature; the lower, the more the feature contributed.
    pub score_without: f32,
}

/// Prediction for one row.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Prediction {
    /// Row, from 1.
    pub row: u64,
    /// Score, higher for attacks.
    pub score: f32,
    /// Whether the score exceeds the model's threshold.
    pub attack: bool,
    /// Probability of an attack, if the method has probabilities.
    pub probability: Option<f32>,
    /// Share of benign validation rows with at least this score; small for anomalous rows.
    pub benign_share: f64,
    /// Attack class, `unknown` if uncertain, or `benign`; absent for attacks if the model has no attack classes.
    pub kind: Option<String>,
    /// Features that make it look like an attack, strongest first, if requested.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suspicious: Vec<Suspicious>,
}

impl Model {
    /// Predicts every row of a table. `explain` adds suspicious features, at the cost of one more scoring per feature.
    ///
    /// # Errors
    /// A feature that is missing in the table or has another type there.
    pub fn predict(&self, table: &Table, explain: bool) -> Result<Vec<Prediction>, InferenceError> {
        let rows: Vec<usize> = (0..table.rows()).collect();
        let matrix = self.encoder.transform(table, &rows)?;
        let answers = self.fitted.answers(&matrix, self.classes.len())?;
        let mut predictions = Vec::with_capacity(rows.len());
        for row in rows {
            let score = answers.scores[row];
            let attack = score > self.threshold;
            let suspicious = if explain { self.suspicious(table, row, matrix.row(row), score)? } else { Vec::new() };
            predictions.push(Prediction {
                row: file_row(table, row),
                score,
                attack,
                probability: answers.probabilities.then_some(score),
                benign_share: self.benign_share(score),
                kind: self.kind(attack, &answers, row),
                suspicious,
            });
        }
        Ok(predictions)
    }

    /// Conformal: (1 + benign scores at least as high) / (1 + benign scores).
    fn benign_share(&self, score: f32) -> f64 {
        let below = self.benign_scores.partition_point(|benign| *benign < score);
        (1 + self.benign_scores.len() - below) as f64 / (1 + self.benign_scores.len()) as f64
    }

    fn kind(&self, attack: bool, answers: &Answers, row: usize) -> Option<String> {
        if !attack {
            return Some(self.classes.first().map_or_else(|| "benign".into(), Clone::clone));
        }
        if answers.named.get(row).is_some_and(|class| *class as usize == self.classes.len()) {
            return Some("unknown".into());
        }
        // Above the threshold the row is an attack, even if benign is the most probable class.
        answers.likeliest.get(row).and_then(|class| self.classes.get(*class as usize)).cloned()
    }

    fn suspicious(
        &self,
        table: &Table,
        row: usize,
        inputs: &[f32],
        score: f32,
    ) -> Result<Vec<Suspicious>, InferenceError> {
        let features = self.encoder.features();
        let mut values = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        let mut from = 0;
        for group in features.chunk_by(|a, b| a == b) {
            let to = from + group.len();
            let mut changed = inputs.to_vec();
            changed[from..to].copy_from_slice(&self.usual[from..to]);
            values.extend(changed);
            names.push(group[0]);
            from = to;
        }
        let Some(matrix) = Matrix::from_values(inputs.len(), values) else { return Ok(Vec::new()) };
        let scores = self.fitted.answers(&matrix, self.classes.len())?.scores;
        let mut order: Vec<(usize, f32)> =
            scores.into_iter().enumerate().filter(|(_, without)| *without < score).collect();
        order.sort_by(|a, b| a.1.total_cmp(&b.1));
        Ok(order
            .into_iter()
            .take(SUSPICIOUS)
            .map(|(index, without)| self.suspicious_feature(table, row, names[index], without))
            .collect())
    }

    fn suspicious_feature(&self, table: &Table, row: usize, name: &str, score_without: f32) -> Suspicious {
        let value = match table.column(name).map(|column| &column.values) {
            Some(Values::Numbers(numbers)) if numbers[row].is_finite() => numbers[row].to_string(),
            Some(Values::Categories { names, codes }) => names[usize::from(codes[row])].clone(),
            Some(_) => "missing".into(),
            None => "these values".into(),
        };
        let usual = self.features.iter().find(|feature| feature.name == name).map(|feature| &feature.usual);
        let usual = match usual {
            Some(Usual::Number { low, middle, high }) => format!("{low} to {high}, median {middle}"),
            Some(Usual::Names(names)) => names.join(", "),
            None => "values that are more frequent in training rows".into(),
        };
        Suspicious { feature: name.into(), value, usual, score_without }
    }
}

/// Row number in its file, from 1.
fn file_row(table: &Table, row: usize) -> u64 {
    table.origin(row).rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(row as u64 + 1)
}
