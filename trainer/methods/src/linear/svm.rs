//! Support vector machine: squared hinge loss minimised in the primal, one class against the rest, with probabilities
//! by Platt's method on held-out folds.

use lapwing_tables::Matrix;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    SvmConfig, SvmKernel, add_row,
    descent::{Stop, minimize},
    fourier::Fourier,
    logistic,
    platt::Sigmoid,
    present, weighted_sum,
};
use crate::{
    FitProgress, Labels, MethodError, Step,
    input::{check_labelled, check_width, generator},
    standard::Standard,
};

const WHAT: &str = "svm";
/// Limit of rows × random features in memory at once (1 GiB).
const MAX_FEATURE_VALUES: usize = 1 << 28;

/// One separating plane: column weights with the intercept last, and the sigmoid that turns its values into
/// probabilities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Plane {
    class: u32,
    weights: Vec<f64>,
    sigmoid: Sigmoid,
}

/// A fitted support vector machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Svm {
    standard: Standard,
    features: Option<Fourier>,
    classes: usize,
    /// One for the second of two classes, or one for each class with training rows.
    planes: Vec<Plane>,
    /// Class that gets the remaining probability when there is one plane.
    other: Option<u32>,
}

impl SvmConfig {
    /// Fits each plane `folds` + 1 times: once without each fold, for the probabilities, and once on all rows.
    ///
    /// # Errors
    /// An invalid setting; no rows; rows that are constant, of one class, or not finite; more than 2^28 rows × random
    /// features.
    pub fn fit(
        &self,
        rows: &Matrix,
        labels: Labels<'_>,
        seed: u64,
        progress: FitProgress<'_>,
    ) -> Result<Svm, MethodError> {
        self.check()?;
        check_labelled(WHAT, rows, labels)?;
        let standard = Standard::fit(rows, true);
        let features = self.features(rows, seed)?;
        let mut inputs = standard.apply(rows);
        if let Some(features) = &features {
            inputs = features.apply(&inputs);
        }
        let task = Task {
            config: self,
            costs: self.class_weights.of(labels)?.iter().map(|weight| weight * self.c).collect(),
            folds: self.fold_of(rows.rows(), seed),
            inputs,
            labels,
        };
        let mut classes = present(labels);
        let other = (classes.len() == 2).then(|| classes.remove(0));
        let planes = task.planes(&classes, progress);
        Ok(Svm { standard, features, classes: labels.classes(), planes, other })
    }

    fn features(&self, rows: &Matrix, seed: u64) -> Result<Option<Fourier>, MethodError> {
        let SvmKernel::Rbf { gamma, features } = self.kernel else { return Ok(None) };
        let limit = MAX_FEATURE_VALUES / features;
        if rows.rows() > limit {
            return Err(MethodError::TooManyRows { what: WHAT, rows: rows.rows(), limit });
        }
        let gamma = gamma.unwrap_or(1.0 / rows.columns() as f64);
        Ok(Some(Fourier::draw(rows.columns(), features, gamma, seed)))
    }

    /// Fold of each row; folds are equally large and drawn by seed.
    fn fold_of(&self, rows: usize, seed: u64) -> Vec<u8> {
        let mut folds: Vec<u8> = (0..rows).map(|row| (row % self.folds) as u8).collect();
        generator(seed, 0).shuffle(&mut folds);
        folds
    }

    /// Weights and intercept that minimise ½‖w‖² + Σ cost × max(0, 1 − sign × value)² over the given rows; w includes
    /// the intercept.
    fn descend(
        &self,
        inputs: &Matrix,
        rows: &[u32],
        sign: impl Fn(usize) -> f64,
        cost: impl Fn(usize) -> f64,
    ) -> Vec<f64> {
        let total: f64 = rows.iter().map(|row| cost(*row as usize)).sum();
        let value = |weights: &[f64], gradient: &mut [f64]| {
            let mut loss = 0.5 * weights.iter().map(|weight| weight * weight).sum::<f64>();
            gradient.copy_from_slice(weights);
            for row in rows {
                let row = *row as usize;
                let (sign, values) = (sign(row), inputs.row(row));
                let short = 1.0 - sign * weighted_sum(weights, values);
                if short > 0.0 {
                    let cost = cost(row);
                    loss += cost * short * short;
                    add_row(gradient, values, -2.0 * cost * short * sign);
                }
            }
            gradient.iter_mut().for_each(|part| *part /= total);
            loss / total
        };
        let stop = Stop { iterations: self.iterations, tolerance: self.tolerance };
        minimize(vec![0.0; inputs.columns() + 1], stop, value, |_| {}).point
    }
}

