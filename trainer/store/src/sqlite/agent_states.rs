//! Statuses and health messages → the columns by which agents are listed and counted.

use crate::fields::{decode_health, decode_status};
use crate::received::{HealthReport, StatusReport};
use crate::release_changes::{self, PUT_RELEASE, RELEASE_STATES, ReleaseState};
use rusqlite::{Connection, Row, params_from_iter};
use std::collections::HashMap;

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

/// States of all agents that report their releases.
pub(super) fn release_states(connection: &Connection) -> rusqlite::Result<HashMap<i64, ReleaseState>> {
    let read = |row: &Row<'_>| {
        Ok((row.get(0)?, ReleaseState { version: row.get::<_, i64>(1)?.cast_unsigned(), is_degraded: row.get(2)? }))
    };
    connection.prepare(RELEASE_STATES)?.query_map([], read)?.collect()
}

/// Stores a changed state, before the report is stored.
pub(super) fn write_release(
    connection: &Connection,
    agent: i64,
    (state, known): (ReleaseState, Option<ReleaseState>),
    now_s: i64,
) -> rusqlite::Result<()> {
    let text = "SELECT health FROM agents WHERE id = ?1";
    let replaced = connection.prepare_cached(text)?.query_row([agent], |row| row.get(0))?;
    let values = release_changes::values(agent, state, known, replaced, now_s);
    connection.prepare_cached(PUT_RELEASE)?.execute(params_from_iter(values)).map(drop)
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
