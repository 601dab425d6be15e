//! What the joiner decided → rows, in a transaction of either database; states that change with time.

use crate::campaign_changes::Transaction;
use crate::cell::Cell;
use crate::counter::Counter;
use crate::fields::Fields;
use crate::traits::{QueuedEpisode, SavedJoins};
use lapwing_fleet::SERVE;
use lapwing_fleet::incident::{Joins, NewIncident, NewMember, QUIET_S, Severity, Target, Touched};
use std::collections::BTreeSet;

/// Ended incidents to keep.
const INCIDENTS_KEPT: i64 = 10_000;
/// Incidents that one pass deletes, at most.
const DELETED_AT_ONCE: i64 = 100;

/// Sites of an incident, at least.
const SITES: u64 = 2;

const ADD_INCIDENT: &str = "INSERT INTO incidents (rule, cause, key, group_name, release, state, severity, first_s, last_s, \
    active_s, sites, episodes, again_of, made_s) VALUES (?1, ?2, ?3, ?4, ?5, 'open', 1, ?6, ?6, ?6, 0, 0, \
    (SELECT max(id) FROM incidents WHERE key = ?3), ?6) RETURNING id";
/// The time of an agent whose clock is wrong may be in the future.
const ADD_MEMBER: &str = "INSERT INTO incident_episodes (agent, episode, incident, joined_by, why, pinned, severity, since_s, \
    last_s, at_s) SELECT e.agent, e.episode, ?2, ?3, ?4, CAST(?5 AS BIGINT), CAST(?6 AS BIGINT), \
    CASE WHEN e.since_ns / 1000000000 > ?7 THEN ?7 ELSE e.since_ns / 1000000000 END, \
    CASE WHEN e.at_ns / 1000000000 > ?7 THEN ?7 ELSE e.at_ns / 1000000000 END, CAST(?7 AS BIGINT) FROM episodes AS e \
    WHERE e.id = ?1 AND EXISTS (SELECT 1 FROM incidents WHERE id = ?2 AND state IN ('open', 'seen', 'quiet')) \
    ON CONFLICT (agent, episode) DO NOTHING";
const TOUCH: &str = "UPDATE incident_episodes SET severity = CASE WHEN severity > ?2 THEN severity ELSE ?2 END, \
    last_s = (SELECT CASE WHEN e.at_ns / 1000000000 > ?3 THEN ?3 ELSE e.at_ns / 1000000000 END FROM episodes AS e \
    WHERE e.id = ?1) WHERE (agent, episode) IN (SELECT agent, episode FROM episodes WHERE id = ?1)";
const LEAVE: &str = "UPDATE episodes SET to_join = CASE WHEN to_join = ?2 THEN 0 ELSE to_join END, join_cause = ?3 \
    WHERE id = ?1";
const TOTALS: &str = "SELECT count(DISTINCT agent), count(*), min(since_s), max(last_s), max(severity) \
    FROM incident_episodes WHERE incident = ?1";
const SET_TOTALS: &str = "UPDATE incidents SET sites = ?2, episodes = ?3, first_s = ?4, last_s = ?5, \
    severity = CASE WHEN severity > ?6 THEN severity ELSE ?6 END WHERE id = ?1";
const WAKE: &str = "UPDATE incidents SET active_s = ?2, state = CASE WHEN state <> 'quiet' THEN state \
    WHEN seen_by IS NULL THEN 'open' ELSE 'seen' END WHERE id = ?1";

/// Adds an incident without episodes; returns its number.
pub(crate) fn add_incident<S: Transaction>(sql: &mut S, new: &NewIncident, now_s: u64) -> Result<i64, S::Error> {
    let values = [
        Cell::text(new.rule.as_str()),
        Cell::text(new.cause.as_str()),
        Cell::text(&new.key),
        Cell::text(&new.group),
        Cell::Integer(new.release.cast_signed()),
        Cell::Integer(now_s.cast_signed()),
    ];
    // The statement returns one row.
    Ok(sql.first(ADD_INCIDENT, &values, |row| row.integer(0))?.unwrap_or_default())
}

/// Who adds an episode to an incident, and when.
#[derive(Clone, Copy)]
pub(crate) struct By<'a> {
    pub(crate) who: &'a str,
    pub(crate) is_person: bool,
    pub(crate) now_s: u64,
}

/// Adds an episode; false if it belongs to an incident already, or this one has ended.
pub(crate) fn add_member<S: Transaction>(
    sql: &mut S,
    incident: i64,
    (id, severity, why): (i64, Severity, &str),
    by: By<'_>,
) -> Result<bool, S::Error> {
    let values = [
        Cell::Integer(id),
        Cell::Integer(incident),
        Cell::text(by.who),
        Cell::text(why),
        Cell::Integer(by.is_person.into()),
        Cell::Integer(severity.rank().into()),
        Cell::Integer(by.now_s.cast_signed()),
    ];
    Ok(sql.change(ADD_MEMBER, &values)? > 0)
}

/// Computes numbers, times and severity of an incident from its episodes. The severity never decreases.
pub(crate) fn total<S: Transaction>(sql: &mut S, incident: i64) -> Result<(), S::Error> {
    let read = |row: &S::Row<'_>| {
        let times = (row.integer_or_null(2)?, row.integer_or_null(3)?);
        Ok((row.unsigned(0)?, row.integer(1)?, times, row.integer_or_null(4)?))
    };
    let found = sql.first(TOTALS, &[Cell::Integer(incident)], read)?;
    let Some((sites, episodes, (Some(first_s), Some(last_s)), Some(rank))) = found else { return Ok(()) };
    let severity = Severity::from_rank(rank).at_sites(sites).rank();
    let numbers = [incident, sites.cast_signed(), episodes, first_s, last_s, severity.into()];
    sql.change(SET_TOTALS, &numbers.map(Cell::Integer)).map(drop)
}

