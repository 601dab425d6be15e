//! Filters → pages of episodes, newest message first.

use super::SqliteHandle;
use crate::episode_fields;
use crate::episode_walk::EpisodeWalk;
use crate::error::StoreError;
use crate::fields::{self, day_of};
use crate::query::{Dialect, Query};
use crate::received::stored_ns;
use crate::rows::{DayCount, EpisodeFilter, EpisodeMessage, EpisodePage};
use crate::statements::{
    DAY_OF_AGENT, DAYS, LABEL, MESSAGES_OF_EPISODE, NEWEST_DAY, START_OF_EPISODE, select_episodes,
};
use crate::traits::Episodes;
use lapwing_fleet::{AuditEntry, Episode, Label};
use rusqlite::params_from_iter;
use std::ops::RangeInclusive;

/// Finds the newest message of an episode.
pub(super) const MESSAGE: &str = "alerts.id = e.message";

impl Episodes for SqliteHandle {
    fn episodes(&self, filter: &EpisodeFilter) -> Result<EpisodePage, StoreError> {
        self.episode_page(filter).map_err(self.sql())
    }

    fn episode(
        &self,
        agent: &str,
        number: u64,
        limit: u32,
    ) -> Result<Option<(Episode, Vec<EpisodeMessage>)>, StoreError> {
        let read = || {
            let Some(agent) = self.agent_id(agent)? else { return Ok(None) };
            let number = number.cast_signed();
            let text = select_episodes(MESSAGE, "e.agent = ?1 AND e.episode = ?2");
            let Some(episode) = self.row(&text, (agent, number), |row| episode_fields::episode(row))? else {
                return Ok(None);
            };
            let messages =
                self.rows(&MESSAGES_OF_EPISODE, (agent, number, limit), |row| fields::episode_message(row))?;
            Ok(Some((episode, messages)))
        };
        read().map_err(self.sql())
    }

    fn label(&self, agent: &str, episode: u64, label: Label, who: &str, now_s: u64) -> Result<(), StoreError> {
        let values = (label.as_str(), who, now_s.cast_signed(), agent, episode.cast_signed());
        let entry = AuditEntry::labelled(agent, episode, label, who, now_s);
        match self.change_and_record(&LABEL, values, &entry)? {
            true => Ok(()),
            false => Err(StoreError::no_episode(agent, episode)),
        }
    }

    fn opened_by_day(&self, days: RangeInclusive<i64>, agent: Option<&str>) -> Result<Vec<DayCount>, StoreError> {
        let read = || {
            let Some(name) = agent else {
                return self.rows(&DAYS, (days.start(), days.end()), |row| fields::day_count(row));
            };
            let Some(agent) = self.agent_id(name)? else { return Ok(Vec::new()) };
            let counts =
                days.filter_map(|day| self.row(&DAY_OF_AGENT, (day, agent), |row| fields::day_count(row)).transpose());
            counts.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    fn newest_day(&self, agent: Option<&str>) -> Result<Option<i64>, StoreError> {
        let Some(name) = agent else {
            return self.row(&NEWEST_DAY, [], |row| row.get(0)).map(Option::flatten).map_err(self.sql());
        };
        let filter = EpisodeFilter { agent: Some(name.to_owned()), limit: 1, ..EpisodeFilter::default() };
        let newest = self.episodes(&filter)?.episodes;
        Ok(newest.first().map(|episode| day_of(stored_ns(episode.record.since))))
    }
}

impl SqliteHandle {
    fn episode_page(&self, filter: &EpisodeFilter) -> rusqlite::Result<EpisodePage> {
        // One state of the store for all statements.
        let _snapshot = self.connection.unchecked_transaction()?;
        let agent = match &filter.agent {
            Some(name) => match self.agent_id(name)? {
                None => return Ok(EpisodePage::default()),
                id => id,
            },
            None => None,
        };
        let walk = EpisodeWalk::new(Dialect::Sqlite, filter, agent);
        let start_of = |id: i64| self.row(&START_OF_EPISODE, [id], |row| row.get(0));
        let start = walk.starts_after().map(start_of).transpose()?.flatten();
        let read = |query: &Query| self.rows(&query.text, params_from_iter(&query.values), |row| fields::numbers(row));
        let rows = walk.page(start, read)?;
        let text = select_episodes(MESSAGE, "e.id = ?1");
        let mut episodes = Vec::with_capacity(rows.ids.len());
        for id in rows.ids {
            episodes.extend(self.row(&text, [id], |row| episode_fields::episode(row))?);
        }
        Ok(EpisodePage { episodes, next: rows.next })
    }
}
