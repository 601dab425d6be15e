//! Every method under one roof: its name, its settings, what fitting makes of them.

use std::str::FromStr;

use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

use crate::{
    BaggingConfig, BoostingConfig, DbscanConfig, ForestConfig, IsolationForestConfig, KMeansConfig, Labels,
    LogisticConfig, MethodError, NeighboursConfig, PcaConfig, Progress, SvmConfig, TreeConfig, VotingConfig,
};

/// Names of methods, as commands and configuration files use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// One classification tree.
    DecisionTree,
    /// Many trees on resampled rows and columns.
    RandomForest,
    /// Many trees on resampled rows.
    Bagging,
    /// Mean of several methods' probabilities.
    Voting,
    /// Multinomial logistic regression.
    LogisticRegression,
    /// Support vector machine.
    Svm,
    /// Trees that each correct those before.
    GradientBoosting,
    /// Rows that random cuts isolate early.
    IsolationForest,
    /// Distance from the plane of the principal components.
    Pca,
    /// Distance from dense clusters.
    Dbscan,
    /// Distance to the nearest benign rows.
    Neighbours,
    /// Distance to the nearest of a few centres.
    KMeans,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::DecisionTree,
        Self::RandomForest,
        Self::Bagging,
        Self::Voting,
        Self::LogisticRegression,
        Self::Svm,
        Self::GradientBoosting,
        Self::IsolationForest,
        Self::Pca,
        Self::Dbscan,
        Self::Neighbours,
        Self::KMeans,
    ];

    /// The name on command lines, such as `random-forest`.
    pub fn name(self) -> &'static str {
        match self {
            Self::DecisionTree => "decision-tree",
            Self::RandomForest => "random-forest",
            Self::Bagging => "bagging",
            Self::Voting => "voting",
            Self::LogisticRegression => "logistic-regression",
            Self::Svm => "svm",
            Self::GradientBoosting => "gradient-boosting",
            Self::IsolationForest => "isolation-forest",
            Self::Pca => "pca",
            Self::Dbscan => "dbscan",
            Self::Neighbours => "neighbours",
            Self::KMeans => "k-means",
        }
    }

    /// Default settings where this is a classifier.
    pub fn classifier(self) -> Option<ClassifierConfig> {
        Some(match self {
            Self::DecisionTree => ClassifierConfig::DecisionTree(TreeConfig::default()),
            Self::RandomForest => ClassifierConfig::RandomForest(ForestConfig::default()),
            Self::Bagging => ClassifierConfig::Bagging(BaggingConfig::default()),
            Self::Voting => ClassifierConfig::Voting(VotingConfig::default()),
            Self::LogisticRegression => ClassifierConfig::LogisticRegression(LogisticConfig::default()),
            Self::Svm => ClassifierConfig::Svm(SvmConfig::default()),
            Self::GradientBoosting => ClassifierConfig::GradientBoosting(BoostingConfig::default()),
            _ => return None,
        })
    }

    /// Default settings where this scores anomalies.
    pub fn scorer(self) -> Option<ScorerConfig> {
        Some(match self {
            Self::IsolationForest => ScorerConfig::IsolationForest(IsolationForestConfig::default()),
            Self::Pca => ScorerConfig::Pca(PcaConfig::default()),
            Self::Dbscan => ScorerConfig::Dbscan(DbscanConfig::default()),
            Self::Neighbours => ScorerConfig::Neighbours(NeighboursConfig::default()),
            Self::KMeans => ScorerConfig::KMeans(KMeansConfig::default()),
            _ => return None,
        })
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = MethodError;

    fn from_str(name: &str) -> Result<Self, MethodError> {
        Self::ALL.into_iter().find(|method| method.name() == name).ok_or_else(|| MethodError::UnknownMethod {
            name: name.to_owned(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// Settings of a classifier; in files a table with `method = "random-forest"` and that method's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum ClassifierConfig {
    /// See [`TreeConfig`].
    DecisionTree(TreeConfig),
    /// See [`ForestConfig`].
    RandomForest(ForestConfig),
    /// See [`BaggingConfig`].
    Bagging(BaggingConfig),
    /// See [`VotingConfig`].
    Voting(VotingConfig),
    /// See [`LogisticConfig`].
    LogisticRegression(LogisticConfig),
    /// See [`SvmConfig`].
    Svm(SvmConfig),
    /// See [`BoostingConfig`].
    GradientBoosting(BoostingConfig),
}

/// Settings of an anomaly scorer; in files a table with `method = "isolation-forest"` and that method's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum ScorerConfig {
    /// See [`IsolationForestConfig`].
    IsolationForest(IsolationForestConfig),
    /// See [`PcaConfig`].
    Pca(PcaConfig),
    /// See [`DbscanConfig`].
    Dbscan(DbscanConfig),
    /// See [`NeighboursConfig`].
    Neighbours(NeighboursConfig),
    /// See [`KMeansConfig`].
    KMeans(KMeansConfig),
}

impl ClassifierConfig {
    /// Which method this is.
    pub fn method(&self) -> Method {
        match self {
            Self::DecisionTree(_) => Method::DecisionTree,
            Self::RandomForest(_) => Method::RandomForest,
            Self::Bagging(_) => Method::Bagging,
            Self::Voting(_) => Method::Voting,
            Self::LogisticRegression(_) => Method::LogisticRegression,
            Self::Svm(_) => Method::Svm,
            Self::GradientBoosting(_) => Method::GradientBoosting,
        }
    }

    /// Learns classes from rows × columns and one label a row.
    ///
    /// # Errors
    /// A setting outside its range; rows that are missing, constant, of one class, or not finite.
    pub fn fit(
        &self,
        _rows: &Matrix,
        _labels: Labels<'_>,
        _seed: u64,
        _progress: Progress<'_>,
    ) -> Result<Classifier, MethodError> {
        Err(MethodError::Numeric { what: self.method().name(), why: "not built into this version".into() })
    }
}

impl ScorerConfig {
    /// Which method this is.
    pub fn method(&self) -> Method {
        match self {
            Self::IsolationForest(_) => Method::IsolationForest,
            Self::Pca(_) => Method::Pca,
            Self::Dbscan(_) => Method::Dbscan,
            Self::Neighbours(_) => Method::Neighbours,
            Self::KMeans(_) => Method::KMeans,
        }
    }

    /// Learns what is ordinary from benign rows × columns.
    ///
    /// # Errors
    /// A setting outside its range; rows that are missing, constant, or not finite.
    pub fn fit(&self, _benign: &Matrix, _seed: u64, _progress: Progress<'_>) -> Result<Scorer, MethodError> {
        Err(MethodError::Numeric { what: self.method().name(), why: "not built into this version".into() })
    }
}

/// A fitted classifier.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum Classifier {}

/// A fitted anomaly scorer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum Scorer {}

impl Classifier {
    /// Which method this is.
    pub fn method(&self) -> Method {
        match *self {}
    }

    /// Number of classes, the width of [`Self::probabilities`].
    pub fn classes(&self) -> usize {
        match *self {}
    }

    /// Columns that rows must have.
    pub fn columns(&self) -> usize {
        match *self {}
    }

    /// Class probabilities, rows × classes; each row sums to 1.
    ///
    /// # Errors
    /// Rows of another width, or a value that is not finite.
    pub fn probabilities(&self, _rows: &Matrix) -> Result<Matrix, MethodError> {
        match *self {}
    }

    /// Share of each column in what was learnt, summing to 1 (all 0 when nothing was); nothing where the method has none.
    pub fn importance(&self) -> Option<Vec<f64>> {
        match *self {}
    }
}

impl Scorer {
    /// Which method this is.
    pub fn method(&self) -> Method {
        match *self {}
    }

    /// Columns that rows must have.
    pub fn columns(&self) -> usize {
        match *self {}
    }

    /// One score a row, higher = more anomalous.
    ///
    /// # Errors
    /// Rows of another width, or a value that is not finite.
    pub fn scores(&self, _rows: &Matrix) -> Result<Vec<f32>, MethodError> {
        match *self {}
    }
}
