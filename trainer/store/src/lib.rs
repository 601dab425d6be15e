//! Agents' messages, operators' labels and requests, and releases ↔ a store.
//!
//! [`traits`] says what the trainer needs of a store, by concern; [`StoreUrl`] selects an implementation; [`Store`] and
//! [`StoreHandle`] are an open one. All implementations pass the same tests, the module `contract`.
#![forbid(unsafe_code)]

mod agent_walk;
mod assignment_rows;
mod audit;
mod campaign_changes;
mod campaign_rows;
mod cell;
mod committed;
mod compactor;
mod copied_tables;
mod copy;
mod counter;
mod episode_features;
mod episode_fields;
mod episode_walk;
mod error;
mod expiry;
mod fields;
mod highest_version;
mod host_data;
mod identity_rows;
mod incident_actions;
mod incident_joins;
mod incident_pass;
mod incident_rows;
mod people_changes;
mod people_rows;
mod renewal_rows;
#[cfg(feature = "postgres")]
mod postgres;
mod query;
mod received;
mod release_changes;
mod places;
mod positions;
mod root_rows;
mod row_store;
mod rows;
mod seal_rows;
mod segment_fields;
mod segment_rows;
mod shares;
mod sqlite;
mod statements;
mod store;
mod stored_numbers;
mod stored_rows;
pub mod traits;
mod training_rows;
mod url;

#[cfg(any(test, feature = "testing"))]
pub mod contract;
#[cfg(any(test, feature = "testing"))]
pub use sqlite::old_store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use audit::{AuditFilter, AuditPage};
pub use committed::{Committed, Rejection};
pub use compactor::{Compaction, Compactor, REMOVED_FILES_KEPT_S, Step};
pub use copy::{Copied, CopyStep, StoreCopy};
pub use counter::Counter;
pub use error::StoreError;
pub use highest_version::HighestVersion;
pub use host_data::{HostData, HostFilter};
pub use identity_rows::MAX_TOKENS;
pub use incident_pass::{IncidentPass, Joined};
pub use lapwing_fleet::{
    AgentState, AuditCheck, AuditRecord, Classification, Episode, HeldRelease, HeldState, Job, JobState, Label,
    Release, UNKNOWN_CLASS,
};
pub use people_rows::{ApiToken, LinkTarget, NewToken, Person, PersonError, Session};
pub use places::{folder as segments_folder, open_place};
pub use received::{Content, HealthReport, Received, SampleBatch, StatusReport};
pub use renewal_rows::RENEWAL_PAUSE_S;
pub use rows::{
    AgentCount, AgentFilter, AgentPage, AgentRow, AgentsOfGroup, AlertFilter, BACKUP_VERSIONS, DayCount, EpisodeExtent,
    EpisodeFilter, EpisodeMessage, EpisodePage, EpisodeSpan, GroupRows, MAX_NAMES_SEARCHED, StoredAgent, StoredBatch,
    StoredUpdate, Unlabelled,
};
pub use segment_rows::{BatchKey, JournalPart, NewSegment, NewestRow, SegmentTotals, StoredSegment};
pub use store::{Store, StoreHandle, StoreLock, is_store};
pub use stored_numbers::StoredNumbers;
pub use stored_rows::StoredRows;
pub use training_rows::{RowSummary, TrainingRow, TrainingRows};
pub use url::StoreUrl;

/// Limits of the tables. Above a limit, the store drops the oldest rows of the agents with the most rows and counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Payload bytes of stored sample batches.
    pub sample_bytes: u64,
    /// Feature rows in stored sample batches.
    pub sample_rows: u64,
    /// Alert messages.
    pub alerts: u64,
    /// Update reports.
    pub updates: u64,
    /// Agents. Messages of further agents are refused, unless a silent agent with few messages can be removed.
    pub agents: u64,
    /// Age of alerts, update reports and rows in segments, seconds since the trainer received the message or since the row's
    /// time; older ones are deleted. `None`: no limit.
    pub age_s: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sample_bytes: 2 * 1024 * 1024 * 1024,
            sample_rows: 5_000_000,
            alerts: 500_000,
            updates: 100_000,
            agents: 20_000,
            age_s: None,
        }
    }
}
