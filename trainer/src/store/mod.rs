//! What agents said, what operators answered, and what was released: one SQLite file.
//!
//! One [`Store`] writes messages, in transactions of many messages each (`synchronous=FULL`: a commit that returned has
//! reached the disk). Any number of [`Desk`]s, in this process or another, read, label and ask for retraining beside
//! it. Every table has a limit and a counter of what the limit removed.

mod board;
mod counters;
mod desk;
mod error;
mod jobs;
mod kinds;
mod known;
mod progress;
mod prune;
mod received;
mod releases;
mod rows;
mod schema;
mod write;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use board::{AGENTS, AgentRow, EpisodeFilter, EpisodePage, LOOKED_AT, Told, UpdateLine};
pub use counters::Counter;
pub use desk::{AgentLine, AlertFilter, AlertLine, Desk, Label};
pub use error::StoreError;
pub use jobs::Job;
pub use kinds::{EpisodeKind, EpisodeSpan, LookedAt, NO_KIND};
pub use progress::Progress;
pub use received::{Content, Received};
pub use releases::ReleaseLine;
pub use rows::{RowSummary, TrainingRow, TrainingRows};
pub use write::{Committed, Store};

/// Limits of the store's tables; what exceeds one is dropped oldest first and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Payload bytes of kept sample batches.
    pub sample_bytes: u64,
    /// Feature rows in kept sample batches.
    pub sample_rows: u64,
    /// Alert messages.
    pub alerts: u64,
    /// Update reports.
    pub updates: u64,
    /// Agents; messages of further ones are refused.
    pub agents: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sample_bytes: 2 * 1024 * 1024 * 1024,
            sample_rows: 5_000_000,
            alerts: 500_000,
            updates: 100_000,
            agents: 20_000,
        }
    }
}
