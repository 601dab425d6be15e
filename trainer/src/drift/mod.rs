//! Rows that a release was made from and rows of today → whether the network still behaves as it did.

pub mod bins;
pub mod measure;
pub mod page;
pub mod rows;
#[cfg(test)]
mod tests;

use crate::dataset::DatasetError;
use crate::serve::publish::PublishError;
use crate::store::StoreError;
use lapwing_shared::verdict::network::NetworkError;
use std::path::PathBuf;

/// Why drift cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum DriftError {
    /// A file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no release file.
    #[error("{}: {source}", path.display())]
    Release {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PublishError,
    },
    /// The release knows other features.
    #[error("{}: feature schema {found}, expected {expected}; give a release that this version made", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: String,
        /// Ours.
        expected: String,
    },
    /// The release has no artifact for the int8 engine.
    #[error("{}: no int8 artifact, which the score is computed with", path.display())]
    NoInt8 {
        /// The file.
        path: PathBuf,
    },
    /// The release's network is none.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A capture or feature file gives no rows.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too few rows to tell anything.
    #[error("the {side} has {rows} usable rows, expected at least {expected}; give more files, or a longer time")]
    FewRows {
        /// Reference or present.
        side: &'static str,
        /// Rows of it.
        rows: usize,
        /// Rows needed.
        expected: usize,
    },
}
