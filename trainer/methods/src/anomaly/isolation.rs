//! Isolation forest (Liu, Ting, Zhou 2008, "Isolation forest"): random cuts isolate anomalous rows early.
//!
//! Each tree is grown on a small sample to a depth of ⌈log₂ sample⌉; each node cuts a random column that varies there
//! at a random value. The score is 2^(−mean path / c(sample)), 0..1; a leaf with n rows adds c(n), the mean path of an
//! unsuccessful search in a binary tree of n rows.

use lapwing_tables::Matrix;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{IsolationForestConfig, standardise};
use crate::{
    FitProgress, MethodError, Step,
    input::{check_width, generator, sample},
};

/// Marks a leaf.
const LEAF: u32 = u32::MAX;
/// Rows scored together, for the cache.
const BLOCK: usize = 512;

/// A cut, or a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Node {
    column: u32,
    /// Smaller values go left; in a leaf, the path length.
    number: f32,
    /// Index of the left child, followed by the right one.
    next: u32,
}

/// A fitted isolation forest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IsolationForest {
    columns: usize,
    /// c(sample): the unit of path lengths.
    unit: f64,
    trees: Vec<Vec<Node>>,
}

impl IsolationForestConfig {
    /// Grows the trees on benign rows × columns.
    ///
    /// # Errors
    /// An invalid setting; no rows; rows that are constant or not finite.
    pub fn fit(&self, benign: &Matrix, seed: u64, progress: FitProgress<'_>) -> Result<IsolationForest, MethodError> {
        self.check()?;
        standardise("isolation-forest", benign, false)?;
        let size = self.sample.min(benign.rows());
        let depth = libm::ceil(libm::log2(size as f64)) as usize;
        let done = std::sync::atomic::AtomicUsize::new(0);
        let one = |tree: usize| {
            let mut random = generator(seed, tree as u64);
            let rows = sample(benign.rows(), size, &mut random);
            let grown = grow(&benign.select_rows(&rows), depth, random);
            let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            progress(Step { what: "trees", done, total: self.trees });
            grown
        };
        let trees = (0..self.trees).into_par_iter().map(one).collect();
        Ok(IsolationForest { columns: benign.columns(), unit: mean_path(size), trees })
    }
}

/// A node still to be grown.
struct Open {
    node: usize,
    from: usize,
    to: usize,
    depth: usize,
}

fn grow(rows: &Matrix, limit: usize, mut random: fastrand::Rng) -> Vec<Node> {
    let leaf =
        |depth: usize, rows: usize| Node { column: LEAF, number: (depth as f64 + mean_path(rows)) as f32, next: 0 };
    let mut columns: Vec<usize> = (0..rows.columns()).collect();
    let mut order: Vec<usize> = (0..rows.rows()).collect();
    let mut nodes = vec![leaf(0, rows.rows())];
    let mut open = vec![Open { node: 0, from: 0, to: rows.rows(), depth: 0 }];
    while let Some(next) = open.pop() {
        let part = &mut order[next.from..next.to];
        let cut = if next.depth >= limit || part.len() < 2 { None } else { cut(rows, part, &mut columns, &mut random) };
        let Some((column, number)) = cut else {
            nodes[next.node] = leaf(next.depth, part.len());
            continue;
        };
        part.sort_unstable_by_key(|row| (rows.row(*row)[column] >= number, *row));
        let middle = next.from + part.partition_point(|row| rows.row(*row)[column] < number);
        let child = nodes.len();
        nodes[next.node] = Node { column: column as u32, number, next: child as u32 };
        nodes.extend([leaf(0, 1); 2]);
        let depth = next.depth + 1;
        open.push(Open { node: child + 1, from: middle, to: next.to, depth });
        open.push(Open { node: child, from: next.from, to: middle, depth });
    }
    nodes
}

/// A random column that varies among the rows, and a random value above its minimum and up to its maximum.
fn cut(rows: &Matrix, part: &[usize], columns: &mut [usize], random: &mut fastrand::Rng) -> Option<(usize, f32)> {
    for place in 0..columns.len() {
        let other = random.usize(place..columns.len());
        columns.swap(place, other);
        let column = columns[place];
        let values = part.iter().map(|row| rows.row(*row)[column]);
        let (low, high) = values.fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low < high {
            let share = random.f32();
            let value = low * (1.0 - share) + high * share;
            // Rounding can give the minimum, where no row would go left.
            return Some((column, if value > low && value <= high { value } else { high }));
        }
    }
    None
}

