//! Names and settings → fitted methods: one enum each over all classifiers and scorers.

#[cfg(test)]
mod tests;

use std::str::FromStr;

use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

use crate::{
    BaggingConfig, Boosting, BoostingConfig, Dbscan, DbscanConfig, FitProgress, ForestConfig, IsolationForest,
    IsolationForestConfig, KMeans, KMeansConfig, Labels, Logistic, LogisticConfig, MethodError, Neighbours,
    NeighboursConfig, Pca, PcaConfig, Svm, SvmConfig, TreeConfig, Trees, Voting, VotingConfig,
};

/// A method, by its name on command lines and in configuration files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names of the variants document them")]
pub enum Method {
    /// One classification tree.
    DecisionTree,
    /// Trees on resampled rows, with random columns at each split.
    RandomForest,
    /// Trees on resampled rows.
    Bagging,
    /// Mean of several methods' probabilities.
    Voting,
    LogisticRegression,
    Svm,
    /// Trees that each correct the previous ones.
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
    /// Every method, in the order of the declaration.
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

    /// The name on command lines, e.g. `random-forest`.
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

    /// Default settings if this is a classifier.
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

    /// Default settings if this is an anomaly scorer.
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

/// Settings of a classifier; in files, a table with `method = "random-forest"` and the settings of that method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names of the variants document them")]
pub enum ClassifierConfig {
    DecisionTree(TreeConfig),
    RandomForest(ForestConfig),
    Bagging(BaggingConfig),
    Voting(VotingConfig),
    LogisticRegression(LogisticConfig),
    Svm(SvmConfig),
    GradientBoosting(BoostingConfig),
}

/// Settings of an anomaly scorer; in files, a table with `method = "isolation-forest"` and the settings of that method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names of the variants document them")]
pub enum ScorerConfig {
    IsolationForest(IsolationForestConfig),
    Pca(PcaConfig),
    Dbscan(DbscanConfig),
    Neighbours(NeighboursConfig),
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

    /// Fits a classifier to rows × columns with one label per row.
    ///
    /// # Errors
    /// An invalid setting; no rows; rows that are constant, of one class, or not finite.
    pub fn fit(
        &self,
        rows: &Matrix,
        labels: Labels<'_>,
        seed: u64,
        progress: FitProgress<'_>,
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

    /// Fits a scorer to benign rows × columns.
    ///
    /// # Errors
    /// An invalid setting; no rows; rows that are constant or not finite.
    pub fn fit(&self, benign: &Matrix, seed: u64, progress: FitProgress<'_>) -> Result<Scorer, MethodError> {
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
#[expect(missing_docs, reason = "the names of the variants document them")]
pub enum Classifier {
    DecisionTree(Trees),
    RandomForest(Trees),
    Bagging(Trees),
    Voting(Voting),
    LogisticRegression(Logistic),
    Svm(Svm),
    GradientBoosting(Boosting),
}

/// A fitted anomaly scorer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names of the variants document them")]
pub enum Scorer {
    IsolationForest(IsolationForest),
    Pca(Pca),
    Dbscan(Dbscan),
    Neighbours(Neighbours),
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

    /// Number of columns that rows must have.
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
    /// Rows with another number of columns, or a value that is not finite.
    pub fn probabilities(&self, rows: &Matrix) -> Result<Matrix, MethodError> {
        match self {
            Self::DecisionTree(trees) | Self::RandomForest(trees) | Self::Bagging(trees) => trees.probabilities(rows),
            Self::Voting(fitted) => fitted.probabilities(rows),
            Self::LogisticRegression(fitted) => fitted.probabilities(rows),
            Self::Svm(fitted) => fitted.probabilities(rows),
            Self::GradientBoosting(fitted) => fitted.probabilities(rows),
        }
    }

    /// Importance of each column, summing to 1 (all 0 if no column was used); `None` if the method has no importances.
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

    /// Number of columns that rows must have.
    pub fn columns(&self) -> usize {
        match self {
            Self::IsolationForest(fitted) => fitted.columns(),
            Self::Pca(fitted) => fitted.columns(),
            Self::Dbscan(fitted) => fitted.columns(),
            Self::Neighbours(fitted) => fitted.columns(),
            Self::KMeans(fitted) => fitted.columns(),
        }
    }

    /// One score per row; higher is more anomalous.
    ///
    /// # Errors
    /// Rows with another number of columns, or a value that is not finite.
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
