//! What people do with incidents → rows, in a transaction of either database.

use crate::campaign_changes::Transaction;
use crate::cell::Cell;
use crate::counter::Counter;
use crate::error::StoreError;
use crate::incident_joins::{By, add_incident, add_member, total, wake};
use crate::incident_rows::{Reading, by_id};
use lapwing_fleet::incident::{
    EPISODES_PER_INCIDENT, Incident, IncidentAction, IncidentState, Membership, NewIncident, Rule, Sighting, Verdict,
    joined_key,
};
use lapwing_fleet::{AuditEntry, is_disruptive, recorded_name};

/// Notes on an incident, at most; the oldest are deleted.
const NOTES_KEPT: i64 = 200;
/// Longest note, characters.
const NOTE_CHARS: usize = 2_000;
/// Episodes that one split takes, at most.
const SPLIT: usize = 1_000;

/// Why something was not done.
pub(crate) enum Refused {
    NoIncident(i64),
    NoEpisode(String, u64),
    /// The incident, and why.
    Not(i64, String),
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoIncident(id) => Self::Missing { what: format!("incident {id}"), list: "incidents list" },
            Refused::NoEpisode(agent, episode) => Self::no_episode(&agent, episode),
            Refused::Not(id, reason) => Self::Incident { id, reason },
        }
    }
}

/// A note as it is stored: lines end with a line feed, and have no tabs.
fn stored_note(text: &str) -> String {
    text.trim().replace("\r\n", "\n").replace('\t', " ")
}

/// Fails if a note would be cut, or its characters could change what is shown around it.
fn check_note(text: &str) -> Result<(), String> {
    let text = stored_note(text);
    let characters = text.chars().count();
    if text.is_empty() {
        return Err("the note is empty".into());
    }
    if characters > NOTE_CHARS {
        return Err(format!("the note has {characters} characters, expected at most {NOTE_CHARS}"));
    }
    let disruptive = text.chars().find(|character| *character != '\n' && is_disruptive(*character));
    let Some(found) = disruptive else { return Ok(()) };
    let found = u32::from(found);
    Err(format!("the note has the character U+{found:04X}, expected text and line breaks without control characters"))
}

type Done<T, E> = Result<Result<T, Refused>, E>;

/// Unwraps what was not refused.
macro_rules! allowed {
    ($done:expr) => {
        match $done {
            Ok(value) => value,
            Err(refused) => return Ok(Err(refused)),
        }
    };
}

/// A person who acts.
#[derive(Clone, Copy)]
pub(crate) struct Person<'a> {
    pub(crate) who: &'a str,
    pub(crate) now_s: u64,
    pub(crate) reading: Reading,
}

