//! What the messages of a batch change in their agents' rows.

use super::batch::{Activity, Changes};
use super::insert::text;
use super::session::{Queried, Session};
use crate::campaign_changes::Transaction;
use crate::fields::Fields;
use crate::received::step_names;
use crate::release_changes::{self, PUT_RELEASE, ReleaseState};
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
    let statement = "UPDATE agents SET run = greatest(agents.run, m.run), last_seen_s = $1, silent = 0, \
                     open_episodes = agents.open_episodes + m.open_episodes, \
                     sample_rows = agents.sample_rows + m.sample_rows, alerts = agents.alerts + m.alerts, \
                     stored_sample_bytes = stored_sample_bytes + m.sample_bytes, \
                     stored_sample_rows = stored_sample_rows + m.sample_rows, \
                     stored_alerts = stored_alerts + m.alerts, stored_updates = stored_updates + m.updates \
                     FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
                     $8::bigint[]) AS m (id, run, open_episodes, sample_rows, sample_bytes, alerts, updates) \
                     WHERE agents.id = m.id";
    let ids: Vec<i64> = changes.activity.keys().copied().collect();
    session.execute(
        statement,
        &[
            &now_s,
            &ids,
            &column(changes, |activity| activity.run.cast_signed()),
            &column(changes, |activity| activity.open_episodes),
            &column(changes, |activity| activity.more.sample_rows),
            &column(changes, |activity| activity.more.sample_bytes),
            &column(changes, |activity| activity.more.alerts),
            &column(changes, |activity| activity.more.updates),
        ],
    )?;
    write_statuses(session, changes)?;
    write_releases(session, changes, now_s)?;
    write_health(session, changes)?;
    write_updates(session, changes, now_s)
}

/// Sets the newest status of agents.
///
/// A last will was made when its connection began, so that it has an old release: it replaces nothing but whether the agent
/// is connected.
fn write_statuses(session: &mut Session, changes: &Changes<'_>) -> Queried<()> {
    let newest =
        changes.activity.iter().filter_map(|(agent, activity)| Some((*agent, activity.is_gone, activity.status?)));
    let newest: Vec<_> = newest.collect();
    if newest.is_empty() {
        return Ok(());
    }
    let agents: Vec<i64> = newest.iter().map(|(agent, ..)| *agent).collect();
    let payloads: Vec<&[u8]> = newest.iter().map(|(.., (received, _))| received.payload.as_slice()).collect();
    let groups: Vec<_> = newest.iter().map(|(.., (_, status))| text(&status.group)).collect();
    let live: Vec<bool> = newest.iter().map(|(.., (_, status))| status.online).collect();
    let online: Vec<i16> = newest.iter().map(|(_, is_gone, (_, status))| (status.online && !is_gone).into()).collect();
    let releases: Vec<i64> = newest.iter().map(|(.., (_, status))| status.release.cast_signed()).collect();
    let on_trial: Vec<i16> = newest.iter().map(|(.., (_, status))| status.on_trial.into()).collect();
    let statement = "UPDATE agents SET online = m.online, \
                     status = CASE WHEN m.live OR status IS NULL THEN m.new_status ELSE status END, \
                     reported_group = CASE WHEN m.live OR status IS NULL THEN m.new_group ELSE reported_group END, \
                     release = CASE WHEN m.live OR status IS NULL THEN m.new_release ELSE release END, \
                     on_trial = CASE WHEN m.live OR status IS NULL THEN m.new_on_trial ELSE on_trial END \
                     FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::boolean[], $5::smallint[], $6::bigint[], \
                     $7::smallint[]) AS m (id, new_status, new_group, live, online, new_release, new_on_trial) \
                     WHERE agents.id = m.id";
    session.execute(statement, &[&agents, &payloads, &groups, &live, &online, &releases, &on_trial]).map(drop)
}

