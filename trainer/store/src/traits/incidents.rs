//! Incidents: the joiner's queue, what it decides, and what people do.

use crate::error::StoreError;
use lapwing_fleet::incident::{
    Cause, Incident, IncidentAction, IncidentState, Joins, Network, Note, Severity, Sighting,
};
use lapwing_shared::messages::Role;

/// An episode in the joiner's queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueuedEpisode {
    /// What the joiner compares.
    pub sighting: Sighting,
    /// Number of its agent in this store.
    pub(crate) agent_id: i64,
    /// Changes since the last pass, when it was read.
    pub(crate) changes: i64,
}

/// Selects incidents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentFilter {
    /// Only incidents in this state; `None`: any but merged ones.
    pub state: Option<IncidentState>,
    /// Only incidents whose first agent with a group is in this one.
    pub group: Option<String>,
    /// Only incidents of at least this severity.
    pub severity: Option<Severity>,
    /// Only incidents that no operator has seen, open or quiet.
    pub unseen: bool,
    /// Only incidents with a lower number: the last one of the previous page.
    pub before: Option<i64>,
    /// Incidents per page, at most.
    pub limit: u32,
}

/// An episode of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentMember {
    /// Its agent.
    pub agent: String,
    /// Its number.
    pub episode: u64,
    /// Host that the evidence concerns, as people see it.
    pub host: String,
    /// Role of the host.
    pub role: Role,
    /// Attack class to show.
    pub class: String,
    /// It has not ended.
    pub is_open: bool,
    /// Its start, seconds since the epoch, by the agent's clock.
    pub since_s: u64,
    /// Its newest message, by the agent's clock.
    pub last_s: u64,
    /// Its severity.
    pub severity: Severity,
    /// Who put it there: a person, or `serve`.
    pub joined_by: String,
    /// Why, as a sentence.
    pub why: String,
    /// A person put it there.
    pub is_pinned: bool,
    /// When, seconds since the epoch.
    pub at_s: u64,
}

/// A site of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct IncidentSite {
    pub agent: String,
    pub episodes: u64,
    pub first_s: u64,
    pub last_s: u64,
}

/// What [`Incidents::save_joins`] stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct SavedJoins {
    pub incidents: u64,
    pub episodes: u64,
}

/// Incidents, their episodes and notes.
///
/// The queue is a column of the episodes, which every change of an episode raises in its own transaction, rather than the
/// highest number seen: several collectors commit in another order than they number. [`Incidents::save_joins`] takes
/// episodes from it in the transaction that stores what was decided about them.
pub trait Incidents {
    /// At most `limit` episodes that are new or have changed, in the order in which they began to arrive. With
    /// `classified_only`, those that wait for the classifier are left out.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn join_queue(&self, classified_only: bool, limit: u32, now_s: u64) -> Result<Vec<QueuedEpisode>, StoreError>;

    /// At most `limit` episodes with this cause that have left the queue and began at `since_s` or later, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn join_candidates(&self, cause: &Cause, since_s: u64, limit: u32, now_s: u64)
    -> Result<Vec<Sighting>, StoreError>;

    /// Number of episodes with this cause that began between two times; counted to 100,000.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn episodes_with_cause(&self, cause: &Cause, from_s: u64, to_s: u64) -> Result<u64, StoreError>;

    /// The incidents whose first episode began at `since_s` or later, except resolved ones, newest first; at most 4,000.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn joinable_incidents(&self, since_s: u64) -> Result<Vec<Incident>, StoreError>;

    /// Agents and outside networks of at most `limit` episodes that people labelled benign, newest label first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn benign_networks(&self, limit: u32) -> Result<Vec<(String, Network)>, StoreError>;

    /// Stores what the joiner decided and takes the episodes from the queue, unless they have changed since; all in one
    /// transaction. An episode that a person has put into an incident meanwhile stays there, and an incident that a person
    /// has resolved meanwhile gets no more. `skipped` is added to its counter.
    ///
    /// # Errors
    /// When the store cannot be written; then everything is as before.
    fn save_joins(
        &self,
        joins: &Joins,
        queued: &[QueuedEpisode],
        skipped: u64,
        now_s: u64,
    ) -> Result<SavedJoins, StoreError>;

    /// Marks incidents without activity as quiet, and deletes at most 100 that have ended: the oldest beyond 10,000, and
    /// those without stored episodes.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn settle_incidents(&self, now_s: u64) -> Result<(), StoreError>;

    /// One page of incidents, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<Incident>, StoreError>;

    /// One incident.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn incident(&self, id: i64) -> Result<Option<Incident>, StoreError>;

    /// The incident of an episode.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn incident_of(&self, agent: &str, episode: u64) -> Result<Option<Incident>, StoreError>;

    /// At most `limit` episodes of an incident, those that began last first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn incident_members(&self, id: i64, limit: u32) -> Result<Vec<IncidentMember>, StoreError>;

    /// At most `limit` sites of an incident in the order in which they were hit.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn incident_sites(&self, id: i64, limit: u32) -> Result<Vec<IncidentSite>, StoreError>;

    /// What people wrote and did about an incident, newest first; at most 200 are stored.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn incident_notes(&self, id: i64) -> Result<Vec<Note>, StoreError>;

    /// Numbers of incidents by state.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn incident_counts(&self) -> Result<Vec<(IncidentState, u64)>, StoreError>;

    /// Number of the newest campaign of a release.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn campaign_of_release(&self, group: &str, version: u64) -> Result<Option<i64>, StoreError>;

    /// Does something with an incident, with an entry in the audit log. Returns the number of the incident, or of the new
    /// one if episodes were split off.
    ///
    /// # Errors
    /// [`StoreError::Missing`] without this incident, [`StoreError::Incident`] if it cannot be changed so, or when the store
    /// cannot be written.
    fn change_incident(&self, id: i64, action: &IncidentAction, who: &str, now_s: u64) -> Result<i64, StoreError>;

    /// Makes an incident of one episode; repeats of the same thing join it. Returns its number.
    ///
    /// # Errors
    /// [`StoreError::Missing`] without this episode, [`StoreError::Incident`] if it belongs to an incident already, or when
    /// the store cannot be written.
    fn raise_incident(&self, agent: &str, episode: u64, who: &str, now_s: u64) -> Result<i64, StoreError>;
}
