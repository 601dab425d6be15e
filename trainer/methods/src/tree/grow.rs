//! Ranked columns and labels → nodes, greedily, left branch first.
//!
//! A split maximises Σ l²/L + Σ r²/R over the weighted class counts l, r of its two sides with totals L, R, which
//! minimises Gini impurity. Counts are integers (each draw of a row counts one), so sums do not depend on their order;
//! class weights are factors. Of equally good splits the first one wins.

use fastrand::Rng;

use super::{Columns, TreeConfig, columns::Column, nodes::Nodes};

/// A row of a tree's sample: its number, its class, and how often it was drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) row: u32,
    pub(crate) class: u16,
    pub(crate) draws: u16,
}

/// A split of a node's rows.
#[derive(Clone, Copy, Debug)]
struct Split {
    column: usize,
    /// Last rank that goes left.
    left: u16,
    threshold: f32,
    /// Σ l²/L + Σ r²/R.
    merit: f64,
}

/// A node still to be grown: its range of rows, and its depth.
struct Open {
    node: usize,
    from: usize,
    to: usize,
    depth: usize,
}

/// Grows one tree; scratch space is reused at each node.
pub(crate) struct Grower<'a> {
    columns: &'a Columns,
    config: &'a TreeConfig,
    weights: &'a [f64],
    random: Rng,
    /// Columns in the order in which they are considered.
    order: Vec<u32>,
    /// Draws by class in the current node, and left of the current cut.
    here: Vec<u32>,
    left: Vec<u32>,
    /// Draws by rank and class.
    histogram: Vec<u32>,
    /// Rank, class and draws of each row, packed for sorting.
    keys: Vec<u64>,
    importance: Vec<f64>,
    /// Index of the pure leaf of each class, once it exists.
    pure: Vec<Option<u32>>,
}

impl<'a> Grower<'a> {
    pub(crate) fn new(columns: &'a Columns, config: &'a TreeConfig, weights: &'a [f64], random: Rng) -> Self {
        Self {
            columns,
            config,
            weights,
            random,
            order: (0..columns.count() as u32).collect(),
            here: vec![0; weights.len()],
            left: vec![0; weights.len()],
            histogram: Vec::new(),
            keys: Vec::new(),
            importance: vec![0.0; columns.count()],
            pure: vec![None; weights.len()],
        }
    }

    /// Returns the tree and each column's share of the decrease in impurity (summing to 1, or all 0 without splits).
    pub(crate) fn grow(mut self, samples: &mut [Sample]) -> (Nodes, Vec<f64>) {
        let mut nodes = Nodes::new(self.weights.len());
        let mut open = vec![Open { node: 0, from: 0, to: samples.len(), depth: 0 }];
        while let Some(next) = open.pop() {
            let part = &mut samples[next.from..next.to];
            let deep = self.config.max_depth.is_some_and(|most| next.depth >= most);
            self.count(part);
            let Some(split) = (if deep { None } else { self.best_split(part) }) else {
                self.leaf(&mut nodes, next.node);
                continue;
            };
            let ranks = &self.columns.column(split.column).ranks;
            let middle = next.from + partition(part, |sample| ranks[sample.row as usize] <= split.left);
            let child = nodes.split(next.node, split.column, split.threshold);
            let depth = next.depth + 1;
            open.push(Open { node: child + 1, from: middle, to: next.to, depth });
            open.push(Open { node: child, from: next.from, to: middle, depth });
        }
        let sum: f64 = self.importance.iter().sum();
        if sum > 0.0 {
            self.importance.iter_mut().for_each(|share| *share /= sum);
        }
        (nodes, self.importance)
    }

    /// Counts the draws of the current node by class.
    fn count(&mut self, part: &[Sample]) {
        self.here.fill(0);
        for sample in part {
            self.here[usize::from(sample.class)] += u32::from(sample.draws);
        }
    }

    /// Turns the current node into a leaf with its weighted class shares.
    fn leaf(&mut self, nodes: &mut Nodes, node: usize) {
        let mut present = self.here.iter().enumerate().filter(|(_, draws)| **draws > 0).map(|(class, _)| class);
        let only = present.next().filter(|_| present.next().is_none());
        if let Some(place) = only.and_then(|class| self.pure[class]) {
            return nodes.same_leaf(node, place);
        }
        let weighted = self.here.iter().zip(self.weights).map(|(draws, weight)| f64::from(*draws) * weight);
        let sum: f64 = weighted.clone().sum();
        let place = nodes.leaf(node, weighted.map(|part| (part / sum) as f32));
        if let Some(class) = only {
            self.pure[class] = Some(place);
        }
    }

