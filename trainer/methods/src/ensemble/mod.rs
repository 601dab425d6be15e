//! Several trees or methods that decide together.

mod boosting;
mod config;
mod voting;

use lapwing_tables::Matrix;

pub use boosting::Boosting;
pub use config::{BaggingConfig, BoostingConfig, ForestConfig, VotingConfig};
pub use voting::Voting;

use crate::{
    Labels, MethodError, Progress,
    tree::{Draw, Trees},
};

impl ForestConfig {
    /// Grows the forest.
    ///
    /// # Errors
    /// A setting outside its range; rows that are missing, constant, of one class, or not finite.
    pub fn fit(
        &self,
        rows: &Matrix,
        labels: Labels<'_>,
        seed: u64,
        progress: Progress<'_>,
    ) -> Result<Trees, MethodError> {
        self.check()?;
        let draw = if self.bootstrap { Draw::Bootstrap } else { Draw::Once };
        Trees::grow("random-forest", &self.tree, (self.trees, draw), rows, labels, seed, progress)
    }
}

impl BaggingConfig {
    /// Grows the bag.
    ///
    /// # Errors
    /// As [`ForestConfig::fit`].
    pub fn fit(
        &self,
        rows: &Matrix,
        labels: Labels<'_>,
        seed: u64,
        progress: Progress<'_>,
    ) -> Result<Trees, MethodError> {
        self.check()?;
        Trees::grow("bagging", &self.tree, (self.trees, Draw::Bootstrap), rows, labels, seed, progress)
    }
}
