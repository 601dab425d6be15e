//! Gradient boosting of trees on a logistic loss: Friedman 2001, with histograms of derivatives as in LightGBM (Ke et
//! al. 2017).
//!
//! For two classes a round grows one tree, on the log-odds of the second class; for more it grows one tree per class,
//! on the derivatives of their softmax. The initial scores are the log shares of the classes. A class without rows has
//! probability 0.

mod grow;
mod histogram;

use lapwing_tables::Matrix;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::{
    grow::{Grower, Grown},
    histogram::Derivatives,
};
use crate::{
    BoostingConfig, FitProgress, Labels, MethodError, Step,
    input::{check_labelled, check_width, generator, sample},
    tree::{Columns, Nodes},
};

const WHAT: &str = "gradient-boosting";
/// Rows predicted together: their scores stay in cache while the nodes of each tree are read once.
const BLOCK: usize = 512;

/// A fitted booster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Boosting {
    columns: usize,
    classes: usize,
    /// Classes with training rows.
    present: Vec<u32>,
    /// Initial scores: one for the second of two present classes, or one for each.
    start: Vec<f64>,
    /// Round after round, one for each score.
    trees: Vec<Nodes>,
    importance: Vec<f64>,
}

/// State of a fit, updated by each round.
struct Fit<'a> {
    config: &'a BoostingConfig,
    rows: &'a Matrix,
    /// Index of each row's class in the list of present classes.
    truth: Vec<u32>,
    weights: Vec<f32>,
    /// Rows × scores.
    scores: Vec<f64>,
    outputs: usize,
}

impl BoostingConfig {
    /// Fits the trees.
    ///
    /// # Errors
    /// An invalid setting; no rows; rows that are constant, of one class, or not finite.
    pub fn fit(
        &self,
        rows: &Matrix,
        labels: Labels<'_>,
        seed: u64,
        progress: FitProgress<'_>,
    ) -> Result<Boosting, MethodError> {
        self.check()?;
        check_labelled(WHAT, rows, labels)?;
        // Row numbers are stored in 32 bits.
        if rows.rows() >= u32::MAX as usize {
            return Err(MethodError::TooManyRows { what: WHAT, rows: rows.rows(), limit: u32::MAX as usize - 1 });
        }
        let counts = labels.counts();
        let present: Vec<u32> = (0..labels.classes() as u32).filter(|class| counts[*class as usize] > 0).collect();
        let class_weights = self.class_weights.of(labels)?;
        let start = initial_scores(&present, &counts, &class_weights);
        let place = |class: &u32| present.binary_search(class).unwrap_or_default() as u32;
        let mut fit = Fit {
            config: self,
            rows,
            truth: labels.values().iter().map(place).collect(),
            weights: labels.values().iter().map(|class| class_weights[*class as usize] as f32).collect(),
            scores: start.iter().copied().cycle().take(start.len() * rows.rows()).collect(),
            outputs: start.len(),
        };
        let (trees, importance) = fit.rounds(seed, progress);
        Ok(Boosting { columns: rows.columns(), classes: labels.classes(), present, start, trees, importance })
    }
}

/// Log-odds of the second of two classes, or log shares of more.
fn initial_scores(present: &[u32], counts: &[usize], weights: &[f64]) -> Vec<f64> {
    let mass: Vec<f64> =
        present.iter().map(|class| counts[*class as usize] as f64 * weights[*class as usize]).collect();
    match mass[..] {
        [first, second] => vec![libm::log(second / first)],
        _ => mass.iter().map(|part| libm::log(part / mass.iter().sum::<f64>())).collect(),
    }
}

