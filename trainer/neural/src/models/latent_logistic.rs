//! Attack or benign from what a benign-only autoencoder makes of a row: logistic regression on the latent values.
//!
//! The autoencoder sees benign rows only; the head sees labelled rows, as latent values and, where asked, the
//! reconstruction score beside them (as ln). Logistic regression on the inputs themselves is always fitted beside it, so
//! that what the latent space is worth can be read off.

use super::Watcher;
use super::autoencoder::{Autoencoder, AutoencoderConfig, AutoencoderReport};
use crate::error::NeuralError;
use lapwing_methods::{Classifier, ClassifierConfig, Labels, LogisticConfig, silent};
use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

/// Settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LatentLogisticConfig {
    /// The autoencoder.
    pub autoencoder: AutoencoderConfig,
    /// The reconstruction score is one more input of the head.
    pub with_score: bool,
    /// Logistic regression, of the head and of the one beside it.
    pub head: LogisticConfig,
}

impl Default for LatentLogisticConfig {
    /// A wide latent layer and the score beside it, as chosen on UNSW-NB15's validation rows. Eight latent values hold
    /// as much for a forest, but not in a way that a linear head can part.
    fn default() -> Self {
        Self {
            autoencoder: AutoencoderConfig { hidden: vec![256, 64, 256], ..AutoencoderConfig::default() },
            with_score: true,
            head: LogisticConfig::default(),
        }
    }
}

/// The model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LatentLogistic {
    autoencoder: Autoencoder,
    with_score: bool,
    head: Classifier,
    beside: Classifier,
}

impl LatentLogisticConfig {
    /// Learns from labelled rows and benign validation rows.
    ///
    /// # Errors
    /// [`NeuralError`] for lists that differ in length, one class only, settings out of range, or divergence.
    pub fn fit(
        &self,
        rows: &Matrix,
        attacks: &[bool],
        benign_validation: &Matrix,
        seed: u64,
        watcher: &mut Watcher<'_>,
    ) -> Result<(LatentLogistic, AutoencoderReport), NeuralError> {
        if attacks.len() != rows.rows() {
            let expected = format!("{}, as many as rows", rows.rows());
            return Err(NeuralError::Rows { what: "labels", found: attacks.len(), expected });
        }
        let benign: Vec<usize> = (0..attacks.len()).filter(|row| !attacks[*row]).collect();
        let (autoencoder, report) =
            self.autoencoder.fit(&rows.select_rows(&benign), benign_validation, seed, watcher)?;
        let labels: Vec<u32> = attacks.iter().map(|attack| u32::from(*attack)).collect();
        let labels = Labels::new(&labels, 2)?;
        let config = ClassifierConfig::LogisticRegression(self.head.clone());
        let head = config.fit(&head_rows(&autoencoder, self.with_score, rows)?, labels, seed, &silent)?;
        let beside = config.fit(rows, labels, seed, &silent)?;
        Ok((LatentLogistic { autoencoder, with_score: self.with_score, head, beside }, report))
    }
}

impl LatentLogistic {
    /// Columns that rows must have.
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

    /// The same by logistic regression on the inputs themselves.
    ///
    /// # Errors
    /// As [`Self::probabilities`].
    pub fn probabilities_beside(&self, rows: &Matrix) -> Result<Vec<f32>, NeuralError> {
        attack_column(&self.beside.probabilities(rows)?)
    }

    /// The autoencoder, whose latent values a projection shows.
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