/// Notes activity; a quiet incident is open again.
pub(crate) fn wake<S: Transaction>(sql: &mut S, incident: i64, now_s: u64) -> Result<(), S::Error> {
    sql.change(WAKE, &[Cell::Integer(incident), Cell::Integer(now_s.cast_signed())]).map(drop)
}

/// See [`crate::traits::Incidents::save_joins`].
pub(crate) fn save<S: Transaction>(
    sql: &mut S,
    joins: &Joins,
    queued: &[QueuedEpisode],
    skipped: u64,
    now_s: u64,
) -> Result<SavedJoins, S::Error> {
    let mut made = Vec::with_capacity(joins.new.len());
    for new in &joins.new {
        made.push(add_incident(sql, new, now_s)?);
    }
    let mut saved = SavedJoins { incidents: made.len() as u64, episodes: 0 };
    let changed = add_members(sql, joins, &made, &mut saved.episodes, now_s)?;
    for incident in &changed {
        total(sql, *incident)?;
        wake(sql, *incident, now_s)?;
    }
    for incident in &made {
        let removed = remove_if_alone(sql, *incident)?;
        saved.incidents -= u64::from(removed.is_some());
        saved.episodes -= removed.unwrap_or(0);
    }
    leave_queue(sql, queued)?;
    let counters = [
        (Counter::IncidentsRefused, joins.refused_incidents),
        (Counter::IncidentEpisodesRefused, joins.refused_episodes),
        (Counter::IncidentCandidatesSkipped, skipped),
    ];
    for (counter, more) in counters.into_iter().filter(|(_, more)| *more > 0) {
        sql.count(counter, more)?;
    }
    Ok(saved)
}

/// Adds the new episodes of incidents, counts them, and updates the changed ones. Returns the incidents that have changed.
fn add_members<S: Transaction>(
    sql: &mut S,
    joins: &Joins,
    made: &[i64],
    added: &mut u64,
    now_s: u64,
) -> Result<BTreeSet<i64>, S::Error> {
    let (mut changed, by) = (BTreeSet::new(), By { who: SERVE, is_person: false, now_s });
    for NewMember { target, id, why, severity } in &joins.members {
        let incident = match target {
            Target::Stored(incident) => Some(*incident),
            Target::New(index) => made.get(*index).copied(),
        };
        let Some(incident) = incident else { continue };
        if add_member(sql, incident, (*id, *severity, why), by)? {
            changed.insert(incident);
            *added += 1;
        }
    }
    for Touched { incident, id, severity } in &joins.touched {
        let values = [*id, severity.rank().into(), now_s.cast_signed()].map(Cell::Integer);
        sql.change(TOUCH, &values)?;
        changed.insert(*incident);
    }
    Ok(changed)
}

/// Removes a new incident of one site or none: its other episodes have joined another one meanwhile. Returns the number of its
/// episodes if it did.
fn remove_if_alone<S: Transaction>(sql: &mut S, incident: i64) -> Result<Option<u64>, S::Error> {
    let id = [Cell::Integer(incident)];
    let sites = sql.first(TOTALS, &id, |row| row.unsigned(0))?;
    if sites.is_some_and(|sites| sites >= SITES) {
        return Ok(None);
    }
    let removed = sql.change("DELETE FROM incident_episodes WHERE incident = ?1", &id)?;
    sql.change("DELETE FROM incidents WHERE id = ?1", &id)?;
    Ok(Some(removed))
}

fn leave_queue<S: Transaction>(sql: &mut S, queued: &[QueuedEpisode]) -> Result<(), S::Error> {
    for QueuedEpisode { sighting, changes, .. } in queued {
        let cause = if sighting.may_join { Cell::text(sighting.cause.as_str()) } else { Cell::Null };
        sql.change(LEAVE, &[Cell::Integer(sighting.id), Cell::Integer(*changes), cause])?;
    }
    Ok(())
}

/// See [`crate::traits::Incidents::settle_incidents`].
pub(crate) fn settle<S: Transaction>(sql: &mut S, now_s: u64) -> Result<(), S::Error> {
    let quiet = "UPDATE incidents SET state = 'quiet' WHERE state IN ('open', 'seen') AND active_s <= ?1";
    sql.change(quiet, &[Cell::Integer(now_s.saturating_sub(QUIET_S).cast_signed())])?;
    let ended = "SELECT id FROM incidents AS i WHERE state IN ('quiet', 'resolved', 'merged') \
                 AND (id <= (SELECT max(id) FROM incidents) - ?1 \
                 OR NOT EXISTS (SELECT 1 FROM incident_episodes WHERE incident = i.id) AND (merged_into IS NULL \
                 OR NOT EXISTS (SELECT 1 FROM incidents AS t WHERE t.id = i.merged_into))) ORDER BY id LIMIT ?2";
    let values = [INCIDENTS_KEPT, DELETED_AT_ONCE].map(Cell::Integer);
    let ended = sql.all(ended, &values, |row| row.integer(0))?;
    for id in &ended {
        sql.change("DELETE FROM incident_episodes WHERE incident = ?1", &[Cell::Integer(*id)])?;
        sql.change("DELETE FROM notes WHERE on_kind = 'incident' AND on_id = ?1", &[Cell::text(&id.to_string())])?;
        sql.change("DELETE FROM incidents WHERE id = ?1", &[Cell::Integer(*id)])?;
    }
    if ended.is_empty() { Ok(()) } else { sql.count(Counter::IncidentsDropped, ended.len() as u64) }
}