impl Fit<'_> {
    /// All trees, and each column's share of the gain.
    fn rounds(&mut self, seed: u64, progress: FitProgress<'_>) -> (Vec<Nodes>, Vec<f64>) {
        let columns = Columns::new(self.rows, usize::from(self.config.bins));
        let grower = Grower::new(self.config, &columns);
        let useful: Vec<usize> = (0..columns.count()).filter(|at| columns.column(*at).count() > 1).collect();
        let (mut trees, mut importance) = (Vec::new(), vec![0.0; columns.count()]);
        for round in 0..self.config.trees {
            let grown = self.round(&grower, &useful, generator(seed, round as u64));
            for (output, grown) in grown.into_iter().enumerate() {
                grown.gains.iter().for_each(|(column, gain)| importance[*column] += gain);
                self.add(output, &grown);
                trees.push(grown.nodes);
            }
            progress(Step { what: "rounds", done: round + 1, total: self.config.trees });
        }
        let sum: f64 = importance.iter().sum();
        importance.iter_mut().for_each(|share| *share /= sum.max(f64::MIN_POSITIVE));
        (trees, importance)
    }

    /// One tree for each score.
    fn round(&self, grower: &Grower<'_>, useful: &[usize], mut random: fastrand::Rng) -> Vec<Grown> {
        let of = |total: usize, share: f64| ((total as f64 * share).round() as usize).max(1);
        let rows = sample(self.rows.rows(), of(self.rows.rows(), self.config.row_share.into()), &mut random);
        let rows: Vec<u32> = rows.into_iter().map(|row| row as u32).collect();
        let candidates: Vec<Vec<usize>> = (0..self.outputs)
            .map(|_| sample(useful.len(), of(useful.len(), self.config.column_share), &mut random))
            .map(|places| places.into_iter().map(|place| useful[place]).collect())
            .collect();
        let derivatives = self.derivatives();
        let grow = |(derivatives, candidates): (&Vec<Derivatives>, &Vec<usize>)| {
            grower.grow(derivatives, rows.clone(), candidates)
        };
        derivatives.par_iter().zip(&candidates).map(grow).collect()
    }

    /// Derivatives of the loss by each score, row by row.
    fn derivatives(&self) -> Vec<Vec<Derivatives>> {
        let derivative = |probability: f64, hit: bool, weight: f32| {
            let second = (probability * (1.0 - probability)) as f32;
            [(probability - f64::from(u8::from(hit))) as f32 * weight, second * weight]
        };
        if self.outputs == 1 {
            let one = |row: usize| derivative(logistic(self.scores[row]), self.truth[row] == 1, self.weights[row]);
            return vec![(0..self.truth.len()).into_par_iter().map(one).collect()];
        }
        let shares: Vec<f32> = self.scores.par_chunks(self.outputs).flat_map_iter(softmax).collect();
        let one = |output: usize| {
            let shares = shares.iter().skip(output).step_by(self.outputs);
            let rows = shares.zip(&self.truth).zip(&self.weights);
            rows.map(|((share, truth), weight)| derivative((*share).into(), *truth as usize == output, *weight))
                .collect()
        };
        (0..self.outputs).into_par_iter().map(one).collect()
    }

    /// Adds the values of a tree to the scores.
    fn add(&mut self, output: usize, grown: &Grown) {
        if grown.rows.len() == self.rows.rows() {
            for (rows, value) in &grown.leaves {
                for row in &grown.rows[rows.clone()] {
                    self.scores[*row as usize * self.outputs + output] += f64::from(*value);
                }
            }
            return;
        }
        for (row, scores) in self.scores.chunks_exact_mut(self.outputs).enumerate() {
            scores[output] += f64::from(grown.nodes.shares(self.rows.row(row))[0]);
        }
    }
}

fn logistic(score: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-score))
}

fn softmax(scores: &[f64]) -> Vec<f32> {
    let largest = scores.iter().copied().fold(f64::MIN, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| libm::exp(score - largest)).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| (power / sum) as f32).collect()
}

impl Boosting {
    /// Number of classes.
    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// Number of columns that rows must have.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Each column's share of the gain.
    pub(crate) fn importance(&self) -> &[f64] {
        &self.importance
    }

