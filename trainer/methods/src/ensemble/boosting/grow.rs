//! Derivatives of a loss, one pair per row → one regression tree, grown best leaf first.
//!
//! The value of a leaf is −rate · t/(T + λ), with t and T the sums of its rows' first and second derivatives. Only the
//! smaller of two children is summed by rank; the sums of the larger one are the parent's minus those.

use std::{cmp::Ordering, collections::BinaryHeap, ops::Range};

use super::histogram::{Cut, Derivatives, Histogram, Histograms, Sums};
use crate::{
    BoostingConfig,
    tree::{Columns, Nodes},
};

/// A leaf that may still be split.
struct Leaf {
    node: usize,
    /// Range in [`Grown::rows`].
    rows: Range<usize>,
    depth: usize,
    sums: Sums,
    /// Empty when the leaf cannot be split.
    histogram: Histogram,
    best: Option<Cut>,
}

impl Leaf {
    fn new(node: usize, rows: Range<usize>, depth: usize, sums: Sums) -> Self {
        Self { node, rows, depth, sums, histogram: Histogram::new(), best: None }
    }

    fn gain(&self) -> f64 {
        self.best.map_or(0.0, |cut| cut.gain)
    }
}

impl PartialEq for Leaf {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Leaf {}

impl PartialOrd for Leaf {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Leaf {
    fn cmp(&self, other: &Self) -> Ordering {
        self.gain().total_cmp(&other.gain()).then(other.node.cmp(&self.node))
    }
}

/// One tree, and the leaf that each of its training rows reached.
pub(super) struct Grown {
    pub(super) nodes: Nodes,
    /// Row numbers, leaf by leaf.
    pub(super) rows: Vec<u32>,
    /// Range of rows and value of each leaf.
    pub(super) leaves: Vec<(Range<usize>, f32)>,
    /// Column and gain of each split.
    pub(super) gains: Vec<(usize, f64)>,
}

/// What all trees of a fit share.
pub(super) struct Grower<'a> {
    config: &'a BoostingConfig,
    columns: &'a Columns,
    histograms: Histograms<'a>,
}

/// State of one tree's growth.
struct Growth<'a> {
    derivatives: &'a [Derivatives],
    /// Columns that may be split, ascending.
    candidates: &'a [usize],
    /// Histograms for reuse.
    spare: Vec<Histogram>,
    leaves: usize,
}

impl<'a> Grower<'a> {
    pub(super) fn new(config: &'a BoostingConfig, columns: &'a Columns) -> Self {
        Self { config, columns, histograms: Histograms::new(columns) }
    }

    /// A tree on the given rows that splits the candidate columns only.
    pub(super) fn grow(&self, derivatives: &[Derivatives], rows: Vec<u32>, candidates: &[usize]) -> Grown {
        let mut root = Leaf::new(0, 0..rows.len(), 0, Sums::of(derivatives, &rows));
        let mut grown = Grown { nodes: Nodes::new(1), rows, leaves: Vec::new(), gains: Vec::new() };
        let mut growth = Growth { derivatives, candidates, spare: Vec::new(), leaves: 1 };
        if self.may_split(&root, &growth) {
            self.histograms.fill(&mut root.histogram, derivatives, &grown.rows, candidates);
            root.best = self.histograms.best(&root.histogram, root.sums, self.config, candidates);
        }
        let mut open = BinaryHeap::from([root]);
        while let Some(mut leaf) = open.pop() {
            let Some(cut) = leaf.best.filter(|_| growth.leaves < self.config.max_leaves) else {
                self.finish(&mut grown, &leaf);
                continue;
            };
            growth.leaves += 1;
            grown.gains.push((cut.column, cut.gain));
            let mut children = self.split(&mut grown, &leaf, cut);
            self.find_cuts(&mut children, std::mem::take(&mut leaf.histogram), &grown.rows, &mut growth);
            open.extend(children);
        }
        grown
    }

    fn may_split(&self, leaf: &Leaf, growth: &Growth<'_>) -> bool {
        let deep = self.config.max_depth.is_some_and(|most| leaf.depth >= most);
        let enough = leaf.sums.rows as usize >= self.config.min_leaf_rows.max(1).saturating_mul(2);
        enough && !deep && growth.leaves < self.config.max_leaves
    }

    /// Splits a leaf's rows.
    fn split(&self, grown: &mut Grown, leaf: &Leaf, cut: Cut) -> [Leaf; 2] {
        let ranked = self.columns.column(cut.column);
        let node = grown.nodes.split(leaf.node, cut.column, ranked.between(cut.left, cut.right));
        let rows = &mut grown.rows[leaf.rows.clone()];
        let middle = leaf.rows.start + partition(rows, |row| ranked.ranks[row as usize] <= cut.left);
        [
            Leaf::new(node, leaf.rows.start..middle, leaf.depth + 1, cut.sums),
            Leaf::new(node + 1, middle..leaf.rows.end, leaf.depth + 1, leaf.sums.without(cut.sums)),
        ]
    }

    /// Finds the best cuts of two children, given their parent's histogram.
    fn find_cuts(&self, children: &mut [Leaf; 2], mut parent: Histogram, rows: &[u32], growth: &mut Growth<'_>) {
        let splittable = children.each_ref().map(|child| self.may_split(child, growth));
        let small = usize::from(children[1].sums.rows < children[0].sums.rows);
        if splittable != [false; 2] {
            let mut fewer = growth.spare.pop().unwrap_or_default();
            let part = &rows[children[small].rows.clone()];
            self.histograms.fill(&mut fewer, growth.derivatives, part, growth.candidates);
            if splittable[1 - small] {
                self.histograms.subtract(&mut parent, &fewer, growth.candidates);
                children[1 - small].histogram = std::mem::take(&mut parent);
            }
            children[small].histogram = fewer;
        }
        growth.spare.extend((!parent.is_empty()).then_some(parent));
        for (child, splittable) in children.iter_mut().zip(splittable) {
            if splittable {
                child.best = self.histograms.best(&child.histogram, child.sums, self.config, growth.candidates);
            }
            if child.best.is_none() && !child.histogram.is_empty() {
                growth.spare.push(std::mem::take(&mut child.histogram));
            }
        }
    }

    /// Computes the value of a leaf that is not split further.
    fn finish(&self, grown: &mut Grown, leaf: &Leaf) {
        let second = leaf.sums.second + f64::from(self.config.l2);
        let value = (-f64::from(self.config.learning_rate) * leaf.sums.first / second) as f32;
        // Both sums can be 0 when nothing is left to learn.
        let value = if value.is_finite() { value } else { 0.0 };
        grown.nodes.leaf(leaf.node, std::iter::once(value));
        grown.leaves.push((leaf.rows.clone(), value));
    }
}

/// Moves the rows that go left to the front, keeping the order within each side; returns their number.
fn partition(rows: &mut [u32], goes_left: impl Fn(u32) -> bool) -> usize {
    let mut right = Vec::with_capacity(rows.len());
    let mut middle = 0;
    for at in 0..rows.len() {
        let row = rows[at];
        if goes_left(row) {
            rows[middle] = row;
            middle += 1;
        } else {
            right.push(row);
        }
    }
    rows[middle..].copy_from_slice(&right);
    middle
}
