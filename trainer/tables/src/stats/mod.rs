//! Lists of numbers → statistics that the methods, the metrics and the trainer share: ranks, areas, quantiles, tests.
//!
//! Sums run in `f64` and in a fixed order, so results are the same on every machine.

mod quantile;
mod rank;
mod two_sample;
mod wilson;

pub use quantile::{lower_quantile, nearest_quantile, quantile, upper_median, weighted_median};
pub(crate) use rank::standard_ranks;
pub use rank::{auc, rank_correlation, ranks};
pub(crate) use two_sample::kolmogorov_smirnov;
pub use two_sample::kolmogorov_smirnov_binned;
pub(crate) use two_sample::{holm, mann_whitney};
pub use wilson::wilson;
