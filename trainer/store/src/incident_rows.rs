//! Statements of incidents, and their rows.

use crate::campaign_changes::Transaction;
use crate::cell::Cell;
use crate::episode_fields::{EPISODE, RECORD, RECORD_COLUMNS, alert_state, episode};
use crate::fields::Fields;
use crate::query::Dialect;
use crate::traits::{IncidentFilter, IncidentMember, IncidentSite, QueuedEpisode};
use lapwing_fleet::incident::{
    Cause, Incident, IncidentState, Membership, Network, Note, Rule, Severity, Sighting, Verdict,
};
use lapwing_shared::messages::{AddressForm, AlertState, Host, Role};
use lapwing_shared::units::{Address, NANOS_PER_SECOND};

/// Incidents that the joiner compares with, at most.
const JOINABLE: i64 = 4_000;
/// Episodes of a cause that are counted, at most.
const COUNTED: i64 = 100_000;

/// Columns of a whole episode after those of [`EPISODE`]: changes, agent, group, incident, time of the switch to its release.
/// The first report of the release on trial is the switch; of agents of earlier versions it is only known which release the
/// current one replaced.
const SIGHTING: &str = "e.to_join, e.agent, agents.group_name, m.incident, \
    coalesce((SELECT min(u.received_s) FROM updates AS u WHERE u.release = e.release AND u.agent = e.agent \
    AND u.step IN ('trial', 'confirmed')), (SELECT h.first_s FROM release_health AS h WHERE h.agent = e.agent \
    AND h.version = e.release AND h.before_version > 0))";

/// How a database finds rows.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) dialect: Dialect,
    /// Finds the newest message of an episode.
    pub(crate) message: &'static str,
}

impl Reading {
    fn select(self, index: &str, condition: &str) -> String {
        let (episodes, message) = (self.dialect.table("episodes AS e", index), self.message);
        format!(
            "SELECT {RECORD}, {EPISODE}, {SIGHTING} FROM {episodes} JOIN agents ON agents.id = e.agent \
             LEFT JOIN alerts ON {message} \
             LEFT JOIN incident_episodes AS m ON m.agent = e.agent AND m.episode = e.episode WHERE {condition}"
        )
    }

    /// See [`crate::traits::Incidents::join_queue`].
    pub(crate) fn queue<S: Transaction>(
        self,
        sql: &mut S,
        classified_only: bool,
        limit: u32,
        now_s: u64,
    ) -> Result<Vec<QueuedEpisode>, S::Error> {
        let condition = if classified_only { "e.to_join > 0 AND e.to_classify = 0" } else { "e.to_join > 0" };
        let text = self.select("episodes_to_join", &format!("{condition} ORDER BY e.id LIMIT ?1"));
        sql.all(&text, &[Cell::Integer(limit.into())], |row| queued(row, now_s))
    }

    /// See [`crate::traits::Incidents::join_candidates`].
    pub(crate) fn candidates<S: Transaction>(
        self,
        sql: &mut S,
        cause: &Cause,
        since_s: u64,
        limit: u32,
        now_s: u64,
    ) -> Result<Vec<Sighting>, S::Error> {
        let condition = "e.join_cause = ?1 AND e.since_ns >= ?2 ORDER BY e.since_ns DESC LIMIT ?3";
        let values = [Cell::text(cause.as_str()), nanos(since_s), Cell::Integer(limit.into())];
        let text = self.select("episodes_by_cause", condition);
        Ok(sql.all(&text, &values, |row| queued(row, now_s))?.into_iter().map(|one| one.sighting).collect())
    }

    /// See [`crate::traits::Incidents::benign_networks`].
    pub(crate) fn benign<S: Transaction>(self, sql: &mut S, limit: u32) -> Result<Vec<(String, Network)>, S::Error> {
        let text = self.select("episodes_labelled", "e.label = 'benign' ORDER BY e.labelled_s DESC LIMIT ?1");
        let found = sql.all(&text, &[Cell::Integer(limit.into())], |row| queued(row, u64::MAX))?;
        let networks = found.into_iter().flat_map(|one| {
            let agent = one.sighting.agent;
            one.sighting.remotes.into_iter().map(move |remote| (agent.clone(), remote.network))
        });
        Ok(networks.collect())
    }

    /// One episode, by the name of its agent and its number.
    pub(crate) fn one<S: Transaction>(
        self,
        sql: &mut S,
        agent: &str,
        number: u64,
        now_s: u64,
    ) -> Result<Option<QueuedEpisode>, S::Error> {
        let message = self.message;
        let text = format!(
            "SELECT {RECORD}, {EPISODE}, {SIGHTING} FROM agents JOIN episodes AS e ON e.agent = agents.id \
             LEFT JOIN alerts ON {message} LEFT JOIN incident_episodes AS m ON m.agent = e.agent AND m.episode = e.episode \
             WHERE agents.name = ?1 AND e.episode = ?2"
        );
        sql.first(&text, &[Cell::text(agent), Cell::Integer(number.cast_signed())], |row| queued(row, now_s))
    }
}

