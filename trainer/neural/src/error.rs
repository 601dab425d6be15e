//! Why there is no network.

use lapwing_methods::MethodError;

/// What stops a training.
#[derive(Debug, thiserror::Error)]
pub enum NeuralError {
    /// A setting out of its range.
    #[error("network setting {name} is {found}, expected {expected}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// Rows that cannot be learnt from.
    #[error("{found} {what}, expected {expected}")]
    Rows {
        /// What there is too much or too little of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: String,
    },
    /// Training went to infinity.
    #[error("training diverged in epoch {epoch}: lower learning-rate, now {learning_rate}")]
    Diverged {
        /// Epoch, from 1.
        epoch: usize,
        /// Highest learning rate.
        learning_rate: f64,
    },
    /// The tensor library failed.
    #[error("tensor backend: {0}")]
    Backend(String),
    /// A method inside failed.
    #[error(transparent)]
    Method(#[from] MethodError),
}

impl NeuralError {
    /// A setting that breaks its rule.
    pub fn setting(name: &'static str, found: impl ToString, expected: impl Into<String>) -> Self {
        Self::Setting { name, found: found.to_string(), expected: expected.into() }
    }
}
