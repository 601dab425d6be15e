//! Attack or benign first, then what kind of attack, or "unknown".
//!
//! Stage one gives a probability of an attack; its threshold lets a stated share of benign validation rows pass as
//! attacks. Stage two was trained on attack rows only and names the kind; where its best probability is below a
//! threshold, that kind would be wrong more often than stated on validation attacks, and it answers "unknown".

use crate::error::NeuralError;
use lapwing_methods::metrics::threshold_at;
use lapwing_methods::{BoostingConfig, Classifier, ClassifierConfig, Labels, silent};
use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

/// Settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TwoStageConfig {
    /// Attack or benign.
    pub detector: ClassifierConfig,
    /// Which kind.
    pub namer: ClassifierConfig,
    /// Share of benign validation rows that may be called attacks, 0 to less than 1.
    pub false_positives: f64,
    /// Share of the validation attacks, the least sure ones, that are answered "unknown"; 0 to less than 1.
    pub unknown: f64,
}

impl Default for TwoStageConfig {
    fn default() -> Self {
        Self {
            detector: ClassifierConfig::GradientBoosting(BoostingConfig::default()),
            namer: ClassifierConfig::GradientBoosting(BoostingConfig::default()),
            false_positives: 0.02,
            unknown: 0.02,
        }
    }
}

/// Labelled rows: kind 0 is benign, others count from 1.
#[derive(Clone, Copy, Debug)]
pub struct Kinds<'a> {
    /// Rows × columns.
    pub rows: &'a Matrix,
    /// The kind of each row.
    pub kinds: &'a [u32],
}

/// The model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TwoStage {
    detector: Classifier,
    namer: Classifier,
    attack_threshold: f32,
    name_threshold: f32,
}

/// What is said of a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Nothing to tell.
    Benign,
    /// An attack of this kind.
    Attack(u32),
    /// An attack of no kind that stage two is sure of.
    Unknown,
}

/// One row's answer, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// The answer.
    pub answer: Answer,
    /// Probability of an attack.
    pub probability: f32,
    /// The kind that is most probable if it is one, told or not.
    pub likeliest: u32,
    /// Probability of that kind if it is one.
    pub likeliest_probability: f32,
}

impl TwoStageConfig {
    /// Learns both stages from training rows, and both thresholds from validation rows.
    ///
    /// # Errors
    /// [`NeuralError`] for lists that differ in length, a side without benign or attack rows, settings out of range.
    pub fn fit(&self, training: Kinds<'_>, validation: Kinds<'_>, seed: u64) -> Result<TwoStage, NeuralError> {
        let kinds = training.kinds.iter().chain(validation.kinds).max().map_or(0, |kind| *kind as usize);
        for side in [&training, &validation] {
            if side.kinds.len() != side.rows.rows() {
                let expected = format!("{}, as many as rows", side.rows.rows());
                return Err(NeuralError::Rows { what: "labels", found: side.kinds.len(), expected });
            }
        }
        let flags: Vec<u32> = training.kinds.iter().map(|kind| u32::from(*kind != 0)).collect();
        let detector = self.detector.fit(training.rows, Labels::new(&flags, 2)?, seed, &silent)?;
        let (attacks, names) = training.attacks();
        let namer = self.namer.fit(&attacks, Labels::new(&names, kinds)?, seed.wrapping_add(1), &silent)?;
        let mut model = TwoStage { detector, namer, attack_threshold: 0.0, name_threshold: 0.0 };
        let benign = model.attack_probabilities(&validation.benign())?;
        model.attack_threshold = threshold_at(&benign, self.false_positives)?;
        let sure: Vec<f32> = model.namings(&validation.attacks().0)?.iter().map(|(_, sure)| -sure).collect();
        // The least sure ones stand above the threshold of their negatives.
        model.name_threshold = -threshold_at(&sure, self.unknown)?;
        Ok(model)
    }
}

impl Kinds<'_> {
    fn benign(&self) -> Matrix {
        let places: Vec<usize> = (0..self.kinds.len()).filter(|row| self.kinds[*row] == 0).collect();
        self.rows.select_rows(&places)
    }

    /// Attack rows, and their kinds from 0.
    fn attacks(&self) -> (Matrix, Vec<u32>) {
        let places: Vec<usize> = (0..self.kinds.len()).filter(|row| self.kinds[*row] != 0).collect();
        (self.rows.select_rows(&places), places.iter().map(|row| self.kinds[*row] - 1).collect())
    }
}

impl TwoStage {
    /// Columns that rows must have.
    pub fn columns(&self) -> usize {
        self.detector.columns()
    }

    /// Probability of an attack above which a row is called one.
    pub fn attack_threshold(&self) -> f32 {
        self.attack_threshold
    }

    /// Probability of an attack for every row.
    ///
    /// # Errors
    /// [`NeuralError::Method`] for rows of another width.
    pub fn attack_probabilities(&self, rows: &Matrix) -> Result<Vec<f32>, NeuralError> {
        Ok(self.detector.probabilities(rows)?.iter().map(|row| row[1]).collect())
    }

    /// The most probable kind (from 1) of every row taken as an attack, and its probability.
    ///
    /// # Errors
    /// As [`Self::attack_probabilities`].
    pub fn namings(&self, rows: &Matrix) -> Result<Vec<(u32, f32)>, NeuralError> {
        let likeliest = |row: &[f32]| {
            let best = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]).then(b.cmp(a))).unwrap_or(0);
            (best as u32 + 1, row.get(best).copied().unwrap_or(0.0))
        };
        Ok(self.namer.probabilities(rows)?.iter().map(likeliest).collect())
    }

    /// The answer for every row.
    ///
    /// # Errors
    /// As [`Self::attack_probabilities`].
    pub fn answers(&self, rows: &Matrix) -> Result<Vec<Named>, NeuralError> {
        let named = |(probability, (likeliest, sure)): (f32, (u32, f32))| {
            let answer = match (probability > self.attack_threshold, sure >= self.name_threshold) {
                (false, _) => Answer::Benign,
                (true, true) => Answer::Attack(likeliest),
                (true, false) => Answer::Unknown,
            };
            Named { answer, probability, likeliest, likeliest_probability: sure }
        };
        Ok(self.attack_probabilities(rows)?.into_iter().zip(self.namings(rows)?).map(named).collect())
    }
}