fn nanos(seconds: u64) -> Cell {
    Cell::Integer(i64::try_from(seconds.saturating_mul(NANOS_PER_SECOND)).unwrap_or(i64::MAX))
}

fn queued<R: Fields>(row: &R, now_s: u64) -> Result<QueuedEpisode, R::Error> {
    let next = |column: usize| RECORD_COLUMNS + column;
    let mut sighting = Sighting::new(row.integer(next(8))?, &episode(row)?, now_s);
    sighting.group = row.text(next(11))?;
    sighting.member = row.integer_or_null(next(12))?.map_or(Membership::None, Membership::In);
    sighting.switched_s = row.integer_or_null(next(13))?.map(i64::cast_unsigned);
    Ok(QueuedEpisode { sighting, changes: row.integer(next(9))?, agent_id: row.integer(next(10))? })
}

/// See [`crate::traits::Incidents::episodes_with_cause`].
pub(crate) fn count_cause<S: Transaction>(sql: &mut S, cause: &Cause, from_s: u64, to_s: u64) -> Result<u64, S::Error> {
    let text = "SELECT count(*) FROM (SELECT 1 FROM episodes WHERE join_cause = ?1 AND since_ns >= ?2 AND since_ns < ?3 \
                LIMIT ?4) AS counted";
    let values = [Cell::text(cause.as_str()), nanos(from_s), nanos(to_s), Cell::Integer(COUNTED)];
    Ok(sql.first(text, &values, |row| row.unsigned(0))?.unwrap_or(0))
}

const INCIDENT: &str = "i.id, i.rule, i.cause, i.key, i.group_name, i.release, i.state, i.verdict, i.severity, i.first_s, \
    i.last_s, i.active_s, i.sites, i.episodes, i.assigned, i.seen_by, i.resolved_by, i.again_of, i.merged_into, i.made_s";

pub(crate) fn incident<R: Fields>(row: &R) -> Result<Incident, R::Error> {
    let verdict = row.text_or_null(7)?.map(|name| Verdict::parse(&name).ok_or_else(|| R::invalid(7, "a verdict")));
    Ok(Incident {
        id: row.integer(0)?,
        rule: Rule::parse(&row.text(1)?).ok_or_else(|| R::invalid(1, "the rule of an incident"))?,
        cause: Cause::named(&row.text(2)?),
        key: row.text(3)?,
        group: row.text(4)?,
        release: row.unsigned(5)?,
        state: IncidentState::parse(&row.text(6)?).ok_or_else(|| R::invalid(6, "the state of an incident"))?,
        verdict: verdict.transpose()?,
        severity: Severity::from_rank(row.integer(8)?),
        first_s: row.unsigned(9)?,
        last_s: row.unsigned(10)?,
        active_s: row.unsigned(11)?,
        sites: row.unsigned(12)?,
        episodes: row.unsigned(13)?,
        assigned: row.text_or_null(14)?,
        seen_by: row.text_or_null(15)?,
        resolved_by: row.text_or_null(16)?,
        again_of: row.integer_or_null(17)?,
        merged_into: row.integer_or_null(18)?,
        made_s: row.unsigned(19)?,
    })
}

/// See [`crate::traits::Incidents::joinable_incidents`].
pub(crate) fn joinable<S: Transaction>(sql: &mut S, since_s: u64) -> Result<Vec<Incident>, S::Error> {
    let text = format!(
        "SELECT {INCIDENT} FROM incidents AS i WHERE i.state IN ('open', 'seen', 'quiet', 'merged') AND i.first_s >= ?1 \
         ORDER BY i.id DESC LIMIT ?2"
    );
    sql.all(&text, &[Cell::Integer(since_s.cast_signed()), Cell::Integer(JOINABLE)], |row| incident(row))
}

/// See [`crate::traits::Incidents::incidents`].
pub(crate) fn page<S: Transaction>(sql: &mut S, filter: &IncidentFilter) -> Result<Vec<Incident>, S::Error> {
    let text = format!(
        "SELECT {INCIDENT} FROM incidents AS i WHERE i.id < ?1 \
         AND (CAST(?2 AS TEXT) IS NULL AND i.state <> 'merged' OR i.state = ?2) \
         AND (CAST(?3 AS TEXT) IS NULL OR i.group_name = ?3) AND i.severity >= ?4 \
         AND (CAST(?5 AS BIGINT) = 0 OR i.seen_by IS NULL AND i.state IN ('open', 'quiet')) ORDER BY i.id DESC LIMIT ?6"
    );
    let values = [
        Cell::Integer(filter.before.unwrap_or(i64::MAX)),
        filter.state.map_or(Cell::Null, |state| Cell::text(state.as_str())),
        filter.group.as_deref().map_or(Cell::Null, Cell::text),
        Cell::Integer(filter.severity.map_or(0, |severity| severity.rank().into())),
        Cell::Integer(filter.unseen.into()),
        Cell::Integer(filter.limit.into()),
    ];
    sql.all(&text, &values, |row| incident(row))
}

/// See [`crate::traits::Incidents::incident`].
pub(crate) fn by_id<S: Transaction>(sql: &mut S, id: i64) -> Result<Option<Incident>, S::Error> {
    let text = format!("SELECT {INCIDENT} FROM incidents AS i WHERE i.id = ?1");
    sql.first(&text, &[Cell::Integer(id)], |row| incident(row))
}

