//! Several trees or methods that decide together.

mod config;

pub use config::{BaggingConfig, BoostingConfig, ForestConfig, VotingConfig};
