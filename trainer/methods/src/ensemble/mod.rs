//! Ensembles of trees or of other methods.

mod boosting;
mod config;
mod voting;

use lapwing_tables::Matrix;

pub use boosting::Boosting;
pub use config::{BaggingConfig, BoostingConfig, ForestConfig, VotingConfig};
pub use voting::Voting;

use crate::{
    FitProgress, Labels, MethodError,
    tree::{Draw, Plan, Trees},
};

impl ForestConfig {
    /// Grows the forest.
    ///
    /// # Errors
    /// An invalid setting; no rows; rows that are constant, of one class, or not finite.
    pub fn fit(
        &self,
        rows: &Matrix,
        labels: Labels<'_>,
        seed: u64,
        progress: FitProgress<'_>,
    ) -> Result<Trees, MethodError> {
        self.check()?;
        let draw = if self.bootstrap { Draw::Bootstrap } else { Draw::Once };
        let plan = Plan { what: "random-forest", tree: &self.tree, trees: self.trees, draw };
        Trees::grow(&plan, rows, labels, seed, progress)
    }
}

impl BaggingConfig {
    /// Grows the trees.
    ///
    /// # Errors
    /// As [`ForestConfig::fit`].
    pub fn fit(
        &self,
        rows: &Matrix,
        labels: Labels<'_>,
        seed: u64,
        progress: FitProgress<'_>,
    ) -> Result<Trees, MethodError> {
        self.check()?;
        let plan = Plan { what: "bagging", tree: &self.tree, trees: self.trees, draw: Draw::Bootstrap };
        Trees::grow(&plan, rows, labels, seed, progress)
    }
}
