//! Rows of numbers → fitted methods (trees, forests, boosting, linear models, clusters, projections) and their metrics.
//!
//! A configuration ([`ClassifierConfig`], [`ScorerConfig`]) is fitted on rows and becomes a [`Classifier`], which
//! returns class probabilities, or a [`Scorer`], which is fitted on benign rows only and returns one score per row; a
//! higher score is more anomalous. Both are plain data, serializable with serde. The same seed gives the same results
//! on any number of threads: each part of a fit has its own random generator, and sums run in a fixed order. Methods
//! run in the caller's rayon pool.
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
    Pca, PcaConfig,
};
pub use ensemble::{BaggingConfig, Boosting, BoostingConfig, ForestConfig, Voting, VotingConfig};
pub use error::MethodError;
pub use input::{FitProgress, Labels, Step, silent};
pub use linear::{Logistic, LogisticConfig, Svm, SvmConfig};
pub use method::{Classifier, ClassifierConfig, Method, Scorer, ScorerConfig};
pub use projection::{Projection, TsneConfig, principal_plane};
pub use tree::{ClassWeights, ColumnShare, TreeConfig, Trees};
