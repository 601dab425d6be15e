//! Agents and their update reports → lists and pages; an agent that is no longer needed → removed.

use super::forget::{forget, mark_segments};
use super::{SqliteHandle, audit, counters};
use crate::agent_walk::AgentWalk;
use crate::counter::Counter;
use crate::error::StoreError;
use crate::fields;
use crate::query::{Dialect, Query};
use crate::rows::{AgentCount, AgentFilter, AgentPage, AgentRow, StoredAgent, StoredUpdate};
use crate::statements::{
    AGENT_COUNTS, AGENT_OF_NAME, AGENTS, AGENTS_WITHOUT_ROWS, ID_OF_AGENT, NAME_OF_AGENT, UPDATES_OF_AGENT,
    select_agent,
};
use crate::traits::{Agents, MAX_SILENCED};
use lapwing_fleet::{AuditEntry, SILENT_S};
use lapwing_shared::messages::MESSAGE_VERSION;
use rusqlite::{OptionalExtension, params_from_iter};

impl Agents for SqliteHandle {
    fn agents(&self) -> Result<Vec<StoredAgent>, StoreError> {
        self.rows(&AGENTS, [], |row| fields::agent(row)).map_err(self.sql())
    }

    fn agent_row(&self, name: &str) -> Result<Option<AgentRow>, StoreError> {
        self.row(&AGENT_OF_NAME, [name], |row| fields::agent_row(row)).map_err(self.sql())
    }

    fn agent_page(&self, filter: &AgentFilter) -> Result<AgentPage, StoreError> {
        let read = || -> rusqlite::Result<AgentPage> {
            // One state of the store for all statements.
            let _snapshot = self.connection.unchecked_transaction()?;
            let walk = AgentWalk::new(Dialect::Sqlite, filter);
            let name_of = |id: i64| self.row(&NAME_OF_AGENT, [id], |row| row.get(0));
            let name = walk.starts_after().map(name_of).transpose()?.flatten();
            let read = |query: &Query| self.rows(&query.text, params_from_iter(&query.values), |row| fields::pair(row));
            let rows = walk.page(name, read)?;
            let mut agents = Vec::with_capacity(rows.ids.len());
            for id in rows.ids {
                agents.extend(self.row(&select_agent("id = ?1"), [id], |row| fields::agent_row(row))?);
            }
            Ok(AgentPage { agents, next: rows.next })
        };
        read().map_err(self.sql())
    }

    fn agent_counts(&self) -> Result<Vec<AgentCount>, StoreError> {
        self.rows(&AGENT_COUNTS, [], |row| fields::agent_count(row)).map_err(self.sql())
    }

    fn mark_silent(&self, now_s: u64) -> Result<u64, StoreError> {
        let before_s = now_s.saturating_sub(SILENT_S).cast_signed();
        let find = format!("{SILENT} LIMIT 1");
        let mark = format!("UPDATE agents SET silent = 1 WHERE id IN ({SILENT} LIMIT {MAX_SILENCED})");
        let write = || {
            // A look needs no lock, unlike a statement that writes.
            let is_any = self.row(&find, [before_s], |_| Ok(()))?.is_some();
            if is_any { self.execute(&mark, [before_s]) } else { Ok(0) }
        };
        write().map(|marked| marked as u64).map_err(self.sql())
    }

    fn updates_of(&self, agent: &str, limit: u32) -> Result<Vec<StoredUpdate>, StoreError> {
        let read = || {
            let Some(agent) = self.agent_id(agent)? else { return Ok(Vec::new()) };
            self.rows(&UPDATES_OF_AGENT, (agent, limit), |row| fields::update(row))
        };
        read().map_err(self.sql())
    }

    fn agents_without_rows(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        self.rows(&AGENTS_WITHOUT_ROWS, ([MESSAGE_VERSION], limit), |row| row.get(0)).map_err(self.sql())
    }

    fn forget_agent(&self, name: &str, who: &str, now_s: u64) -> Result<(), StoreError> {
        let removed = self.write(|connection| {
            let agent: Option<i64> = connection.query_row(&ID_OF_AGENT, [name], |row| row.get(0)).optional()?;
            let Some(agent) = agent else { return Ok(false) };
            mark_segments(connection, agent)?;
            forget(connection, agent)?;
            counters::add(connection, Counter::AgentsForgotten, 1)?;
            audit::append(connection, &AuditEntry::forgot(name, who, now_s)).map(|()| true)
        });
        match removed? {
            true => Ok(()),
            false => Err(StoreError::no_agent(name)),
        }
    }
}

impl SqliteHandle {
    /// Row id of an agent.
    pub(super) fn agent_id(&self, name: &str) -> rusqlite::Result<Option<i64>> {
        self.row(&ID_OF_AGENT, [name], |row| row.get(0))
    }
}

/// Connected agents whose last message is older than a time.
pub(super) const SILENT: &str = "SELECT id FROM agents INDEXED BY agents_by_seen \
     WHERE online = 1 AND silent = 0 AND seen_minute <= ?1 / 60 AND last_seen_s < ?1";
