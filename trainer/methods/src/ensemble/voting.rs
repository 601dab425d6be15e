//! Several methods' class probabilities → their weighted mean.

use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

use crate::{Classifier, FitProgress, Labels, MethodError, VotingConfig};

/// Fitted methods and their weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Voting {
    members: Vec<(Classifier, f64)>,
}

impl VotingConfig {
    /// Fits each method on the same rows, one after the other.
    ///
    /// # Errors
    /// Those of the methods.
    pub fn fit(
        &self,
        rows: &Matrix,
        labels: Labels<'_>,
        seed: u64,
        progress: FitProgress<'_>,
    ) -> Result<Voting, MethodError> {
        self.check()?;
        let weight = |at: usize| self.weights.get(at).copied().unwrap_or(1.0);
        let sum: f64 = (0..self.members.len()).map(weight).sum();
        let fit = |(at, member): (usize, &crate::ClassifierConfig)| {
            Ok((member.fit(rows, labels, seed.wrapping_add(at as u64), progress)?, weight(at) / sum))
        };
        Ok(Voting { members: self.members.iter().enumerate().map(fit).collect::<Result<_, MethodError>>()? })
    }
}

impl Voting {
    /// Number of classes.
    pub(crate) fn classes(&self) -> usize {
        self.members.first().map_or(0, |(member, _)| member.classes())
    }

    /// Number of columns that rows must have.
    pub fn columns(&self) -> usize {
        self.members.first().map_or(0, |(member, _)| member.columns())
    }

    /// Class probabilities, rows × classes.
    ///
    /// # Errors
    /// Rows with another number of columns, or a value that is not finite.
    pub(crate) fn probabilities(&self, rows: &Matrix) -> Result<Matrix, MethodError> {
        let mut sums = vec![0.0f64; rows.rows() * self.classes()];
        for (member, weight) in &self.members {
            let answers = member.probabilities(rows)?;
            for (sum, answer) in sums.iter_mut().zip(answers.values()) {
                *sum += weight * f64::from(*answer);
            }
        }
        let values = sums.into_iter().map(|sum| sum as f32).collect();
        Ok(Matrix::from_values(self.classes(), values).unwrap_or_default())
    }

    /// Weighted mean over the methods that have an importance; `None` when no method has one.
    pub(crate) fn importance(&self) -> Option<Vec<f64>> {
        let known: Vec<(Vec<f64>, f64)> =
            self.members.iter().filter_map(|(member, weight)| Some((member.importance()?, *weight))).collect();
        let all: f64 = known.iter().map(|(_, weight)| weight).sum();
        let mut sums = vec![0.0; known.first()?.0.len()];
        for (shares, weight) in &known {
            for (sum, share) in sums.iter_mut().zip(shares) {
                *sum += share * weight / all;
            }
        }
        Some(sums)
    }
}
