//! Labelled rows → probability of an attack: logistic regression on an autoencoder's latent values.
//!
//! The autoencoder trains on benign rows only. The head trains on labelled rows, represented by their latent values and
//! optionally the logarithm of the reconstruction error. A baseline, logistic regression on the inputs, shows the
//! benefit of the latent space.

use super::Watcher;
use super::autoencoder::{Autoencoder, AutoencoderConfig, AutoencoderReport};
use crate::error::NeuralError;
use lapwing_methods::{Classifier, ClassifierConfig, Labels, LogisticConfig, silent};
use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

/// Hyperparameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct LatentLogisticConfig {
    pub autoencoder: AutoencoderConfig,
    /// Whether the reconstruction error is an input of the head.
    pub with_score: bool,
    /// Logistic regression of the head and of the baseline.
    pub head: LogisticConfig,
}

impl Default for LatentLogisticConfig {
    /// A wide latent layer and the reconstruction error, chosen on UNSW-NB15's validation rows. Eight latent values are
    /// enough for a forest, but their classes are not linearly separable.
    fn default() -> Self {
        Self {
            autoencoder: AutoencoderConfig { hidden: vec![256, 64, 256], ..AutoencoderConfig::default() },
            with_score: true,
            head: LogisticConfig::default(),
        }
    }
}

/// A fitted autoencoder and a logistic regression on its latent values.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LatentLogistic {
    autoencoder: Autoencoder,
    with_score: bool,
    head: Classifier,
    #[serde(rename = "beside")]
    baseline: Classifier,
}

impl LatentLogisticConfig {
    /// Trains on labelled rows, with early stopping on benign validation rows.
    ///
    /// # Errors
    /// [`NeuralError`] for lists of different lengths, a single class, settings out of range, or divergence.
    pub fn fit(
        &self,
        rows: &Matrix,
        attacks: &[bool],
        benign_validation: &Matrix,
        seed: u64,
        watcher: &mut Watcher<'_>,
    ) -> Result<(LatentLogistic, AutoencoderReport), NeuralError> {
        NeuralError::check_length("labels", attacks.len(), rows.rows())?;
        let benign: Vec<usize> = (0..attacks.len()).filter(|row| !attacks[*row]).collect();
        let (autoencoder, report) =
            self.autoencoder.fit(&rows.select_rows(&benign), benign_validation, seed, watcher)?;
        let labels: Vec<u32> = attacks.iter().map(|attack| u32::from(*attack)).collect();
        let labels = Labels::new(&labels, 2)?;
        let config = ClassifierConfig::LogisticRegression(self.head.clone());
        let head = config.fit(&head_rows(&autoencoder, self.with_score, rows)?, labels, seed, &silent)?;
        let baseline = config.fit(rows, labels, seed, &silent)?;
        Ok((LatentLogistic { autoencoder, with_score: self.with_score, head, baseline }, report))
    }
}

impl LatentLogistic {
    /// Number of columns of the training rows.
    pub fn columns(&self) -> usize {
        self.autoencoder.columns()
    }

    /// Probability of an attack for every row.
    ///
    /// # Errors
    /// [`NeuralError`] for rows of another width, or values that are not finite.
    pub fn probabilities(&self, rows: &Matrix) -> Result<Vec<f32>, NeuralError> {
        attack_column(&self.head.probabilities(&head_rows(&self.autoencoder, self.with_score, rows)?)?)
    }

    /// Probabilities of the baseline, logistic regression on the inputs.
    ///
    /// # Errors
    /// As [`Self::probabilities`].
    pub fn baseline_probabilities(&self, rows: &Matrix) -> Result<Vec<f32>, NeuralError> {
        attack_column(&self.baseline.probabilities(rows)?)
    }

    /// The part that was fitted on benign rows.
    pub fn autoencoder(&self) -> &Autoencoder {
        &self.autoencoder
    }
}

fn attack_column(probabilities: &Matrix) -> Result<Vec<f32>, NeuralError> {
    Ok(probabilities.iter().map(|row| row[1]).collect())
}

fn head_rows(autoencoder: &Autoencoder, with_score: bool, rows: &Matrix) -> Result<Matrix, NeuralError> {
    let scores = autoencoder.scores(rows)?;
    let latent = autoencoder.latent(rows);
    if !with_score {
        return Ok(latent);
    }
    let mut values = Vec::with_capacity(rows.rows() * (latent.columns() + 1));
    for (latent, score) in latent.iter().zip(scores) {
        values.extend_from_slice(latent);
        values.push((score + 1e-6).ln());
    }
    Ok(Matrix::from_values(latent.columns() + 1, values).unwrap_or_default())
}