/// What the planes of one fit share.
struct Task<'a> {
    config: &'a SvmConfig,
    inputs: Matrix,
    labels: Labels<'a>,
    /// Cost of a misclassified row, by class.
    costs: Vec<f64>,
    /// Fold of each row.
    folds: Vec<u8>,
}

impl Task<'_> {
    /// One plane for each class, against the rest. Each fold of each plane, and each plane on all rows, runs as a task
    /// of its own.
    fn planes(&self, classes: &[u32], progress: FitProgress<'_>) -> Vec<Plane> {
        let folds = self.config.folds;
        let total = classes.len() * (folds + 1);
        let done = std::sync::atomic::AtomicUsize::new(0);
        let fit = |task: usize| {
            let weights = self.weights(classes[task / (folds + 1)], task % (folds + 1));
            let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            progress(Step { what: "planes", done, total });
            weights
        };
        let weights: Vec<Vec<f64>> = (0..total).into_par_iter().map(fit).collect();
        classes
            .iter()
            .zip(weights.chunks_exact(folds + 1))
            .map(|(class, weights)| self.plane(*class, weights))
            .collect()
    }

    /// Weights of one class against the rest, fitted on all rows outside a fold.
    fn weights(&self, class: u32, fold: usize) -> Vec<f64> {
        let labels = self.labels.values();
        let rows: Vec<u32> =
            (0..labels.len() as u32).filter(|row| usize::from(self.folds[*row as usize]) != fold).collect();
        let sign = |row: usize| if labels[row] == class { 1.0 } else { -1.0 };
        let cost = |row: usize| self.costs[labels[row] as usize];
        self.config.descend(&self.inputs, &rows, sign, cost)
    }

    /// The plane fitted on all rows (the last weights), with the sigmoid fitted on each row's held-out value.
    fn plane(&self, class: u32, weights: &[Vec<f64>]) -> Plane {
        let value = |row: usize| weighted_sum(&weights[usize::from(self.folds[row])], self.inputs.row(row));
        let values: Vec<f64> = (0..self.inputs.rows()).map(value).collect();
        let positive: Vec<bool> = self.labels.values().iter().map(|label| *label == class).collect();
        let sigmoid = Sigmoid::fit(&values, &positive);
        Plane { class, weights: weights[self.config.folds].clone(), sigmoid }
    }
}

impl Svm {
    /// Number of classes.
    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// Columns that rows must have.
    pub fn columns(&self) -> usize {
        self.standard.columns()
    }

    /// Share of each column in the absolute weights on standardised columns; `None` with random features.
    pub(crate) fn importance(&self) -> Option<Vec<f64>> {
        let weights: Vec<Vec<f64>> = self.planes.iter().map(|plane| plane.weights.clone()).collect();
        self.features.is_none().then(|| logistic::importance(&weights, self.columns()))
    }

    /// Class probabilities, rows × classes.
    ///
    /// # Errors
    /// Rows of another width, or a value that is not finite.
    pub(crate) fn probabilities(&self, rows: &Matrix) -> Result<Matrix, MethodError> {
        check_width(rows, self.columns())?;
        let mut answers = Vec::with_capacity(rows.rows() * self.classes);
        // In blocks, to bound the memory for random features.
        for from in (0..rows.rows()).step_by(1 << 16) {
            let part: Vec<usize> = (from..(from + (1 << 16)).min(rows.rows())).collect();
            let mut inputs = self.standard.apply(&rows.select_rows(&part));
            if let Some(features) = &self.features {
                inputs = features.apply(&inputs);
            }
            let found: Vec<Vec<f32>> =
                (0..inputs.rows()).into_par_iter().map(|row| self.answer(inputs.row(row))).collect();
            answers.extend(found.into_iter().flatten());
        }
        Ok(Matrix::from_values(self.classes, answers).unwrap_or_default())
    }

