//! Training failure → what failed, and the expected value.

use lapwing_methods::MethodError;

/// Why training or prediction failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum NeuralError {
    /// A setting is out of range.
    #[error("network setting {name} is {found}, expected {expected}")]
    Setting { name: &'static str, found: String, expected: String },
    /// The rows do not fit the network, or are too few.
    #[error("{found} {what}, expected {expected}")]
    Rows {
        /// What was counted, e.g. "columns".
        what: &'static str,
        found: usize,
        /// The expected count, with its reason.
        expected: String,
    },
    /// A row contains NaN or infinity.
    #[error("row {0} contains a value that is not finite")]
    NotFinite(
        /// Index of the first such row, from 0.
        usize,
    ),
    /// The loss is not finite.
    #[error("training diverged in epoch {epoch}: learning rate {learning_rate} is too high")]
    Diverged {
        /// Epoch, from 1.
        epoch: usize,
        /// Highest learning rate of the schedule.
        learning_rate: f64,
    },
    /// The tensor library failed.
    #[error("tensor backend: {0}")]
    Backend(String),
    /// A classical method used as part of the model failed.
    #[error(transparent)]
    Method(#[from] MethodError),
}

impl NeuralError {
    /// A setting that is out of range.
    pub(crate) fn setting(name: &'static str, found: impl ToString, expected: impl Into<String>) -> Self {
        Self::Setting { name, found: found.to_string(), expected: expected.into() }
    }

    pub(crate) fn rows(what: &'static str, found: usize, expected: impl Into<String>) -> Self {
        Self::Rows { what, found, expected: expected.into() }
    }

    /// Checks that a list has one element per row.
    pub(crate) fn check_length(what: &'static str, found: usize, rows: usize) -> Result<(), Self> {
        if found == rows { Ok(()) } else { Err(Self::rows(what, found, format!("{rows}, one per row"))) }
    }

    /// Checks that rows to predict have the width of the training rows.
    pub(crate) fn check_width(found: usize, columns: usize) -> Result<(), Self> {
        if found == columns { Ok(()) } else { Err(Self::rows("columns", found, format!("{columns}, as in training"))) }
    }
}
