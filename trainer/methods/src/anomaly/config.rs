//! Settings of anomaly scorers.

use serde::{Deserialize, Serialize};

use crate::{MethodError, input::check_setting};

/// Isolation forest: Liu, Ting, Zhou 2008.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IsolationForestConfig {
    pub(crate) trees: usize,
    /// Rows sampled for each tree, without replacement; all rows when there are fewer.
    pub(crate) sample: usize,
}

impl Default for IsolationForestConfig {
    fn default() -> Self {
        Self { trees: 100, sample: 256 }
    }
}

impl IsolationForestConfig {
    pub(crate) fn check(&self) -> Result<(), MethodError> {
        check_setting("trees", self.trees, (1..=100_000).contains(&self.trees), "1 to 100000")?;
        check_setting("sample", self.sample, (2..=1_000_000).contains(&self.sample), "2 to 1000000")
    }
}

/// Principal components; the score is the squared distance from their plane, in standardised columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PcaConfig {
    /// Share of variance that the kept components explain, above 0 and at most 1.
    pub(crate) variance: f64,
    /// Whether columns are scaled to deviation 1 first; otherwise they are only centred.
    pub(crate) standardize: bool,
}

impl Default for PcaConfig {
    fn default() -> Self {
        Self { variance: 0.95, standardize: true }
    }
}

impl PcaConfig {
    pub(crate) fn check(&self) -> Result<(), MethodError> {
        let holds = self.variance > 0.0 && self.variance <= 1.0;
        check_setting("variance", self.variance, holds, "above 0 and at most 1")
    }
}

/// DBSCAN: Ester, Kriegel, Sander, Xu 1996; the score is the distance to the nearest core row divided by the radius, so
/// rows above 1 are noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DbscanConfig {
    /// Radius. Default: the radius with the best silhouette around the knee of the k-distance curve.
    pub radius: Option<f32>,
    /// Rows within the radius, including itself, that make a row a core row; 2 to 1,000.
    pub neighbours: usize,
    /// Maximum number of rows to cluster; more rows are subsampled.
    pub(crate) limit: usize,
}

impl Default for DbscanConfig {
    fn default() -> Self {
        Self { radius: None, neighbours: 10, limit: 5_000 }
    }
}

impl DbscanConfig {
    pub(crate) fn check(&self) -> Result<(), MethodError> {
        let radius = self.radius.unwrap_or(1.0);
        check_setting("radius", radius, radius.is_finite() && radius > 0.0, "above 0")?;
        check_setting("neighbours", self.neighbours, (2..=1_000).contains(&self.neighbours), "2 to 1000")?;
        check_setting("limit", self.limit, (10..=20_000).contains(&self.limit), "10 to 20000")
    }
}

/// k nearest neighbours: Ramaswamy, Rastogi, Shim 2000; the score is the distance to the k-th nearest benign row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NeighboursConfig {
    /// k.
    pub(crate) neighbours: usize,
    /// Maximum number of benign rows to keep; more rows are subsampled.
    pub(crate) limit: usize,
}

impl Default for NeighboursConfig {
    fn default() -> Self {
        Self { neighbours: 5, limit: 20_000 }
    }
}

impl NeighboursConfig {
    pub(crate) fn check(&self) -> Result<(), MethodError> {
        check_setting("neighbours", self.neighbours, (1..=1_000).contains(&self.neighbours), "1 to 1000")?;
        check_setting("limit", self.limit, (2..=200_000).contains(&self.limit), "2 to 200000")
    }
}

/// k-means: Lloyd 1982, seeded as k-means++ (Arthur and Vassilvitskii 2007); the score is the distance to the nearest
/// centre.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KMeansConfig {
    /// Number of centres; fewer if there are fewer distinct rows.
    pub centres: usize,
    /// Maximum number of passes over the rows.
    pub iterations: usize,
}

impl Default for KMeansConfig {
    fn default() -> Self {
        Self { centres: 16, iterations: 100 }
    }
}

impl KMeansConfig {
    pub(crate) fn check(&self) -> Result<(), MethodError> {
        check_setting("centres", self.centres, (1..=10_000).contains(&self.centres), "1 to 10000")?;
        check_setting("iterations", self.iterations, self.iterations >= 1, "at least 1")
    }
}
