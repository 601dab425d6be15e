//! What the trainer needs of a store, by concern; each implementation speaks its own SQL.
//!
//! Collectors use [`Ingest`]; everything else uses the concerns together, as a [`Handle`]. All calls block. Times are
//! arguments, in seconds since the epoch.

mod agents;
mod assignments;
mod audit;
mod campaigns;
mod copies;
mod episodes;
mod groups;
mod hosts;
mod identities;
mod incidents;
mod people;
mod renewals;
mod roots;
mod seals;
mod segments;

pub use agents::{Agents, MAX_SILENCED};
pub use assignments::Assignments;
pub use audit::Audit;
pub use campaigns::{
    AgentAlertHour, CampaignAgent, CampaignChange, CampaignFilter, Campaigns, GateResult, GroupAgent, Saved,
    StoredCampaign, StoredReleaseHealth, StoredRollout,
};
pub(crate) use copies::{CopyEnd, CopyState};
pub use episodes::Episodes;
pub use groups::Groups;
pub use hosts::Hosts;
pub use identities::{Identities, IdentityFilter};
pub use incidents::{IncidentFilter, IncidentMember, IncidentSite, Incidents, QueuedEpisode, SavedJoins};
pub use people::{People, SecretHash};
pub use renewals::{RenewalRow, Renewals};
pub use roots::{RootDocuments, StoredRoot};
pub use seals::Seals;
pub use segments::Segments;

use crate::committed::Committed;
use crate::counter::Counter;
use crate::error::StoreError;
use crate::received::Received;
use crate::rows::{EpisodeExtent, EpisodeSpan, StoredBatch, Unlabelled};
use crate::stored_numbers::StoredNumbers;
use lapwing_fleet::{Classification, HeldRelease, HeldState, Job, JobState, Release};
use lapwing_shared::features::SchemaId;
use lapwing_shared::messages::AgentName;
use std::collections::BTreeMap;
use std::path::Path;

/// A writer of agents' messages.
pub trait Ingest: Send {
    /// Stores a batch in one transaction, received at `now_s`. The numbers of each run are read and locked in the
    /// transaction, so that no message is stored twice, whoever stored it first.
    ///
    /// # Errors
    /// When the store cannot be written; then no message of the batch is stored, and the caller may retry it.
    fn commit(&mut self, batch: &[Received], now_s: u64) -> Result<Committed, StoreError>;

    /// Numbers of the stored messages of an agent's run; `None` for an unknown agent or run.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn progress(&self, agent: &AgentName, run: u64) -> Result<Option<StoredNumbers>, StoreError>;

    /// [`Ingest::progress`] of several runs, in their order; a database answers all with one query.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn progress_of(&self, runs: &[(AgentName, u64)]) -> Result<Vec<Option<StoredNumbers>>, StoreError> {
        runs.iter().map(|(agent, run)| self.progress(agent, *run)).collect()
    }

    /// Ends writing.
    ///
    /// # Errors
    /// When the end cannot be written; committed messages stay stored.
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}

/// The queue of episodes to classify, and their classes.
pub trait Classes {
    /// At most `limit` episodes whose messages or sample rows have changed since they were classified, in the order in
    /// which they began to arrive. [`Classes::set_classes`] takes them from the queue.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn unclassified_episodes(&self, limit: u32) -> Result<Vec<EpisodeSpan>, StoreError>;

    /// Stores classifications, `None` for an episode that could not be classified, and takes the episodes from the queue,
    /// unless they have changed in the meantime; all in one transaction.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn set_classes(
        &self,
        classified: &[(EpisodeSpan, Option<Classification>)],
        model: &str,
        now_s: u64,
    ) -> Result<(), StoreError>;

    /// At most `limit` episodes with the label attack whose messages are stored, newest label first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn labelled_attacks(&self, limit: u32) -> Result<Vec<EpisodeSpan>, StoreError>;
}

