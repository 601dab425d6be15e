//! Benign rows → the rows that stand for them, the codes → how far a row is from the nearest: vector quantization (Gray
//! 1984), a second opinion beside an autoencoder's reconstruction.
//!
//! Codes are k-means centres in the columns as they come, so that they and rows can be int8 in the same units.

use crate::error::NeuralError;
use lapwing_methods::{KMeansConfig, silent};
use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

/// Most codes: as bytes they take less than 200 kB with 48 columns.
pub const CODES: usize = 4096;
/// Most passes of k-means.
const ITERATIONS: usize = 25;
/// Added to a squared distance: a row that is a code still has a score.
const FLOOR: f32 = 1e-6;

/// Rows that stand for all benign ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Codebook {
    codes: Matrix,
}

impl Codebook {
    /// Learns so many codes from benign rows, or fewer when there are fewer distinct rows.
    ///
    /// # Errors
    /// Rows that are missing or not finite.
    pub fn fit(benign: &Matrix, codes: usize, seed: u64) -> Result<Self, NeuralError> {
        let config = KMeansConfig { centres: codes, iterations: ITERATIONS };
        Ok(Self { codes: config.centres_of(benign, seed, &silent)? })
    }

    /// The codes, a row each.
    pub fn codes(&self) -> &Matrix {
        &self.codes
    }

    /// True for codes as wide as the rows, and finite: whoever reads one from a file asks this first.
    pub fn is_valid(&self, columns: usize) -> bool {
        let codes = &self.codes;
        codes.rows() > 0 && codes.columns() == columns && codes.values().iter().all(|value| value.is_finite())
    }

    /// Squared distance of a row to the nearest code, over 0.
    pub fn distance(&self, row: &[f32]) -> f32 {
        let square = |code: &[f32]| code.iter().zip(row).map(|(code, value)| (code - value) * (code - value)).sum();
        self.codes.iter().map(square).fold(f32::INFINITY, f32::min) + FLOOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_as_far_as_the_nearest_heap() {
        let values = (0..300).flat_map(|row| [(row % 3) as f32 * 10.0, (row % 2) as f32 * 0.01]).collect();
        let rows = Matrix::from_values(2, values).unwrap();
        let book = Codebook::fit(&rows, 3, 1).unwrap();
        assert_eq!(book.codes().rows(), 3);
        assert!(book.is_valid(2) && !book.is_valid(3));
        assert!(book.distance(&[10.0, 0.005]) < 1e-3);
        assert!((book.distance(&[14.0, 0.005]) - 16.0).abs() < 0.01);
    }

    #[test]
    fn rows_without_numbers_are_refused() {
        let rows = Matrix::from_values(2, vec![0.0, f32::NAN, 1.0, 2.0]).unwrap();
        assert!(Codebook::fit(&rows, 2, 1).is_err());
    }
}
