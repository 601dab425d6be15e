//! Every method under one roof: its name, its settings, what fitting makes of them.

#[cfg(test)]
mod tests;

use std::str::FromStr;

use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

use crate::{
    BaggingConfig, Boosting, BoostingConfig, Dbscan, DbscanConfig, ForestConfig, IsolationForest,
    IsolationForestConfig, KMeans, KMeansConfig, Labels, Logistic, LogisticConfig, MethodError, Neighbours,
    NeighboursConfig, Pca, PcaConfig, Progress, Svm, SvmConfig, TreeConfig, Trees, Voting, VotingConfig,
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
        rows: &Matrix,
        labels: Labels<'_>,
        seed: u64,
        progress: Progress<'_>,
    ) -> Result<Classifier, MethodError> {
        Ok(match self {
            Self::DecisionTree(config) => Classifier::DecisionTree(config.fit(rows, labels, seed, progress)?),
            Self::RandomForest(config) => Classifier::RandomForest(config.fit(rows, labels, seed, progress)?),
            Self::Bagging(config) => Classifier::Bagging(config.fit(rows, labels, seed, progress)?),
            Self::Voting(config) => Classifier::Voting(config.fit(rows, labels, seed, progress)?),
            Self::LogisticRegression(config) => Classifier::LogisticRegression(config.fit(rows, labels, progress)?),
            Self::Svm(config) => Classifier::Svm(config.fit(rows, labels, seed, progress)?),
            Self::GradientBoosting(config) => Classifier::GradientBoosting(config.fit(rows, labels, seed, progress)?),
        })
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
    pub fn fit(&self, benign: &Matrix, seed: u64, progress: Progress<'_>) -> Result<Scorer, MethodError> {
        Ok(match self {
            Self::IsolationForest(config) => Scorer::IsolationForest(config.fit(benign, seed, progress)?),
            Self::Pca(config) => Scorer::Pca(config.fit(benign, progress)?),
            Self::Dbscan(config) => Scorer::Dbscan(config.fit(benign, seed, progress)?),
            Self::Neighbours(config) => Scorer::Neighbours(config.fit(benign, seed)?),
            Self::KMeans(config) => Scorer::KMeans(config.fit(benign, seed, progress)?),
        })
    }
}

/// A fitted classifier.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Classifier {
    /// By [`TreeConfig::fit`].
    DecisionTree(Trees),
    /// By [`ForestConfig::fit`].
    RandomForest(Trees),
    /// By [`BaggingConfig::fit`].
    Bagging(Trees),
    /// By [`VotingConfig::fit`].
    Voting(Voting),
    /// By [`LogisticConfig::fit`].
    LogisticRegression(Logistic),
    /// By [`SvmConfig::fit`].
    Svm(Svm),
    /// By [`BoostingConfig::fit`].
    GradientBoosting(Boosting),
}

/// A fitted anomaly scorer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scorer {
    /// By [`IsolationForestConfig::fit`].
    IsolationForest(IsolationForest),
    /// By [`PcaConfig::fit`].
    Pca(Pca),
    /// By [`DbscanConfig::fit`].
    Dbscan(Dbscan),
    /// By [`NeighboursConfig::fit`].
    Neighbours(Neighbours),
    /// By [`KMeansConfig::fit`].
    KMeans(KMeans),
}

impl Classifier {
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

    /// Number of classes, the width of [`Self::probabilities`].
    pub fn classes(&self) -> usize {
        match self {
            Self::DecisionTree(trees) | Self::RandomForest(trees) | Self::Bagging(trees) => trees.classes(),
            Self::Voting(fitted) => fitted.classes(),
            Self::LogisticRegression(fitted) => fitted.classes(),
            Self::Svm(fitted) => fitted.classes(),
            Self::GradientBoosting(fitted) => fitted.classes(),
        }
    }

    /// Columns that rows must have.
    pub fn columns(&self) -> usize {
        match self {
            Self::DecisionTree(trees) | Self::RandomForest(trees) | Self::Bagging(trees) => trees.columns(),
            Self::Voting(fitted) => fitted.columns(),
            Self::LogisticRegression(fitted) => fitted.columns(),
            Self::Svm(fitted) => fitted.columns(),
            Self::GradientBoosting(fitted) => fitted.columns(),
        }
    }

    /// Class probabilities, rows × classes; each row sums to 1.
    ///
    /// # Errors
    /// Rows of another width, or a value that is not finite.
    pub fn probabilities(&self, rows: &Matrix) -> Result<Matrix, MethodError> {
        match self {
            Self::DecisionTree(trees) | Self::RandomForest(trees) | Self::Bagging(trees) => trees.probabilities(rows),
            Self::Voting(fitted) => fitted.probabilities(rows),
            Self::LogisticRegression(fitted) => fitted.probabilities(rows),
            Self::Svm(fitted) => fitted.probabilities(rows),
            Self::GradientBoosting(fitted) => fitted.probabilities(rows),
        }
    }

    /// Share of each column in what was learnt, summing to 1 (all 0 when nothing was); nothing where the method has
    /// none.
    ///
    /// Trees: decrease in impurity. Boosting: gain. Linear methods: sum of absolute weights on standardised columns.
    pub fn importance(&self) -> Option<Vec<f64>> {
        match self {
            Self::DecisionTree(trees) | Self::RandomForest(trees) | Self::Bagging(trees) => {
                Some(trees.importance().to_vec())
            }
            Self::Voting(fitted) => fitted.importance(),
            Self::LogisticRegression(fitted) => Some(fitted.importance()),
            Self::Svm(fitted) => fitted.importance(),
            Self::GradientBoosting(fitted) => Some(fitted.importance().to_vec()),
        }
    }
}

impl Scorer {
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

    /// Columns that rows must have.
    pub fn columns(&self) -> usize {
        match self {
            Self::IsolationForest(fitted) => fitted.columns(),
            Self::Pca(fitted) => fitted.columns(),
            Self::Dbscan(fitted) => fitted.columns(),
            Self::Neighbours(fitted) => fitted.columns(),
            Self::KMeans(fitted) => fitted.columns(),
        }
    }

    /// One score a row, higher = more anomalous.
    ///
    /// # Errors
    /// Rows of another width, or a value that is not finite.
    pub fn scores(&self, rows: &Matrix) -> Result<Vec<f32>, MethodError> {
        match self {
            Self::IsolationForest(fitted) => fitted.scores(rows),
            Self::Pca(fitted) => fitted.scores(rows),
            Self::Dbscan(fitted) => fitted.scores(rows),
            Self::Neighbours(fitted) => fitted.scores(rows),
            Self::KMeans(fitted) => fitted.scores(rows),
        }
    }
}