impl Person<'_> {
    fn by(&self) -> By<'_> {
        By { who: self.who, is_person: true, now_s: self.now_s }
    }

    fn now(&self) -> Cell {
        Cell::Integer(self.now_s.cast_signed())
    }

    /// See [`crate::traits::Incidents::change_incident`].
    pub(crate) fn change<S: Transaction>(&self, sql: &mut S, id: i64, action: &IncidentAction) -> Done<i64, S::Error> {
        let Some(incident) = by_id(sql, id)? else { return Ok(Err(Refused::NoIncident(id))) };
        if let Some(into) = incident.merged_into {
            return Ok(Err(Refused::Not(id, format!("it was merged into incident {into}; change that one"))));
        }
        let number = match action {
            IncidentAction::See => self.see(sql, id)?,
            IncidentAction::Assign(Some(name)) if name.trim().is_empty() || *name != recorded_name(name) => {
                let reason = "the name of a person has 1 to 64 characters, without control characters and marks of the \
                              writing direction";
                return Ok(Err(Refused::Not(id, reason.into())));
            }
            IncidentAction::Assign(name) => self.assign(sql, id, name.as_deref())?,
            IncidentAction::Note(text) => {
                allowed!(check_note(text).map_err(|reason| Refused::Not(id, reason)));
                self.see(sql, id)?
            }
            IncidentAction::Resolve(verdict) => self.resolve(sql, id, *verdict)?,
            IncidentAction::Reopen => allowed!(self.reopen(sql, &incident)?),
            IncidentAction::Merge(other) => allowed!(self.merge(sql, &incident, *other)?),
            IncidentAction::Split(episodes) => allowed!(self.split(sql, &incident, episodes)?),
        };
        let text = match action {
            IncidentAction::Note(text) => stored_note(text),
            action => action.detail(),
        };
        let text = if number == id { text } else { format!("{text}, into incident {number}") };
        self.record(sql, id, &text, &action.detail())?;
        Ok(Ok(number))
    }

    fn record<S: Transaction>(&self, sql: &mut S, id: i64, note: &str, detail: &str) -> Result<(), S::Error> {
        // What a person did names at most a thousand episodes; the rest is cut.
        let plain = |char| if is_disruptive(char) && char != '\n' { '\u{fffd}' } else { char };
        let text: String = note.chars().take(NOTE_CHARS).map(plain).collect();
        let (on, who) = (Cell::text(&id.to_string()), recorded_name(self.who));
        let add = "INSERT INTO notes (on_kind, on_id, who, at_s, text) VALUES ('incident', ?1, ?2, ?3, ?4)";
        sql.change(add, &[on.clone(), Cell::text(&who), self.now(), Cell::text(&text)])?;
        let forget = "DELETE FROM notes WHERE on_kind = 'incident' AND on_id = ?1 AND id NOT IN (SELECT id FROM notes \
                      WHERE on_kind = 'incident' AND on_id = ?1 ORDER BY id DESC LIMIT ?2)";
        let dropped = sql.change(forget, &[on, Cell::Integer(NOTES_KEPT)])?;
        if dropped > 0 {
            sql.count(Counter::NotesDropped, dropped)?;
        }
        sql.record(&AuditEntry::changed_incident(id, detail, self.who, self.now_s))
    }

    fn see<S: Transaction>(&self, sql: &mut S, id: i64) -> Result<i64, S::Error> {
        let text = "UPDATE incidents SET seen_by = coalesce(seen_by, ?2), \
                    state = CASE WHEN state = 'open' THEN 'seen' ELSE state END WHERE id = ?1";
        sql.change(text, &[Cell::Integer(id), Cell::text(&recorded_name(self.who))]).map(|_| id)
    }

    fn assign<S: Transaction>(&self, sql: &mut S, id: i64, name: Option<&str>) -> Result<i64, S::Error> {
        let name = name.map_or(Cell::Null, |name| Cell::text(&recorded_name(name)));
        sql.change("UPDATE incidents SET assigned = ?2 WHERE id = ?1", &[Cell::Integer(id), name])?;
        self.see(sql, id)
    }

    fn resolve<S: Transaction>(&self, sql: &mut S, id: i64, verdict: Verdict) -> Result<i64, S::Error> {
        let text = "UPDATE incidents SET state = 'resolved', verdict = ?2, resolved_by = ?3, \
                    seen_by = coalesce(seen_by, ?3) WHERE id = ?1";
        let values = [Cell::Integer(id), Cell::text(verdict.as_str()), Cell::text(&recorded_name(self.who))];
        sql.change(text, &values).map(|_| id)
    }

    fn reopen<S: Transaction>(&self, sql: &mut S, incident: &Incident) -> Done<i64, S::Error> {
        if !matches!(incident.state, IncidentState::Resolved | IncidentState::Quiet) {
            let reason = format!("it is {}, so there is nothing to reopen", incident.state.as_str());
            return Ok(Err(Refused::Not(incident.id, reason)));
        }
        let text = "UPDATE incidents SET state = 'seen', verdict = NULL, resolved_by = NULL, active_s = ?2, \
                    seen_by = coalesce(seen_by, ?3) WHERE id = ?1";
        sql.change(text, &[Cell::Integer(incident.id), self.now(), Cell::text(&recorded_name(self.who))])?;
        Ok(Ok(incident.id))
    }

    fn merge<S: Transaction>(&self, sql: &mut S, into: &Incident, other: i64) -> Done<i64, S::Error> {
        let Some(from) = by_id(sql, other)? else { return Ok(Err(Refused::NoIncident(other))) };
        let refused = if from.id == into.id {
            Some("it cannot be merged into itself".to_owned())
        } else if let Some(target) = from.merged_into {
            Some(format!("incident {other} was merged into incident {target} already"))
        } else if from.episodes.saturating_add(into.episodes) > EPISODES_PER_INCIDENT {
            Some(format!("together they have more than {EPISODES_PER_INCIDENT} episodes"))
        } else {
            None
        };
        if let Some(reason) = refused {
            return Ok(Err(Refused::Not(into.id, reason)));
        }
        let who = recorded_name(self.who);
        let prefix = format!("Merged by {who} from incident {other}: ");
        let (target, source) = (Cell::Integer(into.id), Cell::Integer(other));
        let text = "UPDATE incident_episodes SET incident = ?1, pinned = 1, joined_by = ?3, why = CAST(?4 AS TEXT) || why \
                    WHERE incident = ?2";
        sql.change(text, &[target.clone(), source.clone(), Cell::text(&who), Cell::text(&prefix)])?;
        // A chain of merges leads to the last one.
        let text = "UPDATE incidents SET state = 'merged', merged_into = ?1 WHERE id = ?2 OR merged_into = ?2";
        sql.change(text, &[target.clone(), source])?;
        let severity = Cell::Integer(from.severity.max(into.severity).rank().into());
        sql.change("UPDATE incidents SET severity = ?2 WHERE id = ?1", &[target, severity])?;
        total(sql, into.id)?;
        wake(sql, into.id, self.now_s)?;
        self.see(sql, into.id).map(Ok)
    }

    fn split<S: Transaction>(&self, sql: &mut S, from: &Incident, episodes: &[(String, u64)]) -> Done<i64, S::Error> {
        let mut taken: Vec<Sighting> = Vec::new();
        for (agent, number) in episodes {
            let Some(found) = self.reading.one(sql, agent, *number, self.now_s)? else {
                return Ok(Err(Refused::NoEpisode(agent.clone(), *number)));
            };
            if found.sighting.member != Membership::In(from.id) {
                let reason = format!("episode {number} of agent {agent} does not belong to it");
                return Ok(Err(Refused::Not(from.id, reason)));
            }
            if taken.iter().all(|one| one.id != found.sighting.id) {
                taken.push(found.sighting);
            }
        }
        let Some(first) = taken.first() else {
            return Ok(Err(Refused::Not(from.id, "no episodes to split off".into())));
        };
        if taken.len() as u64 >= from.episodes || taken.len() > SPLIT {
            let reason = format!("a split takes at most {SPLIT} of its episodes, and leaves one at least");
            return Ok(Err(Refused::Not(from.id, reason)));
        }
        let number = add_incident(sql, &raised(first), self.now_s)?;
        let who = recorded_name(self.who);
        let why = format!("Split off incident {} by {who}.", from.id);
        let text = "UPDATE incident_episodes SET incident = ?1, pinned = 1, joined_by = ?2, why = ?3, at_s = ?4 \
                    WHERE incident = ?5 AND (agent, episode) IN (SELECT agent, episode FROM episodes WHERE id = ?6)";
        for one in &taken {
            let (by, why) = (Cell::text(&who), Cell::text(&why));
            let ends = [from.id, one.id].map(Cell::Integer);
            let [source, row] = ends;
            sql.change(text, &[Cell::Integer(number), by, why, self.now(), source, row])?;
        }
        total(sql, number)?;
        total(sql, from.id)?;
        self.see(sql, number).map(Ok)
    }

    /// See [`crate::traits::Incidents::raise_incident`].
    pub(crate) fn raise<S: Transaction>(&self, sql: &mut S, agent: &str, episode: u64) -> Done<i64, S::Error> {
        let Some(found) = self.reading.one(sql, agent, episode, self.now_s)? else {
            return Ok(Err(Refused::NoEpisode(agent.to_owned(), episode)));
        };
        if let Membership::In(id) = found.sighting.member {
            return Ok(Err(Refused::Not(id, format!("it has episode {episode} of agent {agent} already"))));
        }
        let one = &found.sighting;
        let id = add_incident(sql, &raised(one), self.now_s)?;
        let why = format!("Raised by {}.", recorded_name(self.who));
        add_member(sql, id, (one.id, one.severity, &why), self.by())?;
        total(sql, id)?;
        self.see(sql, id)?;
        self.record(sql, id, "raised", &format!("raised from episode {episode} of agent {agent}"))?;
        Ok(Ok(id))
    }
}

/// An incident of one series.
fn raised(one: &Sighting) -> NewIncident {
    let key = joined_key(Rule::Raised, &one.cause, &one.series());
    NewIncident { rule: Rule::Raised, cause: one.cause.clone(), key, group: one.group.clone(), release: 0 }
}
