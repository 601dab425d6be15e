//! Encoded rows → benign, an attack class, or "unknown": an attack detector, then an attack classifier.
//!
//! The detector returns the probability of an attack. Its threshold gives the configured false-positive rate on benign
//! validation rows. The classifier trains on attack rows only and predicts their class. If the probability of the most
//! likely class is below a threshold, the answer is "unknown". That threshold makes the configured share of the
//! validation attacks unknown.

use crate::error::NeuralError;
use lapwing_methods::metrics::{ConfusionMatrix, Rates, rates_at, threshold_at};
use lapwing_methods::{BoostingConfig, ClassWeights, Classifier, ClassifierConfig, Labels, silent};
use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

/// Quality of the attack classes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassFigures {
    /// Share of the attack rows with an answer other than "unknown".
    pub(crate) answered: f64,
    /// F1 per class, weighted by rows; without rows answered "unknown".
    pub weighted_f1: f64,
    /// Unweighted mean F1 over classes; without rows answered "unknown".
    pub(crate) macro_f1: f64,
    /// F1 per class, weighted by rows; "unknown" counts as wrong.
    pub(crate) strict_weighted_f1: f64,
}

/// Results on labelled rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct TwoStageFigures {
    pub detection: Rates,
    /// The classifier on all attacks, detected or not.
    pub true_attacks: ClassFigures,
    /// Both stages: a missed attack counts as classified benign, a false alarm as a misclassified benign row.
    pub end_to_end: ClassFigures,
    /// True × predicted class, end to end: 0 is benign, the last is "unknown".
    pub confusion: ConfusionMatrix,
}

/// Hyperparameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct TwoStageConfig {
    pub detector: ClassifierConfig,
    pub classifier: ClassifierConfig,
    /// Target false-positive rate on benign validation rows, 0 to less than 1.
    pub false_positives: f64,
    /// Share of the validation attacks, those with the lowest probability, to answer "unknown"; 0 to less than 1.
    pub unknown: f64,
}

impl Default for TwoStageConfig {
    fn default() -> Self {
        Self {
            detector: ClassifierConfig::GradientBoosting(BoostingConfig::default()),
            classifier: ClassifierConfig::GradientBoosting(Self::boosted_classifier()),
            false_positives: 0.025,
            unknown: 0.2,
        }
    }
}

/// Labelled rows.
#[derive(Clone, Copy, Debug)]
pub struct Kinds<'a> {
    /// Rows × columns.
    pub rows: &'a Matrix,
    /// Class of each row: 0 is benign, attack classes count from 1.
    pub kinds: &'a [u32],
}

/// A fitted detector of attacks and a classifier of the detected rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TwoStage {
    detector: Classifier,
    #[serde(rename = "namer")]
    classifier: Classifier,
    attack_threshold: f32,
    #[serde(rename = "name_threshold")]
    class_threshold: f32,
}

/// Predicted class of a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Not an attack.
    Benign,
    /// An attack of this class, from 1.
    Attack(u32),
    /// An attack whose class is uncertain.
    Unknown,
}

/// Prediction for one row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Prediction {
    pub answer: Answer,
    /// Probability of an attack.
    pub probability: f32,
    /// Most likely attack class, from 1, whatever the answer.
    pub likeliest: u32,
    /// Probability of that class if the row is an attack.
    pub(crate) likeliest_probability: f32,
}

impl TwoStageConfig {
    /// The boosting settings with the highest weighted F1 on UNSW-NB15's validation attacks.
    ///
    /// Class sizes differ by up to 350 to 1. Without class weights, rare classes are hardly ever predicted; with fully
    /// balanced weights, common classes lose more than rare ones gain. Equal rows often have different classes, so
    /// small steps on subsamples of rows and columns work better than large ones.
    pub fn boosted_classifier() -> BoostingConfig {
        BoostingConfig {
            trees: 200,
            learning_rate: 0.05,
            min_leaf_rows: 10,
            l2: 1.0,
            row_share: 0.8,
            column_share: 0.5,
            class_weights: ClassWeights::HalfBalanced,
            ..BoostingConfig::default()
        }
    }

