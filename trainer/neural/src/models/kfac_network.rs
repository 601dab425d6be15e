//! Encoded rows → probability of an attack: an ensemble of residual networks trained with K-FAC, one per
//! cross-validation fold.
//!
//! For each fold, the rows outside it are undersampled, a random forest selects the columns, and a residual network
//! trains with early stopping on the fold's held-out rows. Rows with equal keys (equal features) are in the same fold.
//! Scaling to normal quantiles works best.

use super::{Watcher, generator, mixed};
use crate::error::NeuralError;
use crate::fit::{CurvePoint, FitConfig, Fitted, Optimizer, fit_validated};
use crate::kfac::KfacConfig;
use crate::network::{FloatNetwork, sigmoid};
use crate::schedule::Schedule;
use crate::shape::{DROPOUT, NetworkShape};
use crate::weighted_rows::Rows;
use fastrand::Rng;
use lapwing_methods::metrics::ConfusionMatrix;
use lapwing_methods::{ClassifierConfig, ForestConfig, Labels, TreeConfig, silent};
use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

/// Hyperparameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct KfacNetworkConfig {
    /// Number of folds and ensemble size, 2 to 20.
    pub(crate) folds: usize,
    /// Undersampling: maximum ratio of the larger to the smaller class; 0: no undersampling.
    pub class_ratio: f64,
    /// Maximum number of columns per network, by importance.
    pub columns: usize,
    /// The forest that computes the importance.
    pub(crate) forest: ForestConfig,
    /// Width of the first three layers.
    pub width: usize,
    pub(crate) dropout: f32,
    pub fit: FitConfig,
}

impl Default for KfacNetworkConfig {
    fn default() -> Self {
        let tree = TreeConfig { bins: 255, ..ForestConfig::default().tree };
        Self {
            folds: 5,
            class_ratio: 3.0,
            columns: 40,
            forest: ForestConfig { trees: 30, tree, ..ForestConfig::default() },
            width: 64,
            dropout: DROPOUT,
            fit: FitConfig {
                epochs: 20,
                batch_rows: 128,
                optimizer: Optimizer::Kfac(KfacConfig::default()),
                // The curvature already scales natural gradient steps, so rates are a hundred times those of Adam.
                schedule: Schedule::Cyclic { lowest: 1e-2, highest: 1e-1, half_cycle_steps: 2_000 },
                patience: 6,
                ..FitConfig::default()
            },
        }
    }
}

/// One fitted network per fold; their outputs (logits) are averaged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KfacNetwork {
    /// Number of columns of the training rows.
    inputs: usize,
    members: Vec<Member>,
}

/// One fold's network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Member {
    /// Selected input columns.
    columns: Vec<usize>,
    network: FloatNetwork,
}

/// Results of one fold on its held-out rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct FoldReport {
    /// Number of training rows after undersampling.
    pub(crate) training_rows: usize,
    /// True × predicted class: benign, attack.
    pub(crate) confusion: ConfusionMatrix,
    /// Share of rows classified correctly.
    pub accuracy: f64,
    /// Share of rows classified as attacks that are attacks.
    pub precision: f64,
    /// Share of attacks classified as attacks.
    pub recall: f64,
    /// Epoch with the lowest validation loss, from 1.
    pub(crate) best_epoch: usize,
    /// Selected input columns, the most important first.
    pub columns: Vec<usize>,
    pub curve: Vec<CurvePoint>,
}

/// Rows with their labels.
struct Labelled {
    rows: Matrix,
    attacks: Vec<bool>,
}

impl Labelled {
    fn select(rows: &Matrix, attacks: &[bool], indices: &[usize]) -> Self {
        Self { rows: rows.select_rows(indices), attacks: indices.iter().map(|row| attacks[*row]).collect() }
    }

    fn select_columns(&self, columns: &[usize]) -> Self {
        Self { rows: self.rows.select_columns(columns), attacks: self.attacks.clone() }
    }

    fn rows(&self) -> Rows<'_> {
        Rows::flagged(&self.rows, &self.attacks)
    }
}

/// Rows of one fold.
struct Fold {
    index: usize,
    training: Labelled,
    held_out: Labelled,
}

impl KfacNetworkConfig {
    /// Trains on encoded rows; `attacks` and `keys` have one element per row.
    ///
    /// # Errors
    /// [`NeuralError`] for lists of different lengths, settings out of range, a fold with a single class, or
    /// divergence.
    pub fn fit(
        &self,
        rows: &Matrix,
        attacks: &[bool],
        keys: &[u64],
        seed: u64,
        watcher: &mut Watcher<'_>,
    ) -> Result<(KfacNetwork, Vec<FoldReport>), NeuralError> {
        if !(2..=20).contains(&self.folds) {
            return Err(NeuralError::setting("folds", self.folds, "2 to 20"));
        }
        NeuralError::check_length("labels", attacks.len(), rows.rows())?;
        NeuralError::check_length("keys", keys.len(), rows.rows())?;
        let fold_of: Vec<usize> =
            keys.iter().map(|key| (mixed(key ^ mixed(seed)) % self.folds as u64) as usize).collect();
        let (mut members, mut reports) = (Vec::new(), Vec::new());
        for index in 0..self.folds {
            let mut rng = generator(seed, index as u64);
            let (held_out, training): (Vec<usize>, _) = (0..keys.len()).partition(|row| fold_of[*row] == index);
            let training = undersample(training, attacks, self.class_ratio, &mut rng);
            let select = |indices: &[usize]| Labelled::select(rows, attacks, indices);
            let fold = Fold { index, training: select(&training), held_out: select(&held_out) };
            let (member, report) = self.fit_fold(&fold, &mut rng, watcher)?;
            members.push(member);
            reports.push(report);
        }
        Ok((KfacNetwork { inputs: rows.columns(), members }, reports))
    }

