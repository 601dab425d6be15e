//! k-means (Lloyd 1982) initialised by k-means++ (Arthur and Vassilvitskii 2007): distance to the nearest of a few
//! centres of benign rows, in standardised columns.

use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

use super::{KMeansConfig, standardise};
use crate::{
    FitProgress, MethodError, Step,
    distance::{Near, distance, nearest},
    input::{check_rows, check_width, generator},
    standard::Standard,
};

/// Fitted centres.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KMeans {
    standard: Standard,
    centres: Matrix,
}

impl KMeansConfig {
    /// Iterates until no benign row changes its centre, or `iterations` are done.
    ///
    /// # Errors
    /// An invalid setting; no rows; rows that are constant or not finite.
    pub fn fit(&self, benign: &Matrix, seed: u64, progress: FitProgress<'_>) -> Result<KMeans, MethodError> {
        self.check()?;
        let standard = standardise("k-means", benign, true)?;
        let centres = self.iterate(&standard.apply(benign), seed, progress);
        Ok(KMeans { standard, centres })
    }

    /// The centres of rows that are not standardised.
    ///
    /// # Errors
    /// An invalid setting; fewer than two rows; values that are not finite.
    pub fn centres_of(&self, rows: &Matrix, seed: u64, progress: FitProgress<'_>) -> Result<Matrix, MethodError> {
        self.check()?;
        check_rows("k-means", rows, 2)?;
        Ok(self.iterate(rows, seed, progress))
    }

    fn iterate(&self, rows: &Matrix, seed: u64, progress: FitProgress<'_>) -> Matrix {
        let mut centres = self.start(rows, seed);
        let mut before = Vec::new();
        for done in 0..self.iterations {
            progress(Step { what: "iterations", done, total: self.iterations });
            let own: Vec<usize> = assign(&centres, rows).iter().map(|near| near.row).collect();
            if own == before {
                break;
            }
            centres = means(rows, &own, &centres);
            before = own;
        }
        centres
    }

    /// k-means++: draws rows with a probability proportional to the squared distance to those drawn before.
    fn start(&self, rows: &Matrix, seed: u64) -> Matrix {
        let mut random = generator(seed, 0);
        let mut chosen = vec![random.usize(..rows.rows())];
        let mut squares = vec![f64::INFINITY; rows.rows()];
        while chosen.len() < self.centres {
            let last = rows.row(chosen[chosen.len() - 1]);
            for (square, row) in squares.iter_mut().zip(rows.iter()) {
                let far = f64::from(distance(last, row));
                *square = square.min(far * far);
            }
            let sum: f64 = squares.iter().sum();
            // Every distinct row is a centre already.
            if sum <= 0.0 {
                break;
            }
            let mut left = random.f64() * sum;
            let reached = squares.iter().position(|square| {
                left -= square;
                left < 0.0
            });
            let last = squares.iter().rposition(|square| *square > 0.0).unwrap_or(0);
            chosen.push(reached.unwrap_or(last));
        }
        rows.select_rows(&chosen)
    }
}

/// The nearest centre of each row.
fn assign(centres: &Matrix, rows: &Matrix) -> Vec<Near> {
    nearest(centres, rows, 1).into_iter().flatten().collect()
}

/// Mean of the rows of each centre; a centre without rows does not move.
fn means(rows: &Matrix, own: &[usize], centres: &Matrix) -> Matrix {
    let columns = rows.columns();
    let mut sums = vec![0.0f64; centres.rows() * columns];
    let mut counts = vec![0u32; centres.rows()];
    for (row, centre) in rows.iter().zip(own) {
        counts[*centre] += 1;
        for (sum, value) in sums[centre * columns..].iter_mut().zip(row) {
            *sum += f64::from(*value);
        }
    }
    let mut moved = centres.clone();
    for (centre, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        for (to, sum) in moved.row_mut(centre).iter_mut().zip(&sums[centre * columns..]) {
            *to = (sum / f64::from(*count)) as f32;
        }
    }
    moved
}

impl KMeans {
    /// Number of columns that rows must have.
    pub fn columns(&self) -> usize {
        self.standard.columns()
    }

    /// Number of centres; less than configured if there were fewer distinct rows.
    #[cfg(test)]
    pub(crate) fn centres(&self) -> usize {
        self.centres.rows()
    }

    /// The nearest centre of each row, from 0.
    ///
    /// # Errors
    /// Rows with another number of columns, or a value that is not finite.
    #[cfg(test)]
    pub(crate) fn clusters(&self, rows: &Matrix) -> Result<Vec<u32>, MethodError> {
        check_width(rows, self.columns())?;
        Ok(assign(&self.centres, &self.standard.apply(rows)).iter().map(|near| near.row as u32).collect())
    }

    /// Distance of each row to the nearest centre.
    ///
    /// # Errors
    /// Rows with another number of columns, or a value that is not finite.
    pub(crate) fn scores(&self, rows: &Matrix) -> Result<Vec<f32>, MethodError> {
        check_width(rows, self.columns())?;
        Ok(assign(&self.centres, &self.standard.apply(rows)).iter().map(|near| near.distance).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::silent;

    #[test]
    fn three_groups_get_a_centre_each() {
        let mut random = generator(1, 0);
        let values: Vec<f32> = (0..300).map(|row| (row % 3) as f32 * 10.0 + random.f32()).collect();
        let rows = Matrix::from_values(1, values).unwrap();
        let fitted = KMeansConfig { centres: 3, ..KMeansConfig::default() }.fit(&rows, 1, &silent).unwrap();
        let clusters = fitted.clusters(&rows).unwrap();
        assert!((0..300).all(|row| clusters[row] == clusters[row % 3]));
        assert!(clusters[0] != clusters[1] && clusters[1] != clusters[2] && clusters[0] != clusters[2]);
        let scores = fitted.scores(&Matrix::from_values(1, vec![10.5, 15.0]).unwrap()).unwrap();
        assert!(scores[0] < 0.05 && scores[1] > 0.4, "{scores:?}");
    }

    #[test]
    fn two_distinct_rows_have_at_most_two_centres() {
        let rows = Matrix::from_values(1, vec![0.0, 1.0, 0.0, 1.0]).unwrap();
        let fitted = KMeansConfig::default().fit(&rows, 1, &silent).unwrap();
        assert_eq!(fitted.centres(), 2);
        assert_eq!(fitted.scores(&rows).unwrap(), [0.0; 4]);
    }
}