    /// Trains both stages on training rows and sets both thresholds on validation rows.
    ///
    /// # Errors
    /// [`NeuralError`] for lists of different lengths, a split without benign or attack rows, or settings out of range.
    pub fn fit(&self, training: Kinds<'_>, validation: Kinds<'_>, seed: u64) -> Result<TwoStage, NeuralError> {
        for rows in [&training, &validation] {
            NeuralError::check_length("labels", rows.kinds.len(), rows.rows.rows())?;
        }
        let classes = training.kinds.iter().chain(validation.kinds).max().map_or(0, |kind| *kind as usize);
        let flags: Vec<u32> = training.kinds.iter().map(|kind| u32::from(*kind != 0)).collect();
        let detector = self.detector.fit(training.rows, Labels::new(&flags, 2)?, seed, &silent)?;
        let (attacks, labels) = training.attacks();
        let labels = Labels::new(&labels, classes)?;
        let classifier = self.classifier.fit(&attacks, labels, seed.wrapping_add(1), &silent)?;
        let mut model = TwoStage { detector, classifier, attack_threshold: 0.0, class_threshold: 0.0 };
        let benign = model.attack_probabilities(&validation.benign())?;
        model.attack_threshold = threshold_at(&benign, self.false_positives)?;
        let (attacks, _) = validation.attacks();
        // Negated, because `threshold_at` leaves the given share above the threshold.
        let negated: Vec<f32> = model.likeliest(&attacks)?.iter().map(|likeliest| -likeliest.probability).collect();
        model.class_threshold = -threshold_at(&negated, self.unknown)?;
        Ok(model)
    }
}

impl Kinds<'_> {
    fn benign(&self) -> Matrix {
        let indices: Vec<usize> = (0..self.kinds.len()).filter(|row| self.kinds[*row] == 0).collect();
        self.rows.select_rows(&indices)
    }

    /// Attack rows and their classes from 0.
    fn attacks(&self) -> (Matrix, Vec<u32>) {
        let indices: Vec<usize> = (0..self.kinds.len()).filter(|row| self.kinds[*row] != 0).collect();
        (self.rows.select_rows(&indices), indices.iter().map(|row| self.kinds[*row] - 1).collect())
    }
}

/// Most likely attack class of a row, from 1.
struct Likeliest {
    class: u32,
    probability: f32,
}

impl TwoStage {
    /// Number of columns of the training rows.
    pub fn columns(&self) -> usize {
        self.detector.columns()
    }

    /// Probability above which a row counts as an attack.
    pub fn attack_threshold(&self) -> f32 {
        self.attack_threshold
    }

    /// Probability of every attack class for every row, assuming that it is an attack; column 0 is class 1.
    ///
    /// # Errors
    /// As [`Self::attack_probabilities`].
    pub fn kind_probabilities(&self, rows: &Matrix) -> Result<Matrix, NeuralError> {
        Ok(self.classifier.probabilities(rows)?)
    }

    /// Probability of an attack for every row.
    ///
    /// # Errors
    /// [`NeuralError::Method`] for rows of another width.
    pub fn attack_probabilities(&self, rows: &Matrix) -> Result<Vec<f32>, NeuralError> {
        Ok(self.detector.probabilities(rows)?.iter().map(|row| row[1]).collect())
    }

