//! What `serve` and the command line need of training, so that neither knows how it is done.

use crate::calibrate::limits::Unlabelled;
use crate::card::CardFiles;
use crate::store::{StoreError, TrainingRow};
use lapwing_shared::features::SchemaId;
use lapwing_shared::release::manifest::Name;
use std::path::PathBuf;

/// A release to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Group of agents that it is for.
    pub group: Name,
    /// Its version.
    pub version: u64,
    /// When it is made, seconds since the epoch.
    pub created_s: u64,
    /// After this it is refused, seconds since the epoch.
    pub expires_s: u64,
    /// Seed of every random choice.
    pub seed: u64,
    /// Secret key that signs it.
    pub key: PathBuf,
    /// Alert episodes that nobody labelled, as the store stands.
    pub unlabelled: Unlabelled,
}

/// How far the work is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What is done now, in one or two words: `train`, `calibrate`, `quantize` …
    pub stage: &'static str,
    /// Steps of this stage done.
    pub done: u64,
    /// Steps of this stage, 0 where that is not known.
    pub total: u64,
    /// What there is to say, e.g. the loss.
    pub note: String,
}

/// Why no release was made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The rows could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too little to learn from.
    #[error("{rows} feature rows may be trained on, at least {needed} are needed; wait for more, or lower `min-rows`")]
    TooFewRows {
        /// Rows that there are.
        rows: u64,
        /// Rows that are needed.
        needed: u64,
    },
    /// No key to sign with.
    #[error("no key to sign releases; make one with `lapwing-trainer keys new NAME` and name it as `key`")]
    NoKey,
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What training said.
    #[error("{0}")]
    Training(String),
}

/// What a maker makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MadeRelease {
    /// Bytes of a release file ([`lapwing_shared::release::file::ReleaseFile`]).
    pub file: Vec<u8>,
    /// What is known of it, for people and scripts.
    pub card: Option<CardFiles>,
}

impl From<Vec<u8>> for MadeRelease {
    fn from(file: Vec<u8>) -> Self {
        Self { file, card: None }
    }
}

/// Rows on their way into training.
pub type Rows<'rows> = &'rows mut dyn Iterator<Item = Result<TrainingRow, StoreError>>;

/// Dataset → train → calibrate → quantize → release → signature.
pub trait ReleaseMaker: Send + Sync {
    /// Feature schema that it trains for; rows of another one never reach it.
    fn schema(&self) -> SchemaId;

    /// Makes a release file and its card.
    ///
    /// # Errors
    /// When the rows cannot be read or do not suffice, or the key cannot be used.
    fn make(&self, order: &Order, rows: Rows<'_>, progress: &mut dyn FnMut(Progress))
    -> Result<MadeRelease, MakeError>;
}