/// c(n) of the paper: 2 H(n − 1) − 2 (n − 1) / n, with H(n) ≈ ln n + γ.
fn mean_path(rows: usize) -> f64 {
    match rows {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => {
            let n = rows as f64;
            2.0 * (libm::log(n - 1.0) + 0.577_215_664_901_532_9) - 2.0 * (n - 1.0) / n
        }
    }
}

impl IsolationForest {
    /// Number of columns that rows must have.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// One score per row, 0..1: near 1 is anomalous, well below 0.5 is normal.
    ///
    /// # Errors
    /// Rows with another number of columns, or a value that is not finite.
    pub(crate) fn scores(&self, rows: &Matrix) -> Result<Vec<f32>, MethodError> {
        check_width(rows, self.columns)?;
        let block = |block: usize| self.block(rows, block * BLOCK, ((block + 1) * BLOCK).min(rows.rows()));
        let blocks: Vec<Vec<f32>> = (0..rows.rows().div_ceil(BLOCK)).into_par_iter().map(block).collect();
        Ok(blocks.concat())
    }

    fn block(&self, rows: &Matrix, from: usize, to: usize) -> Vec<f32> {
        let mut paths = vec![0.0f64; to - from];
        for tree in &self.trees {
            for (path, row) in paths.iter_mut().zip(from..to) {
                *path += f64::from(path_of(tree, rows.row(row)));
            }
        }
        let unit = self.unit * self.trees.len() as f64;
        paths.iter().map(|path| libm::exp2(-path / unit) as f32).collect()
    }
}

fn path_of(tree: &[Node], row: &[f32]) -> f32 {
    let mut node = tree[0];
    while node.column != LEAF {
        let right = usize::from(row[node.column as usize] >= node.number);
        node = tree[node.next as usize + right];
    }
    node.number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metrics::auc, silent};

    fn ball(rows: usize, seed: u64) -> Vec<f32> {
        let mut random = generator(seed, 0);
        (0..rows * 4).map(|_| (0..6).map(|_| random.f32() - 0.5).sum()).collect()
    }

    #[test]
    fn mean_paths_match_the_paper() {
        assert_eq!((mean_path(1), mean_path(2)), (0.0, 1.0));
        assert!((mean_path(256) - 10.244_770_9).abs() < 1e-6);
    }

    #[test]
    fn two_rows_are_separated_by_one_cut() {
        let rows = Matrix::from_values(1, vec![0.0, 1.0]).unwrap();
        let forest = IsolationForestConfig::default().fit(&rows, 1, &silent).unwrap();
        // Path 1 over c(2) = 1: one half.
        assert_eq!(forest.scores(&rows).unwrap(), [0.5, 0.5]);
    }

    #[test]
    fn rows_outside_the_ball_score_higher() {
        let benign = Matrix::from_values(4, ball(3000, 1)).unwrap();
        let forest = IsolationForestConfig::default().fit(&benign, 1, &silent).unwrap();
        let mut tested = ball(500, 2);
        tested.extend(ball(500, 3).iter().map(|value| value * 3.0));
        let scores = forest.scores(&Matrix::from_values(4, tested).unwrap()).unwrap();
        let truth: Vec<bool> = (0..1000).map(|row| row >= 500).collect();
        assert!(auc(&scores, &truth).unwrap() > 0.95);
        assert!(scores.iter().all(|score| (0.0..1.0).contains(score)));
    }

    #[test]
    fn scores_are_the_same_on_one_and_two_threads() {
        let benign = Matrix::from_values(4, ball(2000, 1)).unwrap();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| IsolationForestConfig::default().fit(&benign, 5, &silent).unwrap().scores(&benign)).unwrap()
        };
        assert_eq!(with(1), with(2));
    }

    #[test]
    fn constant_missing_and_infinite_rows_are_rejected() {
        let config = IsolationForestConfig::default();
        let constant = config.fit(&Matrix::zeros(9, 2), 1, &silent);
        assert_eq!(constant, Err(MethodError::AllConstant { what: "isolation-forest" }));
        assert!(matches!(config.fit(&Matrix::zeros(0, 2), 1, &silent), Err(MethodError::NoRows { .. })));
        let infinite = Matrix::from_values(1, vec![1.0, f32::INFINITY]).unwrap();
        assert!(matches!(config.fit(&infinite, 1, &silent), Err(MethodError::NotFinite { row: 1, .. })));
    }
}
