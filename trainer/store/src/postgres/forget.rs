//! New agents → rows of the table of agents, as far as its limit allows; agents that are no longer needed → removed with
//! everything of them.
//!
//! An operator removes an agent by name. The writer removes a silent agent with few messages when the table of agents is
//! full, so that made-up names cannot lock real agents out for long.

use super::audit;
use super::connection::Connection;
use super::schema::Lock;
use super::session::{Queried, Session};
use super::tally::{Sizes, Tally};
use crate::counter::Counter;
use crate::error::StoreError;
use crate::statements::MARK_SEGMENTS;
use lapwing_fleet::AuditEntry;
use std::collections::BTreeSet;

/// Time without a message after which an agent counts as silent, seconds; agents send a message every 10 s.
const SILENT_S: i64 = 600;
/// Feature rows and alerts of an agent with few messages, at most.
const FEW: i64 = 64;
/// Agents that one commit removes, at most.
const MAX_EVICTED: usize = 256;

/// Adds the unknown agents among `names`, which are in the order of their first message, as far as the limit allows.
///
/// # Errors
/// When the database cannot be written.
pub(super) fn register(connection: &mut Connection, names: &[&str], limit: u64, now_s: i64) -> Result<(), StoreError> {
    connection.write(|session| {
        // One at a time, so that two writers together do not exceed the limit.
        session.lock(Lock::Registration)?;
        let known = session.query("SELECT name FROM agents WHERE name = ANY($1)", &[&names])?;
        let known = known.iter().map(|row| Ok(row.try_get(0)?)).collect::<Queried<BTreeSet<&str>>>()?;
        let unknown: Vec<&str> = names.iter().copied().filter(|name| !known.contains(name)).collect();
        let count: i64 = session.query_one("SELECT count(*) FROM agents", &[])?.try_get(0)?;
        let room = usize::try_from(limit.saturating_sub(count.cast_unsigned())).unwrap_or(usize::MAX);
        let missing = unknown.len().saturating_sub(room).min(MAX_EVICTED);
        let evicted = if missing > 0 { evict(session, names, missing, now_s)? } else { 0 };
        let admitted = unknown.get(..unknown.len().min(room.saturating_add(evicted))).unwrap_or_default();
        let text = "INSERT INTO agents (name, last_seen_s) SELECT unnest($1::text[]), $2 ON CONFLICT (name) DO NOTHING";
        session.execute(text, &[&admitted, &now_s]).map(drop)
    })
}

/// Removes at most `count` silent agents, those with the fewest messages first, then those silent for longest; none that the
/// batch uses. Returns their number.
fn evict(session: &mut Session, names: &[&str], count: usize, now_s: i64) -> Queried<usize> {
    let text = "SELECT id FROM agents WHERE last_seen_s <= $1 AND sample_rows + alerts <= $2 AND name <> ALL($3) \
                AND NOT EXISTS (SELECT 1 FROM episodes WHERE episodes.agent = agents.id AND label IS NOT NULL) \
                ORDER BY sample_rows + alerts, last_seen_s LIMIT $4 FOR UPDATE SKIP LOCKED";
    let rows = session.query(text, &[&(now_s - SILENT_S), &FEW, &names, &i64::try_from(count).unwrap_or(0)])?;
    let agents = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Queried<Vec<i64>>>()?;
    let mut tally = remove(session, &agents)?;
    tally.add(Counter::AgentsEvicted, agents.len() as u64);
    tally.write(session)?;
    Ok(agents.len())
}

/// Removes agents, which the transaction has locked, and everything of them. Their rows in segments do not count
/// any more. Returns the changes of the counters.
pub(super) fn remove(session: &mut Session, agents: &[i64]) -> Queried<Tally> {
    let mut tally = Tally::default();
    if agents.is_empty() {
        return Ok(tally);
    }
    let text = "SELECT coalesce(sum(stored_sample_bytes), 0)::bigint, coalesce(sum(stored_sample_rows), 0)::bigint, \
                coalesce(sum(stored_alerts), 0)::bigint, coalesce(sum(stored_updates), 0)::bigint \
                FROM agents WHERE id = ANY($1)";
    let row = session.query_one(text, &[&agents])?;
    let (sample_bytes, sample_rows) = (row.try_get(0)?, row.try_get(1)?);
    let (alerts, updates) = (row.try_get(2)?, row.try_get(3)?);
    let text = "DELETE FROM episode_days WHERE (day, agent) IN \
                (SELECT since_ns / 86400000000000, agent FROM episodes WHERE agent = ANY($1))";
    session.execute(text, &[&agents])?;
    for table in ["progress", "alerts", "episodes", "updates", "release_health"] {
        session.execute(&format!("DELETE FROM {table} WHERE agent = ANY($1)"), &[&agents])?;
    }
    let in_journal = session.execute("DELETE FROM samples WHERE agent = ANY($1)", &[&agents])?.cast_signed();
    let text = "WITH removed AS (DELETE FROM segment_agents WHERE agent = ANY($1) RETURNING batches) \
                SELECT coalesce(sum(batches), 0)::bigint FROM removed";
    let sample_batches = in_journal + session.query_one(text, &[&agents])?.try_get::<_, i64>(0)?;
    session.execute("DELETE FROM agents WHERE id = ANY($1)", &[&agents])?;
    tally.add_sizes(&Sizes { sample_bytes, sample_rows, sample_batches, alerts, updates }, -1);
    Ok(tally)
}

/// Removes an agent at an operator's request; false for an unknown name.
pub(super) fn forget(session: &mut Session, name: &str, who: &str, now_s: u64) -> Queried<bool> {
    let row = session.query_opt("SELECT id FROM agents WHERE name = $1 FOR UPDATE", &[&name])?;
    let Some(row) = row else { return Ok(false) };
    let agent: i64 = row.try_get(0)?;
    session.lock(Lock::Segments)?;
    session.change(&MARK_SEGMENTS, &[&agent])?;
    let mut tally = remove(session, &[agent])?;
    tally.add(Counter::AgentsForgotten, 1);
    tally.write(session)?;
    audit::append(session, &AuditEntry::forgot(name, who, now_s)).map(|()| true)
}
