//! Multinomial logistic regression: softmax over weighted sums of standardised columns (Cox 1958; L2 penalty as in
//! Hastie, Tibshirani, Friedman 2009, section 4.4), minimised by L-BFGS.
//!
//! Two classes have one weighted sum, the log-odds of the second; more classes have one each. The minimised value is
//! (½‖w‖² / c + Σ weight × loss) / Σ weight; intercepts are not penalised.

use lapwing_tables::Matrix;
use ndarray::{Array2, ArrayView2, linalg::general_mat_mul};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    LogisticConfig, add_row,
    descent::{Stop, minimize},
    present, weighted_sum,
};
use crate::{
    FitProgress, Labels, MethodError, Step,
    input::{check_labelled, check_width},
    standard::{PART, Standard},
};

const WHAT: &str = "logistic-regression";

/// A fitted logistic regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logistic {
    standard: Standard,
    classes: usize,
    /// Classes with training rows; all others have probability 0.
    present: Vec<u32>,
    /// One list of column weights and an intercept for each weighted sum.
    weights: Vec<Vec<f64>>,
    /// Largest absolute component of the gradient of the mean loss where the search ended.
    #[serde(rename = "slope")]
    gradient: f64,
}

/// The loss to minimise.
struct Problem<'a> {
    rows: &'a Matrix,
    /// Index of each row's class in the list of present classes.
    places: Vec<usize>,
    row_weights: Vec<f64>,
    outputs: usize,
    /// Σ row weights.
    total: f64,
    penalty: f64,
}

impl LogisticConfig {
    /// Fits the weights, deterministically.
    ///
    /// # Errors
    /// An invalid setting; no rows; rows that are constant, of one class, or not finite; a model of more than 2^24
    /// weights.
    pub fn fit(&self, rows: &Matrix, labels: Labels<'_>, progress: FitProgress<'_>) -> Result<Logistic, MethodError> {
        self.check()?;
        check_labelled(WHAT, rows, labels)?;
        let present = present(labels);
        let outputs = if present.len() == 2 { 1 } else { present.len() };
        let limit = (1 << 24) / outputs;
        if rows.columns() > limit {
            return Err(MethodError::TooManyColumns { what: WHAT, columns: rows.columns(), limit });
        }
        let weights = self.class_weights.of(labels)?;
        let row_weights: Vec<f64> = labels.values().iter().map(|label| weights[*label as usize]).collect();
        let standard = Standard::fit(rows, true);
        let total = row_weights.iter().sum();
        let problem = Problem {
            rows: &standard.apply(rows),
            places: labels.values().iter().map(|label| present.partition_point(|class| class < label)).collect(),
            row_weights,
            outputs,
            total,
            penalty: 1.0 / (self.c * total),
        };
        let start = vec![0.0; outputs * (rows.columns() + 1)];
        let stop = Stop { iterations: self.iterations, tolerance: self.tolerance };
        let report = |done| progress(Step { what: "iterations", done, total: self.iterations });
        let loss = |point: &[f64], gradient: &mut [f64]| problem.value(point, gradient);
        let minimum = minimize(start, stop, loss, report);
        if minimum.point.iter().any(|weight| !weight.is_finite()) {
            return Err(MethodError::Numeric { what: WHAT, why: "the weights diverged: lower c".into() });
        }
        let weights = minimum.point.chunks_exact(rows.columns() + 1).map(<[f64]>::to_vec).collect();
        Ok(Logistic { standard, classes: labels.classes(), present, weights, gradient: minimum.gradient })
    }
}

impl Problem<'_> {
    /// Mean loss and its gradient; `point` holds, for each output, the column weights and an intercept.
    fn value(&self, point: &[f64], gradient: &mut [f64]) -> f64 {
        let width = self.rows.columns() + 1;
        let parts: Vec<(f64, Vec<f64>)> = (0..self.rows.rows().div_ceil(PART))
            .into_par_iter()
            .map(|part| self.part(point, part * PART, ((part + 1) * PART).min(self.rows.rows())))
            .collect();
        gradient.fill(0.0);
        let mut loss = 0.0;
        for (part, sums) in parts {
            loss += part;
            for (to, sum) in gradient.iter_mut().zip(sums) {
                *to += sum;
            }
        }
        loss /= self.total;
        for (at, (to, weight)) in gradient.iter_mut().zip(point).enumerate() {
            *to /= self.total;
            if at % width != width - 1 {
                *to += self.penalty * weight;
                loss += 0.5 * self.penalty * weight * weight;
            }
        }
        loss
    }

    /// Summed loss and gradient of some rows.
    fn part(&self, point: &[f64], from: usize, to: usize) -> (f64, Vec<f64>) {
        let (columns, outputs) = (self.rows.columns(), self.outputs);
        if outputs == 1 {
            return self.part_of_two(point, from, to);
        }
        let (inputs, mut odds) = weighted_sums(self.rows, point, outputs, from, to);
        let mut loss = 0.0;
        for (mut odds, row) in odds.rows_mut().into_iter().zip(from..to) {
            let weight = self.row_weights[row];
            let Some(odds) = odds.as_slice_mut() else { continue };
            loss += weight * error_of(odds, self.places[row]);
            odds.iter_mut().for_each(|error| *error *= weight);
        }
        let mut sums = Array2::zeros((outputs, columns + 1));
        general_mat_mul(1.0, &odds.t(), &inputs, 0.0, &mut sums);
        (loss, sums.into_raw_vec_and_offset().0)
    }
}