/// Releases of every group.
pub trait Releases {
    /// Adds a release that `who` signed, and marks the approved release that it was, if it was one, as published; all in one
    /// transaction. A release that is already there, with the same manifest, is left as it is, so that the caller may repeat
    /// this after any error.
    ///
    /// # Errors
    /// When the group already has another release of this version, or the store cannot be written.
    fn add_release(&self, line: &Release, who: &str, now_s: u64) -> Result<(), StoreError>;

    /// At most `limit` releases of a group, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn releases(&self, group: &str, limit: u32) -> Result<Vec<Release>, StoreError>;

    /// Releases of every group, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn all_releases(&self, limit: u32) -> Result<Vec<Release>, StoreError>;

    /// One release of a group.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn release(&self, group: &str, version: u64) -> Result<Option<Release>, StoreError>;
}

/// Releases that the gate holds back, and the operator's decision.
pub trait HeldReleases {
    /// Adds a release that waits for an operator; it supersedes every undecided one of its group.
    ///
    /// # Errors
    /// When the group already has this version, or the store cannot be written.
    fn hold_release(&self, held: &HeldRelease) -> Result<(), StoreError>;

    /// Marks every undecided release of a group as superseded, because a newer one exists.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn supersede_held(&self, group: &str) -> Result<(), StoreError>;

    /// At most `limit` held-back releases of a group, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn held_releases(&self, group: &str, limit: u32) -> Result<Vec<HeldRelease>, StoreError>;

    /// At most `limit` releases of all groups that wait for an operator, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn waiting_releases(&self, limit: u32) -> Result<Vec<HeldRelease>, StoreError>;

    /// Approves or rejects a waiting release.
    ///
    /// # Errors
    /// When no such release waits, or the store cannot be written.
    fn decide_held(&self, group: &str, version: u64, approve: bool, who: &str, now_s: u64) -> Result<(), StoreError>;

    /// The newest approved release of a group that is not published yet.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn approved_release(&self, group: &str) -> Result<Option<HeldRelease>, StoreError>;

    /// Changes the state of a held-back release, if its present state allows it.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn set_held_state(&self, group: &str, version: u64, state: HeldState) -> Result<(), StoreError>;
}

/// Requests to retrain.
pub trait Jobs {
    /// Requests retraining of a group, or of every group that the trainer serves; returns the job number.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn request_retraining(&self, group: Option<&str>, who: &str, now_s: u64) -> Result<i64, StoreError>;

    /// Makes a waiting job for every group a job for each of `groups`, the groups that the trainer serves; the first keeps
    /// its number. Waiting jobs for other groups fail. All in one transaction.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn assign_jobs(&self, groups: &[&str], now_s: u64) -> Result<(), StoreError>;

    /// Claims all waiting jobs of a group, because one training serves them all, in one statement: no other server gets
    /// them. Returns the newest; [`Jobs::finish_jobs`] finishes the others with it.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn take_jobs(&self, group: &str) -> Result<Option<Job>, StoreError>;

    /// Finishes all running jobs of a group up to this number.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn finish_jobs(&self, group: &str, up_to: i64, result: Result<&str, &str>, now_s: u64) -> Result<(), StoreError>;

    /// Returns jobs to the queue that were running when `serve` ended.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn requeue_jobs(&self) -> Result<(), StoreError>;

    /// State of a job and its result.
    ///
    /// # Errors
    /// When the job does not exist, or the store cannot be read.
    fn job_state(&self, id: i64) -> Result<(JobState, Option<String>), StoreError>;
}

/// Counters and sizes.
pub trait Counters {
    /// Reads a counter.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn counter(&self, counter: Counter) -> Result<u64, StoreError>;

    /// Replaces a counter.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn set_counter(&self, counter: Counter, value: u64) -> Result<(), StoreError>;

    /// Numbers of stored alerts, sample batches in the journal and in segments, and update reports.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn message_counts(&self) -> Result<[u64; 3], StoreError>;
}

/// Identity, backup and check of a store.
pub trait Maintenance {
    /// Version of the schema.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn version(&self) -> Result<u32, StoreError>;

