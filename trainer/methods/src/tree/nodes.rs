//! A grown tree as a flat list of nodes: each node → its two children, or class probabilities.

use serde::{Deserialize, Serialize};

/// Marks a leaf in [`Node::column`].
const LEAF: u32 = u32::MAX;

/// A split or a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Node {
    /// Column that is compared with the threshold, or [`LEAF`].
    column: u32,
    /// Larger values go right.
    threshold: f32,
    /// Index of the left child, followed by the right one; in a leaf, index of its class shares.
    next: u32,
}

/// One tree: nodes with the root first, and the class shares of the leaves. Pure leaves of one class share an entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Nodes {
    classes: usize,
    nodes: Vec<Node>,
    shares: Vec<f32>,
}

impl Nodes {
    /// A tree of a single node.
    pub(crate) fn new(classes: usize) -> Self {
        Self { classes, nodes: vec![Node { column: LEAF, threshold: 0.0, next: 0 }], shares: Vec::new() }
    }

    /// Turns a node into a split; returns the index of its left child.
    pub(crate) fn split(&mut self, node: usize, column: usize, threshold: f32) -> usize {
        let next = self.nodes.len();
        self.nodes[node] = Node { column: column as u32, threshold, next: next as u32 };
        self.nodes.extend([Node { column: LEAF, threshold: 0.0, next: 0 }; 2]);
        next
    }

    /// Turns a node into a leaf; returns the index of its shares, for [`Self::same_leaf`].
    pub(crate) fn leaf(&mut self, node: usize, shares: impl Iterator<Item = f32>) -> u32 {
        let place = (self.shares.len() / self.classes) as u32;
        self.shares.extend(shares);
        self.same_leaf(node, place);
        place
    }

    /// Turns a node into a leaf with the shares of an earlier one.
    pub(crate) fn same_leaf(&mut self, node: usize, place: u32) {
        self.nodes[node] = Node { column: LEAF, threshold: 0.0, next: place };
    }

    /// Class shares of the leaf that a row reaches.
    pub(crate) fn shares(&self, row: &[f32]) -> &[f32] {
        let mut node = self.nodes[0];
        while node.column != LEAF {
            let right = usize::from(row[node.column as usize] > node.threshold);
            node = self.nodes[node.next as usize + right];
        }
        &self.shares[node.next as usize * self.classes..][..self.classes]
    }

    #[cfg(test)]
    pub(crate) fn leaves(&self) -> usize {
        self.nodes.len().div_ceil(2)
    }

    /// Maximum number of splits from root to leaf.
    #[cfg(test)]
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
