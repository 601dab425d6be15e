//! Agents and their update reports → lists and pages.

use super::PostgresHandle;
use super::fields::searched;
use super::forget::forget;
use super::session::{Queried, Session};
use crate::agent_walk::AgentWalk;
use crate::error::StoreError;
use crate::fields::{self, AGENT_ID, Fields};
use crate::query::Dialect;
use crate::rows::{AgentCount, AgentFilter, AgentPage, AgentRow, StoredAgent, StoredUpdate};
use crate::statements::{
    AGENT_COUNTS, AGENT_OF_NAME, AGENTS, AGENTS_WITHOUT_ROWS, ID_OF_AGENT, NAME_OF_AGENT, UPDATES_OF_AGENT,
    select_agent,
};
use crate::traits::{Agents, MAX_SILENCED};
use lapwing_fleet::SILENT_S;
use lapwing_shared::messages::MESSAGE_VERSION;
use postgres::Row;
use std::collections::HashMap;

/// Rows of the numbers of agents that are added up again; far more than there are groups and releases.
const MAX_COUNT_ROWS: i64 = 2_000;

/// Connected agents whose last message is older than a time. Ordered, as everyone locks agents.
pub(super) const SILENT: &str = "SELECT id FROM agents WHERE online = 1 AND silent = 0 \
     AND seen_minute <= $1::bigint / 60 AND last_seen_s < $1 ORDER BY id";

/// Adds the shards of each number of agents up.
const ADD_UP: &str = "WITH taken AS (DELETE FROM agent_counts RETURNING *) \
     INSERT INTO agent_counts SELECT -1, state, group_name, release, on_trial, failed_release, sum(agents), \
     sum(open_episodes) FROM taken GROUP BY 2, 3, 4, 5, 6 HAVING sum(agents) <> 0 OR sum(open_episodes) <> 0";

impl Agents for PostgresHandle {
    fn agents(&self) -> Result<Vec<StoredAgent>, StoreError> {
        self.read(|session| session.rows(&AGENTS, &[], fields::agent))
    }

    fn agent_row(&self, name: &str) -> Result<Option<AgentRow>, StoreError> {
        self.read(|session| session.row(&AGENT_OF_NAME, &[&searched(name)], fields::agent_row))
    }

    fn agent_page(&self, filter: &AgentFilter) -> Result<AgentPage, StoreError> {
        let text = |text: &Option<String>| text.as_deref().map(searched);
        let (prefix, group) = (text(&filter.prefix), text(&filter.group));
        let filter = AgentFilter { prefix, group, ..filter.clone() };
        self.snapshot(|session| agent_page(session, &filter))
    }

    fn agent_counts(&self) -> Result<Vec<AgentCount>, StoreError> {
        self.read(|session| session.rows(&AGENT_COUNTS, &[], fields::agent_count))
    }

    fn mark_silent(&self, now_s: u64) -> Result<u64, StoreError> {
        let before_s = now_s.saturating_sub(SILENT_S).cast_signed();
        let (is_any, are_many) = self.read(|session| {
            let rows = session
                .query("SELECT count(*) FROM (SELECT 1 FROM agent_counts LIMIT $1) AS rows", &[&MAX_COUNT_ROWS])?;
            let rows = rows.first().map_or(Ok(0), |row| row.integer(0))?;
            let silent = session.query_opt(&format!("{SILENT} LIMIT 1"), &[&before_s])?;
            Ok((silent.is_some(), rows == MAX_COUNT_ROWS))
        })?;
        if are_many {
            self.write(|session| {
                session.batch("LOCK TABLE agent_counts IN SHARE ROW EXCLUSIVE MODE")?;
                session.batch(ADD_UP)
            })?;
        }
        if !is_any {
            return Ok(0);
        }
        let lock = format!("{SILENT} LIMIT {MAX_SILENCED} FOR NO KEY UPDATE");
        self.write(|session| {
            let agents: Vec<i64> =
                session.query(&lock, &[&before_s])?.iter().map(|row| row.integer(0)).collect::<Queried<_>>()?;
            session.execute("UPDATE agents SET silent = 1 WHERE id = ANY($1)", &[&agents])
        })
    }

    fn updates_of(&self, agent: &str, limit: u32) -> Result<Vec<StoredUpdate>, StoreError> {
        self.read(|session| {
            let Some(agent) = agent_id(session, agent)? else { return Ok(Vec::new()) };
            session.rows(&UPDATES_OF_AGENT, &[&agent, &i64::from(limit)], fields::update)
        })
    }

    fn agents_without_rows(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        let version: &[u8] = &[MESSAGE_VERSION];
        self.read(|session| session.rows(&AGENTS_WITHOUT_ROWS, &[&version, &i64::from(limit)], |row| row.text(0)))
    }

    fn forget_agent(&self, name: &str, who: &str, now_s: u64) -> Result<(), StoreError> {
        match self.write(|session| forget(session, &searched(name), who, now_s))? {
            true => Ok(()),
            false => Err(StoreError::no_agent(name)),
        }
    }
}

/// Row id of an agent.
pub(super) fn agent_id(session: &mut Session, name: &str) -> Queried<Option<i64>> {
    session.row(&ID_OF_AGENT, &[&searched(name)], |row| row.integer(0))
}

fn agent_page(session: &mut Session, filter: &AgentFilter) -> Queried<AgentPage> {
    let walk = AgentWalk::new(Dialect::Postgres, filter);
    let name = match walk.starts_after() {
        None => None,
        Some(id) => session.row(&NAME_OF_AGENT, &[&id], |row| row.text(0))?,
    };
    let rows = walk.page(name, |query| session.rows(&query.text, &query.parameters(), fields::pair))?;
    let read = |row: &Row| Ok((row.integer(AGENT_ID)?, fields::agent_row(row)?));
    let mut found: HashMap<i64, AgentRow> =
        session.rows(&select_agent("id = ANY(?1)"), &[&rows.ids], read)?.into_iter().collect();
    Ok(AgentPage { agents: rows.ids.iter().filter_map(|id| found.remove(id)).collect(), next: rows.next })
}
