//! A method and encoded rows → something that scores rows; the score is higher for attacks.

use super::error::EvaluateError;
use super::networks::{self, Losses, Network};
use super::plan::{MethodName, Plan};
use lapwing_methods::metrics::most_probable;
use lapwing_methods::{Classifier, Labels, Progress, Scorer};
use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

/// A fitted method.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fitted {
    /// Gives class probabilities; class 0 is benign.
    Classifier(Classifier),
    /// Gives a distance from what is ordinary.
    Scorer(Scorer),
    /// A network.
    Network(Network),
}

/// What a fitted method says of rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// One a row, higher for attacks.
    pub scores: Vec<f32>,
    /// Whether scores are probabilities of an attack.
    pub probabilities: bool,
    /// Class of each row by the method's own judgement; the number of classes stands for "unknown". Empty where the
    /// method only scores.
    pub named: Vec<u32>,
    /// The most probable attack kind of each row if it is an attack; empty where the method names none.
    pub likeliest: Vec<u32>,
}

/// Encoded rows that a method learns from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lesson {
    /// Rows × inputs.
    pub rows: Matrix,
    /// Class of each row: 0 benign.
    pub labels: Vec<u32>,
    /// Hash of each row's features: equal rows have equal ones.
    pub keys: Vec<u64>,
    /// Number of classes.
    pub classes: usize,
    /// Rows for early stopping, and their classes.
    pub validation: (Matrix, Vec<u32>),
}

impl Lesson {
    /// Validation rows that are benign.
    pub fn benign_validation(&self) -> Matrix {
        let (rows, labels) = &self.validation;
        let benign: Vec<usize> = (0..labels.len()).filter(|row| labels[*row] == 0).collect();
        rows.select_rows(&benign)
    }
}

impl Fitted {
    /// Fits the plan's method; tells the losses of networks on the way.
    ///
    /// # Errors
    /// What the method says of rows or settings that it cannot use.
    pub fn fit(plan: &Plan, lesson: &Lesson, progress: Progress<'_>) -> Result<(Self, Losses), EvaluateError> {
        let MethodName::Plain(method) = plan.method else {
            let (network, losses) = networks::fit(plan, lesson, progress)?;
            return Ok((Self::Network(network), losses));
        };
        if let Some(config) = method.classifier() {
            let labels = Labels::new(&lesson.labels, lesson.classes)?;
            let fitted = config.fit(&lesson.rows, labels, plan.seed, progress)?;
            return Ok((Self::Classifier(fitted), Vec::new()));
        }
        let config = method.scorer().ok_or_else(|| EvaluateError::Setting {
            setting: "method",
            found: method.name().into(),
            expected: "a classifier or a scorer",
        })?;
        Ok((Self::Scorer(config.fit(&lesson.rows, plan.seed, progress)?), Vec::new()))
    }

    /// What it says of rows; `classes` counts benign.
    ///
    /// # Errors
    /// Rows of another width, or with values that are not finite.
    pub fn answers(&self, rows: &Matrix, classes: usize) -> Result<Answers, EvaluateError> {
        match self {
            Self::Classifier(classifier) => {
                let shares = classifier.probabilities(rows)?;
                let scores = shares.iter().map(|row| 1.0 - row.first().copied().unwrap_or(1.0)).collect();
                let best = |row: &[f32]| {
                    let attacks = row.iter().enumerate().skip(1);
                    attacks.max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0))).map_or(0, |(class, _)| class as u32)
                };
                let likeliest = if classes > 2 { shares.iter().map(best).collect() } else { Vec::new() };
                Ok(Answers { scores, probabilities: true, named: most_probable(&shares), likeliest })
            }
            Self::Scorer(scorer) => Ok(Answers { scores: scorer.scores(rows)?, ..Answers::default() }),
            Self::Network(network) => network.answers(rows, classes),
        }
    }

    /// Share of each input in what was learnt, where the method knows.
    pub fn importance(&self) -> Option<Vec<f64>> {
        match self {
            Self::Classifier(classifier) => classifier.importance(),
            _ => None,
        }
    }

    /// Latent values of rows, where the method has a latent space of two dimensions or more.
    pub fn latent(&self, rows: &Matrix) -> Option<Matrix> {
        let latent = match self {
            Self::Scorer(Scorer::Pca(pca)) => pca.places(rows).ok(),
            Self::Network(network) => network.latent(rows),
            _ => None,
        };
        latent.filter(|latent| latent.columns() >= 2)
    }

    /// False when parts of a model from a file do not fit together.
    pub fn is_valid(&self) -> bool {
        match self {
            Self::Network(network) => network.is_valid(),
            Self::Classifier(_) | Self::Scorer(_) => true,
        }
    }
}
