//! A grown tree, flat: node → two nodes side by side, or class shares.

use serde::{Deserialize, Serialize};

/// Marks a leaf in [`Node::column`].
const LEAF: u32 = u32::MAX;

/// A question or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Node {
    /// Column that is asked for, or [`LEAF`].
    column: u32,
    /// Values above it go right.
    threshold: f32,
    /// Left node, the right one following; in a leaf, which of the class shares.
    next: u32,
}

/// One tree: nodes, root first, and the class shares of leaves (equal pure leaves share theirs).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Nodes {
    classes: usize,
    nodes: Vec<Node>,
    shares: Vec<f32>,
}

impl Nodes {
    /// A tree of one open node.
    pub(crate) fn new(classes: usize) -> Self {
        Self { classes, nodes: vec![Node { column: LEAF, threshold: 0.0, next: 0 }], shares: Vec::new() }
    }

    /// Makes a node a question; gives the number of its left node.
    pub(crate) fn split(&mut self, node: usize, column: usize, threshold: f32) -> usize {
        let next = self.nodes.len();
        self.nodes[node] = Node { column: column as u32, threshold, next: next as u32 };
        self.nodes.extend([Node { column: LEAF, threshold: 0.0, next: 0 }; 2]);
        next
    }

    /// Makes a node an answer; gives its place, to be used again with [`Self::same_leaf`].
    pub(crate) fn leaf(&mut self, node: usize, shares: impl Iterator<Item = f32>) -> u32 {
        let place = (self.shares.len() / self.classes) as u32;
        self.shares.extend(shares);
        self.same_leaf(node, place);
        place
    }

    /// Makes a node the same answer as an earlier one.
    pub(crate) fn same_leaf(&mut self, node: usize, place: u32) {
        self.nodes[node] = Node { column: LEAF, threshold: 0.0, next: place };
    }

    /// Class shares of the leaf that a row falls into.
    pub(crate) fn shares(&self, row: &[f32]) -> &[f32] {
        let mut node = self.nodes[0];
        while node.column != LEAF {
            let right = usize::from(row[node.column as usize] > node.threshold);
            node = self.nodes[node.next as usize + right];
        }
        &self.shares[node.next as usize * self.classes..][..self.classes]
    }

    /// Number of leaves.
    pub(crate) fn leaves(&self) -> usize {
        self.nodes.len().div_ceil(2)
    }

    /// Most splits from root to leaf.
    pub(crate) fn depth(&self) -> usize {
        let mut depths = vec![0usize; self.nodes.len()];
        let mut deepest = 0;
        for (at, node) in self.nodes.iter().enumerate() {
            deepest = deepest.max(depths[at]);
            if node.column != LEAF {
                depths[node.next as usize] = depths[at] + 1;
                depths[node.next as usize + 1] = depths[at] + 1;
            }
        }
        deepest
    }
}
