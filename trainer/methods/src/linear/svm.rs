//! Support vector machine: the squared hinge loss, which is smooth, minimised in the weights themselves; one class against
//! the rest, probabilities by Platt's method on held-out parts.

use lapwing_tables::Matrix;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    SvmConfig, SvmKernel, add_row, descent::minimize, fourier::Fourier, logistic, platt::Sigmoid, present, weighted_sum,
};
use crate::{
    Labels, MethodError, Progress, Step,
    input::{check_labelled, check_width, generator},
    standard::Standard,
};

const WHAT: &str = "svm";
/// Most values of random features held at once (1 GiB).
const MOST_FEATURES: usize = 1 << 28;

/// One separating plane: column weights, the last being the intercept, and what makes its values probabilities.
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
    /// One for the second of two classes, or one a class that had rows.
    planes: Vec<Plane>,
    /// Class that has the rest of the probability when there is one plane.
    other: Option<u32>,
}

impl SvmConfig {
    /// Fits the planes: `folds` + 1 times each, all but the last for probabilities.
    ///
    /// # Errors
    /// A setting outside its range; rows that are missing, constant, of one class, or not finite; more rows × random
    /// features than 2^28.
    pub fn fit(
        &self,
        rows: &Matrix,
        labels: Labels<'_>,
        seed: u64,
        progress: Progress<'_>,
    ) -> Result<Svm, MethodError> {
        self.check()?;
        check_labelled(WHAT, rows, labels)?;
        let standard = Standard::fit(rows, true);
        let features = self.features(rows, seed)?;
        let mut inputs = standard.apply(rows);
        if let Some(features) = &features {
            inputs = features.apply(&inputs);
        }
        let costs: Vec<f64> = self.class_weights.of(labels)?.iter().map(|weight| weight * self.c).collect();
        let mut asked = present(labels);
        let other = (asked.len() == 2).then(|| asked.remove(0));
        let folds = self.parts(rows.rows(), seed);
        // Every fold of every plane, and the plane on all rows, is a task of its own.
        let total = asked.len() * (self.folds + 1);
        let done = std::sync::atomic::AtomicUsize::new(0);
        let task = |task: usize| {
            let (class, fold) = (asked[task / (self.folds + 1)], task % (self.folds + 1));
            let kept: Vec<u32> = (0..rows.rows() as u32).filter(|row| folds[*row as usize] as usize != fold).collect();
            let side = |row: usize| if labels.values()[row] == class { 1.0 } else { -1.0 };
            let cost = |row: usize| costs[labels.values()[row] as usize];
            let weights = self.descend(&inputs, &kept, side, cost);
            let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            progress(Step { what: "planes", done, total });
            weights
        };
        let found: Vec<Vec<f64>> = (0..total).into_par_iter().map(task).collect();
        let plane = |(class, weights): (&u32, &[Vec<f64>])| {
            let of = |row: usize| weighted_sum(&weights[folds[row] as usize], inputs.row(row));
            let values: Vec<f64> = (0..rows.rows()).map(of).collect();
            let positive: Vec<bool> = labels.values().iter().map(|label| label == class).collect();
            let sigmoid = Sigmoid::fit(&values, &positive);
            Plane { class: *class, weights: weights[self.folds].clone(), sigmoid }
        };
        let planes = asked.iter().zip(found.chunks_exact(self.folds + 1)).map(plane).collect();
        Ok(Svm { standard, features, classes: labels.classes(), planes, other })
    }

    fn features(&self, rows: &Matrix, seed: u64) -> Result<Option<Fourier>, MethodError> {
        let SvmKernel::Rbf { gamma, features } = self.kernel else { return Ok(None) };
        let limit = MOST_FEATURES / features;
        if rows.rows() > limit {
            return Err(MethodError::TooManyRows { what: WHAT, rows: rows.rows(), limit });
        }
        let gamma = gamma.unwrap_or(1.0 / rows.columns() as f64);
        Ok(Some(Fourier::draw(rows.columns(), features, gamma, seed)))
    }

