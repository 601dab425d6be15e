//! Agents, schemas and totals in the file → the writer's copy in memory, so that a commit need not read them.
//!
//! It changes only after a successful commit, so a failed commit leaves it consistent with the file.

use super::batch::{PendingBatch, Totals};
use super::{agent_states, counters};
use crate::counter::Counter;
use crate::release_changes::ReleaseState;
use crate::stored_numbers::StoredNumbers;
use lapwing_shared::messages::AgentName;
use rusqlite::Connection;
use std::collections::HashMap;

/// Runs with remembered numbers, at most; beyond it, all are read again.
const MAX_REMEMBERED: usize = 65_536;

/// Row ids by name, numbers of runs, and sizes.
#[derive(Default)]
pub(super) struct WriterCache {
    pub(super) agents: HashMap<AgentName, i64>,
    pub(super) schemas: HashMap<[u8; 32], i64>,
    /// Numbers of runs by agent and run, of file version `data_version`.
    pub(super) progress: HashMap<(i64, u64), StoredNumbers>,
    data_version: i64,
    pub(super) totals: Totals,
    /// Sizes by agent.
    pub(super) usage: HashMap<i64, Totals>,
    /// Versions and coverage of the agents that report them.
    pub(super) releases: HashMap<i64, ReleaseState>,
    /// Value of [`forgotten`] when it was loaded.
    pub(super) forgotten: u64,
    /// Value of [`Counter::SegmentChanges`] when the sizes were loaded.
    segment_changes: u64,
}

/// Queries of the sizes of journal and segments by agent.
const ROW_USAGE: [&str; 2] = [
    "SELECT agent, sum(length(payload)), sum(rows), 0, 0 FROM samples GROUP BY agent",
    "SELECT agent, sum(bytes), sum(rows), 0, 0 FROM segment_agents GROUP BY agent",
];
/// Queries of the numbers of other messages by agent.
const MESSAGE_USAGE: [&str; 2] = [
    "SELECT agent, 0, 0, count(*), 0 FROM alerts GROUP BY agent",
    "SELECT agent, 0, 0, 0, count(*) FROM updates GROUP BY agent",
];

/// Agents and hosts that were removed: another process does that.
pub(super) fn forgotten(connection: &Connection) -> rusqlite::Result<u64> {
    Ok(counters::read(connection, Counter::AgentsForgotten)? + counters::read(connection, Counter::HostsForgotten)?)
}

impl WriterCache {
    /// Loads the cache from the file.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut cache = Self::default();
        let mut agents = connection.prepare("SELECT id, name FROM agents")?;
        let mut rows = agents.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(1)?;
            if let Ok(name) = AgentName::try_from(name.as_str()) {
                cache.agents.insert(name, row.get(0)?);
            }
        }
        let mut schemas = connection.prepare("SELECT id, sha256 FROM schemas")?;
        let pairs = schemas.query_map([], |row| Ok((row.get::<_, [u8; 32]>(1)?, row.get(0)?)))?;
        cache.schemas = pairs.collect::<rusqlite::Result<_>>()?;
        cache.releases = agent_states::release_states(connection)?;
        cache.load_usage(connection)?;
        cache.forgotten = forgotten(connection)?;
        Ok(cache)
    }

    /// Loads the sizes of the tables.
    fn load_usage(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.segment_changes = counters::read(connection, Counter::SegmentChanges)?;
        for text in ROW_USAGE.iter().chain(&MESSAGE_USAGE) {
            self.add_usage(connection, text)?;
        }
        Ok(())
    }

    /// Loads the sizes of journal and segments again if another connection has moved rows or removed segments.
    pub(super) fn check_segments(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let changes = counters::read(connection, Counter::SegmentChanges)?;
        if changes == self.segment_changes {
            return Ok(());
        }
        for usage in self.usage.values_mut().chain([&mut self.totals]) {
            (usage.sample_bytes, usage.sample_rows) = (0, 0);
        }
        self.segment_changes = changes;
        ROW_USAGE.iter().try_for_each(|text| self.add_usage(connection, text))
    }

    fn add_usage(&mut self, connection: &Connection, text: &str) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(text)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
            let [sample_bytes, sample_rows, alerts, updates] = [number(1)?, number(2)?, number(3)?, number(4)?];
            let more = Totals { sample_bytes, sample_rows, alerts, updates };
            self.totals.add(&more);
            self.usage.entry(row.get(0)?).or_default().add(&more);
        }
        Ok(())
    }

    /// Forgets the numbers of runs if another connection has written to the file.
    pub(super) fn check_version(&mut self, data_version: i64) {
        if data_version != self.data_version {
            self.progress.clear();
            self.data_version = data_version;
        }
    }

    /// Applies the changes of a committed batch.
    pub(super) fn apply(&mut self, batch: PendingBatch) {
        if self.progress.len() > MAX_REMEMBERED {
            self.progress.clear();
        }
        self.progress.extend(batch.progress.into_iter().map(|(key, run)| (key, run.numbers)));
        for key in batch.forgotten_runs {
            self.progress.remove(&key);
        }
        if !batch.evicted.is_empty() {
            self.progress.retain(|(agent, _), _| batch.evicted.iter().all(|(_, evicted)| evicted != agent));
        }
        for (name, agent) in &batch.evicted {
            self.agents.remove(name);
            self.usage.remove(agent);
            self.releases.remove(agent);
        }
        self.agents.extend(batch.agents);
        self.usage.extend(batch.usage);
        self.releases.extend(batch.releases);
        self.schemas.extend(batch.schemas);
        self.totals = batch.totals;
    }
}

impl Totals {
    pub(super) fn add(&mut self, more: &Self) {
        self.sample_bytes += more.sample_bytes;
        self.sample_rows += more.sample_rows;
        self.alerts += more.alerts;
        self.updates += more.updates;
    }

    pub(super) fn subtract(&mut self, less: &Self) {
        self.sample_bytes = self.sample_bytes.saturating_sub(less.sample_bytes);
        self.sample_rows = self.sample_rows.saturating_sub(less.sample_rows);
        self.alerts = self.alerts.saturating_sub(less.alerts);
        self.updates = self.updates.saturating_sub(less.updates);
    }
}
