//! Statuses and health messages → the columns by which agents are listed and counted.

use crate::fields::{decode_health, decode_status};
use crate::received::{HealthReport, StatusReport};
use rusqlite::{Connection, Row};

/// Sets whether an agent is connected. `replaces`: also its status; an agent without a status gets it in any case.
///
/// A last will was made when its connection began, so that it has an old release: it replaces no status.
pub(super) fn write_status(
    connection: &Connection,
    agent: i64,
    (payload, report): (&[u8], &StatusReport),
    online: bool,
    replaces: bool,
) -> rusqlite::Result<()> {
    let text = "UPDATE agents SET online = ?6, status = CASE WHEN ?7 OR status IS NULL THEN ?2 ELSE status END, \
                reported_group = CASE WHEN ?7 OR status IS NULL THEN ?3 ELSE reported_group END, \
                release = CASE WHEN ?7 OR status IS NULL THEN ?4 ELSE release END, \
                on_trial = CASE WHEN ?7 OR status IS NULL THEN ?5 ELSE on_trial END WHERE id = ?1";
    let StatusReport { group, release, on_trial, .. } = report;
    let values = (agent, payload, group, release.cast_signed(), on_trial, online, replaces);
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

/// An agent's number, stored status and stored health report.
type Stored = (i64, Option<Vec<u8>>, Option<Vec<u8>>);

/// Fills the columns of agents whose messages were stored before the columns existed.
pub(super) fn fill(connection: &Connection) -> rusqlite::Result<()> {
    let text = "SELECT id, status, health FROM agents";
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let agents: Vec<Stored> = connection.prepare(text)?.query_map([], read)?.collect::<rusqlite::Result<_>>()?;
    let mut degraded = connection.prepare("UPDATE agents SET degraded = ?2 WHERE id = ?1")?;
    for (agent, status, health) in agents {
        if let Some(payload) = status
            && let Some(status) = decode_status(Some(payload.clone()))
        {
            let report = StatusReport::from(status.as_ref());
            write_status(connection, agent, (&payload, &report), report.online, true)?;
        }
        if let Some(health) = decode_health(health) {
            degraded.execute((agent, HealthReport::from(health.as_ref()).degraded))?;
        }
    }
    Ok(())
}