    /// The best split of the current node, or `None` when it is not to be split.
    fn best_split(&mut self, part: &[Sample]) -> Option<Split> {
        let draws: u32 = self.here.iter().sum();
        let pure = self.here.iter().filter(|draws| **draws > 0).count() < 2;
        if pure || (draws as usize) < self.config.min_split_rows {
            return None;
        }
        let count = self.config.columns.of(self.order.len());
        let in_order = count == self.order.len() && !self.config.random_cuts;
        let (mut best, mut useful): (Option<Split>, usize) = (None, 0);
        for place in 0..self.order.len() {
            // Continues beyond `count` while all columns so far were constant in this node.
            if place >= count && useful > 0 {
                break;
            }
            if !in_order {
                let other = self.random.usize(place..self.order.len());
                self.order.swap(place, other);
            }
            let column = self.order[place] as usize;
            let Some(cut) = self.cut(part, column) else { continue };
            useful += 1;
            if let Some(split) = cut
                && best.is_none_or(|best| split.merit > best.merit)
            {
                best = Some(split);
            }
        }
        let weighted = || self.here.iter().zip(self.weights).map(|(draws, weight)| f64::from(*draws) * weight);
        let before = weighted().map(|w| w * w).sum::<f64>() / weighted().sum::<f64>();
        if let Some(split) = best {
            self.importance[split.column] += (split.merit - before).max(0.0);
        }
        best
    }

    /// The best cut of one column: `None` when the column is constant in this node, `Some(None)` when every cut leaves
    /// too few rows on a side.
    fn cut(&mut self, part: &[Sample], column: usize) -> Option<Option<Split>> {
        let ranked = self.columns.column(column);
        if ranked.count() < 2 {
            return None;
        }
        if self.config.random_cuts {
            return self.random_cut(part, column, ranked);
        }
        let cells = ranked.count() * self.weights.len();
        // Sorting takes about n log n steps, counting n and a pass over all cells.
        let sorting = part.len() * (usize::BITS - part.len().leading_zeros()) as usize;
        if cells <= sorting {
            self.count_and_cut(part, column, ranked)
        } else {
            self.sort_and_cut(part, column, ranked)
        }
    }

    fn count_and_cut(&mut self, part: &[Sample], column: usize, ranked: &Column) -> Option<Option<Split>> {
        let classes = self.weights.len();
        let mut histogram = std::mem::take(&mut self.histogram);
        histogram.clear();
        histogram.resize(ranked.count() * classes, 0);
        for sample in part {
            let cell = usize::from(ranked.ranks[sample.row as usize]) * classes + usize::from(sample.class);
            histogram[cell] += u32::from(sample.draws);
        }
        let mut walk = Walk::new(self, column, ranked);
        for (rank, draws) in histogram.chunks_exact(classes).enumerate() {
            if draws.iter().any(|draws| *draws > 0) {
                walk.reach(rank as u16);
                for (class, draws) in draws.iter().enumerate().filter(|(_, draws)| **draws > 0) {
                    walk.take(class, *draws);
                }
            }
        }
        let best = walk.best();
        self.histogram = histogram;
        best
    }

    fn sort_and_cut(&mut self, part: &[Sample], column: usize, ranked: &Column) -> Option<Option<Split>> {
        let mut keys = std::mem::take(&mut self.keys);
        keys.clear();
        keys.extend(part.iter().map(|sample| {
            let rank = u64::from(ranked.ranks[sample.row as usize]);
            rank << 32 | u64::from(sample.class) << 16 | u64::from(sample.draws)
        }));
        let mut walk = Walk::new(self, column, ranked);
        if keys.iter().any(|key| key >> 32 != keys[0] >> 32) {
            keys.sort_unstable();
        }
        for key in &keys {
            walk.reach((key >> 32) as u16);
            walk.take(usize::from((key >> 16) as u16), u32::from(*key as u16));
        }
        let best = walk.best();
        self.keys = keys;
        best
    }

