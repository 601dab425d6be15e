//! Filters → pages of episodes, newest message first.
//!
//! A page walks down the index that fits its filter best and checks the rest of the filter row by row, until it is full
//! or has looked at [`MAX_EPISODES_SCANNED`] rows. Only the episodes that it shows are read with their messages.

use super::SqliteHandle;
use super::episode_rows::{day_of, episode, select_episodes};
use crate::error::StoreError;
use crate::rows::{AlertFilter, DayCount, EpisodeFilter, EpisodeMessage, EpisodePage, MAX_EPISODES_SCANNED};
use crate::traits::Episodes;
use lapwing_fleet::{Episode, Label};
use lapwing_shared::units::NANOS_PER_SECOND;
use rusqlite::{Connection, OptionalExtension};
use std::ops::RangeInclusive;

/// Index to walk down, and what it selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    All,
    Agent,
    Open,
    Class,
    Start,
}

impl Walk {
    #[cfg(test)]
    pub(super) const EVERY: [Self; 5] = [Self::All, Self::Agent, Self::Open, Self::Class, Self::Start];

    fn of(filter: &EpisodeFilter) -> Self {
        match filter {
            EpisodeFilter { from_s, to_s, .. } if from_s.is_some() || to_s.is_some() => Self::Start,
            EpisodeFilter { agent: Some(_), .. } => Self::Agent,
            EpisodeFilter { open: Some(true), .. } => Self::Open,
            EpisodeFilter { kind: Some(_), .. } => Self::Class,
            _ => Self::All,
        }
    }

    /// The rows to look at: place, row id, agent, open, class. Parameters: 1 place before, 2 agent, 3 class, 4 and 5 range of
    /// starts, 6 start of the place before, 7 limit.
    pub(super) fn query(self) -> String {
        let (index, condition) = match self {
            Self::All => ("episodes_by_message", "TRUE"),
            Self::Agent => ("episodes_of_agent", "agent = ?2"),
            Self::Open => ("episodes_open", "is_open = 1"),
            Self::Class => ("episodes_of_class", "shown_class = ?3"),
            Self::Start => ("episodes_by_start", "since_ns BETWEEN ?4 AND ?5"),
        };
        let (place, before, order) = match self {
            Self::Start => ("id", "(since_ns, id) < (?6, ?1)", "since_ns DESC, id DESC"),
            _ => ("message", "message < ?1", "message DESC"),
        };
        format!(
            "SELECT {place}, id, agent, is_open, shown_class FROM episodes INDEXED BY {index} \
             WHERE {condition} AND {before} ORDER BY {order} LIMIT ?7"
        )
    }
}

/// Messages of an episode.
pub(super) const MESSAGES: &str = "SELECT state, at_ns, peak_nats, flows, received_s FROM alerts \
     WHERE agent = ?1 AND episode = ?2 ORDER BY id DESC LIMIT ?3";
/// Episodes by the day of their start.
pub(super) const DAYS: &str = "SELECT d.day, agents.name, d.episodes FROM episode_days AS d \
     JOIN agents ON agents.id = d.agent WHERE d.day BETWEEN ?1 AND ?2 ORDER BY d.day, d.agent";
/// The same, of one day and agent.
pub(super) const DAYS_OF_AGENT: &str = "SELECT d.day, agents.name, d.episodes FROM episode_days AS d \
     JOIN agents ON agents.id = d.agent WHERE d.day = ?1 AND d.agent = ?2";
/// Start of an agent's episode with the newest message.
pub(super) const NEWEST_OF_AGENT: &str = "SELECT since_ns FROM episodes INDEXED BY episodes_of_agent \
     WHERE agent = (SELECT id FROM agents WHERE name = ?1) ORDER BY message DESC LIMIT 1";

/// Range of starts of a filter, as stored.
fn starts(filter: &EpisodeFilter) -> (i64, i64) {
    let nanos = |seconds: u64| seconds.saturating_mul(NANOS_PER_SECOND).min(i64::MAX.cast_unsigned()).cast_signed();
    let from_ns = filter.from_s.map_or(0, nanos);
    let to_ns = filter.to_s.map_or(i64::MAX, |second| nanos(second.saturating_add(1)).saturating_sub(1));
    (from_ns, to_ns)
}

impl Episodes for SqliteHandle {
    fn episodes(&self, filter: &EpisodeFilter) -> Result<EpisodePage, StoreError> {
        self.episode_page(filter).map_err(self.sql())
    }

