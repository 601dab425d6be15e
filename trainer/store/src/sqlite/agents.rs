//! Agents and their update reports → lists; an agent that is no longer needed → removed.

use super::SqliteHandle;
use super::counters;
use super::forget::{forget, mark_segments};
use super::handle::{AGENT_COLUMNS, agent_line, decode_health};
use crate::counter::Counter;
use crate::error::StoreError;
use crate::rows::{AgentRow, MAX_AGENTS, StoredAgent, StoredUpdate};
use crate::traits::Agents;
use lapwing_shared::messages::MESSAGE_VERSION;
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior};

impl Agents for SqliteHandle {
    fn agents(&self) -> Result<Vec<StoredAgent>, StoreError> {
        let text = format!("SELECT {AGENT_COLUMNS} FROM agents ORDER BY name");
        let mut statement = self.connection.prepare_cached(&text).map_err(self.sql())?;
        let lines = statement.query_map([], agent_line).and_then(Iterator::collect);
        lines.map_err(self.sql())
    }

    fn agent_rows(&self, name: Option<&str>) -> Result<Vec<AgentRow>, StoreError> {
        let condition = if name.is_some() { "name = ?1" } else { "?1 IS NULL" };
        let text = format!(
            "SELECT {AGENT_COLUMNS}, health_before, update_release, update_step, update_reason, update_s, open_episodes \
             FROM agents WHERE {condition} ORDER BY name LIMIT ?2"
        );
        let read = || {
            let row = |row: &rusqlite::Row<'_>| {
                let release: Option<i64> = row.get(8)?;
                let update = |release: i64| -> rusqlite::Result<StoredUpdate> {
                    let received_s = row.get::<_, i64>(11)?.cast_unsigned();
                    let (step, reason) = (row.get(9)?, row.get(10)?);
                    Ok(StoredUpdate { release: release.cast_unsigned(), step, reason, received_s })
                };
                Ok(AgentRow {
                    line: agent_line(row)?,
                    health_before: decode_health(row.get(7)?),
                    update: release.map(update).transpose()?,
                    open_alerts: row.get::<_, i64>(12)?.cast_unsigned(),
                })
            };
            let mut statement = self.connection.prepare_cached(&text)?;
            statement.query_map((name, MAX_AGENTS), row)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    fn updates_of(&self, agent: &str, limit: u32) -> Result<Vec<StoredUpdate>, StoreError> {
        let text = "SELECT release, step, reason, received_s FROM updates WHERE agent = ?1 ORDER BY id DESC LIMIT ?2";
        let read = || {
            let Some(agent) = self.agent_id(agent)? else { return Ok(Vec::new()) };
            let update = |row: &rusqlite::Row<'_>| {
                Ok(StoredUpdate {
                    release: row.get::<_, i64>(0)?.cast_unsigned(),
                    step: row.get(1)?,
                    reason: row.get(2)?,
                    received_s: row.get::<_, i64>(3)?.cast_unsigned(),
                })
            };
            self.connection.prepare_cached(text)?.query_map((agent, limit), update)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    fn agents_without_rows(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        let text = "SELECT name FROM agents WHERE alerts > 0 AND sample_rows = 0 AND (SELECT substr(payload, 1, 1) \
                    FROM alerts WHERE alerts.agent = agents.id AND release > 0 ORDER BY id DESC LIMIT 1) = ?1 ORDER BY name LIMIT ?2";
        let read = || {
            let mut statement = self.connection.prepare_cached(text)?;
            let names = statement.query_map(([MESSAGE_VERSION], limit), |row| row.get(0))?;
            names.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    fn forget_agent(&self, name: &str) -> Result<(), StoreError> {
        let removed = || -> rusqlite::Result<bool> {
            let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
            let text = "SELECT id FROM agents WHERE name = ?1";
            let agent: Option<i64> = transaction.query_row(text, [name], |row| row.get(0)).optional()?;
            let Some(agent) = agent else { return Ok(false) };
            mark_segments(&transaction, agent)?;
            forget(&transaction, agent)?;
            counters::add(&transaction, Counter::AgentsForgotten, 1)?;
            transaction.commit().map(|()| true)
        };
        match removed().map_err(self.sql())? {
            true => Ok(()),
            false => Err(StoreError::Missing { what: format!("agent `{name}`"), list: "agents" }),
        }
    }
}
