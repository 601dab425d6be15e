//! Rows → distance to the k-th nearest benign row (Ramaswamy, Rastogi, Shim 2000), in standardised columns.

use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

use super::{NeighboursConfig, standardise};
use crate::{
    MethodError,
    distance::nearest,
    input::{check_rows, check_width, generator, sample},
    standard::Standard,
};

/// The benign rows that distances are measured to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Neighbours {
    standard: Standard,
    reference: Matrix,
    neighbours: usize,
    of: usize,
}

impl NeighboursConfig {
    /// Keeps the benign rows, or a sample of at most `limit`.
    ///
    /// # Errors
    /// An invalid setting; fewer than `neighbours` rows; rows that are constant or not finite.
    pub fn fit(&self, benign: &Matrix, seed: u64) -> Result<Neighbours, MethodError> {
        self.check()?;
        check_rows("neighbours", benign, self.neighbours)?;
        let standard = standardise("neighbours", benign, true)?;
        let rows = sample(benign.rows(), self.limit.max(self.neighbours), &mut generator(seed, 0));
        let reference = standard.apply(&benign.select_rows(&rows));
        Ok(Neighbours { standard, reference, neighbours: self.neighbours, of: benign.rows() })
    }
}

impl Neighbours {
    /// Number of columns that rows must have.
    pub fn columns(&self) -> usize {
        self.standard.columns()
    }

    /// Number of kept benign rows, and of rows before subsampling.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> (usize, usize) {
        (self.reference.rows(), self.of)
    }

    /// Distance of each row to its k-th nearest kept row; a kept row counts itself.
    ///
    /// # Errors
    /// Rows with another number of columns, or a value that is not finite.
    pub(crate) fn scores(&self, rows: &Matrix) -> Result<Vec<f32>, MethodError> {
        check_width(rows, self.columns())?;
        let found = nearest(&self.reference, &self.standard.apply(rows), self.neighbours);
        Ok(found.iter().map(|near| near.last().map_or(0.0, |near| near.distance)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_to_the_second_nearest_matches_hand_calculation() {
        // 0 2 4 6 8: mean 4, deviation √8.
        let benign = Matrix::from_values(1, vec![0.0, 2.0, 4.0, 6.0, 8.0]).unwrap();
        let fitted = NeighboursConfig { neighbours: 2, ..NeighboursConfig::default() }.fit(&benign, 1).unwrap();
        let scores = fitted.scores(&Matrix::from_values(1, vec![4.0, 12.0]).unwrap()).unwrap();
        for (score, expected) in scores.iter().zip([2.0, 6.0]) {
            assert!((score - expected / 8.0f32.sqrt()).abs() < 1e-5);
        }
    }

    #[test]
    fn the_number_of_kept_rows_is_bounded_and_reported() {
        let benign = Matrix::from_values(1, (0..100).map(|at| at as f32).collect()).unwrap();
        let config = NeighboursConfig { neighbours: 1, limit: 10 };
        assert_eq!(config.fit(&benign, 1).unwrap().kept(), (10, 100));
        let few = NeighboursConfig { neighbours: 200, limit: 10 }.fit(&benign, 1);
        assert_eq!(few, Err(MethodError::TooFewRows { what: "neighbours", rows: 100, needed: 200 }));
    }
}
