//! Scores, predictions and truth → metrics: curves, confusion matrices, thresholds, neighbourhoods, intervals, tests.
//!
//! A higher score is more positive (more anomalous) everywhere. Metrics are `f64` in 0..=1 unless documented otherwise.

mod bootstrap;
mod compare;
mod confusion;
mod curves;
mod distribution;
mod neighbours;
mod rank;
mod threshold;

pub use bootstrap::{Interval, bootstrap_interval};
pub use compare::{Friedman, McNemar, Wilcoxon, friedman, mcnemar, wilcoxon_signed_rank};
pub use confusion::{Averages, ClassFigures, ConfusionMatrix, most_probable};
pub use curves::{PrecisionRecall, PrecisionRecallPoint, Roc, RocPoint, auc, precision_recall, roc};
pub use neighbours::{Sampled, neighbour_purity, silhouette};
pub use rank::spearman;
pub use threshold::{KindRecall, Rates, rates_at, recall_by_kind, threshold_at};
