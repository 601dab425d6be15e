//! Statuses and health messages → the columns by which agents are listed and counted.

use crate::fields::{decode_health, decode_status};
use crate::received::{HealthReport, StatusReport};
use rusqlite::{Connection, Row};

/// Replaces the status of an agent.
pub(super) fn write_status(
    connection: &Connection,
    agent: i64,
    payload: &[u8],
    report: &StatusReport,
) -> rusqlite::Result<()> {
    let text =
        "UPDATE agents SET status = ?2, reported_group = ?3, online = ?4, release = ?5, on_trial = ?6 WHERE id = ?1";
    let StatusReport { online, group, release, on_trial } = report;
    let values = (agent, payload, group, online, release.cast_signed(), on_trial);
    connection.prepare_cached(text)?.execute(values).map(drop)
}

/// Replaces the health message of an agent; the previous one is kept, for rates.
pub(super) fn write_health(
    connection: &Connection,
    agent: i64,
    payload: &[u8],
    report: HealthReport,
) -> rusqlite::Result<()> {
    let text = "UPDATE agents SET health_before = health, health = ?2, degraded = ?3 WHERE id = ?1";
    connection.prepare_cached(text)?.execute((agent, payload, report.degraded)).map(drop)
}

/// Fills the columns of agents whose messages were stored before the columns existed.
pub(super) fn fill(connection: &Connection) -> rusqlite::Result<()> {
    type Payload = Option<Vec<u8>>;
    let text = "SELECT id, status, health FROM agents";
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let agents: Vec<(i64, Payload, Payload)> =
        connection.prepare(text)?.query_map([], read)?.collect::<rusqlite::Result<_>>()?;
    let mut degraded = connection.prepare("UPDATE agents SET degraded = ?2 WHERE id = ?1")?;
    for (agent, status, health) in agents {
        if let Some(payload) = status
            && let Some(status) = decode_status(Some(payload.clone()))
        {
            write_status(connection, agent, &payload, &status.as_ref().into())?;
        }
        if let Some(health) = decode_health(health) {
            degraded.execute((agent, HealthReport::from(health.as_ref()).degraded))?;
        }
    }
    Ok(())
}
