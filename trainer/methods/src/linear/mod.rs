//! Weighted sums of columns: logistic regression and support vector machines.
//!
//! Both standardise the columns first (mean 0, deviation 1 on the training rows; constant columns become 0): on columns
//! of unequal scale the search would stall or diverge.

mod config;
mod descent;
mod fourier;
mod logistic;
mod platt;
mod svm;

pub(crate) use config::SvmKernel;
pub use config::{LogisticConfig, SvmConfig};
pub use logistic::Logistic;
pub use svm::Svm;

/// Classes with training rows, ascending.
fn present(labels: crate::Labels<'_>) -> Vec<u32> {
    let counts = labels.counts();
    (0..labels.classes() as u32).filter(|class| counts[*class as usize] > 0).collect()
}

/// A row's values times the column weights, plus the intercept, which is the last weight.
fn weighted_sum(weights: &[f64], row: &[f32]) -> f64 {
    // Four independent sums, for instruction-level parallelism.
    let (mut sums, quads, rest) = ([0.0f64; 4], row.chunks_exact(4), row.chunks_exact(4).remainder());
    for (values, weights) in quads.zip(weights.chunks_exact(4)) {
        for at in 0..4 {
            sums[at] += f64::from(values[at]) * weights[at];
        }
    }
    let tail: f64 = rest.iter().zip(&weights[row.len() - rest.len()..]).map(|(v, w)| f64::from(*v) * w).sum();
    sums[0] + sums[1] + (sums[2] + sums[3]) + tail + weights[row.len()]
}

/// Adds `by` times a row, with a 1 for the intercept.
fn add_row(sums: &mut [f64], row: &[f32], by: f64) {
    for (sum, value) in sums.iter_mut().zip(row) {
        *sum += by * f64::from(*value);
    }
    sums[row.len()] += by;
}
