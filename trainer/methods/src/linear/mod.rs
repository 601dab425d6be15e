//! Weighted sums of columns: logistic regression and support vector machines.
//!
//! Columns are standardised inside (mean 0, deviation 1 on the training rows; constant columns become 0), because both
//! methods stand still or diverge on columns of unlike size.

mod config;
mod descent;
mod fourier;
mod logistic;
mod platt;
mod svm;

pub use config::{LogisticConfig, SvmConfig, SvmKernel};
pub use logistic::Logistic;
pub use svm::Svm;

/// Classes that have rows, ascending.
fn present(labels: crate::Labels<'_>) -> Vec<u32> {
    let counts = labels.counts();
    (0..labels.classes() as u32).filter(|class| counts[*class as usize] > 0).collect()
}
