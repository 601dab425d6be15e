//! Rows → random features whose dot product is close to exp(−gamma ‖a − b‖²) (Rahimi and Recht 2007, "Random features
//! for large-scale kernel machines"): √(2/D) cos(Ωx + b), Ω normal with variance 2·gamma, b uniform on 0..2π.

use lapwing_tables::Matrix;
use ndarray::{Array2, ArrayView2, linalg::general_mat_mul};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{input::generator, standard::PART};

/// Drawn directions and shifts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Fourier {
    columns: usize,
    /// Features × columns.
    directions: Vec<f32>,
    shifts: Vec<f32>,
}

impl Fourier {
    /// Draws `features` directions for rows of `columns`.
    pub(super) fn draw(columns: usize, features: usize, gamma: f64, seed: u64) -> Self {
        let mut random = generator(seed, 0);
        let deviation = libm::sqrt(2.0 * gamma);
        let full = core::f64::consts::TAU;
        // Box and Muller 1958; 1 − u keeps the logarithm finite.
        let mut normal = || libm::sqrt(-2.0 * libm::log(1.0 - random.f64())) * libm::cos(full * random.f64());
        let directions = (0..features * columns).map(|_| (deviation * normal()) as f32).collect();
        let shifts = (0..features).map(|_| (full * random.f64()) as f32).collect();
        Self { columns, directions, shifts }
    }

    /// Rows × features.
    pub(super) fn apply(&self, rows: &Matrix) -> Matrix {
        let part = |part: usize| self.part(rows, part * PART, ((part + 1) * PART).min(rows.rows()));
        let parts: Vec<Vec<f32>> = (0..rows.rows().div_ceil(PART)).into_par_iter().map(part).collect();
        Matrix::from_values(self.shifts.len(), parts.concat()).unwrap_or_default()
    }

    fn part(&self, rows: &Matrix, from: usize, to: usize) -> Vec<f32> {
        let features = self.shifts.len();
        let mut found = Array2::zeros((to - from, features));
        let inputs =
            ArrayView2::from_shape((to - from, self.columns), &rows.values()[from * self.columns..to * self.columns]);
        let directions = ArrayView2::from_shape((features, self.columns), &self.directions);
        if let (Ok(inputs), Ok(directions)) = (inputs, directions) {
            general_mat_mul(1.0, &inputs, &directions.t(), 0.0, &mut found);
        }
        let factor = libm::sqrtf(2.0 / features as f32);
        for mut row in found.rows_mut() {
            for (value, shift) in row.iter_mut().zip(&self.shifts) {
                *value = factor * libm::cosf(*value + shift);
            }
        }
        found.into_raw_vec_and_offset().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feature_products_approximate_the_kernel() {
        let rows = Matrix::from_values(2, vec![0.0, 0.0, 1.0, 0.0, 0.5, 2.0]).unwrap();
        let features = Fourier::draw(2, 8192, 0.4, 3).apply(&rows);
        for a in 0..3 {
            for b in 0..3 {
                let product: f32 = features.row(a).iter().zip(features.row(b)).map(|(a, b)| a * b).sum();
                let squared: f32 = rows.row(a).iter().zip(rows.row(b)).map(|(a, b)| (a - b) * (a - b)).sum();
                assert!((product - libm::expf(-0.4 * squared)).abs() < 0.04, "{a} {b} {product}");
            }
        }
    }
}