impl Problem<'_> {
    /// The same for two classes: with one output a loop is faster than matrix products.
    fn part_of_two(&self, point: &[f64], from: usize, to: usize) -> (f64, Vec<f64>) {
        let (mut loss, mut sums) = (0.0, vec![0.0; point.len()]);
        for row in from..to {
            let (values, weight) = (self.rows.row(row), self.row_weights[row]);
            let mut odds = [weighted_sum(point, values)];
            loss += weight * error_of(&mut odds, self.places[row]);
            add_row(&mut sums, values, weight * odds[0]);
        }
        (loss, sums)
    }
}

/// Rows with a column of ones appended, and their sums weighted by `point`, rows × outputs.
fn weighted_sums(rows: &Matrix, point: &[f64], outputs: usize, from: usize, to: usize) -> (Array2<f64>, Array2<f64>) {
    let columns = rows.columns();
    let mut inputs = Array2::ones((to - from, columns + 1));
    for (mut input, row) in inputs.rows_mut().into_iter().zip(from..to) {
        for (input, value) in input.iter_mut().zip(rows.row(row)) {
            *input = f64::from(*value);
        }
    }
    let mut odds = Array2::zeros((to - from, outputs));
    if let Ok(weights) = ArrayView2::from_shape((outputs, columns + 1), point) {
        general_mat_mul(1.0, &inputs, &weights.t(), 0.0, &mut odds);
    }
    (inputs, odds)
}

/// Loss of one row; replaces its log-odds by probability − truth.
fn error_of(odds: &mut [f64], truth: usize) -> f64 {
    if let [odds] = odds {
        // ln(1 + e^−m) of the margin m, without overflow.
        let margin = if truth == 1 { *odds } else { -*odds };
        let loss = libm::log1p(libm::exp(-margin.abs())) + (-margin).max(0.0);
        *odds = 1.0 / (1.0 + libm::exp(-*odds)) - truth as f64;
        return loss;
    }
    let right = odds[truth];
    let (largest, sum) = softmax(odds);
    odds[truth] -= 1.0;
    libm::log(sum) + largest - right
}

/// Replaces log-odds by probabilities; returns the largest, and the sum of the exponentials of the differences to it.
fn softmax(odds: &mut [f64]) -> (f64, f64) {
    let largest = odds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    odds.iter_mut().for_each(|odds| *odds = libm::exp(*odds - largest));
    let sum: f64 = odds.iter().sum();
    odds.iter_mut().for_each(|odds| *odds /= sum);
    (largest, sum)
}

impl Logistic {
    /// Number of classes.
    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// Columns that rows must have.
    pub fn columns(&self) -> usize {
        self.standard.columns()
    }

    /// Largest absolute component of the gradient of the mean loss where the search ended; above the tolerance when it
    /// did not converge.
    #[cfg(test)]
    pub(crate) fn gradient(&self) -> f64 {
        self.gradient
    }

    /// Share of each column: absolute weights on standardised columns, summed over outputs, normalised to 1.
    pub(crate) fn importance(&self) -> Vec<f64> {
        importance(&self.weights, self.columns())
    }

    /// Class probabilities, rows × classes.
    ///
    /// # Errors
    /// Rows of another width, or a value that is not finite.
    pub(crate) fn probabilities(&self, rows: &Matrix) -> Result<Matrix, MethodError> {
        check_width(rows, self.columns())?;
        let rows = self.standard.apply(rows);
        let point = self.weights.concat();
        let part = |part: usize| {
            let (from, to) = (part * PART, ((part + 1) * PART).min(rows.rows()));
            let (_, mut odds) = weighted_sums(&rows, &point, self.weights.len(), from, to);
            let mut answers = vec![0.0f32; (to - from) * self.classes];
            for (mut odds, answers) in odds.rows_mut().into_iter().zip(answers.chunks_exact_mut(self.classes)) {
                self.answer(odds.as_slice_mut().unwrap_or_default(), answers);
            }
            answers
        };
        let answers: Vec<Vec<f32>> = (0..rows.rows().div_ceil(PART)).into_par_iter().map(part).collect();
        Ok(Matrix::from_values(self.classes, answers.concat()).unwrap_or_default())
    }

