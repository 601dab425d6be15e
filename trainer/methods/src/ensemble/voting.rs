//! Several methods' class probabilities → their weighted mean.

use lapwing_tables::Matrix;
use serde::{Deserialize, Serialize};

use crate::{Classifier, Labels, MethodError, Progress, VotingConfig};

/// Fitted members and their weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Voting {
    members: Vec<(Classifier, f64)>,
}

impl VotingConfig {
    /// Fits every member on the same rows, one after the other.
    ///
    /// # Errors
    /// As the members' own.
    pub fn fit(
        &self,
        rows: &Matrix,
        labels: Labels<'_>,
        seed: u64,
        progress: Progress<'_>,
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
    pub fn classes(&self) -> usize {
        self.members.first().map_or(0, |(member, _)| member.classes())
    }

    /// Columns that rows must have.
    pub fn columns(&self) -> usize {
        self.members.first().map_or(0, |(member, _)| member.columns())
    }

    /// Class probabilities, rows × classes.
    ///
    /// # Errors
    /// Rows of another width, or a value that is not finite.
    pub fn probabilities(&self, rows: &Matrix) -> Result<Matrix, MethodError> {
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

    /// Weighted mean over the members that have one; nothing when none has.
    pub fn importance(&self) -> Option<Vec<f64>> {
        let told: Vec<(Vec<f64>, f64)> =
            self.members.iter().filter_map(|(member, weight)| Some((member.importance()?, *weight))).collect();
        let all: f64 = told.iter().map(|(_, weight)| weight).sum();
        let mut sums = vec![0.0; told.first()?.0.len()];
        for (shares, weight) in &told {
            for (sum, share) in sums.iter_mut().zip(shares) {
                *sum += share * weight / all;
            }
        }
        Some(sums)
    }
}