    /// Class probabilities, rows × classes.
    ///
    /// # Errors
    /// Rows with another number of columns, or a value that is not finite.
    pub(crate) fn probabilities(&self, rows: &Matrix) -> Result<Matrix, MethodError> {
        check_width(rows, self.columns)?;
        let blocks: Vec<Vec<f32>> = (0..rows.rows().div_ceil(BLOCK))
            .into_par_iter()
            .map(|block| self.block(rows, block * BLOCK, ((block + 1) * BLOCK).min(rows.rows())))
            .collect();
        Ok(Matrix::from_values(self.classes, blocks.concat()).unwrap_or_default())
    }

    fn block(&self, rows: &Matrix, from: usize, to: usize) -> Vec<f32> {
        let outputs = self.start.len();
        let mut scores: Vec<f64> = self.start.iter().copied().cycle().take(outputs * (to - from)).collect();
        for (place, tree) in self.trees.iter().enumerate() {
            for (row, scores) in (from..to).zip(scores.chunks_exact_mut(outputs)) {
                scores[place % outputs] += f64::from(tree.shares(rows.row(row))[0]);
            }
        }
        let mut answers = vec![0.0; (to - from) * self.classes];
        for (scores, answers) in scores.chunks_exact(outputs).zip(answers.chunks_exact_mut(self.classes)) {
            let shares = match scores {
                [score] => vec![logistic(-score) as f32, logistic(*score) as f32],
                _ => softmax(scores),
            };
            for (class, share) in self.present.iter().zip(shares) {
                answers[*class as usize] = share;
            }
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClassWeights, metrics::most_probable, silent};

    /// Rings around the origin: class by distance, not linearly separable.
    fn rings(rows: usize, classes: u32, seed: u64) -> (Matrix, Vec<u32>) {
        let mut random = generator(seed, 0);
        let values: Vec<f32> = (0..rows * 3).map(|_| random.f32() * 2.0 - 1.0).collect();
        let ring = |row: &[f32]| ((row[0].hypot(row[1]) * classes as f32 / 1.2) as u32).min(classes - 1);
        let labels = values.chunks(3).map(ring).collect();
        (Matrix::from_values(3, values).unwrap(), labels)
    }

    #[test]
    fn two_and_four_rings_are_learned() {
        for classes in [2, 4] {
            let ((rows, labels), (test, truth)) = (rings(3000, classes, 1), rings(1000, classes, 2));
            let labels = Labels::new(&labels, classes as usize).unwrap();
            let fitted = BoostingConfig::default().fit(&rows, labels, 1, &silent).unwrap();
            let answers = fitted.probabilities(&test).unwrap();
            let right = most_probable(&answers).iter().zip(&truth).filter(|(a, b)| a == b).count();
            assert!(right > 930, "{classes} classes: {right} of 1000");
            assert!(answers.iter().all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5));
            assert!(fitted.importance()[2] < 0.1);
        }
    }

    /// One column with the values 0 (six rows, one of class 1) and 1 (two rows of class 1, `others` of class 2).
    fn by_hand(others: usize) -> (Matrix, Vec<u32>) {
        let labels = [vec![0, 0, 0, 0, 0, 1, 1, 1], vec![2; others]].concat();
        let values = (0..labels.len()).map(|row| if row < 6 { 0.0 } else { 1.0 }).collect();
        (Matrix::from_values(1, values).unwrap(), labels)
    }

    fn one_stump() -> BoostingConfig {
        let config =
            BoostingConfig { trees: 1, learning_rate: 1.0, max_leaves: 2, l2: 0.0, ..BoostingConfig::default() };
        BoostingConfig { min_leaf_rows: 1, min_leaf_weight: 0.0, ..config }
    }

    #[test]
    fn the_first_step_of_two_classes_matches_a_newton_step() {
        // Share 3/8; left: t = 6·3/8 − 1 = 5/4, T = 6·15/64; right: t = 2·3/8 − 2 = −5/4, T = 2·15/64.
        let (rows, labels) = by_hand(0);
        let fitted = one_stump().fit(&rows, Labels::new(&labels, 2).unwrap(), 1, &silent).unwrap();
        let answers = fitted.probabilities(&rows).unwrap();
        let start = (3.0f64 / 5.0).ln();
        for (row, step) in [(0, -(5.0 / 4.0) / (90.0 / 64.0)), (7, (5.0 / 4.0) / (30.0 / 64.0))] {
            let expected = 1.0 / (1.0 + (-(start + step)).exp());
            assert!((f64::from(answers.row(row)[1]) - expected).abs() < 1e-6, "{row}: {:?}", answers.row(row));
        }
    }