    fn likeliest(&self, rows: &Matrix) -> Result<Vec<Likeliest>, NeuralError> {
        let likeliest = |row: &[f32]| {
            let best = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]).then(b.cmp(a))).unwrap_or(0);
            Likeliest { class: best as u32 + 1, probability: row.get(best).copied().unwrap_or(0.0) }
        };
        Ok(self.kind_probabilities(rows)?.iter().map(likeliest).collect())
    }

    /// Prediction for every row.
    ///
    /// # Errors
    /// As [`Self::attack_probabilities`].
    pub fn answers(&self, rows: &Matrix) -> Result<Vec<Prediction>, NeuralError> {
        let prediction = |(probability, likeliest): (f32, Likeliest)| {
            let is_attack = probability > self.attack_threshold;
            let answer = match (is_attack, likeliest.probability >= self.class_threshold) {
                (false, _) => Answer::Benign,
                (true, true) => Answer::Attack(likeliest.class),
                (true, false) => Answer::Unknown,
            };
            Prediction { answer, probability, likeliest: likeliest.class, likeliest_probability: likeliest.probability }
        };
        Ok(self.attack_probabilities(rows)?.into_iter().zip(self.likeliest(rows)?).map(prediction).collect())
    }

    /// Evaluates the model on labelled rows.
    ///
    /// # Errors
    /// [`NeuralError`] for no rows, rows of another width, or lists of different lengths.
    pub fn evaluate(&self, rows: Kinds<'_>) -> Result<TwoStageFigures, NeuralError> {
        let predictions = self.answers(rows.rows)?;
        let scores: Vec<f32> = predictions.iter().map(|prediction| prediction.probability).collect();
        let attacks: Vec<bool> = rows.kinds.iter().map(|kind| *kind != 0).collect();
        let detection = rates_at(&scores, &attacks, self.attack_threshold)?;
        let unknown = rows.kinds.iter().copied().max().unwrap_or(0).max(self.classifier.classes() as u32) + 1;
        let answer = |prediction: &Prediction| match prediction.answer {
            Answer::Benign => 0,
            Answer::Attack(class) => class,
            Answer::Unknown => unknown,
        };
        let both_stages: Vec<u32> = predictions.iter().map(answer).collect();
        let classified = |prediction: &Prediction| {
            let is_sure = prediction.likeliest_probability >= self.class_threshold;
            if is_sure { prediction.likeliest } else { unknown }
        };
        let true_attacks = predictions.iter().zip(rows.kinds).filter(|(_, kind)| **kind != 0);
        let (second_stage, truth): (Vec<u32>, Vec<u32>) =
            true_attacks.map(|(prediction, kind)| (classified(prediction), *kind)).unzip();
        Ok(TwoStageFigures {
            detection,
            true_attacks: class_figures(&truth, &second_stage, unknown)?,
            end_to_end: class_figures(rows.kinds, &both_stages, unknown)?,
            confusion: ConfusionMatrix::new(rows.kinds, &both_stages, unknown as usize + 1)?,
        })
    }
}

fn class_figures(truth: &[u32], predicted: &[u32], unknown: u32) -> Result<ClassFigures, NeuralError> {
    let pairs = || truth.iter().zip(predicted);
    let attacks = truth.iter().filter(|class| **class != 0).count();
    let unanswered = pairs().filter(|(class, answer)| **class != 0 && **answer == unknown).count();
    let (known_truth, known): (Vec<u32>, Vec<u32>) = pairs().filter(|(_, answer)| **answer != unknown).unzip();
    let [weighted_f1, macro_f1] = attack_f1(&ConfusionMatrix::new(&known_truth, &known, unknown as usize + 1)?);
    let [strict_weighted_f1, _] = attack_f1(&ConfusionMatrix::new(truth, predicted, unknown as usize + 1)?);
    let answered = (attacks - unanswered) as f64 / attacks.max(1) as f64;
    Ok(ClassFigures { answered, weighted_f1, macro_f1, strict_weighted_f1 })
}

/// Mean F1 over the attack classes that occur: weighted by rows, and unweighted.
fn attack_f1(confusion: &ConfusionMatrix) -> [f64; 2] {
    let classes: Vec<_> =
        confusion.per_class().into_iter().filter(|class| class.class != 0 && class.rows > 0).collect();
    let rows: u64 = classes.iter().map(|class| class.rows).sum();
    let weighted = classes.iter().map(|class| class.f1 * class.rows as f64).sum::<f64>() / rows.max(1) as f64;
    [weighted, classes.iter().map(|class| class.f1).sum::<f64>() / classes.len().max(1) as f64]
}