/// See [`crate::traits::Incidents::incident_of`].
pub(crate) fn of_episode<S: Transaction>(sql: &mut S, agent: &str, episode: u64) -> Result<Option<Incident>, S::Error> {
    let text = format!(
        "SELECT {INCIDENT} FROM agents JOIN incident_episodes AS m ON m.agent = agents.id JOIN incidents AS i \
         ON i.id = m.incident WHERE agents.name = ?1 AND m.episode = ?2"
    );
    sql.first(&text, &[Cell::text(agent), Cell::Integer(episode.cast_signed())], |row| incident(row))
}

/// See [`crate::traits::Incidents::incident_members`].
pub(crate) fn members<S: Transaction>(sql: &mut S, id: i64, limit: u32) -> Result<Vec<IncidentMember>, S::Error> {
    let text = "SELECT agents.name, m.episode, e.host, e.address_key, e.role, e.shown_class, e.state, m.since_s, m.last_s, \
                m.severity, m.joined_by, m.why, m.pinned, m.at_s FROM incident_episodes AS m \
                JOIN agents ON agents.id = m.agent JOIN episodes AS e ON e.agent = m.agent AND e.episode = m.episode \
                WHERE m.incident = ?1 ORDER BY m.since_s DESC, m.agent, m.episode LIMIT ?2";
    sql.all(text, &[Cell::Integer(id), Cell::Integer(limit.into())], |row| member(row))
}

fn member<R: Fields>(row: &R) -> Result<IncidentMember, R::Error> {
    let address = row.bytes(2)?.try_into().map_err(|_| R::invalid(2, "an address of 16 bytes"))?;
    let code = row.integer_or_null(3)?.and_then(|code| u32::try_from(code).ok());
    let is_source = row.integer(4)? == i64::from(Role::Source as u8);
    Ok(IncidentMember {
        agent: row.text(0)?,
        episode: row.unsigned(1)?,
        host: Host { address: Address(address), form: AddressForm::from_code(code) }.to_string(),
        role: if is_source { Role::Source } else { Role::Target },
        class: row.text(5)?,
        is_open: alert_state(row.integer(6)?) != AlertState::Closed,
        since_s: row.unsigned(7)?,
        last_s: row.unsigned(8)?,
        severity: Severity::from_rank(row.integer(9)?),
        joined_by: row.text(10)?,
        why: row.text(11)?,
        is_pinned: row.flag(12)?,
        at_s: row.unsigned(13)?,
    })
}

/// See [`crate::traits::Incidents::incident_sites`].
pub(crate) fn sites<S: Transaction>(sql: &mut S, id: i64, limit: u32) -> Result<Vec<IncidentSite>, S::Error> {
    let text = "SELECT agents.name, count(*), min(m.since_s), max(m.last_s) FROM incident_episodes AS m \
                JOIN agents ON agents.id = m.agent WHERE m.incident = ?1 GROUP BY agents.name ORDER BY 3, 1 LIMIT ?2";
    let read = |row: &S::Row<'_>| {
        Ok(IncidentSite {
            agent: row.text(0)?,
            episodes: row.unsigned(1)?,
            first_s: row.unsigned(2)?,
            last_s: row.unsigned(3)?,
        })
    };
    sql.all(text, &[Cell::Integer(id), Cell::Integer(limit.into())], read)
}

/// See [`crate::traits::Incidents::incident_notes`].
pub(crate) fn notes<S: Transaction>(sql: &mut S, id: i64) -> Result<Vec<Note>, S::Error> {
    let text = "SELECT who, at_s, text FROM notes WHERE on_kind = 'incident' AND on_id = ?1 ORDER BY id DESC LIMIT 200";
    let read = |row: &S::Row<'_>| Ok(Note { who: row.text(0)?, at_s: row.unsigned(1)?, text: row.text(2)? });
    sql.all(text, &[Cell::text(&id.to_string())], read)
}

/// See [`crate::traits::Incidents::campaign_of_release`].
pub(crate) fn campaign<S: Transaction>(sql: &mut S, group: &str, version: u64) -> Result<Option<i64>, S::Error> {
    let text = "SELECT id FROM campaigns WHERE group_name = ?1 AND version = ?2 ORDER BY id DESC LIMIT 1";
    sql.first(text, &[Cell::text(group), Cell::Integer(version.cast_signed())], |row| row.integer(0))
}

/// See [`crate::traits::Incidents::incident_counts`].
pub(crate) fn counts<S: Transaction>(sql: &mut S) -> Result<Vec<(IncidentState, u64)>, S::Error> {
    let read = |row: &S::Row<'_>| Ok((row.text(0)?, row.unsigned(1)?));
    let found = sql.all("SELECT state, count(*) FROM incidents GROUP BY state", &[], read)?;
    let count = |state: IncidentState| found.iter().find(|(name, _)| name == state.as_str()).map_or(0, |(_, n)| *n);
    Ok(IncidentState::ALL.into_iter().map(|state| (state, count(state))).collect())
}
