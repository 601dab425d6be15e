//! Incidents → their list, `/incidents`, and a page for each, `/incidents/ID`.

use super::filters;
use super::layout::Layout;
use super::{Fact, page, path_segment, shell_word};
use crate::Shared;
use crate::api::{find_incident, fleet, query};
use crate::params::{IncidentQuery, with_parameter};
use crate::views::incidents::{IncidentDetails, IncidentView, MemberView, NoteView, SiteView};
use askama::Template;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use lapwing_common::clock;
use lapwing_common::format::{ago, count, when};
use lapwing_fleet::incident::{IncidentState, Rule, Severity};
use lapwing_store::UNKNOWN_CLASS;
use std::sync::Arc;

/// Entries of a timeline: the first ones.
const TIMELINE: usize = 60;

#[derive(Template)]
#[template(path = "incidents.html")]
struct IncidentsPage {
    layout: Layout,
    query: IncidentQuery,
    states: [IncidentState; 5],
    severities: [Severity; 4],
    incidents: Vec<IncidentView>,
    empty: &'static str,
    next: Option<String>,
}

impl IncidentsPage {
    fn is_state(&self, state: &IncidentState) -> bool {
        self.query.state.is_some_and(|choice| choice.0 == *state)
    }

    fn is_severity(&self, severity: &Severity) -> bool {
        self.query.severity.is_some_and(|choice| choice.0 == *severity)
    }
}

/// `/incidents`.
pub(crate) async fn incidents(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    page(async {
        let parameters: IncidentQuery = query(&uri)?;
        let list = fleet(&shared)?.incidents(&parameters).await?;
        let text = uri.query().unwrap_or_default();
        let filtered = IncidentQuery { limit: None, refresh: None, ..parameters.clone() } != IncidentQuery::default();
        let none = "No incidents. An incident joins the alerts of two sites or more; the alerts of one are at Alerts.";
        Ok(IncidentsPage {
            layout: Layout::new("Incidents", "/incidents", parameters.refresh(), text),
            states: IncidentState::ALL,
            severities: Severity::ALL,
            incidents: list.incidents,
            empty: if filtered { "No incidents match these filters." } else { none },
            next: list.next.map(|next| with_parameter(text, "before", &next.to_string())),
            query: parameters,
        })
    })
    .await
}

#[derive(Template)]
#[template(path = "incident.html")]
struct IncidentPage {
    layout: Layout,
    details: IncidentDetails,
    facts: Vec<Fact>,
    /// Time and text.
    timeline: Vec<(String, String)>,
    /// Episodes that are not shown.
    hidden: u64,
    commands: String,
}

/// `/incidents/{id}`.
pub(crate) async fn incident(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    page(async {
        let details = find_incident(&shared, &id).await?;
        let one = &details.incident;
        Ok(IncidentPage {
            layout: Layout::new(&format!("Incident {}", one.id), "/incidents", None, ""),
            facts: facts(one),
            timeline: timeline(&details),
            hidden: one.episodes.saturating_sub(details.members.len() as u64),
            commands: commands(&details),
            details,
        })
    })
    .await
}

fn facts(one: &IncidentView) -> Vec<Fact> {
    let by = |name: &Option<String>| name.clone().unwrap_or_else(|| "no operator".into());
    vec![
        ("state", one.state_text()),
        ("severity", one.severity.as_str().into()),
        ("sites", count(one.sites)),
        ("alerts", count(one.episodes)),
        ("began", format!("{} UTC, by the agents' clocks", when(one.first_s))),
        ("latest message", format!("{} UTC", when(one.last_s))),
        ("cause", one.cause.clone()),
        ("joined by", one.rule_text().into()),
        ("group", if one.group.is_empty() { "not reported".into() } else { one.group.clone() }),
        ("assigned to", by(&one.assigned)),
        ("first seen by", by(&one.seen_by)),
    ]
}

/// When each site was hit, and what people did, oldest first.
fn timeline(details: &IncidentDetails) -> Vec<(String, String)> {
    let hit = |site: &SiteView| (site.first_s, format!("first alert at {}", site.agent));
    let did = |note: &NoteView| (note.at_s, format!("{}: {}", note.who, note.text));
    let mut entries: Vec<(u64, String)> =
        details.site_list.iter().map(hit).chain(details.notes.iter().rev().map(did)).collect();
    // Notes of the same second stay in their order.
    entries.sort_by_key(|(at_s, _)| *at_s);
    let more = entries.len().saturating_sub(TIMELINE);
    entries.truncate(TIMELINE);
    let mut lines: Vec<(String, String)> = entries.into_iter().map(|(at_s, text)| (when(at_s), text)).collect();
    if more > 0 {
        lines.push((String::new(), format!("{} more", count(more as u64))));
    }
    lines
}

fn commands(details: &IncidentDetails) -> String {
    let id = details.incident.id;
    let mut lines = vec![
        format!("lapwing-trainer incidents see {id}"),
        format!("lapwing-trainer incidents assign {id} NAME"),
        format!("lapwing-trainer incidents note {id} 'TEXT'"),
        format!("lapwing-trainer incidents resolve {id} attack"),
    ];
    // The last one is the one that a person would most likely take out.
    let last = details.members.first().filter(|_| details.members.len() > 1);
    lines.extend(last.map(|one| {
        format!("lapwing-trainer incidents split {id} {}", shell_word(&format!("{}/{}", one.agent, one.episode)))
    }));
    lines.join("\n")
}

// Texts for the templates.
impl IncidentView {
    pub(super) fn href(&self) -> String {
        format!("/incidents/{}", self.id)
    }

    pub(super) const fn severity_class(&self) -> &'static str {
        match self.severity {
            Severity::Critical | Severity::High => "open",
            Severity::Medium => "degraded",
            Severity::Low => "",
        }
    }

    pub(super) fn state_text(&self) -> String {
        match self.verdict {
            Some(verdict) => format!("{}: {}", self.state.as_str(), verdict.as_str()),
            None => self.state.as_str().into(),
        }
    }

    pub(super) fn active(&self) -> String {
        format!("{} ago", ago(clock::now_s().saturating_sub(self.active_s)))
    }

    pub(super) const fn rule_text(&self) -> &'static str {
        match self.rule {
            Rule::Release => "alerts soon after a switch to the same release",
            Rule::Remote => "the same outside peer",
            Rule::Burst => "alerts at several sites at the same time",
            Rule::Raised => "a person",
        }
    }

    pub(super) fn origin(&self) -> String {
        let group = if self.group.is_empty() { String::new() } else { format!(", group {}", self.group) };
        format!("joined by {}{group}", self.rule_text())
    }
}

impl SiteView {
    pub(super) fn href(&self) -> String {
        format!("/agents/{}", path_segment(&self.agent))
    }

    pub(super) fn first(&self) -> String {
        when(self.first_s)
    }

    pub(super) fn latest(&self) -> String {
        when(self.last_s)
    }
}

impl MemberView {
    pub(super) fn href(&self) -> String {
        format!("/alerts/{}/{}", path_segment(&self.agent), self.episode)
    }

    pub(super) fn began(&self) -> String {
        when(self.since_s)
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.kind == UNKNOWN_CLASS
    }

    pub(super) fn joined(&self) -> String {
        let by = if self.pinned { format!(", put here by {}", self.joined_by) } else { String::new() };
        format!("{} UTC{by}", when(self.joined_s))
    }
}

impl NoteView {
    pub(super) fn at(&self) -> String {
        when(self.at_s)
    }
}