    /// Part of each row, drawn evenly.
    fn parts(&self, rows: usize, seed: u64) -> Vec<u8> {
        let mut parts: Vec<u8> = (0..rows).map(|row| (row % self.folds) as u8).collect();
        generator(seed, 0).shuffle(&mut parts);
        parts
    }

    /// Weights and intercept that minimise ½‖w‖² + Σ cost × max(0, 1 − side × value)² over the kept rows, the intercept
    /// being one of w.
    fn descend(
        &self,
        inputs: &Matrix,
        kept: &[u32],
        side: impl Fn(usize) -> f64,
        cost: impl Fn(usize) -> f64,
    ) -> Vec<f64> {
        let total: f64 = kept.iter().map(|row| cost(*row as usize)).sum();
        let value = |weights: &[f64], gradient: &mut [f64]| {
            let mut loss = 0.5 * weights.iter().map(|weight| weight * weight).sum::<f64>();
            gradient.copy_from_slice(weights);
            for row in kept {
                let row = *row as usize;
                let (side, values) = (side(row), inputs.row(row));
                let short = 1.0 - side * weighted_sum(weights, values);
                if short > 0.0 {
                    let cost = cost(row);
                    loss += cost * short * short;
                    add_row(gradient, values, -2.0 * cost * short * side);
                }
            }
            gradient.iter_mut().for_each(|part| *part /= total);
            loss / total
        };
        minimize(vec![0.0; inputs.columns() + 1], self.iterations, self.tolerance, value, |_| {}).point
    }
}

impl Svm {
    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Columns that rows must have.
    pub fn columns(&self) -> usize {
        self.standard.columns()
    }

    /// Shares of absolute weights, of standardised columns; nothing with random features.
    pub fn importance(&self) -> Option<Vec<f64>> {
        let weights: Vec<Vec<f64>> = self.planes.iter().map(|plane| plane.weights.clone()).collect();
        self.features.is_none().then(|| logistic::importance(&weights, self.columns()))
    }

    /// Class probabilities, rows × classes.
    ///
    /// # Errors
    /// Rows of another width, or a value that is not finite.
    pub fn probabilities(&self, rows: &Matrix) -> Result<Matrix, MethodError> {
        check_width(rows, self.columns())?;
        let mut answers = Vec::with_capacity(rows.rows() * self.classes);
        // In parts, so that random features of few rows are held at once.
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
    fn two_rows_have_the_plane_worked_by_hand() {
        // Rows ±1 of sides ±1, no other column: by symmetry the intercept is 0 and w minimises ½w² + 2c(1 − w)²,
        // so w = 4c / (1 + 4c); c = 1 gives 0.8.
        let rows = Matrix::from_values(1, vec![1.0, -1.0]).unwrap();
        let config = SvmConfig { tolerance: 1e-10, ..SvmConfig::default() };
        let side = |row: usize| if row == 0 { 1.0 } else { -1.0 };
        let weights = config.descend(&rows, &[0, 1], side, |_| 1.0);
        assert!((weights[0] - 0.8).abs() < 1e-8 && weights[1].abs() < 1e-8, "{weights:?}");
    }

    #[test]
    fn rows_of_a_high_cost_stay_on_their_side() {
        // At 0 one row of side 1 against two of side −1: the intercept b minimises ½b² + c (1 − b)² + 2 (1 + b)², so
        // b = (2c − 4) / (1 + 2c + 4).
        let rows = Matrix::from_values(1, vec![0.0; 3]).unwrap();
        let config = SvmConfig { tolerance: 1e-10, ..SvmConfig::default() };
        for high in [1.0, 10.0] {
            let side = |row: usize| if row == 0 { 1.0 } else { -1.0 };
            let weights = config.descend(&rows, &[0, 1, 2], side, |row| if row == 0 { high } else { 1.0 });
            assert!((weights[1] - (2.0 * high - 4.0) / (5.0 + 2.0 * high)).abs() < 1e-8, "{high}: {weights:?}");
        }
    }

    #[test]
    fn lines_part_three_groups_and_a_circle_needs_the_kernel() {
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
    fn one_and_two_threads_fit_the_same() {
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
