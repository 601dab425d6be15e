//! A fitted network and encoded rows → scores and attack classes.

use crate::answers::Answers;
use crate::error::InferenceError;
use lapwing_neural::NeuralError;
use lapwing_neural::models::autoencoder::Autoencoder;
use lapwing_neural::models::kfac_network::KfacNetwork;
use lapwing_neural::models::latent_logistic::LatentLogistic;
use lapwing_neural::models::two_stage::{Answer, TwoStage};
use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

/// A fitted network.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Autoencoder; the score is the reconstruction error.
    Autoencoder(Autoencoder),
    /// Logistic regression on latent values.
    LatentLogistic(Box<LatentLogistic>),
    /// Residual network trained with K-FAC.
    KfacNetwork(KfacNetwork),
    /// Detector and classifier of attack classes.
    TwoStage(Box<TwoStage>),
}

impl Network {
    /// Scores and classifies rows; `classes` includes benign.
    ///
    /// # Errors
    /// Rows of another width, or with values that are not finite.
    pub(super) fn answers(&self, rows: &Matrix, classes: usize) -> Result<Answers, InferenceError> {
        let failed = |error: NeuralError| InferenceError::Network(error.to_string());
        match self {
            Self::Autoencoder(model) => {
                Ok(Answers { scores: model.scores(rows).map_err(failed)?, ..Answers::default() })
            }
            Self::LatentLogistic(model) => Ok(two_classes(model.probabilities(rows).map_err(failed)?)),
            Self::KfacNetwork(model) => Ok(two_classes(model.probabilities(rows).map_err(failed)?)),
            Self::TwoStage(model) => {
                let answers = model.answers(rows).map_err(failed)?;
                let class = |answer: Answer| match answer {
                    Answer::Benign => 0,
                    Answer::Attack(kind) => kind,
                    Answer::Unknown => classes as u32,
                };
                Ok(Answers {
                    scores: answers.iter().map(|answer| answer.probability).collect(),
                    probabilities: true,
                    named: answers.iter().map(|answer| class(answer.answer)).collect(),
                    likeliest: answers.iter().map(|answer| answer.likeliest).collect(),
                })
            }
        }
    }

    /// Latent values of rows, if the network has a latent layer.
    pub(super) fn latent(&self, rows: &Matrix) -> Option<Matrix> {
        let autoencoder = match self {
            Self::Autoencoder(model) => model,
            Self::LatentLogistic(model) => model.autoencoder(),
            _ => return None,
        };
        (rows.columns() == autoencoder.columns()).then(|| autoencoder.latent(rows))
    }

    /// Whether the parts of a model from a file fit together.
    pub(crate) fn is_valid(&self) -> bool {
        match self {
            Self::Autoencoder(model) => model.is_valid(),
            Self::LatentLogistic(model) => model.autoencoder().is_valid(),
            Self::KfacNetwork(model) => model.is_valid(),
            Self::TwoStage(_) => true,
        }
    }
}

fn two_classes(probabilities: Vec<f32>) -> Answers {
    let named = probabilities.iter().map(|probability| u32::from(*probability > 0.5)).collect();
    Answers { scores: probabilities, probabilities: true, named, likeliest: Vec::new() }
}
