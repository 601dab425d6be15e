//! One episode, its messages and its label; the counts by day.

use super::PostgresHandle;
use super::agents::agent_id;
use super::episode_pages::{MESSAGE, episode_page};
use super::fields::searched;
use super::session::Values;
use crate::episode_fields::episode;
use crate::error::StoreError;
use crate::fields::{self, Fields, day_of};
use crate::received::stored_ns;
use crate::rows::{DayCount, EpisodeFilter, EpisodeMessage, EpisodePage};
use crate::statements::{DAY_OF_AGENT, DAYS, LABEL, MESSAGES_OF_EPISODE, NEWEST_DAY, select_episodes};
use crate::traits::Episodes;
use lapwing_fleet::{AuditEntry, Episode, Label};
use std::ops::RangeInclusive;

impl Episodes for PostgresHandle {
    fn episodes(&self, filter: &EpisodeFilter) -> Result<EpisodePage, StoreError> {
        let text = |text: &Option<String>| text.as_deref().map(searched);
        let filter = EpisodeFilter { agent: text(&filter.agent), kind: text(&filter.kind), ..filter.clone() };
        self.snapshot(|session| episode_page(session, &filter))
    }

    fn episode(
        &self,
        agent: &str,
        number: u64,
        limit: u32,
    ) -> Result<Option<(Episode, Vec<EpisodeMessage>)>, StoreError> {
        let (number, limit) = (number.cast_signed(), i64::from(limit));
        self.snapshot(|session| {
            let Some(agent) = agent_id(session, agent)? else { return Ok(None) };
            let text = select_episodes(MESSAGE, "e.agent = ?1 AND e.episode = ?2");
            let Some(episode) = session.row(&text, &[&agent, &number], episode)? else { return Ok(None) };
            let messages = session.rows(&MESSAGES_OF_EPISODE, &[&agent, &number, &limit], fields::episode_message)?;
            Ok(Some((episode, messages)))
        })
    }

    fn label(&self, agent: &str, episode: u64, label: Label, who: &str, now_s: u64) -> Result<(), StoreError> {
        let entry = AuditEntry::labelled(agent, episode, label, who, now_s);
        let (agent_name, number, now_s) = (searched(agent), episode.cast_signed(), now_s.cast_signed());
        let values: Values<'_> = &[&label.as_str(), &searched(who), &now_s, &agent_name, &number];
        match self.change_and_record(&LABEL, values, &entry)? {
            true => Ok(()),
            false => Err(StoreError::no_episode(agent, episode)),
        }
    }

    fn opened_by_day(&self, days: RangeInclusive<i64>, agent: Option<&str>) -> Result<Vec<DayCount>, StoreError> {
        self.snapshot(|session| {
            let Some(name) = agent else {
                return session.rows(&DAYS, &[days.start(), days.end()], fields::day_count);
            };
            let Some(agent) = agent_id(session, name)? else { return Ok(Vec::new()) };
            let of_day = |day: i64| session.row(&DAY_OF_AGENT, &[&day, &agent], fields::day_count).transpose();
            days.clone().filter_map(of_day).collect()
        })
    }

    fn newest_day(&self, agent: Option<&str>) -> Result<Option<i64>, StoreError> {
        let Some(name) = agent else {
            let day = self.read(|session| session.row(&NEWEST_DAY, &[], |row| row.integer_or_null(0)))?;
            return Ok(day.flatten());
        };
        let filter = EpisodeFilter { agent: Some(name.to_owned()), limit: 1, ..EpisodeFilter::default() };
        let newest = self.episodes(&filter)?.episodes;
        Ok(newest.first().map(|episode| day_of(stored_ns(episode.record.since))))
    }
}
