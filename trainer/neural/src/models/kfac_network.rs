//! Attack or benign by residual networks under K-FAC: one network a fold of a cross-validation, their mean as the model.
//!
//! Each fold: rows of its part are held out, the larger class of the others is undersampled, a random forest on them
//! picks the columns, a residual network learns with early stopping on what is held out. Everything learnt thus comes
//! from training rows, and every training row is once judged by a network that has not seen it. Rows with equal keys
//! (equal features) are held out together. Inputs are encoded already, best as normal quantiles.

use super::{Watcher, generator, mixed};
use crate::error::NeuralError;
use crate::fit::{CurvePoint, FitConfig, Fitted, Optimizer, fit_validated};
use crate::kfac::KfacConfig;
use crate::network::{FloatNetwork, sigmoid};
use crate::rows::Rows;
use crate::schedule::Schedule;
use crate::shape::{DROPOUT, NetworkShape};
use fastrand::Rng;
use lapwing_methods::metrics::ConfusionMatrix;
use lapwing_methods::{ClassifierConfig, ForestConfig, Labels, TreeConfig, silent};
use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

/// Settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct KfacNetworkConfig {
    /// Folds, and networks in the model; 2 to 20.
    pub folds: usize,
    /// Undersampling: at most this many rows of the larger class for each of the smaller; 0: as they are.
    pub class_ratio: f64,
    /// Columns that each network gets, the most important ones first; more than there are: all.
    pub columns: usize,
    /// The forest that says which are important.
    pub forest: ForestConfig,
    /// Width of the first three layers.
    pub width: usize,
    /// Share of values that dropout takes.
    pub dropout: f32,
    /// Training.
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
                // Steps along the natural gradient are long or short by the curvature already: the same triangle as
                // for Adam, at a hundred times its rates.
                schedule: Schedule::Cyclic { lowest: 1e-2, highest: 1e-1, half_cycle_steps: 2_000 },
                patience: 6,
                ..FitConfig::default()
            },
        }
    }
}

/// The model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KfacNetwork {
    /// Columns that rows must have.
    inputs: usize,
    members: Vec<Member>,
}

/// One fold's network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Member {
    /// Input columns that it sees.
    columns: Vec<usize>,
    network: FloatNetwork,
}

/// What a fold came to, on the rows held out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldReport {
    /// Rows trained on after undersampling.
    pub training_rows: usize,
    /// True × called: benign, attack.
    pub confusion: ConfusionMatrix,
    /// Share of them called right.
    pub accuracy: f64,
    /// Share of the rows called attacks that are.
    pub precision: f64,
    /// Share of the attacks called so.
    pub recall: f64,
    /// Epoch of the weights kept.
    pub best_epoch: usize,
    /// Input columns that the network sees, the most important first.
    pub columns: Vec<usize>,
    /// Losses by step and second.
    pub curve: Vec<CurvePoint>,
}

