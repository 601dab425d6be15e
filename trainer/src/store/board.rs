//! Questions of the dashboard: read only, and bounded, however much agents have said.
//!
//! SQLite's write-ahead log lets these readers and the writer go on side by side; a reader sees the file as it was when
//! its question began.

use super::desk::{ALERT_COLUMNS, ALERT_TABLES, AgentLine, AlertLine, Desk, agent_line, alert_line};
use super::error::StoreError;
use super::kinds::NO_KIND;
use super::releases::{RELEASE_COLUMNS, ReleaseLine, release_line};
use super::schema;
use lapwing_shared::units::NANOS_PER_SECOND;
use rusqlite::OptionalExtension;
use std::path::Path;

/// Alert messages that one question looks at: what lies further back is asked for with [`EpisodeFilter::before`].
pub const LOOKED_AT: u32 = 50_000;
/// Agents that one question looks at, at most.
pub const AGENTS: u32 = 20_000;
const DAY_NS: i64 = 86_400 * NANOS_PER_SECOND.cast_signed();

/// Which episodes to show, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpisodeFilter {
    /// Of this agent only.
    pub agent: Option<String>,
    /// Of this kind only, as [`AlertLine::shown_kind`] tells it.
    pub kind: Option<String>,
    /// Open ones, or closed ones.
    pub open: Option<bool>,
    /// Begun at this second or later, capture time.
    pub from_s: Option<u64>,
    /// Begun at this second or earlier, capture time.
    pub to_s: Option<u64>,
    /// Whose newest message came before this one: [`EpisodePage::next`] of the page before.
    pub before: Option<i64>,
    /// So many.
    pub limit: u32,
}

/// One page of episodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EpisodePage {
    /// The episodes, newest first.
    pub lines: Vec<AlertLine>,
    /// Where the next page begins; nothing when all was looked at.
    pub next: Option<i64>,
}

/// What one message of an episode said.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// 0 opened, 1 updated, 2 closed.
    pub state: u8,
    /// Its time, seconds since the epoch, capture time.
    pub at_s: u64,
    /// Highest evidence so far, nats.
    pub peak_nats: f64,
    /// Flows so far.
    pub flows: u32,
    /// When it came in, seconds since the epoch.
    pub received_s: u64,
}

/// The newest step of an agent's updates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateLine {
    /// Release that it is about, 0 where the manifest could not be read.
    pub release: u64,
    /// `downloading`, `verified`, `trial`, `confirmed`, `refused` or `rolled-back`.
    pub step: String,
    /// Why, where it was refused or rolled back.
    pub reason: Option<String>,
    /// When it came in, seconds since the epoch.
    pub received_s: u64,
}

/// One agent with what the dashboard tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentRow {
    /// What the list tells.
    pub line: AgentLine,
    /// The health message before the newest, for rates.
    pub health_before: Option<Vec<u8>>,
    /// Its newest update report.
    pub update: Option<UpdateLine>,
    /// Its open episodes among the newest [`LOOKED_AT`] alert messages.
    pub open_alerts: u64,
}

impl Desk {
    /// Opens an existing store for reading alone.
    ///
    /// # Errors
    /// When there is none, or as for [`super::Store::open`].
    pub fn open_reading(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open_reading(path)?;
        Ok(Self { path: path.to_path_buf(), connection })
    }

