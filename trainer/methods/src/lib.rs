//! Methods on rows of numbers: trees, forests, boosting, linear models, clusters, projections, and how good they are.
//!
//! A setting ([`ClassifierConfig`], [`ScorerConfig`]) is fitted on rows and becomes a [`Classifier`], which gives class
//! probabilities, or a [`Scorer`], which is fitted on benign rows only and gives one score a row, higher meaning more
//! anomalous. Both are plain data that serde writes and reads. The same seed gives the same figures, on any number of
//! threads: every part of a fit has a generator of its own, and sums are made in a fixed order.
//! Threads are those of the rayon pool that the caller runs in.
#![forbid(unsafe_code)]

mod anomaly;
mod distance;
mod ensemble;
mod error;
mod input;
mod linear;
mod method;
pub mod metrics;
mod projection;
mod standard;
mod tree;

pub use anomaly::{
    Dbscan, DbscanConfig, IsolationForest, IsolationForestConfig, KMeans, KMeansConfig, Neighbours, NeighboursConfig,
    Pca, PcaConfig, RadiusTried,
};
pub use ensemble::{BaggingConfig, Boosting, BoostingConfig, ForestConfig, Voting, VotingConfig};
pub use error::MethodError;
pub use input::{Labels, Progress, Step, silent};
pub use linear::{Logistic, LogisticConfig, Svm, SvmConfig, SvmKernel};
pub use method::{Classifier, ClassifierConfig, Method, Scorer, ScorerConfig};
pub use projection::{Projection, TsneConfig, principal_plane};
pub use tree::{ClassWeights, ColumnShare, TreeConfig, Trees};
