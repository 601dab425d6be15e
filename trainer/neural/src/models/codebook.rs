//! Benign rows → codebook → distance of a row to the nearest code: vector quantization (Gray 1984), a second factor of
//! an autoencoder's score.
//!
//! Codes are k-means centres of the encoded columns without further scaling, so that codes and rows share one int8
//! quantization.

use crate::error::NeuralError;
use lapwing_methods::{KMeansConfig, silent};
use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

/// Maximum codebook size: less than 200 kB as int8 with 48 columns.
pub(crate) const CODES: usize = 4096;
/// Maximum k-means iterations.
const ITERATIONS: usize = 25;
/// Added to the squared distance, so that a row equal to a code has a score above 0.
const FLOOR: f32 = 1e-6;

/// Representative benign rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Codebook {
    codes: Matrix,
}

impl Codebook {
    /// Computes at most `codes` codes, limited by the number of distinct benign rows.
    ///
    /// # Errors
    /// No rows, or values that are not finite.
    pub fn fit(benign: &Matrix, codes: usize, seed: u64) -> Result<Self, NeuralError> {
        let config = KMeansConfig { centres: codes, iterations: ITERATIONS };
        Ok(Self { codes: config.centres_of(benign, seed, &silent)? })
    }

    /// One code per row.
    pub fn codes(&self) -> &Matrix {
        &self.codes
    }

    /// True if the codes have `columns` finite values each. Check this before using a codebook read from a file.
    pub fn is_valid(&self, columns: usize) -> bool {
        let codes = &self.codes;
        codes.rows() > 0 && codes.columns() == columns && codes.values().iter().all(|value| value.is_finite())
    }

    /// Squared distance of a row to the nearest code, above 0.
    pub fn distance(&self, row: &[f32]) -> f32 {
        let square = |code: &[f32]| code.iter().zip(row).map(|(code, value)| (code - value) * (code - value)).sum();
        self.codes.iter().map(square).fold(f32::INFINITY, f32::min) + FLOOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_to_the_nearest_cluster() {
        let values = (0..300).flat_map(|row| [(row % 3) as f32 * 10.0, (row % 2) as f32 * 0.01]).collect();
        let rows = Matrix::from_values(2, values).unwrap();
        let codebook = Codebook::fit(&rows, 3, 1).unwrap();
        assert_eq!(codebook.codes().rows(), 3);
        assert!(codebook.is_valid(2) && !codebook.is_valid(3));
        assert!(codebook.distance(&[10.0, 0.005]) < 1e-3);
        assert!((codebook.distance(&[14.0, 0.005]) - 16.0).abs() < 0.01);
    }

    #[test]
    fn rows_with_nan_are_rejected() {
        let rows = Matrix::from_values(2, vec![0.0, f32::NAN, 1.0, 2.0]).unwrap();
        assert!(Codebook::fit(&rows, 2, 1).is_err());
    }
}
