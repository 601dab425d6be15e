//! Labelled rows → one classification tree: CART (Breiman, Friedman, Olshen, Stone 1984) with Gini impurity.

mod config;

pub use config::{ClassWeights, ColumnShare, TreeConfig};
