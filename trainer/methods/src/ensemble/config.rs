//! Settings of ensembles.

use serde::{Deserialize, Serialize};

use crate::{
    ClassWeights, ClassifierConfig, ColumnShare, LogisticConfig, MethodError, TreeConfig, input::check_setting,
};

/// A random forest: Breiman 2001, with probabilities averaged over trees rather than votes counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct ForestConfig {
    pub trees: usize,
    /// Whether each tree is grown on a bootstrap sample of the rows.
    pub bootstrap: bool,
    /// Settings of each tree.
    pub tree: TreeConfig,
}

impl Default for ForestConfig {
    fn default() -> Self {
        let tree = TreeConfig { columns: ColumnShare::SquareRoot, bins: 4096, ..TreeConfig::default() };
        Self { trees: 100, bootstrap: true, tree }
    }
}

impl ForestConfig {
    pub(crate) fn check(&self) -> Result<(), MethodError> {
        check_setting("trees", self.trees, (1..=100_000).contains(&self.trees), "1 to 100000")?;
        self.tree.check()
    }
}

/// Bagged trees: Breiman 1996. Unlike in a forest, each split considers every column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BaggingConfig {
    pub(crate) trees: usize,
    /// Settings of each tree.
    pub(crate) tree: TreeConfig,
}

impl Default for BaggingConfig {
    fn default() -> Self {
        Self { trees: 10, tree: TreeConfig { bins: 4096, ..TreeConfig::default() } }
    }
}

impl BaggingConfig {
    pub(crate) fn check(&self) -> Result<(), MethodError> {
        check_setting("trees", self.trees, (1..=100_000).contains(&self.trees), "1 to 100000")?;
        self.tree.check()
    }
}

/// Weighted mean of the class probabilities of several methods ("soft voting").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VotingConfig {
    /// The methods of the ensemble.
    pub(crate) members: Vec<ClassifierConfig>,
    /// Weight of each method, above 0. Default: equal weights.
    pub(crate) weights: Vec<f64>,
}

impl Default for VotingConfig {
    fn default() -> Self {
        Self {
            members: vec![
                ClassifierConfig::LogisticRegression(LogisticConfig::default()),
                ClassifierConfig::RandomForest(ForestConfig::default()),
                ClassifierConfig::GradientBoosting(BoostingConfig::default()),
            ],
            weights: Vec::new(),
        }
    }
}

impl VotingConfig {
    pub(crate) fn check(&self) -> Result<(), MethodError> {
        check_setting("members", self.members.len(), (1..=32).contains(&self.members.len()), "1 to 32 methods")?;
        let nested = self.members.iter().any(|member| matches!(member, ClassifierConfig::Voting(_)));
        check_setting("members", "voting", !nested, "methods other than voting")?;
        let holds = self.weights.iter().all(|weight| weight.is_finite() && *weight > 0.0)
            && (self.weights.is_empty() || self.weights.len() == self.members.len());
        check_setting("weights", format!("{:?}", self.weights), holds, "none, or one number above 0 for each member")
    }
}

/// Gradient boosting of trees (Friedman 2001) on histograms; with three or more classes on their softmax.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BoostingConfig {
    /// Number of rounds; a round grows one tree for two classes, one tree per class for more.
    pub trees: usize,
    /// Learning rate (shrinkage), above 0 and at most 1.
    pub learning_rate: f32,
    /// Maximum number of splits from root to leaf. Default: unlimited.
    pub max_depth: Option<usize>,
    /// Maximum number of leaves of a tree, 2 to 4,096; each needs a histogram in memory.
    pub max_leaves: usize,
    /// Minimum number of rows in a leaf.
    pub min_leaf_rows: usize,
    /// L2 penalty on leaf weights.
    pub l2: f32,
    /// Minimum sum of second derivatives in a leaf.
    pub min_leaf_weight: f32,
    /// Maximum number of distinct values per column, 2 to 65,535; columns with more are binned by quantiles.
    pub bins: u16,
    /// Share of rows drawn for each tree, above 0 and at most 1.
    pub row_share: f32,
    /// Share of columns drawn for each tree, above 0 and at most 1.
    pub column_share: f64,
    /// Weight of each row, by class.
    pub class_weights: ClassWeights,
}

impl Default for BoostingConfig {
    fn default() -> Self {
        Self {
            trees: 100,
            learning_rate: 0.1,
            max_depth: None,
            max_leaves: 31,
            min_leaf_rows: 20,
            l2: 0.0,
            min_leaf_weight: 1e-3,
            bins: 255,
            row_share: 1.0,
            column_share: 1.0,
            class_weights: ClassWeights::Uniform,
        }
    }
}

impl BoostingConfig {
    pub(crate) fn check(&self) -> Result<(), MethodError> {
        let share = |value: f64| value > 0.0 && value <= 1.0;
        let rate = f64::from(self.learning_rate);
        check_setting("trees", self.trees, (1..=100_000).contains(&self.trees), "1 to 100000")?;
        check_setting("learning_rate", rate, share(rate), "above 0 and at most 1")?;
        check_setting("max_depth", self.max_depth.unwrap_or(1), self.max_depth != Some(0), "at least 1")?;
        check_setting("max_leaves", self.max_leaves, (2..=4096).contains(&self.max_leaves), "2 to 4096")?;
        check_setting("min_leaf_rows", self.min_leaf_rows, self.min_leaf_rows >= 1, "at least 1")?;
        check_setting("l2", self.l2, self.l2.is_finite() && self.l2 >= 0.0, "at least 0")?;
        let weight = self.min_leaf_weight;
        check_setting("min_leaf_weight", weight, weight.is_finite() && weight >= 0.0, "at least 0")?;
        check_setting("bins", self.bins, self.bins >= 2, "2 to 65535")?;
        check_setting("row_share", self.row_share, share(self.row_share.into()), "above 0 and at most 1")?;
        check_setting("column_share", self.column_share, share(self.column_share), "above 0 and at most 1")
    }
}
