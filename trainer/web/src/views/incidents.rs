//! Stored incidents → lists and details, for pages and JSON; lines for Prometheus.

use super::alerts::HostRole;
use lapwing_fleet::incident::{Incident, IncidentState, Note, Rule, Severity, Verdict};
use lapwing_store::traits::{IncidentMember, IncidentSite};
use serde::Serialize;
use std::fmt::Write;
use utoipa::ToSchema;

/// Alerts of several sites that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct IncidentView {
    /// Number.
    pub(crate) id: i64,
    /// What happened, in a few words.
    pub(crate) title: String,
    /// Why its alerts belong together: `release`: they began soon after a switch to the same release; `remote`: they have
    /// the same outside peer; `burst`: they began at the same time; `raised`: a person decided it.
    pub(crate) rule: Rule,
    /// Attack type, or the two leading reasons with their direction.
    pub(crate) cause: String,
    /// Group of the first of its agents that reported one.
    pub(crate) group: String,
    /// Release that caused it; null for other rules.
    pub(crate) release: Option<u64>,
    /// `open`: no operator has seen it; `seen`; `quiet`: no new message for a day; `resolved`; or `merged` into another one.
    pub(crate) state: IncidentState,
    /// What a person decided; null until it is resolved.
    pub(crate) verdict: Option<Verdict>,
    /// The highest severity that its alerts ever had.
    pub(crate) severity: Severity,
    /// Earliest start of an alert, seconds since the epoch, by the agents' clocks.
    pub(crate) first_s: u64,
    /// Time of the newest message, seconds since the epoch, by the agents' clocks.
    pub(crate) last_s: u64,
    /// When the trainer last added an alert or a message, seconds since the epoch.
    pub(crate) active_s: u64,
    /// Agents with alerts in it.
    pub(crate) sites: u64,
    /// Its alert episodes.
    pub(crate) episodes: u64,
    /// Who deals with it; null: none.
    pub(crate) assigned: Option<String>,
    /// Who saw it first; null: none.
    pub(crate) seen_by: Option<String>,
    /// Who resolved it; null: none.
    pub(crate) resolved_by: Option<String>,
    /// An earlier incident of the same thing, which takes no more alerts; null without one.
    pub(crate) again_of: Option<i64>,
    /// The incident into which it was merged; null otherwise.
    pub(crate) merged_into: Option<i64>,
}

/// An incident with everything in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct IncidentDetails {
    /// The incident.
    pub(crate) incident: IncidentView,
    /// What to do next.
    pub(crate) advice: String,
    /// Number of the campaign of the release that caused it; null without one.
    pub(crate) campaign: Option<i64>,
    /// Sites in the order in which they were hit; at most 500.
    pub(crate) site_list: Vec<SiteView>,
    /// Its alert episodes, those that began last first; at most 500.
    pub(crate) members: Vec<MemberView>,
    /// What people wrote and did, newest first; at most 200.
    pub(crate) notes: Vec<NoteView>,
}

/// A site of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct SiteView {
    /// Agent.
    pub(crate) agent: String,
    /// Its alert episodes in the incident.
    pub(crate) episodes: u64,
    /// Start of the first one, seconds since the epoch.
    pub(crate) first_s: u64,
    /// Time of its newest message, seconds since the epoch.
    pub(crate) last_s: u64,
}

/// An alert episode of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct MemberView {
    /// Agent.
    pub(crate) agent: String,
    /// Number of the episode; a string, because JavaScript numbers cannot represent all of its digits.
    pub(crate) episode: String,
    /// Host that the evidence is about.
    pub(crate) host: String,
    /// Role of the host in its flows.
    #[schema(inline)]
    pub(crate) role: HostRole,
    /// Attack type, or `unknown`.
    pub(crate) kind: String,
    /// The agent has not reported its end.
    pub(crate) open: bool,
    /// Start, seconds since the epoch, by the agent's clock.
    pub(crate) since_s: u64,
    /// Time of the newest message, by the agent's clock.
    pub(crate) last_s: u64,
    /// Severity.
    pub(crate) severity: Severity,
    /// Why it belongs to the incident.
    pub(crate) why: String,
    /// Who put it there: a person, or `serve`.
    pub(crate) joined_by: String,
    /// A person put it there; the trainer leaves it there.
    pub(crate) pinned: bool,
    /// When, seconds since the epoch.
    pub(crate) joined_s: u64,
}

/// A note on an incident, or something that a person did with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct NoteView {
    /// Who.
    pub(crate) who: String,
    /// When, seconds since the epoch.
    pub(crate) at_s: u64,
    /// What.
    pub(crate) text: String,
}

impl From<&Incident> for IncidentView {
    fn from(one: &Incident) -> Self {
        Self {
            id: one.id,
            title: one.title(),
            rule: one.rule,
            cause: one.cause.to_string(),
            group: one.group.clone(),
            release: Some(one.release).filter(|_| one.is_of_release()),
            state: one.state,
            verdict: one.verdict,
            severity: one.severity,
            first_s: one.first_s,
            last_s: one.last_s,
            active_s: one.active_s,
            sites: one.sites,
            episodes: one.episodes,
            assigned: one.assigned.clone(),
            seen_by: one.seen_by.clone(),
            resolved_by: one.resolved_by.clone(),
            again_of: one.again_of,
            merged_into: one.merged_into,
        }
    }
}

impl From<IncidentSite> for SiteView {
    fn from(site: IncidentSite) -> Self {
        let IncidentSite { agent, episodes, first_s, last_s } = site;
        Self { agent, episodes, first_s, last_s }
    }
}

impl From<IncidentMember> for MemberView {
    fn from(one: IncidentMember) -> Self {
        Self {
            agent: one.agent,
            episode: one.episode.to_string(),
            host: one.host,
            role: one.role.into(),
            kind: one.class,
            open: one.is_open,
            since_s: one.since_s,
            last_s: one.last_s,
            severity: one.severity,
            why: one.why,
            joined_by: one.joined_by,
            pinned: one.is_pinned,
            joined_s: one.at_s,
        }
    }
}

impl From<Note> for NoteView {
    fn from(note: Note) -> Self {
        let Note { who, at_s, text } = note;
        Self { who, at_s, text }
    }
}

/// Numbers of incidents by state, and what limits kept out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IncidentNumbers {
    pub(crate) states: Vec<(IncidentState, u64)>,
    /// Limit, and how often it was hit.
    pub(crate) limits: Vec<(&'static str, u64)>,
}

/// Prometheus text format 0.0.4. Writing to a string does not fail.
pub(crate) fn metrics(numbers: &IncidentNumbers, text: &mut String) {
    let _ = writeln!(text, "# HELP lapwing_incidents Incidents in the store.\n# TYPE lapwing_incidents gauge");
    for (state, number) in &numbers.states {
        let _ = writeln!(text, "lapwing_incidents{{state=\"{}\"}} {number}", state.as_str());
    }
    let name = "lapwing_incident_limit_hits_total";
    let _ = writeln!(text, "# HELP {name} Incidents, alerts and notes that a limit kept out.\n# TYPE {name} counter");
    for (limit, number) in &numbers.limits {
        let _ = writeln!(text, "{name}{{limit=\"{limit}\"}} {number}");
    }
}
