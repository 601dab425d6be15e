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
    Labels, MethodError, Progress, Step,
    input::{check_labelled, check_setting, check_width, generator},
};

/// Rows that are answered together: their sums stay in cache while each tree's nodes are read once.
const BLOCK: usize = 512;

/// One tree or several whose answers are averaged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trees {
    columns: usize,
    classes: usize,
    trees: Vec<Nodes>,
    importance: Vec<f64>,
}

/// Which rows a tree sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    /// Every row once.
    Once,
    /// As many draws with replacement as there are rows.
    Bootstrap,
}

impl TreeConfig {
    /// Grows one tree; `seed` matters only where columns or cuts are drawn.
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
        Trees::grow("decision-tree", self, (1, Draw::Once), rows, labels, seed, progress)
    }
}

impl Trees {
    /// Grows trees, each with a generator of its own.
    pub(crate) fn grow(
        what: &'static str,
        config: &TreeConfig,
        (trees, draw): (usize, Draw),
        rows: &Matrix,
        labels: Labels<'_>,
        seed: u64,
        progress: Progress<'_>,
    ) -> Result<Self, MethodError> {
        config.check()?;
        check_labelled(what, rows, labels)?;
        let classes = labels.classes();
        check_setting("classes", classes, classes <= 65_535, "at most 65535")?;
        // Row numbers and draws are kept in 32 bits.
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
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Columns that rows must have.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Each column's share of the decrease in impurity, summing to 1 (all 0 when nothing was split).
    pub fn importance(&self) -> &[f64] {
        &self.importance
    }

    /// Leaves of all trees together.
    pub fn leaves(&self) -> usize {
        self.trees.iter().map(Nodes::leaves).sum()
    }

    /// Most splits from a root to a leaf.
    pub fn depth(&self) -> usize {
        self.trees.iter().map(Nodes::depth).max().unwrap_or(0)
    }

    /// Class probabilities, rows × classes: the mean of the trees' leaf shares.
    ///
    /// # Errors
    /// Rows of another width, or a value that is not finite.
    pub fn probabilities(&self, rows: &Matrix) -> Result<Matrix, MethodError> {
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
