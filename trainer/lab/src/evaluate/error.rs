//! A failed evaluation → its cause.

use lapwing_methods::MethodError;
use lapwing_models::InferenceError;
use lapwing_report::ReportError;
use lapwing_tables::TableError;

/// Error of an evaluation.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum EvaluateError {
    /// Reading, splitting or encoding a table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Fitting a method or computing a metric.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// Scoring rows with a fitted method.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    #[error("cannot train the network: {0}")]
    Network(String),
    /// Drawing a chart or rendering a page.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A setting out of range.
    #[error("{setting} is {found}, expected {expected}")]
    Setting { setting: &'static str, found: String, expected: &'static str },
    /// A part of the split lacks rows that a figure needs.
    #[error("{part} rows: {found}, expected {expected}; {advice}")]
    Rows {
        /// `training`, `validation` or `test`.
        part: &'static str,
        /// Rows in that part.
        found: String,
        /// Rows required.
        expected: &'static str,
        /// What the user can change.
        advice: &'static str,
    },
}
