//! An order for a release → the interface through which `serve` makes it.

use crate::card::CardFiles;
use crate::gate::{Attack, Earlier, GateReport};
use crate::train::TrainConfig;
use lapwing_shared::features::SchemaId;
use lapwing_shared::release::manifest::Name;
use lapwing_store::Unlabelled;
use lapwing_store::{StoreError, TrainingRow};
use std::path::PathBuf;

/// A release to make.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Order {
    pub group: Name,
    pub version: u64,
    /// Creation time, seconds since the epoch.
    pub created_s: u64,
    /// Time from which agents reject it, seconds since the epoch.
    pub expires_s: u64,
    /// Lowest version to which agents that accept it ever go back; 0: none.
    pub floor: u64,
    pub seed: u64,
    /// File of the secret key that signs it; `None`: it is held back and signed on another machine.
    pub key: Option<PathBuf>,
    /// Unlabelled alert episodes in the store.
    pub unlabelled: Unlabelled,
    /// Protection against rows of hostile agents.
    pub guard: Guard,
}

/// Protection of a release against rows of hostile agents.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// Maximum share of rows of one agent.
    pub max_agent_share: f64,
    /// Rows from which the others may be cut to an agent's size.
    pub min_agent_rows: usize,
    /// Release file of the group's newest release, with which the gate compares the new one.
    pub previous: Option<Vec<u8>>,
    /// Release file of the newest release that an operator approved, or else of the group's oldest one.
    pub reference: Option<Vec<u8>>,
    /// Attacks that operators labelled.
    pub labelled: Vec<Attack>,
    /// Leave a release unsigned if the gate finds a reason; otherwise only report it.
    pub hold: bool,
}

impl Guard {
    /// The releases with which the gate compares the new one.
    pub(crate) fn earlier(&self) -> Earlier<'_> {
        Earlier { previous: self.previous.as_deref(), reference: self.reference.as_deref() }
    }
}

impl Default for Guard {
    fn default() -> Self {
        let TrainConfig { max_agent_share, min_agent_rows, .. } = TrainConfig::default();
        Self { max_agent_share, min_agent_rows, previous: None, reference: None, labelled: Vec::new(), hold: true }
    }
}

/// Progress of one stage of making a release.
#[derive(Clone, Debug, PartialEq)]
pub struct StageProgress {
    /// Current stage in one or two words: `train`, `calibrate`, `quantize` …
    pub stage: &'static str,
    /// Completed steps of this stage.
    pub done: u64,
    /// Steps of this stage; 0 if unknown.
    pub total: u64,
    /// Details, e.g. the loss.
    pub note: String,
}

/// Why making a release failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum MakeError {
    /// The rows cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too few rows.
    #[error(
        "not enough data: {rows} feature rows to train on, at least {needed} needed; wait for more or lower `min-rows`"
    )]
    TooFewRows { rows: u64, needed: u64 },
    #[error("no key to sign releases; create one with `lapwing-trainer keys new NAME` and set it as `key`")]
    NoKey,
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    #[error("{0}")]
    Training(String),
}

/// A finished release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct MadeRelease {
    /// Bytes of a release file ([`lapwing_shared::release::file::ReleaseFile`]); unsigned if it is held back.
    pub file: Vec<u8>,
    pub card: Option<CardFiles>,
    /// Attack classes that alerts can resemble.
    pub classes: Vec<String>,
    /// Comparison with the previous release.
    pub gate: GateReport,
    /// True if an operator must approve it: [`crate::release::build::sign_held`] signs it then.
    pub held: bool,
    /// Rows of each agent, given and used.
    pub shares: Vec<AgentShare>,
}

/// How much of a release one agent taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentShare {
    /// Agent id, as in [`TrainingRow`].
    pub agent: i64,
    /// Rows of the agent in the store.
    pub given: usize,
    /// Rows that training used.
    pub used: usize,
}

impl From<Vec<u8>> for MadeRelease {
    fn from(file: Vec<u8>) -> Self {
        Self { file, ..Self::default() }
    }
}

/// Makes a release of rows: train, calibrate, quantize, sign.
pub trait ReleaseMaker: Send + Sync {
    /// Feature schema that it trains for; `make` gets rows of this schema only.
    fn schema(&self) -> SchemaId;

    /// Makes a release file and its card.
    ///
    /// # Errors
    /// When the rows do not suffice, or training or signing fails.
    fn make(
        &self,
        order: &Order,
        rows: Vec<TrainingRow>,
        progress: &mut dyn FnMut(StageProgress),
    ) -> Result<MadeRelease, MakeError>;
}
