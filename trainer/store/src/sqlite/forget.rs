//! Agents that are no longer needed → everything of them is removed from the store.
//!
//! An operator removes an agent by name. The writer removes a silent agent with few messages when the table of agents is
//! full, so that made-up names cannot lock real agents out for long.

use crate::statements::MARK_SEGMENTS;
use lapwing_shared::messages::AgentName;
use rusqlite::Connection;

/// Time without a message after which an agent counts as silent, seconds; agents send a message every 10 s.
const SILENT_S: i64 = 600;
/// Feature rows and alerts of an agent with few messages, at most.
const FEW: i64 = 64;
/// Agents that one commit removes, at most.
pub(super) const MAX_EVICTED: usize = 256;

/// Removes an agent and everything of it. Its rows in segments do not count any more.
pub(super) fn forget(connection: &Connection, agent: i64) -> rusqlite::Result<()> {
    forget_samples(connection, &[agent])?;
    forget_but_samples(connection, agent)
}

/// Removes the sample batches of agents. It reads the table once for all of them, which has no index by agent.
pub(super) fn forget_samples(connection: &Connection, agents: &[i64]) -> rusqlite::Result<()> {
    if agents.is_empty() {
        return Ok(());
    }
    let numbers: Vec<String> = agents.iter().map(i64::to_string).collect();
    connection.execute(&format!("DELETE FROM samples WHERE agent IN ({})", numbers.join(", ")), []).map(drop)
}

/// Removes an agent and everything of it but its sample batches.
pub(super) fn forget_but_samples(connection: &Connection, agent: i64) -> rusqlite::Result<()> {
    let text = "DELETE FROM episode_days WHERE agent = ?1 AND day IN \
                (SELECT since_ns / 86400000000000 FROM episodes WHERE agent = ?1)";
    connection.prepare_cached(text)?.execute([agent])?;
    for table in ["progress", "alerts", "episodes", "segment_agents", "updates", "release_health"] {
        connection.prepare_cached(&format!("DELETE FROM {table} WHERE agent = ?1"))?.execute([agent])?;
    }
    connection.prepare_cached("DELETE FROM agents WHERE id = ?1")?.execute([agent]).map(drop)
}

/// Marks the files that have rows of an agent, to be written again without them.
pub(super) fn mark_segments(connection: &Connection, agent: i64) -> rusqlite::Result<()> {
    connection.execute(&MARK_SEGMENTS, [agent]).map(drop)
}

/// Agents that may be removed for new ones, never the newest: SQLite would use its row id again. Those with the fewest messages first, then those silent for longest.
pub(super) fn evictable(connection: &Connection, now_s: i64) -> rusqlite::Result<Vec<(AgentName, i64)>> {
    let text = "SELECT name, id FROM agents WHERE last_seen_s <= ?1 AND sample_rows + alerts <= ?2 \
                AND NOT EXISTS (SELECT 1 FROM episodes WHERE episodes.agent = agents.id AND label IS NOT NULL) \
                AND id < (SELECT max(id) FROM agents) \
                ORDER BY sample_rows + alerts DESC, last_seen_s DESC";
    let mut statement = connection.prepare_cached(text)?;
    let rows = statement.query_map((now_s - SILENT_S, FEW), |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    let mut found = Vec::new();
    for row in rows {
        let (name, id): (String, i64) = row?;
        found.extend(AgentName::try_from(name.as_str()).ok().map(|name| (name, id)));
    }
    // The caller takes them from the end.
    found.drain(..found.len().saturating_sub(MAX_EVICTED));
    Ok(found)
}
