//! Reference rows and present rows → how far the traffic has drifted since a release.

mod bins;
pub mod measure;
pub mod page;
pub mod sampled_flows;
#[cfg(test)]
mod tests;

use crate::dataset::DatasetError;
use crate::release::ReadError;
use lapwing_shared::verdict::network::NetworkError;
use lapwing_store::StoreError;
use std::path::PathBuf;

/// Why drift cannot be measured.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum DriftError {
    /// A file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// A file is not a release file.
    #[error("{}: {source}", path.display())]
    Release { path: PathBuf, source: ReadError },
    /// The release has another feature schema.
    #[error("{}: feature schema {found}, expected {expected}; use a release made by this version", path.display())]
    Schema { path: PathBuf, found: String, expected: String },
    /// The release has no artifact for the int8 engine.
    #[error("{}: no int8 artifact to compute scores with", path.display())]
    NoInt8 { path: PathBuf },
    /// The release's network is invalid.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A capture or feature file cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the {side} has {rows} usable rows, expected at least {expected}; give more files or a longer period")]
    FewRows {
        /// Reference or present.
        side: &'static str,
        rows: usize,
        expected: usize,
    },
}
