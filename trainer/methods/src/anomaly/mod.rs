//! Benign rows → what is ordinary; rows → how far from it, one score a row, higher = more anomalous.

mod config;

pub use config::{DbscanConfig, IsolationForestConfig, KMeansConfig, NeighboursConfig, PcaConfig};
