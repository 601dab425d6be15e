//! Labelled rows → one classification tree: CART (Breiman, Friedman, Olshen, Stone 1984) with Gini impurity.

mod columns;
mod config;
mod grow;
mod nodes;
#[cfg(test)]
mod tests;

use lapwing_tables::Matrix;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub(crate) use columns::Columns;
pub use config::{ClassWeights, ColumnShare, TreeConfig};
pub(crate) use grow::{Grower, Sample};
pub(crate) use nodes::Nodes;

use crate::{
    FitProgress, Labels, MethodError, Step,
    input::{check_labelled, check_setting, check_width, generator},
};

/// Rows predicted together: their sums stay in cache while the nodes of each tree are read once.
const BLOCK: usize = 512;

/// One tree, or an ensemble of trees whose class probabilities are averaged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trees {
    columns: usize,
    classes: usize,
    trees: Vec<Nodes>,
    importance: Vec<f64>,
}

/// How the rows of each tree are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    /// Every row once.
    Once,
    /// Bootstrap sample: as many draws with replacement as there are rows.
    Bootstrap,
}

pub(crate) struct Plan<'a> {
    /// The method's name, for errors.
    pub(crate) what: &'static str,
    pub(crate) tree: &'a TreeConfig,
    pub(crate) trees: usize,
    pub(crate) draw: Draw,
}

impl TreeConfig {
    /// Grows one tree; `seed` matters only when columns or cuts are random.
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
        let plan = Plan { what: "decision-tree", tree: self, trees: 1, draw: Draw::Once };
        Trees::grow(&plan, rows, labels, seed, progress)
    }
}

impl Trees {
    /// Grows trees, each with its own random generator.
    pub(crate) fn grow(
        plan: &Plan<'_>,
        rows: &Matrix,
        labels: Labels<'_>,
        seed: u64,
        progress: FitProgress<'_>,
    ) -> Result<Self, MethodError> {
        let Plan { what, tree: config, trees, draw } = *plan;
        config.check()?;
        check_labelled(what, rows, labels)?;
        let classes = labels.classes();
        check_setting("classes", classes, classes <= 65_535, "at most 65535")?;
        // Row numbers and draws are stored in 32 bits.
        if rows.rows() >= u32::MAX as usize {
            return Err(MethodError::TooManyRows { what, rows: rows.rows(), limit: u32::MAX as usize - 1 });
        }
        let weights = config.class_weights.of(labels)?;
        let columns = Columns::new(rows, config.bins);
        let done = std::sync::atomic::AtomicUsize::new(0);
        let one = |tree: usize| {
            let mut random = generator(seed, tree as u64);
            let mut samples = draw.samples(labels.values(), &mut random);
            let grown = Grower::new(&columns, config, &weights, random).grow(&mut samples);
            let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            progress(Step { what: "trees", done, total: trees });
            grown
        };
        let grown: Vec<(Nodes, Vec<f64>)> = (0..trees).into_par_iter().map(one).collect();
        let mut importance = vec![0.0; rows.columns()];
        for (_, shares) in &grown {
            for (sum, share) in importance.iter_mut().zip(shares) {
                *sum += share;
            }
        }
        let sum: f64 = importance.iter().sum();
        importance.iter_mut().for_each(|share| *share /= sum.max(f64::MIN_POSITIVE));
        let trees = grown.into_iter().map(|(nodes, _)| nodes).collect();
        Ok(Self { columns: rows.columns(), classes, trees, importance })
    }

    /// Number of classes.
    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// Number of columns that rows must have.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Each column's share of the decrease in impurity, summing to 1 (all 0 without splits).
    pub(crate) fn importance(&self) -> &[f64] {
        &self.importance
    }

    /// Number of leaves of all trees.
    #[cfg(test)]
    pub(crate) fn leaves(&self) -> usize {
        self.trees.iter().map(Nodes::leaves).sum()
    }

    /// Maximum number of splits from a root to a leaf.
    #[cfg(test)]
    pub(crate) fn depth(&self) -> usize {
        self.trees.iter().map(Nodes::depth).max().unwrap_or(0)
    }

    /// Class probabilities, rows × classes: the mean of the trees' leaf shares.
    ///
    /// # Errors
    /// Rows with another number of columns, or a value that is not finite.
    pub(crate) fn probabilities(&self, rows: &Matrix) -> Result<Matrix, MethodError> {
        check_width(rows, self.columns)?;
        let blocks: Vec<Vec<f32>> = (0..rows.rows().div_ceil(BLOCK))
            .into_par_iter()
            .map(|block| self.block(rows, block * BLOCK, ((block + 1) * BLOCK).min(rows.rows())))
            .collect();
        Ok(Matrix::from_values(self.classes, blocks.concat()).unwrap_or_default())
    }

    fn block(&self, rows: &Matrix, from: usize, to: usize) -> Vec<f32> {
        let mut sums = vec![0.0f32; (to - from) * self.classes];
        for tree in &self.trees {
            for (row, sums) in (from..to).zip(sums.chunks_exact_mut(self.classes)) {
                for (sum, share) in sums.iter_mut().zip(tree.shares(rows.row(row))) {
                    *sum += share;
                }
            }
        }
        let trees = self.trees.len() as f32;
        sums.iter_mut().for_each(|sum| *sum /= trees);
        sums
    }
}

impl Draw {
    fn samples(self, labels: &[u32], random: &mut fastrand::Rng) -> Vec<Sample> {
        let mut draws = vec![1u16; labels.len()];
        if self == Self::Bootstrap {
            draws.fill(0);
            for _ in 0..labels.len() {
                let row = random.usize(..labels.len());
                draws[row] = draws[row].saturating_add(1);
            }
        }
        let drawn = draws.iter().zip(labels).enumerate().filter(|(_, (draws, _))| **draws > 0);
        drawn.map(|(row, (draws, class))| Sample { row: row as u32, class: *class as u16, draws: *draws }).collect()
    }
}