    fn answer(&self, odds: &mut [f64], answers: &mut [f32]) {
        if let [odds] = odds {
            let second = 1.0 / (1.0 + libm::exp(-*odds));
            answers[self.present[0] as usize] = (1.0 - second) as f32;
            answers[self.present[1] as usize] = second as f32;
            return;
        }
        softmax(odds);
        for (class, probability) in self.present.iter().zip(odds) {
            answers[*class as usize] = *probability as f32;
        }
    }
}

/// Share of each column in the absolute weights; the last entry of each list is the intercept.
pub(super) fn importance(weights: &[Vec<f64>], columns: usize) -> Vec<f64> {
    let mut sums = vec![0.0; columns];
    for list in weights {
        for (sum, weight) in sums.iter_mut().zip(list) {
            *sum += weight.abs();
        }
    }
    let all: f64 = sums.iter().sum();
    sums.iter_mut().for_each(|sum| *sum /= all.max(f64::MIN_POSITIVE));
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{input::generator, metrics::most_probable, silent};

    #[test]
    fn an_uninformative_column_gives_the_class_shares() {
        // The column is balanced over the labels: weight 0, intercept ln(3/1).
        let rows = Matrix::from_values(1, vec![-1., 1., -1., 1., -1., 1., -1., 1.]).unwrap();
        let labels = Labels::new(&[1, 1, 1, 1, 1, 1, 0, 0], 2).unwrap();
        let fitted = LogisticConfig { tolerance: 1e-9, ..LogisticConfig::default() }.fit(&rows, labels, &silent);
        let fitted = fitted.unwrap();
        let answers = fitted.probabilities(&rows).unwrap();
        assert!(answers.iter().all(|row| (row[1] - 0.75).abs() < 1e-6), "{answers:?}");
        assert!(fitted.gradient() <= 1e-9);
    }

    #[test]
    fn the_gradient_matches_finite_differences_of_the_loss() {
        let mut random = generator(1, 0);
        let rows = Matrix::from_values(4, (0..200).map(|_| random.f32() - 0.5).collect()).unwrap();
        for outputs in [1, 3] {
            let classes = outputs.max(2);
            let problem = Problem {
                rows: &rows,
                places: (0..50).map(|row| row % classes).collect(),
                row_weights: (0..50).map(|row| 1.0 + row as f64 / 50.0).collect(),
                outputs,
                total: 74.5,
                penalty: 0.3,
            };
            let point: Vec<f64> = (0..outputs * 5).map(|_| random.f64() - 0.5).collect();
            let (mut gradient, mut unused) = (vec![0.0; point.len()], vec![0.0; point.len()]);
            problem.value(&point, &mut gradient);
            for at in 0..point.len() {
                let mut near = [point.clone(), point.clone()];
                near[0][at] -= 1e-5;
                near[1][at] += 1e-5;
                let [low, high] = near.map(|point| problem.value(&point, &mut unused));
                assert!(((high - low) / 2e-5 - gradient[at]).abs() < 1e-7, "{outputs} {at}");
            }
        }
    }

    #[test]
    fn three_classes_are_separated_on_columns_of_unequal_scale() {
        let mut random = generator(2, 0);
        let mut values = Vec::new();
        let labels: Vec<u32> = (0..900).map(|row| row % 3).collect();
        for label in &labels {
            values.push((*label as f32 + random.f32() * 0.8) * 1e6);
            values.push((random.f32() - 0.5) * 1e-6);
        }
        let rows = Matrix::from_values(2, values).unwrap();
        let known = Labels::new(&labels, 4).unwrap();
        let fitted = LogisticConfig { c: 100.0, ..LogisticConfig::default() }.fit(&rows, known, &silent).unwrap();
        let answers = fitted.probabilities(&rows).unwrap();
        let right = most_probable(&answers).iter().zip(&labels).filter(|(a, b)| a == b).count();
        assert!(right > 890, "{right}");
        assert!(answers.iter().all(|row| row[3] == 0.0));
        assert!(fitted.importance()[0] > 0.9);
    }

    #[test]
    fn the_fit_is_the_same_on_one_and_two_threads() {
        let mut random = generator(3, 0);
        let rows = Matrix::from_values(3, (0..30_000).map(|_| random.f32()).collect()).unwrap();
        let labels: Vec<u32> = rows.iter().map(|row| u32::from(row[0] + random.f32() > 1.0)).collect();
        let labels = Labels::new(&labels, 2).unwrap();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| LogisticConfig::default().fit(&rows, labels, &silent)).unwrap()
        };
        assert_eq!(with(1), with(2));
    }
}
