//! Weighted sums of columns: logistic regression and support vector machines.
//!
//! Columns are standardised inside (mean 0, deviation 1 on the training rows; constant columns become 0), because both
//! methods stand still or diverge on columns of unlike size.

mod config;

pub use config::{LogisticConfig, SvmConfig, SvmKernel};