    fn alerts(&self, filter: &AlertFilter) -> Result<Vec<Episode>, StoreError> {
        let of_agent =
            if filter.agent.is_some() { "e.agent = (SELECT id FROM agents WHERE name = ?1)" } else { "?1 IS NULL" };
        let condition = format!("{of_agent} AND (?2 = 0 OR e.label IS NULL) ORDER BY e.message DESC LIMIT ?3");
        let read = || {
            let mut statement = self.connection.prepare_cached(&select_episodes(&condition))?;
            let values = (&filter.agent, filter.unlabelled, filter.limit);
            statement.query_map(values, episode)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
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
            let text = select_episodes("e.agent = ?1 AND e.episode = ?2");
            let found = self.connection.prepare_cached(&text)?.query_row((agent, number), episode).optional()?;
            let message = |row: &rusqlite::Row<'_>| {
                Ok(EpisodeMessage {
                    state: row.get(0)?,
                    at_s: row.get::<_, i64>(1)?.cast_unsigned() / NANOS_PER_SECOND,
                    peak_nats: row.get(2)?,
                    flows: row.get(3)?,
                    received_s: row.get::<_, i64>(4)?.cast_unsigned(),
                })
            };
            let mut statement = self.connection.prepare_cached(MESSAGES)?;
            let messages = statement.query_map((agent, number, limit), message)?.collect::<rusqlite::Result<_>>()?;
            Ok(found.map(|episode| (episode, messages)))
        };
        read().map_err(self.sql())
    }

    fn label(&self, agent: &str, episode: u64, label: Label, who: &str, now_s: u64) -> Result<(), StoreError> {
        let text = "UPDATE episodes SET label = ?3, labelled_by = ?4, labelled_s = ?5 \
                    WHERE agent = (SELECT id FROM agents WHERE name = ?1) AND episode = ?2";
        let values = (agent, episode.cast_signed(), label.as_str(), who, now_s.cast_signed());
        match self.connection.execute(text, values).map_err(self.sql())? {
            0 => {
                let what = format!("alert episode {episode} of agent `{agent}`");
                Err(StoreError::Missing { what, list: "alerts" })
            }
            _ => Ok(()),
        }
    }

    fn opened_by_day(&self, days: RangeInclusive<i64>, agent: Option<&str>) -> Result<Vec<DayCount>, StoreError> {
        let line = |row: &rusqlite::Row<'_>| {
            let episodes = row.get::<_, i64>(2)?.cast_unsigned();
            Ok(DayCount { day: row.get(0)?, agent: row.get(1)?, episodes })
        };
        let read = || {
            let Some(name) = agent else {
                let mut statement = self.connection.prepare_cached(DAYS)?;
                return statement.query_map((days.start(), days.end()), line)?.collect();
            };
            let Some(agent) = self.agent_id(name)? else { return Ok(Vec::new()) };
            let mut statement = self.connection.prepare_cached(DAYS_OF_AGENT)?;
            let counts = days.filter_map(|day| statement.query_row((day, agent), line).optional().transpose());
            counts.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    fn newest_day(&self, agent: Option<&str>) -> Result<Option<i64>, StoreError> {
        let read = || match agent {
            None => {
                self.connection.prepare_cached("SELECT max(day) FROM episode_days")?.query_row([], |row| row.get(0))
            }
            Some(name) => {
                let newest =
                    self.connection.prepare_cached(NEWEST_OF_AGENT)?.query_row([name], |row| row.get(0)).optional()?;
                Ok(newest.map(day_of))
            }
        };
        read().map_err(self.sql())
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
        let (ids, next) = find(&self.connection, filter, agent)?;
        let mut statement = self.connection.prepare_cached(&select_episodes("e.id = ?1"))?;
        let episodes = ids.into_iter().map(|id| statement.query_row([id], episode)).collect::<rusqlite::Result<_>>()?;
        Ok(EpisodePage { episodes, next })
    }

    pub(super) fn agent_id(&self, name: &str) -> rusqlite::Result<Option<i64>> {
        let mut statement = self.connection.prepare_cached("SELECT id FROM agents WHERE name = ?1")?;
        statement.query_row([name], |row| row.get(0)).optional()
    }
}

/// Row ids of a page, and the place where the next one starts.
fn find(
    connection: &Connection,
    filter: &EpisodeFilter,
    agent: Option<i64>,
) -> rusqlite::Result<(Vec<i64>, Option<i64>)> {
    let walk = Walk::of(filter);
    let (from_ns, to_ns) = starts(filter);
    let (mut ids, mut looked_at, mut last) = (Vec::new(), 0, None);
    let mut statement = connection.prepare_cached(&walk.query())?;
    let before = filter.before.unwrap_or(i64::MAX);
    let start = match filter.before.filter(|_| walk == Walk::Start) {
        None => i64::MAX,
        Some(id) => {
            let text = "SELECT since_ns FROM episodes WHERE id = ?1";
            let start = connection.prepare_cached(text)?.query_row([id], |row| row.get(0)).optional()?;
            // Deleted since the previous page, so that older ones are, too.
            let Some(start) = start else { return Ok((ids, None)) };
            start
        }
    };
    let mut rows = statement.query((before, agent, &filter.kind, from_ns, to_ns, start, MAX_EPISODES_SCANNED))?;
    while let Some(row) = rows.next()? {
        let is_wanted = agent.is_none_or(|agent| row.get(2) == Ok(agent))
            && filter.open.is_none_or(|open| row.get(3) == Ok(open))
            && filter.kind.as_ref().is_none_or(|kind| row.get_ref(4).is_ok_and(|class| class.as_str() == Ok(kind)));
        if is_wanted && ids.len() == filter.limit as usize {
            return Ok((ids, last));
        }
        looked_at += 1;
        last = Some(row.get(0)?);
        if is_wanted {
            ids.push(row.get(1)?);
        }
    }
    Ok((ids, last.filter(|_| looked_at == MAX_EPISODES_SCANNED)))
}