    fn random_cut(&mut self, part: &[Sample], column: usize, ranked: &Column) -> Option<Option<Split>> {
        let (mut first, mut last) = (u16::MAX, 0);
        for sample in part {
            let rank = ranked.ranks[sample.row as usize];
            (first, last) = (first.min(rank), last.max(rank));
        }
        if first >= last {
            return None;
        }
        let (left, threshold) = ranked.random_cut(first, last, self.random.f32());
        let mut counts = vec![0u32; self.weights.len()];
        for sample in part.iter().filter(|sample| ranked.ranks[sample.row as usize] <= left) {
            counts[usize::from(sample.class)] += u32::from(sample.draws);
        }
        let mut walk = Walk::new(self, column, ranked);
        walk.reach(left);
        for (class, draws) in counts.iter().enumerate().filter(|(_, draws)| **draws > 0) {
            walk.take(class, *draws);
        }
        walk.reach(last);
        Some(walk.best()?.map(|split| Split { left, threshold, ..split }))
    }
}

/// A pass over one column's ranks that moves rows from the right side to the left.
struct Walk<'a> {
    column: usize,
    ranked: &'a Column,
    weights: &'a [f64],
    here: &'a [u32],
    left: &'a mut [u32],
    least: u64,
    left_draws: u64,
    all_draws: u64,
    /// Weights, and sums of squared weights by class, left and right.
    weight: [f64; 2],
    squares: [f64; 2],
    at: Option<u16>,
    ranks: usize,
    best: Option<(u16, u16, f64)>,
}

impl<'a> Walk<'a> {
    fn new(grower: &'a mut Grower<'_>, column: usize, ranked: &'a Column) -> Self {
        grower.left.fill(0);
        let weighted = grower.here.iter().zip(grower.weights).map(|(draws, weight)| f64::from(*draws) * weight);
        Self {
            column,
            ranked,
            weights: grower.weights,
            least: grower.config.min_leaf_rows as u64,
            left_draws: 0,
            all_draws: grower.here.iter().map(|draws| u64::from(*draws)).sum(),
            weight: [0.0, weighted.clone().sum()],
            squares: [0.0, weighted.map(|weight| weight * weight).sum()],
            at: None,
            ranks: 0,
            best: None,
            here: &grower.here,
            left: &mut grower.left,
        }
    }

    /// Advances to a rank and considers the cut before it.
    #[inline]
    fn reach(&mut self, rank: u16) {
        if self.at == Some(rank) {
            return;
        }
        if let Some(before) = self.at {
            let merit = self.squares[0] / self.weight[0] + self.squares[1] / self.weight[1];
            let enough = self.left_draws >= self.least && self.all_draws - self.left_draws >= self.least;
            if enough && self.best.is_none_or(|best| merit > best.2) {
                self.best = Some((before, rank, merit));
            }
        }
        self.at = Some(rank);
        self.ranks += 1;
    }

    /// Moves draws of a class to the left.
    #[inline]
    fn take(&mut self, class: usize, draws: u32) {
        let weight = self.weights[class];
        let moved = f64::from(draws) * weight;
        let left = f64::from(self.left[class]) * weight;
        let right = f64::from(self.here[class] - self.left[class]) * weight;
        self.squares[0] += moved * (2.0 * left + moved);
        self.squares[1] -= moved * (2.0 * right - moved);
        self.weight[0] += moved;
        self.weight[1] -= moved;
        self.left[class] += draws;
        self.left_draws += u64::from(draws);
    }

    /// As [`Grower::cut`].
    fn best(self) -> Option<Option<Split>> {
        if self.ranks < 2 {
            return None;
        }
        Some(self.best.map(|(left, right, merit)| Split {
            column: self.column,
            left,
            threshold: self.ranked.between(left, right),
            merit,
        }))
    }
}

/// Moves the rows that go left to the front; returns their number.
fn partition(part: &mut [Sample], goes_left: impl Fn(&Sample) -> bool) -> usize {
    let mut middle = 0;
    for at in 0..part.len() {
        let sample = part[at];
        let left = goes_left(&sample);
        part[at] = part[middle];
        part[middle] = sample;
        middle += usize::from(left);
    }
    middle
}
