//! Derivatives of a loss, one pair a row → one regression tree, the leaf with most to gain first.
//!
//! A leaf answers −rate · t/(T + λ), t and T the sums of its rows' first and second derivatives. Of two children only the
//! smaller one's rows are summed by rank; the other's sums are the parent's less those.

use std::{cmp::Ordering, collections::BinaryHeap};

use super::histogram::{Cut, Histogram, Histograms, Slopes, Sums};
use crate::{
    BoostingConfig,
    tree::{Columns, Nodes},
};

/// Rows `from..to` that have come to one node.
struct Leaf {
    node: usize,
    from: usize,
    to: usize,
    depth: usize,
    sums: Sums,
    /// Empty where the leaf is not to be split.
    histogram: Histogram,
    best: Option<Cut>,
}

impl Leaf {
    fn new(node: usize, (from, to): (usize, usize), depth: usize, sums: Sums) -> Self {
        Self { node, from, to, depth, sums, histogram: Histogram::new(), best: None }
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

/// One tree, and where the rows that it was grown on have come to.
pub(super) struct Grown {
    pub(super) nodes: Nodes,
    /// Row numbers, leaf by leaf.
    pub(super) rows: Vec<u32>,
    /// Rows from, to, and the answer of each leaf.
    pub(super) leaves: Vec<(usize, usize, f32)>,
    /// Columns that were asked for, with the gain.
    pub(super) gains: Vec<(usize, f64)>,
}

/// What all trees of a fit share.
pub(super) struct Grower<'a> {
    config: &'a BoostingConfig,
    columns: &'a Columns,
    histograms: Histograms<'a>,
}

/// What one tree is grown from.
struct Ground<'a> {
    slopes: &'a [Slopes],
    /// Columns that may be asked for, ascending.
    asked: &'a [usize],
    /// Histograms to be used again.
    spare: Vec<Histogram>,
    leaves: usize,
}

impl<'a> Grower<'a> {
    pub(super) fn new(config: &'a BoostingConfig, columns: &'a Columns) -> Self {
        Self { config, columns, histograms: Histograms::new(columns) }
    }

    /// A tree on the given rows, which asks for the given columns only.
    pub(super) fn grow(&self, slopes: &[Slopes], rows: Vec<u32>, asked: &[usize]) -> Grown {
        let mut root = Leaf::new(0, (0, rows.len()), 0, Sums::of(slopes, &rows));
        let mut grown = Grown { nodes: Nodes::new(1), rows, leaves: Vec::new(), gains: Vec::new() };
        let mut ground = Ground { slopes, asked, spare: Vec::new(), leaves: 1 };
        if self.may_split(&root, &ground) {
            self.histograms.fill(&mut root.histogram, slopes, &grown.rows, asked);
            root.best = self.histograms.best(&root.histogram, root.sums, self.config, asked);
        }
        let mut open = BinaryHeap::from([root]);
        while let Some(mut leaf) = open.pop() {
            let Some(cut) = leaf.best.filter(|_| ground.leaves < self.config.max_leaves) else {
                self.answer(&mut grown, &leaf);
                continue;
            };
            ground.leaves += 1;
            grown.gains.push((cut.column, cut.gain));
            let mut children = self.part(&mut grown, &leaf, cut);
            self.look(&mut children, std::mem::take(&mut leaf.histogram), &grown.rows, &mut ground);
            open.extend(children);
        }
        grown
    }

    fn may_split(&self, leaf: &Leaf, ground: &Ground<'_>) -> bool {
        let deep = self.config.max_depth.is_some_and(|most| leaf.depth >= most);
        let enough = leaf.sums.rows as usize >= self.config.min_leaf_rows.max(1).saturating_mul(2);
        enough && !deep && ground.leaves < self.config.max_leaves
    }

    /// Parts a leaf's rows.
    fn part(&self, grown: &mut Grown, leaf: &Leaf, cut: Cut) -> [Leaf; 2] {
        let ranked = self.columns.column(cut.column);
        let node = grown.nodes.split(leaf.node, cut.column, ranked.between(cut.left, cut.right));
        let rows = &mut grown.rows[leaf.from..leaf.to];
        let middle = leaf.from + partition(rows, |row| ranked.ranks[row as usize] <= cut.left);
        [
            Leaf::new(node, (leaf.from, middle), leaf.depth + 1, cut.sums),
            Leaf::new(node + 1, (middle, leaf.to), leaf.depth + 1, leaf.sums.without(cut.sums)),
        ]
    }

    /// Finds the best cuts of two children, given their parent's histogram.
    fn look(&self, children: &mut [Leaf; 2], mut parent: Histogram, rows: &[u32], ground: &mut Ground<'_>) {
        let wanted = children.each_ref().map(|child| self.may_split(child, ground));
        let small = usize::from(children[1].sums.rows < children[0].sums.rows);
        if wanted != [false; 2] {
            let mut fewer = ground.spare.pop().unwrap_or_default();
            let part = &rows[children[small].from..children[small].to];
            self.histograms.fill(&mut fewer, ground.slopes, part, ground.asked);
            if wanted[1 - small] {
                self.histograms.take_off(&mut parent, &fewer, ground.asked);
                children[1 - small].histogram = std::mem::take(&mut parent);
            }
            children[small].histogram = fewer;
        }
        ground.spare.extend((!parent.is_empty()).then_some(parent));
        for (child, wanted) in children.iter_mut().zip(wanted) {
            if wanted {
                child.best = self.histograms.best(&child.histogram, child.sums, self.config, ground.asked);
            }
            if child.best.is_none() && !child.histogram.is_empty() {
                ground.spare.push(std::mem::take(&mut child.histogram));
            }
        }
    }

    fn answer(&self, grown: &mut Grown, leaf: &Leaf) {
        let second = leaf.sums.second + f64::from(self.config.l2);
        let answer = (-f64::from(self.config.learning_rate) * leaf.sums.first / second) as f32;
        // Both sums may have come to 0, where nothing is left to learn.
        let answer = if answer.is_finite() { answer } else { 0.0 };
        grown.nodes.leaf(leaf.node, std::iter::once(answer));
        grown.leaves.push((leaf.from, leaf.to, answer));
    }
}

/// Brings the rows that go left to the front, each side in its order; gives their number.
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