    #[test]
    fn the_first_step_of_three_classes_matches_a_newton_step() {
        // Shares 5/12, 3/12, 4/12; of class k, row by row, t = share − hit, T = share (1 − share).
        let (rows, labels) = by_hand(4);
        let fitted = one_stump().fit(&rows, Labels::new(&labels, 3).unwrap(), 1, &silent).unwrap();
        let answers = fitted.probabilities(&rows).unwrap();
        let shares = [5.0f64 / 12.0, 3.0 / 12.0, 4.0 / 12.0];
        for (row, hits) in [(0, [5.0, 1.0, 0.0]), (11, [0.0, 2.0, 4.0])] {
            let step =
                |class: usize| (hits[class] - 6.0 * shares[class]) / (6.0 * shares[class] * (1.0 - shares[class]));
            let powers = [0, 1, 2].map(|class| (shares[class].ln() + step(class)).exp());
            for class in 0..3 {
                let expected = powers[class] / powers.iter().sum::<f64>();
                assert!((f64::from(answers.row(row)[class]) - expected).abs() < 1e-6, "{row}: {:?}", answers.row(row));
            }
        }
    }

    #[test]
    fn trees_respect_the_leaf_and_depth_limits() {
        let (rows, labels) = rings(600, 2, 4);
        let labels = Labels::new(&labels, 2).unwrap();
        let least = BoostingConfig { min_leaf_rows: 250, trees: 3, ..BoostingConfig::default() };
        let few = BoostingConfig { max_leaves: 5, trees: 3, ..BoostingConfig::default() };
        let flat = BoostingConfig { max_depth: Some(2), trees: 3, ..BoostingConfig::default() };
        for (config, leaves, depth) in [(least, 2, 1), (few, 5, 4), (flat, 4, 2)] {
            let fitted = config.fit(&rows, labels, 1, &silent).unwrap();
            let found: Vec<_> = fitted.trees.iter().map(|tree| (tree.leaves(), tree.depth())).collect();
            assert!(found.iter().all(|found| found.0 <= leaves && found.1 <= depth), "{config:?}: {found:?}");
            assert!(found.iter().any(|found| found.0 > 1));
        }
    }

    #[test]
    fn the_fit_is_the_same_on_one_and_two_threads() {
        for classes in [2, 3] {
            let (rows, labels) = rings(3000, classes, 5);
            let weights = ClassWeights::Balanced;
            let config = BoostingConfig { row_share: 0.7, column_share: 0.7, trees: 20, ..BoostingConfig::default() };
            let config = BoostingConfig { class_weights: weights, ..config };
            let with = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let labels = Labels::new(&labels, classes as usize).unwrap();
                pool.install(|| config.fit(&rows, labels, 9, &silent)).unwrap()
            };
            assert_eq!(with(1), with(2));
            assert_eq!(with(2), with(2));
        }
    }

    #[test]
    fn a_class_without_rows_and_a_constant_column_are_accepted() {
        let mut rows = Matrix::zeros(60, 2);
        let labels: Vec<u32> = (0..60).map(|row| if row < 30 { 0 } else { 2 }).collect();
        for row in 0..60 {
            rows.row_mut(row)[1] = row as f32;
        }
        let fitted = BoostingConfig::default().fit(&rows, Labels::new(&labels, 4).unwrap(), 1, &silent).unwrap();
        let answers = fitted.probabilities(&rows).unwrap();
        assert_eq!(most_probable(&answers), labels);
        assert_eq!((answers.row(0)[1], answers.row(0)[3]), (0.0, 0.0));
        assert_eq!(fitted.importance(), [0.0, 1.0]);
    }
}
