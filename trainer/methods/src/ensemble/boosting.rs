//! Gradient boosting by forust: histograms of gradients, one logistic model, or one a class when there are more than two.
//!
//! forust's trees are copied into our own flat nodes: smaller, faster on single rows, and written by any serde format
//! (forust's own form needs JSON, since it writes "missing" as NaN). With several classes each model answers "this class
//! or not"; the answers are divided by their sum.

use forust_ml::{
    GradientBooster, Matrix as ForustMatrix,
    gradientbooster::{GrowPolicy, ImportanceMethod},
    objective::ObjectiveType,
    sampler::SampleMethod,
    tree::Tree,
};
use lapwing_tables::Matrix;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    BoostingConfig, Labels, MethodError, Progress, Step,
    input::{check_labelled, check_width},
    tree::Nodes,
};

const WHAT: &str = "gradient-boosting";

/// Answers "this class or not" as a sum of tree answers, in log-odds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Model {
    class: u32,
    start: f64,
    trees: Vec<Nodes>,
}

/// A fitted booster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Boosting {
    columns: usize,
    classes: usize,
    /// One for the second of two classes, or one a class that has rows.
    models: Vec<Model>,
    /// Class that has the rest of the probability when there is one model.
    other: Option<u32>,
    importance: Vec<f64>,
}

impl BoostingConfig {
    /// Fits the trees.
    ///
    /// # Errors
    /// A setting outside its range; rows that are missing, constant, of one class, or not finite.
    pub fn fit(
        &self,
        rows: &Matrix,
        labels: Labels<'_>,
        seed: u64,
        progress: Progress<'_>,
    ) -> Result<Boosting, MethodError> {
        self.check()?;
        check_labelled(WHAT, rows, labels)?;
        let weights = self.class_weights.of(labels)?;
        let weights: Vec<f64> = labels.values().iter().map(|label| weights[*label as usize]).collect();
        let columns: Vec<f64> =
            (0..rows.columns()).flat_map(|column| rows.iter().map(move |row| f64::from(row[column]))).collect();
        let counts = labels.counts();
        let mut asked: Vec<u32> =
            counts.iter().enumerate().filter(|(_, rows)| **rows > 0).map(|(class, _)| class as u32).collect();
        let other = (asked.len() == 2).then(|| asked.remove(0));
        let total = asked.len();
        let done = std::sync::atomic::AtomicUsize::new(0);
        let one = |class: &u32| {
            let data = ForustMatrix::new(&columns, rows.rows(), rows.columns());
            let truth: Vec<f64> = labels.values().iter().map(|label| f64::from(u8::from(label == class))).collect();
            let mut booster = self.booster(seed, total == 1);
            let fitted = booster.fit(&data, &truth, &weights, None);
            fitted.map_err(|error| MethodError::Numeric { what: WHAT, why: error.to_string() })?;
            let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            progress(Step { what: "models", done, total });
            let trees = booster.trees.iter().map(flat).collect();
            let gains = booster.calculate_feature_importance(ImportanceMethod::TotalGain, true);
            Ok((Model { class: *class, start: booster.base_score, trees }, gains))
        };
        let fitted: Vec<_> = asked.par_iter().map(one).collect::<Result<_, MethodError>>()?;
        let mut importance = vec![0.0; rows.columns()];
        for (_, gains) in &fitted {
            for (column, gain) in gains.iter().filter(|(_, gain)| gain.is_finite()) {
                importance[*column] += f64::from(*gain) / total as f64;
            }
        }
        let models = fitted.into_iter().map(|(model, _)| model).collect();
        Ok(Boosting { columns: rows.columns(), classes: labels.classes(), models, other, importance })
    }

    fn booster(&self, seed: u64, parallel: bool) -> GradientBooster {
        let sample = if self.row_share < 1.0 { SampleMethod::Random } else { SampleMethod::None };
        let mut booster = GradientBooster::default()
            .set_objective_type(ObjectiveType::LogLoss)
            .set_iterations(self.trees)
            .set_learning_rate(self.learning_rate)
            .set_max_depth(self.max_depth)
            .set_max_leaves(self.max_leaves)
            .set_l2(self.l2)
            .set_min_leaf_weight(self.min_leaf_weight)
            .set_nbins(self.bins)
            .set_parallel(parallel)
            .set_subsample(self.row_share)
            .set_sample_method(sample)
            .set_colsample_bytree(self.column_share)
            .set_seed(seed)
            .set_initialize_base_score(true);
        booster.grow_policy = GrowPolicy::LossGuide;
        booster
    }
}