    /// Problems of a store of the current version: damage, and derived columns or counts that differ from the rows behind
    /// them. Empty without any.
    ///
    /// # Errors
    /// [`StoreError::OlderVersion`], or when the store cannot be read.
    fn check(&self) -> Result<Vec<String>, StoreError>;

    /// Number that identifies this store, drawn when it was created.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    fn id(&self) -> Result<u64, StoreError>;

    /// Copies the store, as it is at this moment, to a new file with mode 600. Writers continue: the copy is one read
    /// transaction.
    ///
    /// # Errors
    /// When the file exists, the store cannot be read, or the copy cannot be written.
    fn backup_into(&self, copy: &Path) -> Result<(), StoreError>;

    /// Checks every page, makes the next release skip [`crate::BACKUP_VERSIONS`] versions, and ends all sessions and links.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or when the store cannot be written.
    fn settle_restored(&self, newest: u64) -> Result<(), StoreError>;
}

/// Leases of work that one process does at a time, however many use the store. A process holds a lease until it ends, its
/// connection is lost, or it releases the lease.
pub trait Leases {
    /// True if this handle holds the lease of this name, now or already. Ask before each step of the work: if the connection
    /// was lost, another process may hold the lease.
    ///
    /// # Errors
    /// When the store cannot be reached; then no lease is held.
    fn try_lease(&self, name: &str) -> Result<bool, StoreError>;

    /// Ends a lease that this handle holds.
    ///
    /// # Errors
    /// When the store cannot be reached.
    fn release_lease(&self, name: &str) -> Result<(), StoreError>;
}

/// Sample batches and what training needs to know of episodes.
pub trait Samples {
    /// Position of the newest sample batch, in the journal or in a segment; 0 without batches.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn newest_batch(&self) -> Result<u64, StoreError>;

    /// The first `limit` batches in the journal of a feature schema after one position and up to another one, in order of arrival.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn sample_batches(
        &self,
        schema: &SchemaId,
        after: u64,
        up_to: u64,
        limit: u32,
    ) -> Result<Vec<StoredBatch>, StoreError>;

    /// The newest batch of each agent up to a position that is in no segment, of any schema.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn newest_batches(&self, up_to: u64) -> Result<Vec<StoredBatch>, StoreError>;

    /// Number of stored rows of other feature schemas, in the journal and in segments.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn rows_of_other_schemas(&self, schema: &SchemaId) -> Result<u64, StoreError>;

    /// Names of all agents by their number.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn agent_names(&self) -> Result<BTreeMap<i64, String>, StoreError>;

    /// By agent: the position in the order of arrival up to which its rows do not train; the highest for a revoked agent.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn distrusted(&self) -> Result<BTreeMap<i64, u64>, StoreError>;

    /// Every episode's extent.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn episode_extents(&self) -> Result<Vec<EpisodeExtent>, StoreError>;

    /// Alert episodes without a label, of these agents only; `None`: of all. Test alerts, which have no limit, and those of
    /// revoked agents do not count.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn unlabelled_of(&self, agents: Option<&[String]>) -> Result<Unlabelled, StoreError>;

    /// Payloads of at most `limit` newest messages of an episode, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn alert_payloads(&self, span: &EpisodeSpan, limit: u32) -> Result<Vec<Vec<u8>>, StoreError>;

    /// At most `limit` sample batches in the journal of a schema that an episode overlaps, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn overlapping_batches(
        &self,
        span: &EpisodeSpan,
        schema: &SchemaId,
        limit: u32,
    ) -> Result<Vec<StoredBatch>, StoreError>;
}

/// Everything but writing messages.
pub trait Handle:
    Agents
    + Assignments
    + Audit
    + Campaigns
    + Classes
    + Counters
    + Episodes
    + Groups
    + HeldReleases
    + Hosts
    + Identities
    + Incidents
    + Jobs
    + Leases
    + Maintenance
    + People
    + Releases
    + Renewals
    + RootDocuments
    + Samples
    + Seals
    + Segments
    + Send
{
}