    /// Episodes, newest first, looking at [`LOOKED_AT`] messages at the most.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn episodes(&self, filter: &EpisodeFilter) -> Result<EpisodePage, StoreError> {
        self.episode_page(filter).map_err(self.sql())
    }

    fn episode_page(&self, filter: &EpisodeFilter) -> rusqlite::Result<EpisodePage> {
        let before = filter.before.unwrap_or(i64::MAX);
        let agent = match &filter.agent {
            Some(name) => match self.agent_number(name)? {
                None => return Ok(EpisodePage::default()),
                found => found,
            },
            None => None,
        };
        let candidates = candidates(agent.is_some());
        let text = format!(
            "SELECT {ALERT_COLUMNS}, a.id FROM ({candidates}) AS c JOIN alerts AS a ON a.id = c.id {ALERT_TABLES} \
             WHERE a.id = (SELECT max(id) FROM alerts AS b WHERE b.agent = c.agent AND b.episode = c.episode) \
             AND (?3 IS NULL OR coalesce(nullif(kinds.kind, '{NO_KIND}'), a.resembles, '{NO_KIND}') = ?3) \
             AND (?4 IS NULL OR (a.state < 2) = ?4) AND a.since_ns BETWEEN ?5 AND ?6 ORDER BY c.id DESC LIMIT ?7"
        );
        let nanos = |seconds: u64| seconds.saturating_mul(NANOS_PER_SECOND).min(i64::MAX.cast_unsigned()).cast_signed();
        let from_ns = filter.from_s.map_or(0, nanos);
        let to_ns = filter.to_s.map_or(i64::MAX, |second| nanos(second.saturating_add(1)).saturating_sub(1));
        let mut statement = self.connection.prepare_cached(&text)?;
        let wanted = filter.limit.saturating_add(1);
        let values = (before, agent, &filter.kind, filter.open, from_ns, to_ns, wanted);
        let found = statement.query_map(values, |row| Ok((alert_line(row)?, row.get::<_, i64>(20)?)))?;
        let mut found: Vec<(AlertLine, i64)> = found.collect::<rusqlite::Result<_>>()?;
        let next = if found.len() > filter.limit as usize {
            found.truncate(filter.limit as usize);
            found.last().map(|(_, id)| *id)
        } else {
            self.beyond(before, agent)?
        };
        Ok(EpisodePage { lines: found.into_iter().map(|(line, _)| line).collect(), next })
    }

    /// The oldest message that was looked at, where as many were as may be.
    fn beyond(&self, before: i64, agent: Option<i64>) -> rusqlite::Result<Option<i64>> {
        let text = format!("SELECT min(id), count(*) FROM ({})", candidates(agent.is_some()));
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, u32>(1)?));
        let (oldest, count): (Option<i64>, u32) =
            self.connection.prepare_cached(&text)?.query_row((before, agent), read)?;
        Ok(oldest.filter(|_| count >= LOOKED_AT))
    }

    fn agent_number(&self, name: &str) -> rusqlite::Result<Option<i64>> {
        let mut statement = self.connection.prepare_cached("SELECT id FROM agents WHERE name = ?1")?;
        statement.query_row([name], |row| row.get(0)).optional()
    }

    /// One episode as its newest message tells it, and its newest messages, newest first, `limit` at the most.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn episode(&self, agent: &str, episode: u64, limit: u32) -> Result<Option<(AlertLine, Vec<Told>)>, StoreError> {
        let read = || {
            let Some(number) = self.agent_number(agent)? else { return Ok(None) };
            let text = format!(
                "SELECT {ALERT_COLUMNS} FROM alerts AS a {ALERT_TABLES} \
                 WHERE a.agent = ?1 AND a.episode = ?2 ORDER BY a.id DESC LIMIT 1"
            );
            let key = (number, episode.cast_signed());
            let line = self.connection.prepare_cached(&text)?.query_row(key, alert_line).optional()?;
            let text = "SELECT state, at_ns, peak_nats, flows, received_s FROM alerts \
                        WHERE agent = ?1 AND episode = ?2 ORDER BY id DESC LIMIT ?3";
            let told = |row: &rusqlite::Row<'_>| {
                Ok(Told {
                    state: row.get(0)?,
                    at_s: row.get::<_, i64>(1)?.cast_unsigned() / NANOS_PER_SECOND,
                    peak_nats: row.get(2)?,
                    flows: row.get(3)?,
                    received_s: row.get::<_, i64>(4)?.cast_unsigned(),
                })
            };
            let mut statement = self.connection.prepare_cached(text)?;
            let messages = statement.query_map((key.0, key.1, limit), told)?.collect::<rusqlite::Result<_>>()?;
            Ok(line.map(|line| (line, messages)))
        };
        read().map_err(self.sql())
    }

    /// Agents by name, [`AGENTS`] at the most; only the one of this name, where one is given.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn agent_rows(&self, name: Option<&str>) -> Result<Vec<AgentRow>, StoreError> {
        let text = "SELECT agents.name, agents.run, last_seen_s, sample_rows, alerts, status, health, health_before, \
                    u.release, u.step, u.reason, u.received_s, agents.id FROM agents LEFT JOIN updates AS u \
                    ON u.id = (SELECT max(id) FROM updates WHERE updates.agent = agents.id) \
                    WHERE ?1 IS NULL OR agents.name = ?1 ORDER BY agents.name LIMIT ?2";
        let read = || {
            let open = self.open_episodes()?;
            let row = |row: &rusqlite::Row<'_>| {
                let release: Option<i64> = row.get(8)?;
                let update = |release: i64| -> rusqlite::Result<UpdateLine> {
                    let received_s = row.get::<_, i64>(11)?.cast_unsigned();
                    let (step, reason) = (row.get(9)?, row.get(10)?);
                    Ok(UpdateLine { release: release.cast_unsigned(), step, reason, received_s })
                };
                Ok(AgentRow {
                    line: agent_line(row)?,
                    health_before: row.get(7)?,
                    update: release.map(update).transpose()?,
                    open_alerts: open.get(&row.get(12)?).copied().unwrap_or(0),
                })
            };
            let mut statement = self.connection.prepare_cached(text)?;
            statement.query_map((name, AGENTS), row)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    fn open_episodes(&self) -> rusqlite::Result<std::collections::HashMap<i64, u64>> {
        let text = format!(
            "SELECT a.agent, count(*) FROM ({}) AS c JOIN alerts AS a ON a.id = c.id WHERE a.state < 2 AND a.id = \
             (SELECT max(id) FROM alerts AS b WHERE b.agent = c.agent AND b.episode = c.episode) GROUP BY a.agent",
            candidates(false)
        );
        let mut statement = self.connection.prepare_cached(&text)?;
        let counted = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()));
        statement.query_map((i64::MAX, None::<i64>), counted)?.collect()
    }

    /// Newest update reports of an agent, `limit` at the most.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn updates_of(&self, agent: &str, limit: u32) -> Result<Vec<UpdateLine>, StoreError> {
        let text = "SELECT release, step, reason, received_s FROM updates WHERE agent = ?1 ORDER BY id DESC LIMIT ?2";
        let read = || {
            let Some(number) = self.agent_number(agent)? else { return Ok(Vec::new()) };
            let update = |row: &rusqlite::Row<'_>| {
                Ok(UpdateLine {
                    release: row.get::<_, i64>(0)?.cast_unsigned(),
                    step: row.get(1)?,
                    reason: row.get(2)?,
                    received_s: row.get::<_, i64>(3)?.cast_unsigned(),
                })
            };
            self.connection.prepare_cached(text)?.query_map((number, limit), update)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    /// Episodes that were opened, by day since the epoch and agent, of the days in the range; of one agent only, where
    /// one is given.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn opened_by_day(&self, days: (i64, i64), agent: Option<&str>) -> Result<Vec<(i64, String, u64)>, StoreError> {
        let text = "SELECT o.day, agents.name, o.count FROM (SELECT since_ns / ?3 AS day, agent, count(*) AS count \
                    FROM alerts WHERE state = 0 AND since_ns >= ?1 AND since_ns < ?2 GROUP BY 1, 2) AS o \
                    JOIN agents ON agents.id = o.agent WHERE ?4 IS NULL OR agents.name = ?4";
        let (from, to) = (days.0.saturating_mul(DAY_NS), days.1.saturating_add(1).saturating_mul(DAY_NS));
        let read = || {
            let line = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned()));
            self.connection
                .prepare_cached(text)?
                .query_map((from, to, DAY_NS, agent), line)?
                .collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    /// Day since the epoch on which the newest episode began; of one agent only, where one is given.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn newest_day(&self, agent: Option<&str>) -> Result<Option<i64>, StoreError> {
        let text = "SELECT max(since_ns) / ?1 FROM alerts WHERE state = 0 \
                    AND (?2 IS NULL OR agent = (SELECT id FROM agents WHERE name = ?2))";
        let read = || self.connection.prepare_cached(text)?.query_row((DAY_NS, agent), |row| row.get(0));
        read().map_err(self.sql())
    }

    /// Releases of every group, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn all_releases(&self, limit: u32) -> Result<Vec<ReleaseLine>, StoreError> {
        let text = format!("SELECT {RELEASE_COLUMNS} FROM releases ORDER BY made_s DESC, version DESC LIMIT ?1");
        let read = || {
            self.connection.prepare_cached(&text)?.query_map([limit], release_line)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    /// One release.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn release(&self, group: &str, version: u64) -> Result<Option<ReleaseLine>, StoreError> {
        let text = format!("SELECT {RELEASE_COLUMNS} FROM releases WHERE group_name = ?1 AND version = ?2");
        let key = (group, version.cast_signed());
        let read = || self.connection.prepare_cached(&text)?.query_row(key, release_line).optional();
        read().map_err(self.sql())
    }
}

/// The newest alert messages before `?1`, of the agent `?2` where one is asked for.
fn candidates(of_agent: bool) -> String {
    let agent = if of_agent { "AND agent = ?2" } else { "AND ?2 IS NULL" };
    format!("SELECT id, agent, episode FROM alerts WHERE id < ?1 {agent} ORDER BY id DESC LIMIT {LOOKED_AT}")
}