/// A forust tree in our form. There, values below the split go left; here, values up to the threshold do.
fn flat(tree: &Tree) -> Nodes {
    let mut nodes = Nodes::new(1);
    let mut open = vec![(0, 0)];
    while let Some((theirs, ours)) = open.pop() {
        let Some(node) = tree.nodes.get(theirs) else { continue };
        if node.is_leaf {
            nodes.leaf(ours, std::iter::once(node.weight_value));
            continue;
        }
        let nearest = node.split_value as f32;
        let threshold = if f64::from(nearest) < node.split_value { nearest } else { nearest.next_down() };
        let child = nodes.split(ours, node.split_feature, threshold);
        open.push((node.right_child, child + 1));
        open.push((node.left_child, child));
    }
    nodes
}

impl Boosting {
    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Columns that rows must have.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Each column's share of the gain, averaged over models.
    pub fn importance(&self) -> &[f64] {
        &self.importance
    }

    /// Class probabilities, rows × classes.
    ///
    /// # Errors
    /// Rows of another width, or a value that is not finite.
    pub fn probabilities(&self, rows: &Matrix) -> Result<Matrix, MethodError> {
        check_width(rows, self.columns)?;
        let answer = |row: usize| {
            let mut answers = vec![0.0f64; self.classes];
            for model in &self.models {
                let odds: f64 = model.trees.iter().map(|tree| f64::from(tree.shares(rows.row(row))[0])).sum();
                answers[model.class as usize] = 1.0 / (1.0 + libm::exp(-(model.start + odds)));
            }
            if let Some(other) = self.other {
                answers[other as usize] = 1.0 - answers.iter().sum::<f64>();
            }
            let sum: f64 = answers.iter().sum();
            answers.iter().map(|answer| (answer / sum.max(f64::MIN_POSITIVE)) as f32).collect::<Vec<f32>>()
        };
        let answers: Vec<Vec<f32>> = (0..rows.rows()).into_par_iter().map(answer).collect();
        Ok(Matrix::from_values(self.classes, answers.concat()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{input::generator, metrics::most_probable, silent};

    /// Rings around the origin: class by distance, which no line parts.
    fn rings(rows: usize, classes: u32, seed: u64) -> (Matrix, Vec<u32>) {
        let mut random = generator(seed, 0);
        let values: Vec<f32> = (0..rows * 3).map(|_| random.f32() * 2.0 - 1.0).collect();
        let ring = |row: &[f32]| ((row[0].hypot(row[1]) * classes as f32 / 1.2) as u32).min(classes - 1);
        let labels = values.chunks(3).map(ring).collect();
        (Matrix::from_values(3, values).unwrap(), labels)
    }

    #[test]
    fn rings_are_learnt_with_two_and_with_four_classes() {
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

    #[test]
    fn our_nodes_answer_as_forust_does() {
        let (rows, labels) = rings(2000, 2, 3);
        let columns: Vec<f64> = (0..3).flat_map(|at| rows.iter().map(move |row| f64::from(row[at]))).collect();
        let truth: Vec<f64> = labels.iter().map(|label| f64::from(*label)).collect();
        let data = ForustMatrix::new(&columns, 2000, 3);
        let mut booster = BoostingConfig::default().booster(1, false);
        booster.fit(&data, &truth, &vec![1.0; 2000], None).unwrap();
        let theirs = booster.predict(&data, false);
        let fitted = BoostingConfig::default().fit(&rows, Labels::new(&labels, 2).unwrap(), 1, &silent).unwrap();
        let ours = fitted.probabilities(&rows).unwrap();
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert!((f64::from(ours[1]) - 1.0 / (1.0 + libm::exp(-theirs))).abs() < 1e-6);
        }
    }

    #[test]
    fn one_and_two_threads_fit_the_same() {
        let (rows, labels) = rings(3000, 2, 5);
        let config = BoostingConfig { row_share: 0.7, column_share: 0.7, trees: 20, ..BoostingConfig::default() };
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| config.fit(&rows, Labels::new(&labels, 2).unwrap(), 9, &silent)).unwrap()
        };
        assert_eq!(with(1), with(2));
        assert_eq!(with(2), with(2));
    }

    #[test]
    fn a_class_without_rows_and_a_constant_column_do_no_harm() {
        let mut rows = Matrix::zeros(60, 2);
        let labels: Vec<u32> = (0..60).map(|row| if row < 30 { 0 } else { 2 }).collect();
        for row in 0..60 {
            rows.row_mut(row)[1] = row as f32;
        }
        let fitted = BoostingConfig::default().fit(&rows, Labels::new(&labels, 4).unwrap(), 1, &silent).unwrap();
        let answers = fitted.probabilities(&rows).unwrap();
        assert_eq!(most_probable(&answers), labels);
        assert_eq!((answers.row(0)[1], answers.row(0)[3]), (0.0, 0.0));
    }
}
