//! Why there is no evaluation.

use lapwing_methods::MethodError;
use lapwing_report::ReportError;
use lapwing_tables::TableError;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// Files, split or encoder.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Method or metric.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// Network.
    #[error("cannot train the network: {0}")]
    Network(String),
    /// Picture or page.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A setting out of range.
    #[error("{setting} is {found}, expected {expected}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// Its value.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A side of the split lacks what a figure needs.
    #[error("{side} rows: {found}, expected {expected}; {advice}")]
    Side {
        /// training, validation or test.
        side: &'static str,
        /// What is there.
        found: String,
        /// What is needed.
        expected: &'static str,
        /// What a person can do.
        advice: &'static str,
    },
}