/// Stores which agents run another version than before, or have another coverage; before the reports are stored.
fn write_releases(session: &mut Session, changes: &Changes<'_>, now_s: i64) -> Queried<()> {
    let reported = changes.activity.iter().filter_map(|(agent, activity)| {
        let (_, report) = activity.health.as_ref()?;
        Some((*agent, ReleaseState::of(report)?))
    });
    let reported: Vec<(i64, ReleaseState)> = reported.collect();
    if reported.is_empty() {
        return Ok(());
    }
    let agents: Vec<i64> = reported.iter().map(|(agent, _)| *agent).collect();
    let versions: Vec<i64> = reported.iter().map(|(_, state)| state.version.cast_signed()).collect();
    let degraded: Vec<i16> = reported.iter().map(|(_, state)| state.is_degraded.into()).collect();
    // Usually no agent.
    let text = "SELECT m.agent, m.version, m.degraded, (SELECT health FROM agents WHERE id = m.agent), r.version, \
                CASE WHEN r.degraded_since_s IS NULL THEN 0 ELSE 1 END \
                FROM unnest($1::bigint[], $2::bigint[], $3::smallint[]) AS m (agent, version, degraded) \
                LEFT JOIN release_health AS r ON r.agent = m.agent \
                WHERE r.version IS DISTINCT FROM m.version OR (r.degraded_since_s IS NOT NULL) <> (m.degraded = 1)";
    for row in session.query(text, &[&agents, &versions, &degraded])? {
        let state = ReleaseState { version: row.unsigned(1)?, is_degraded: row.flag(2)? };
        let before = match row.integer_or_null(4)? {
            None => None,
            Some(version) => Some(ReleaseState { version: version.cast_unsigned(), is_degraded: row.flag(5)? }),
        };
        let values = release_changes::values(row.integer(0)?, state, before, row.bytes_or_null(3)?, now_s);
        Transaction::change(session, PUT_RELEASE, &values)?;
    }
    Ok(())
}

/// Sets the newest health message of agents; the previous one is kept, for rates.
fn write_health(session: &mut Session, changes: &Changes<'_>) -> Queried<()> {
    let newest: Vec<_> =
        changes.activity.iter().filter_map(|(agent, activity)| Some((*agent, activity.health?))).collect();
    if newest.is_empty() {
        return Ok(());
    }
    let agents: Vec<i64> = newest.iter().map(|(agent, _)| *agent).collect();
    let payloads: Vec<&[u8]> = newest.iter().map(|(_, (received, _))| received.payload.as_slice()).collect();
    let degraded: Vec<i16> = newest.iter().map(|(_, (_, health))| health.degraded.into()).collect();
    let statement = "UPDATE agents SET health_before = agents.health, health = m.health, degraded = m.degraded \
                     FROM unnest($1::bigint[], $2::bytea[], $3::smallint[]) AS m (id, health, degraded) \
                     WHERE agents.id = m.id";
    session.execute(statement, &[&agents, &payloads, &degraded]).map(drop)
}

/// Counts new feature rows for the groups that a trainer serves. All commits wait for each other here, so it comes last.
pub(super) fn count_group_rows(session: &mut Session, changes: &Changes<'_>) -> Queried<()> {
    let rows_of = changes.activity.iter().map(|(agent, activity)| (*agent, activity.more.sample_rows));
    let (agents, rows): (Vec<i64>, Vec<i64>) = rows_of.filter(|(_, rows)| *rows > 0).unzip();
    if agents.is_empty() {
        return Ok(());
    }
    // In one order, so that two commits cannot deadlock.
    session.query("SELECT 1 FROM group_rows ORDER BY group_name FOR NO KEY UPDATE", &[])?;
    let statement = "UPDATE group_rows SET stored = stored + m.rows FROM (SELECT group_name, sum(n.rows)::bigint AS rows \
                     FROM unnest($1::bigint[], $2::bigint[]) AS n (id, rows) JOIN agents ON agents.id = n.id \
                     GROUP BY group_name) AS m WHERE group_rows.group_name = m.group_name";
    session.execute(statement, &[&agents, &rows]).map(drop)
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
