//! Incidents.

use super::PostgresHandle;
use super::episode_pages::MESSAGE;
use super::fields::searched;
use super::schema::Lock;
use super::session::Session;
use crate::error::StoreError;
use crate::incident_actions::Person;
use crate::incident_joins::{save, settle};
use crate::incident_rows::{
    Reading, by_id, campaign, count_cause, counts, joinable, members, notes, of_episode, page, sites,
};
use crate::query::Dialect;
use crate::traits::{IncidentFilter, IncidentMember, IncidentSite, Incidents, QueuedEpisode, SavedJoins};
use lapwing_fleet::incident::{Cause, Incident, IncidentAction, IncidentState, Joins, Network, Note, Sighting};
use std::collections::BTreeSet;

const READING: Reading = Reading { dialect: Dialect::Postgres, message: MESSAGE };

impl Incidents for PostgresHandle {
    fn join_queue(&self, classified_only: bool, limit: u32, now_s: u64) -> Result<Vec<QueuedEpisode>, StoreError> {
        self.read(|session| READING.queue(session, classified_only, limit, now_s))
    }

    fn join_candidates(
        &self,
        cause: &Cause,
        since_s: u64,
        limit: u32,
        now_s: u64,
    ) -> Result<Vec<Sighting>, StoreError> {
        self.read(|session| READING.candidates(session, cause, since_s, limit, now_s))
    }

    fn episodes_with_cause(&self, cause: &Cause, from_s: u64, to_s: u64) -> Result<u64, StoreError> {
        self.read(|session| count_cause(session, cause, from_s, to_s))
    }

    fn joinable_incidents(&self, since_s: u64) -> Result<Vec<Incident>, StoreError> {
        self.read(|session| joinable(session, since_s))
    }

    fn benign_networks(&self, limit: u32) -> Result<Vec<(String, Network)>, StoreError> {
        self.read(|session| READING.benign(session, limit))
    }

    fn save_joins(
        &self,
        joins: &Joins,
        queued: &[QueuedEpisode],
        skipped: u64,
        now_s: u64,
    ) -> Result<SavedJoins, StoreError> {
        let agents: BTreeSet<i64> = queued.iter().map(|one| one.agent_id).collect();
        let agents: Vec<i64> = agents.into_iter().collect();
        self.write(|session| {
            session.lock(Lock::Incidents)?;
            session.lock_agents(&agents)?;
            save(session, joins, queued, skipped, now_s)
        })
    }

    fn settle_incidents(&self, now_s: u64) -> Result<(), StoreError> {
        self.write(|session| {
            session.lock(Lock::Incidents)?;
            settle(session, now_s)
        })
    }

    fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<Incident>, StoreError> {
        let group = filter.group.as_deref().map(searched);
        let filter = IncidentFilter { group, ..filter.clone() };
        self.read(|session| page(session, &filter))
    }

    fn incident(&self, id: i64) -> Result<Option<Incident>, StoreError> {
        self.read(|session| by_id(session, id))
    }

    fn incident_of(&self, agent: &str, episode: u64) -> Result<Option<Incident>, StoreError> {
        self.read(|session| of_episode(session, agent, episode))
    }

    fn incident_members(&self, id: i64, limit: u32) -> Result<Vec<IncidentMember>, StoreError> {
        self.read(|session| members(session, id, limit))
    }

    fn incident_sites(&self, id: i64, limit: u32) -> Result<Vec<IncidentSite>, StoreError> {
        self.read(|session| sites(session, id, limit))
    }

    fn incident_notes(&self, id: i64) -> Result<Vec<Note>, StoreError> {
        self.read(|session| notes(session, id))
    }

    fn incident_counts(&self) -> Result<Vec<(IncidentState, u64)>, StoreError> {
        self.read(counts::<Session>)
    }

    fn campaign_of_release(&self, group: &str, version: u64) -> Result<Option<i64>, StoreError> {
        self.read(|session| campaign(session, group, version))
    }

    fn change_incident(&self, id: i64, action: &IncidentAction, who: &str, now_s: u64) -> Result<i64, StoreError> {
        let person = Person { who, now_s, reading: READING };
        let done = self.write(|session| {
            session.lock(Lock::Incidents)?;
            person.change(session, id, action)
        })?;
        done.map_err(Into::into)
    }

    fn raise_incident(&self, agent: &str, episode: u64, who: &str, now_s: u64) -> Result<i64, StoreError> {
        let person = Person { who, now_s, reading: READING };
        let done = self.write(|session| {
            session.lock(Lock::Incidents)?;
            person.raise(session, agent, episode)
        })?;
        done.map_err(Into::into)
    }
}