    fn answer(&self, row: &[f32]) -> Vec<f32> {
        let mut answers = vec![0.0f64; self.classes];
        for plane in &self.planes {
            answers[plane.class as usize] = plane.sigmoid.of(weighted_sum(&plane.weights, row));
        }
        if let Some(other) = self.other {
            answers[other as usize] = 1.0 - answers.iter().sum::<f64>();
        }
        let sum: f64 = answers.iter().sum();
        answers.iter().map(|answer| (answer / sum.max(f64::MIN_POSITIVE)) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metrics::most_probable, silent};

    fn right(config: &SvmConfig, rows: &Matrix, labels: &[u32], classes: usize) -> usize {
        let fitted = config.fit(rows, Labels::new(labels, classes).unwrap(), 1, &silent).unwrap();
        let answers = fitted.probabilities(rows).unwrap();
        assert!(answers.iter().all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5));
        most_probable(&answers).iter().zip(labels).filter(|(a, b)| a == b).count()
    }

    #[test]
    fn two_rows_have_the_plane_computed_by_hand() {
        // Rows ±1 with signs ±1, no other column: by symmetry the intercept is 0 and w minimises ½w² + 2c(1 − w)²,
        // so w = 4c / (1 + 4c); c = 1 gives 0.8.
        let rows = Matrix::from_values(1, vec![1.0, -1.0]).unwrap();
        let config = SvmConfig { tolerance: 1e-10, ..SvmConfig::default() };
        let sign = |row: usize| if row == 0 { 1.0 } else { -1.0 };
        let weights = config.descend(&rows, &[0, 1], sign, |_| 1.0);
        assert!((weights[0] - 0.8).abs() < 1e-8 && weights[1].abs() < 1e-8, "{weights:?}");
    }

    #[test]
    fn rows_with_a_high_cost_are_classified_correctly() {
        // At 0 one row of sign 1 against two of sign −1: the intercept b minimises ½b² + c (1 − b)² + 2 (1 + b)², so
        // b = (2c − 4) / (1 + 2c + 4).
        let rows = Matrix::from_values(1, vec![0.0; 3]).unwrap();
        let config = SvmConfig { tolerance: 1e-10, ..SvmConfig::default() };
        for high in [1.0, 10.0] {
            let sign = |row: usize| if row == 0 { 1.0 } else { -1.0 };
            let weights = config.descend(&rows, &[0, 1, 2], sign, |row| if row == 0 { high } else { 1.0 });
            assert!((weights[1] - (2.0 * high - 4.0) / (5.0 + 2.0 * high)).abs() < 1e-8, "{high}: {weights:?}");
        }
    }

    #[test]
    fn lines_separate_three_groups_and_a_circle_needs_the_kernel() {
        let mut random = generator(2, 0);
        let values: Vec<f32> = (0..1200).map(|_| random.f32() * 2.0 - 1.0).collect();
        let rows = Matrix::from_values(2, values).unwrap();
        let thirds: Vec<u32> =
            rows.iter().map(|row| if row[0] > row[1].abs() { 0 } else { 1 + u32::from(row[1] > 0.0) }).collect();
        assert!(right(&SvmConfig::default(), &rows, &thirds, 3) > 540);
        let inside: Vec<u32> = rows.iter().map(|row| u32::from(row[0].hypot(row[1]) < 0.75)).collect();
        let linear = right(&SvmConfig::default(), &rows, &inside, 2);
        let kernel = SvmKernel::Rbf { gamma: None, features: 200 };
        let curved = right(&SvmConfig { c: 10.0, kernel, ..SvmConfig::default() }, &rows, &inside, 2);
        assert!(linear < 400 && curved > 570, "{linear} {curved}");
    }

    #[test]
    fn the_fit_is_the_same_on_one_and_two_threads() {
        let mut random = generator(3, 0);
        let rows = Matrix::from_values(3, (0..3000).map(|_| random.f32()).collect()).unwrap();
        let labels: Vec<u32> = rows.iter().map(|row| u32::from(row[0] + random.f32() > 1.0)).collect();
        let labels = Labels::new(&labels, 2).unwrap();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| SvmConfig::default().fit(&rows, labels, 4, &silent)).unwrap()
        };
        assert_eq!(with(1), with(2));
    }
}
