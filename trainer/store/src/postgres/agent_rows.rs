//! What the messages of a batch change in their agents' rows.

use super::batch::{Activity, Changes};
use super::insert::text;
use super::session::{Queried, Session};
use crate::received::{Received, step_names};
use std::collections::HashMap;

/// Locks agents, in the order of their ids; returns the ids by name.
pub(super) fn lock_named(session: &mut Session, names: &[&str]) -> Queried<HashMap<String, i64>> {
    let text = "SELECT name, id FROM agents WHERE name = ANY($1) ORDER BY id FOR NO KEY UPDATE";
    session.query(text, &[&names])?.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Updates the agents of a batch.
pub(super) fn write(session: &mut Session, changes: &Changes<'_>, now_s: i64) -> Queried<()> {
    fn column<'a, T>(changes: &'a Changes<'_>, of: impl Fn(&'a Activity<'_>) -> T) -> Vec<T> {
        changes.activity.values().map(of).collect()
    }
    let payload = |received: Option<&Received>| received.map(|received| received.payload.clone());
    let text = "UPDATE agents SET run = greatest(agents.run, m.run), last_seen_s = $1, \
                status = coalesce(m.status, agents.status), \
                health_before = CASE WHEN m.health IS NULL THEN agents.health_before ELSE agents.health END, \
                health = coalesce(m.health, agents.health), open_episodes = agents.open_episodes + m.open_episodes, \
                sample_rows = agents.sample_rows + m.sample_rows, alerts = agents.alerts + m.alerts, \
                stored_sample_bytes = stored_sample_bytes + m.sample_bytes, \
                stored_sample_rows = stored_sample_rows + m.sample_rows, \
                stored_alerts = stored_alerts + m.alerts, stored_updates = stored_updates + m.updates \
                FROM unnest($2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bigint[], $7::bigint[], \
                $8::bigint[], $9::bigint[], $10::bigint[]) \
                AS m (id, run, status, health, open_episodes, sample_rows, sample_bytes, alerts, updates) \
                WHERE agents.id = m.id";
    let ids: Vec<i64> = changes.activity.keys().copied().collect();
    session.execute(
        text,
        &[
            &now_s,
            &ids,
            &column(changes, |activity| activity.run.cast_signed()),
            &column(changes, |activity| payload(activity.status)),
            &column(changes, |activity| payload(activity.health)),
            &column(changes, |activity| activity.open_episodes),
            &column(changes, |activity| activity.more.sample_rows),
            &column(changes, |activity| activity.more.sample_bytes),
            &column(changes, |activity| activity.more.alerts),
            &column(changes, |activity| activity.more.updates),
        ],
    )?;
    write_updates(session, changes, now_s)
}

/// Sets the newest update report of agents.
fn write_updates(session: &mut Session, changes: &Changes<'_>, now_s: i64) -> Queried<()> {
    let newest = changes.activity.iter().filter_map(|(agent, activity)| Some((*agent, activity.update?)));
    let newest: Vec<_> = newest.collect();
    if newest.is_empty() {
        return Ok(());
    }
    let agents: Vec<i64> = newest.iter().map(|(agent, _)| *agent).collect();
    let runs: Vec<i64> = newest.iter().map(|(_, (received, _))| received.run.cast_signed()).collect();
    let numbers: Vec<i64> = newest.iter().map(|(_, (received, _))| received.number.cast_signed()).collect();
    let releases: Vec<i64> = newest.iter().map(|(_, (_, update))| update.release.cast_signed()).collect();
    let (steps, reasons): (Vec<&str>, Vec<_>) =
        newest.iter().map(|(_, (_, update))| step_names(&update.step)).map(|(step, why)| (step, why.map(text))).unzip();
    let statement = "UPDATE agents SET update_run = m.run, update_number = m.number, update_release = m.release, \
                     update_step = m.step, update_reason = m.reason, update_s = $7 \
                     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[]) \
                     AS m (id, run, number, release, step, reason) WHERE agents.id = m.id \
                     AND (update_run IS NULL OR (update_run, update_number) <= (m.run, m.number))";
    session.execute(statement, &[&agents, &runs, &numbers, &releases, &steps, &reasons, &now_s]).map(drop)
}