impl KfacNetworkConfig {
    /// Learns from encoded rows, which of them are attacks, and one key a row.
    ///
    /// # Errors
    /// [`NeuralError`] for lists that differ in length, settings out of range, a fold with one class only, or divergence.
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
        for (what, found) in [("labels", attacks.len()), ("keys", keys.len())] {
            if found != rows.rows() {
                let expected = format!("{}, as many as rows", rows.rows());
                return Err(NeuralError::Rows { what, found, expected });
            }
        }
        let fold_of: Vec<usize> =
            keys.iter().map(|key| (mixed(key ^ mixed(seed)) % self.folds as u64) as usize).collect();
        let (mut members, mut reports) = (Vec::new(), Vec::new());
        for fold in 0..self.folds {
            let mut rng = generator(seed, fold as u64);
            let part = |held: bool| (0..keys.len()).filter(|row| (fold_of[*row] == fold) == held).collect::<Vec<_>>();
            let training = undersample(part(false), attacks, self.class_ratio, &mut rng);
            let (member, report) = self.fold(fold, (rows, attacks), (&training, &part(true)), &mut rng, watcher)?;
            members.push(member);
            reports.push(report);
        }
        Ok((KfacNetwork { inputs: rows.columns(), members }, reports))
    }

    fn fold(
        &self,
        fold: usize,
        (rows, attacks): (&Matrix, &[bool]),
        (training, held): (&[usize], &[usize]),
        rng: &mut Rng,
        watcher: &mut Watcher<'_>,
    ) -> Result<(Member, FoldReport), NeuralError> {
        let of = |places: &[usize]| -> (Matrix, Vec<bool>) {
            (rows.select_rows(places), places.iter().map(|row| attacks[*row]).collect())
        };
        let ((input, flags), (held_input, held_flags)) = (of(training), of(held));
        let columns = self.important(&input, &flags, rng.u64(..))?;
        let (input, held_input) = (input.select_columns(&columns), held_input.select_columns(&columns));
        let shape = NetworkShape::residual(columns.len(), self.width, 1, self.dropout);
        let mut progress = |point: &CurvePoint| (watcher.progress)(fold, point);
        let held_rows = Rows::flagged(&held_input, &held_flags);
        let fitted = fit_validated(
            &shape,
            Rows::flagged(&input, &flags),
            held_rows,
            &self.fit,
            rng,
            &mut progress,
            watcher.clock,
        )?;
        let report = report(training.len(), &fitted, &columns, &held_input, &held_flags)?;
        Ok((Member { columns, network: fitted.network }, report))
    }

    /// The columns that a forest parts the rows by, the most important first.
    fn important(&self, rows: &Matrix, attacks: &[bool], seed: u64) -> Result<Vec<usize>, NeuralError> {
        let labels: Vec<u32> = attacks.iter().map(|attack| u32::from(*attack)).collect();
        let forest = ClassifierConfig::RandomForest(self.forest.clone());
        let importance = forest.fit(rows, Labels::new(&labels, 2)?, seed, &silent)?.importance().unwrap_or_default();
        let mut columns: Vec<usize> = (0..rows.columns()).collect();
        columns.sort_by(|a, b| importance[*b].total_cmp(&importance[*a]).then(a.cmp(b)));
        columns.truncate(self.columns.max(1));
        Ok(columns)
    }
}

impl KfacNetwork {
    /// Columns that rows must have.
    pub fn columns(&self) -> usize {
        self.inputs
    }

    /// True when every network fits its columns; whoever reads a model from a file asks this first.
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
        if rows.columns() != self.inputs {
            let expected = format!("{}, as in training", self.inputs);
            return Err(NeuralError::Rows { what: "columns", found: rows.columns(), expected });
        }
        let mut logits = vec![0.0_f32; rows.rows()];
        for member in &self.members {
            let outputs = member.network.outputs_of(&rows.select_columns(&member.columns));
            logits.iter_mut().zip(outputs.values()).for_each(|(sum, logit)| *sum += logit / self.members.len() as f32);
        }
        Ok(logits.into_iter().map(sigmoid).collect())
    }
}

/// Takes rows of the larger class out until there are at most `ratio` for each of the smaller one.
fn undersample(rows: Vec<usize>, attacks: &[bool], ratio: f64, rng: &mut Rng) -> Vec<usize> {
    let (mut attack, mut benign): (Vec<usize>, Vec<usize>) = rows.into_iter().partition(|row| attacks[*row]);
    if ratio > 0.0 {
        let most = (attack.len().min(benign.len()) as f64 * ratio.max(1.0)) as usize;
        for class in [&mut attack, &mut benign] {
            rng.shuffle(class);
            class.truncate(most);
        }
    }
    attack.append(&mut benign);
    attack.sort_unstable();
    attack
}

fn report(
    training_rows: usize,
    fitted: &Fitted,
    columns: &[usize],
    held: &Matrix,
    attacks: &[bool],
) -> Result<FoldReport, NeuralError> {
    let called: Vec<u32> =
        fitted.network.outputs_of(held).values().iter().map(|logit| u32::from(*logit > 0.0)).collect();
    let truth: Vec<u32> = attacks.iter().map(|attack| u32::from(*attack)).collect();
    let confusion = ConfusionMatrix::new(&truth, &called, 2)?;
    let attack = confusion.per_class()[1];
    Ok(FoldReport {
        training_rows,
        accuracy: confusion.accuracy(),
        precision: attack.precision,
        recall: attack.recall,
        confusion,
        best_epoch: fitted.best_epoch,
        columns: columns.to_vec(),
        curve: fitted.curve.clone(),
    })
}