    fn fit_fold(
        &self,
        fold: &Fold,
        rng: &mut Rng,
        watcher: &mut Watcher<'_>,
    ) -> Result<(Member, FoldReport), NeuralError> {
        let columns = self.important_columns(&fold.training, rng.u64(..))?;
        let training = fold.training.select_columns(&columns);
        let held_out = fold.held_out.select_columns(&columns);
        let shape = NetworkShape::residual(columns.len(), self.width, 1, self.dropout);
        let mut progress = |point: &CurvePoint| (watcher.progress)(fold.index, point);
        let (rows, validation, clock) = (training.rows(), held_out.rows(), watcher.clock);
        let fitted = fit_validated(&shape, rows, validation, &self.fit, rng, &mut progress, clock)?;
        let report = report(&training, &held_out, &fitted, &columns)?;
        Ok((Member { columns, network: fitted.network }, report))
    }

    /// The columns that a forest finds most important, the most important first.
    fn important_columns(&self, training: &Labelled, seed: u64) -> Result<Vec<usize>, NeuralError> {
        let labels: Vec<u32> = training.attacks.iter().map(|attack| u32::from(*attack)).collect();
        let forest = ClassifierConfig::RandomForest(self.forest.clone());
        let fitted = forest.fit(&training.rows, Labels::new(&labels, 2)?, seed, &silent)?;
        let importance = fitted.importance().unwrap_or_default();
        let mut columns: Vec<usize> = (0..training.rows.columns()).collect();
        columns.sort_by(|a, b| importance[*b].total_cmp(&importance[*a]).then(a.cmp(b)));
        columns.truncate(self.columns.max(1));
        Ok(columns)
    }
}

impl KfacNetwork {
    /// Number of columns of the training rows.
    pub fn columns(&self) -> usize {
        self.inputs
    }

    /// True if every network fits its columns. Check this before using a model read from a file.
    pub fn is_valid(&self) -> bool {
        let fits = |member: &Member| {
            let inside = member.columns.iter().all(|column| *column < self.inputs);
            inside && member.network.is_valid(member.columns.len()) && member.network.outputs() == 1
        };
        !self.members.is_empty() && self.members.iter().all(fits)
    }

    /// Probability of an attack for every row: the sigmoid of the networks' mean logit.
    ///
    /// # Errors
    /// [`NeuralError::Rows`] for rows of another width.
    pub fn probabilities(&self, rows: &Matrix) -> Result<Vec<f32>, NeuralError> {
        NeuralError::check_width(rows.columns(), self.inputs)?;
        let mut logits = vec![0.0_f32; rows.rows()];
        for member in &self.members {
            let outputs = member.network.outputs_of(&rows.select_columns(&member.columns));
            logits.iter_mut().zip(outputs.values()).for_each(|(sum, logit)| *sum += logit / self.members.len() as f32);
        }
        Ok(logits.into_iter().map(sigmoid).collect())
    }
}

/// Removes random rows of the larger class until it has at most `ratio` times the rows of the smaller one.
fn undersample(rows: Vec<usize>, attacks: &[bool], ratio: f64, rng: &mut Rng) -> Vec<usize> {
    let (mut attack, mut benign): (Vec<usize>, Vec<usize>) = rows.into_iter().partition(|row| attacks[*row]);
    if ratio > 0.0 {
        let limit = (attack.len().min(benign.len()) as f64 * ratio.max(1.0)) as usize;
        for class in [&mut attack, &mut benign] {
            rng.shuffle(class);
            class.truncate(limit);
        }
    }
    attack.append(&mut benign);
    attack.sort_unstable();
    attack
}

fn report(
    training: &Labelled,
    held_out: &Labelled,
    fitted: &Fitted,
    columns: &[usize],
) -> Result<FoldReport, NeuralError> {
    let logits = fitted.network.outputs_of(&held_out.rows);
    let predicted: Vec<u32> = logits.values().iter().map(|logit| u32::from(*logit > 0.0)).collect();
    let truth: Vec<u32> = held_out.attacks.iter().map(|attack| u32::from(*attack)).collect();
    let confusion = ConfusionMatrix::new(&truth, &predicted, 2)?;
    let attack = confusion.per_class()[1];
    Ok(FoldReport {
        training_rows: training.attacks.len(),
        accuracy: confusion.accuracy(),
        precision: attack.precision,
        recall: attack.recall,
        confusion,
        best_epoch: fitted.best_epoch,
        columns: columns.to_vec(),
        curve: fitted.curve.clone(),
    })
}
