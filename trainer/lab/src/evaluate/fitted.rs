//! A plan and training data → a fitted method.

use super::error::EvaluateError;
use super::networks::{self, Losses};
use lapwing_methods::{FitProgress, Labels};
use lapwing_models::{Fitted, MethodName, Plan};
use lapwing_tables::Matrix;

/// Encoded rows that a method is fitted on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TrainingData {
    /// Rows × inputs.
    pub(crate) rows: Matrix,
    /// Class of each row: 0 benign.
    pub(crate) labels: Vec<u32>,
    /// Hash of each row's features; equal rows have equal hashes.
    pub(crate) keys: Vec<u64>,
    pub(crate) classes: usize,
    /// Rows for early stopping, and their classes.
    pub(crate) validation: (Matrix, Vec<u32>),
}

impl TrainingData {
    /// Benign validation rows.
    pub(crate) fn benign_validation(&self) -> Matrix {
        let (rows, labels) = &self.validation;
        let benign: Vec<usize> = (0..labels.len()).filter(|row| labels[*row] == 0).collect();
        rows.select_rows(&benign)
    }
}

/// Fits the plan's method; networks also return their learning curves.
///
/// # Errors
/// Rows or settings that the method cannot use.
pub(super) fn fit(
    plan: &Plan,
    training_data: &TrainingData,
    progress: FitProgress<'_>,
) -> Result<(Fitted, Losses), EvaluateError> {
    let MethodName::Plain(method) = plan.method else {
        let (network, losses) = networks::fit(plan, training_data, progress)?;
        return Ok((Fitted::Network(network), losses));
    };
    if let Some(config) = method.classifier() {
        let labels = Labels::new(&training_data.labels, training_data.classes)?;
        let fitted = config.fit(&training_data.rows, labels, plan.seed, progress)?;
        return Ok((Fitted::Classifier(fitted), Vec::new()));
    }
    let config = method.scorer().ok_or_else(|| EvaluateError::Setting {
        setting: "method",
        found: method.name().into(),
        expected: "a classifier or a scorer",
    })?;
    Ok((Fitted::Scorer(config.fit(&training_data.rows, plan.seed, progress)?), Vec::new()))
}
