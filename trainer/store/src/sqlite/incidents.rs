//! Incidents.

use super::SqliteHandle;
use super::campaigns::Changes;
use super::episode_pages::MESSAGE;
use crate::error::StoreError;
use crate::incident_actions::Person;
use crate::incident_joins::{save, settle};
use crate::incident_rows::{
    Reading, by_id, campaign, count_cause, counts, joinable, members, notes, of_episode, page, sites,
};
use crate::query::Dialect;
use crate::traits::{IncidentFilter, IncidentMember, IncidentSite, Incidents, QueuedEpisode, SavedJoins};
use lapwing_fleet::incident::{Cause, Incident, IncidentAction, IncidentState, Joins, Network, Note, Sighting};

const READING: Reading = Reading { dialect: Dialect::Sqlite, message: MESSAGE };

impl SqliteHandle {
    fn query<T>(&self, read: impl FnOnce(&mut Changes<'_>) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        read(&mut Changes(&self.connection)).map_err(self.sql())
    }
}

impl Incidents for SqliteHandle {
    fn join_queue(&self, classified_only: bool, limit: u32, now_s: u64) -> Result<Vec<QueuedEpisode>, StoreError> {
        self.query(|sql| READING.queue(sql, classified_only, limit, now_s))
    }

    fn join_candidates(
        &self,
        cause: &Cause,
        since_s: u64,
        limit: u32,
        now_s: u64,
    ) -> Result<Vec<Sighting>, StoreError> {
        self.query(|sql| READING.candidates(sql, cause, since_s, limit, now_s))
    }

    fn episodes_with_cause(&self, cause: &Cause, from_s: u64, to_s: u64) -> Result<u64, StoreError> {
        self.query(|sql| count_cause(sql, cause, from_s, to_s))
    }

    fn joinable_incidents(&self, since_s: u64) -> Result<Vec<Incident>, StoreError> {
        self.query(|sql| joinable(sql, since_s))
    }

    fn benign_networks(&self, limit: u32) -> Result<Vec<(String, Network)>, StoreError> {
        self.query(|sql| READING.benign(sql, limit))
    }

    fn save_joins(
        &self,
        joins: &Joins,
        queued: &[QueuedEpisode],
        skipped: u64,
        now_s: u64,
    ) -> Result<SavedJoins, StoreError> {
        self.write(|connection| save(&mut Changes(connection), joins, queued, skipped, now_s))
    }

    fn settle_incidents(&self, now_s: u64) -> Result<(), StoreError> {
        self.write(|connection| settle(&mut Changes(connection), now_s))
    }

    fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<Incident>, StoreError> {
        self.query(|sql| page(sql, filter))
    }

    fn incident(&self, id: i64) -> Result<Option<Incident>, StoreError> {
        self.query(|sql| by_id(sql, id))
    }

    fn incident_of(&self, agent: &str, episode: u64) -> Result<Option<Incident>, StoreError> {
        self.query(|sql| of_episode(sql, agent, episode))
    }

    fn incident_members(&self, id: i64, limit: u32) -> Result<Vec<IncidentMember>, StoreError> {
        self.query(|sql| members(sql, id, limit))
    }

    fn incident_sites(&self, id: i64, limit: u32) -> Result<Vec<IncidentSite>, StoreError> {
        self.query(|sql| sites(sql, id, limit))
    }

    fn incident_notes(&self, id: i64) -> Result<Vec<Note>, StoreError> {
        self.query(|sql| notes(sql, id))
    }

    fn incident_counts(&self) -> Result<Vec<(IncidentState, u64)>, StoreError> {
        self.query(|sql| counts(sql))
    }

    fn campaign_of_release(&self, group: &str, version: u64) -> Result<Option<i64>, StoreError> {
        self.query(|sql| campaign(sql, group, version))
    }

    fn change_incident(&self, id: i64, action: &IncidentAction, who: &str, now_s: u64) -> Result<i64, StoreError> {
        let person = Person { who, now_s, reading: READING };
        let done = self.write(|connection| person.change(&mut Changes(connection), id, action))?;
        done.map_err(Into::into)
    }

    fn raise_incident(&self, agent: &str, episode: u64, who: &str, now_s: u64) -> Result<i64, StoreError> {
        let person = Person { who, now_s, reading: READING };
        let done = self.write(|connection| person.raise(&mut Changes(connection), agent, episode))?;
        done.map_err(Into::into)
    }
}
