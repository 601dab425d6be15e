//! Attack or benign first, then what kind of attack, or "unknown".
//!
//! Stage one gives a probability of an attack; its threshold lets a stated share of benign validation rows pass as
//! attacks. Stage two was trained on attack rows only and names the kind; where its best probability is below a
//! threshold, that kind would be wrong more often than stated on validation attacks, and it answers "unknown".

use crate::error::NeuralError;
use lapwing_methods::metrics::{ConfusionMatrix, Rates, rates_at, threshold_at};
use lapwing_methods::{BoostingConfig, ClassWeights, Classifier, ClassifierConfig, Labels, silent};
use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

/// What naming came to, over the kinds that rows truly are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamingFigures {
    /// Share of the attack rows that got an answer other than "unknown".
    pub answered: f64,
    /// F1 by kind, weighted by rows; rows answered "unknown" left out.
    pub weighted_f1: f64,
    /// F1 by kind, each kind alike; rows answered "unknown" left out.
    pub macro_f1: f64,
    /// F1 by kind, weighted by rows, with "unknown" counted as wrong.
    pub strict_weighted_f1: f64,
}

/// What two stages came to on labelled rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TwoStageFigures {
    /// Stage one.
    pub detection: Rates,
    /// Stage two on all true attacks, detected or not.
    pub true_attacks: NamingFigures,
    /// Both stages: a missed attack counts as called benign, a false alarm as a row called what it is not.
    pub end_to_end: NamingFigures,
    /// True × told, end to end: kinds from 0 (benign), then "unknown" as the last.
    pub confusion: ConfusionMatrix,
}

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
            namer: ClassifierConfig::GradientBoosting(Self::boosted_namer()),
            false_positives: 0.025,
            unknown: 0.2,
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
    /// Boosting as it names kinds best: chosen by weighted F1 of UNSW-NB15's validation attacks.
    ///
    /// Kinds are as unequal as 350 to 1: unweighted, the rare ones are hardly named; balanced, they cost the common ones
    /// more than they bring. Equal rows often have different kinds, so that small steps on parts of rows and columns do
    /// better than large ones.
    pub fn boosted_namer() -> BoostingConfig {
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

    /// Probability of every kind for every row taken as an attack; place 0 is kind 1.
    ///
    /// # Errors
    /// As [`Self::attack_probabilities`].
    pub fn kind_probabilities(&self, rows: &Matrix) -> Result<Matrix, NeuralError> {
        Ok(self.namer.probabilities(rows)?)
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
        Ok(self.kind_probabilities(rows)?.iter().map(likeliest).collect())
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

    /// Figures on labelled rows.
    ///
    /// # Errors
    /// [`NeuralError`] for no rows, rows of another width, or labels that differ in number.
    pub fn judge(&self, rows: Kinds<'_>) -> Result<TwoStageFigures, NeuralError> {
        let answers = self.answers(rows.rows)?;
        let scores: Vec<f32> = answers.iter().map(|named| named.probability).collect();
        let attacks: Vec<bool> = rows.kinds.iter().map(|kind| *kind != 0).collect();
        let detection = rates_at(&scores, &attacks, self.attack_threshold)?;
        let unknown = rows.kinds.iter().copied().max().unwrap_or(0).max(self.namer.classes() as u32) + 1;
        let told = |named: &Named| match named.answer {
            Answer::Benign => 0,
            Answer::Attack(kind) => kind,
            Answer::Unknown => unknown,
        };
        let both: Vec<u32> = answers.iter().map(told).collect();
        let second = |named: &Named| {
            if named.likeliest_probability >= self.name_threshold { named.likeliest } else { unknown }
        };
        let true_attacks = answers.iter().zip(rows.kinds).filter(|(_, kind)| **kind != 0);
        let (named, truth): (Vec<u32>, Vec<u32>) = true_attacks.map(|(named, kind)| (second(named), *kind)).unzip();
        Ok(TwoStageFigures {
            detection,
            true_attacks: naming(&truth, &named, unknown)?,
            end_to_end: naming(rows.kinds, &both, unknown)?,
            confusion: ConfusionMatrix::new(rows.kinds, &both, unknown as usize + 1)?,
        })
    }
}

fn naming(truth: &[u32], told: &[u32], unknown: u32) -> Result<NamingFigures, NeuralError> {
    let attacks = truth.iter().filter(|kind| **kind != 0).count();
    let silent = truth.iter().zip(told).filter(|(kind, told)| **kind != 0 && **told == unknown).count();
    let (some, of): (Vec<u32>, Vec<u32>) = truth.iter().zip(told).filter(|(_, told)| **told != unknown).unzip();
    let [weighted_f1, macro_f1] = kind_f1(&ConfusionMatrix::new(&some, &of, unknown as usize + 1)?);
    let [strict_weighted_f1, _] = kind_f1(&ConfusionMatrix::new(truth, told, unknown as usize + 1)?);
    let answered = (attacks - silent) as f64 / attacks.max(1) as f64;
    Ok(NamingFigures { answered, weighted_f1, macro_f1, strict_weighted_f1 })
}

/// Means of F1 over attack kinds with true rows: by rows, and each alike.
fn kind_f1(confusion: &ConfusionMatrix) -> [f64; 2] {
    let kinds: Vec<_> = confusion.per_class().into_iter().filter(|kind| kind.class != 0 && kind.rows > 0).collect();
    let rows: u64 = kinds.iter().map(|kind| kind.rows).sum();
    let weighted = kinds.iter().map(|kind| kind.f1 * kind.rows as f64).sum::<f64>() / rows.max(1) as f64;
    [weighted, kinds.iter().map(|kind| kind.f1).sum::<f64>() / kinds.len().max(1) as f64]
}
