//! A fitted method and encoded rows → scores, higher for attacks, and attack classes if the method classifies.

use crate::answers::Answers;
use crate::error::InferenceError;
use crate::network::Network;
use lapwing_methods::metrics::most_probable;
use lapwing_methods::{Classifier, Scorer};
use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

/// A fitted method.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names of the variants document them")]
pub enum Fitted {
    /// Returns class probabilities; class 0 is benign.
    Classifier(Classifier),
    /// Returns an anomaly score.
    Scorer(Scorer),
    Network(Network),
}

impl Fitted {
    /// Scores and classifies rows; `classes` includes benign.
    ///
    /// # Errors
    /// Rows of another width, or with values that are not finite.
    pub fn answers(&self, rows: &Matrix, classes: usize) -> Result<Answers, InferenceError> {
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

    /// Importance of each input, if the method provides it.
    pub fn importance(&self) -> Option<Vec<f64>> {
        match self {
            Self::Classifier(classifier) => classifier.importance(),
            _ => None,
        }
    }

    /// Latent values of rows, if the method has a latent space of at least two dimensions.
    pub fn latent(&self, rows: &Matrix) -> Option<Matrix> {
        let latent = match self {
            Self::Scorer(Scorer::Pca(pca)) => pca.places(rows).ok(),
            Self::Network(network) => network.latent(rows),
            _ => None,
        };
        latent.filter(|latent| latent.columns() >= 2)
    }

    /// Whether the parts of a model from a file fit together.
    pub(crate) fn is_valid(&self) -> bool {
        match self {
            Self::Network(network) => network.is_valid(),
            Self::Classifier(_) | Self::Scorer(_) => true,
        }
    }
}
