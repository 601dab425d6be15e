//! Columns → standardised columns: mean 0 and deviation 1 on the fitted rows; constant columns become 0 on every row.

use lapwing_tables::Matrix;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Rows per partial sum. Partial sums are added in order, so results do not depend on the number of threads.
pub(crate) const PART: usize = 4096;

/// Centre and factor of each column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Standard {
    centre: Vec<f32>,
    factor: Vec<f32>,
}

impl Standard {
    /// Fits centre and factor; without `scale`, factors are 1 (0 for constant columns).
    pub(crate) fn fit(rows: &Matrix, scale: bool) -> Self {
        let count = rows.rows().max(1) as f64;
        let sums = column_sums(rows, |_, value| value);
        let centre: Vec<f64> = sums.iter().map(|sum| sum / count).collect();
        let squares = column_sums(rows, |column, value| (value - centre[column]) * (value - centre[column]));
        let factor = |column: usize| {
            let first = rows.row(0)[column];
            let deviation = libm::sqrt(squares[column] / count);
            // Rounding can leave a constant column a tiny deviation, so compare its values as well.
            let constant = deviation <= 0.0 || rows.iter().all(|row| row[column] == first);
            if constant {
                0.0
            } else if scale {
                (1.0 / deviation) as f32
            } else {
                1.0
            }
        };
        Self {
            factor: (0..rows.columns()).into_par_iter().map(factor).collect(),
            centre: centre.iter().map(|value| *value as f32).collect(),
        }
    }

    /// Number of columns that rows must have.
    pub(crate) fn columns(&self) -> usize {
        self.centre.len()
    }

    /// Whether every column is constant.
    pub(crate) fn all_constant(&self) -> bool {
        self.factor.iter().all(|factor| *factor == 0.0)
    }

    /// The rows, standardised.
    pub(crate) fn apply(&self, rows: &Matrix) -> Matrix {
        let mut scaled = rows.clone();
        for row in 0..scaled.rows() {
            let values = scaled.row_mut(row).iter_mut();
            for ((value, centre), factor) in values.zip(&self.centre).zip(&self.factor) {
                *value = (*value - centre) * factor;
            }
        }
        scaled
    }
}

/// Σ term(column, value) over the rows, by column.
fn column_sums(rows: &Matrix, term: impl Fn(usize, f64) -> f64 + Sync) -> Vec<f64> {
    let part = |part: usize| {
        let mut sums = vec![0.0; rows.columns()];
        for row in part * PART..((part + 1) * PART).min(rows.rows()) {
            for (column, (sum, value)) in sums.iter_mut().zip(rows.row(row)).enumerate() {
                *sum += term(column, f64::from(*value));
            }
        }
        sums
    };
    let parts: Vec<Vec<f64>> = (0..rows.rows().div_ceil(PART)).into_par_iter().map(part).collect();
    let mut sums = vec![0.0; rows.columns()];
    for part in parts {
        for (sum, value) in sums.iter_mut().zip(part) {
            *sum += value;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_get_mean_zero_and_deviation_one() {
        let rows = Matrix::from_values(3, vec![1.0, 0.1, 5.0, 3.0, 0.1, 5.0, 5.0, 0.1, 8.0, 7.0, 0.1, 8.0]).unwrap();
        let standard = Standard::fit(&rows, true);
        let scaled = standard.apply(&rows);
        // 1 3 5 7: mean 4, deviation √5; 5 5 8 8: mean 6.5, deviation 1.5.
        assert!((scaled.row(0)[0] + 3.0 / 5.0f32.sqrt()).abs() < 1e-6);
        assert_eq!(scaled.row(3)[2], 1.0);
        assert_eq!(standard.apply(&Matrix::from_values(3, vec![4.0, 99.0, 6.5]).unwrap()).values(), [0.0; 3]);
        assert!(!standard.all_constant());
        assert!(Standard::fit(&Matrix::from_values(1, vec![0.1; 7]).unwrap(), true).all_constant());
        assert_eq!(Standard::fit(&rows, false).apply(&rows).row(0)[0], -3.0);
    }
}
