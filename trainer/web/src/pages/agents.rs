//! Agents → the agent list, `/agents`, and a page for each, `/agents/NAME`.

use super::filters;
use super::layout::Layout;
use super::{Fact, NO_AGENTS, START_AGENT, page, path_segment, percent};
use crate::Shared;
use crate::api::{RequestError, fleet, query};
use crate::params::{AgentQuery, AlertQuery, with_parameter};
use crate::queries::Counts;
use crate::views::agents::{AgentView, HealthView, ReleaseState, ReportedStep, UpdateView};
use crate::views::alerts::AlertView;
use askama::Template;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use lapwing_common::format::{ago, count, value, when};
use lapwing_fleet::AgentState;
use lapwing_report::Picture;
use std::sync::Arc;

/// Most alerts on an agent's page.
const ALERTS: u32 = 20;

#[derive(Template)]
#[template(path = "agents.html")]
struct AgentsPage {
    layout: Layout,
    query: AgentQuery,
    states: [AgentState; 5],
    summary: String,
    agents: Vec<AgentView>,
    empty: &'static str,
    next_step: &'static str,
    next: Option<String>,
}

impl AgentsPage {
    fn is_selected(&self, state: &AgentState) -> bool {
        self.query.state == Some(*state)
    }
}

/// `/agents`.
pub(crate) async fn agents(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    page(async {
        let parameters: AgentQuery = query(&uri)?;
        let list = fleet(&shared)?.agents(&parameters).await?;
        let text = uri.query().unwrap_or_default();
        let (summary, empty, next_step) = if list.counts.agents == 0 {
            (String::new(), NO_AGENTS, START_AGENT)
        } else {
            (fleet_summary(&list.counts), "No agents match these filters.", "")
        };
        Ok(AgentsPage {
            layout: Layout::new("Agents", "/agents", parameters.refresh(), text),
            states: AgentState::ALL,
            summary,
            agents: list.agents,
            empty,
            next_step,
            next: list.next.map(|next| with_parameter(text, "after", &next.to_string())),
            query: parameters,
        })
    })
    .await
}

fn fleet_summary(counts: &Counts) -> String {
    let s = if counts.agents == 1 { "" } else { "s" };
    let states = [
        (counts.offline, "offline"),
        (counts.silent, "silent"),
        (counts.unknown, "unknown"),
        (counts.degraded, "degraded"),
        (counts.online, "online"),
    ];
    let states = listed(&states);
    format!("{} agent{s}: {states}; open alerts: {}.", count(counts.agents), count(counts.open_alerts))
}

/// The numbers above 0 with their names, separated by commas.
fn listed(numbers: &[(u64, &str)]) -> String {
    let parts: Vec<String> = numbers
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, name)| format!("{} {name}", count(*number)))
        .collect();
    parts.join(", ")
}

#[derive(Template)]
#[template(path = "agent.html")]
struct AgentPage {
    layout: Layout,
    agent: AgentView,
    warnings: Vec<String>,
    facts: Vec<Fact>,
    counters: Vec<Fact>,
    alerts: Vec<AlertView>,
    no_alerts: &'static str,
    more_alerts: Option<String>,
    days: Option<Picture>,
    updates: Vec<UpdateView>,
}

/// `/agents/{name}`.
pub(crate) async fn agent(State(shared): State<Arc<Shared>>, Path(name): Path<String>, uri: Uri) -> Response {
    page(async {
        let parameters: AgentQuery = query(&uri)?;
        let fleet = fleet(&shared)?;
        let missing = || RequestError::Missing(format!("There is no agent {name}."));
        let (agent, updates) = fleet.agent(&name).await?.ok_or_else(missing)?;
        let filter = AlertQuery { agent: Some(name.clone()), limit: Some(ALERTS), ..AlertQuery::default() };
        let list = fleet.alerts(&filter).await?;
        let days = fleet.days(Some(&name)).await?;
        Ok(AgentPage {
            layout: Layout::new(&name, "/agents", parameters.refresh(), uri.query().unwrap_or_default()),
            warnings: warnings(&agent),
            facts: facts(&agent),
            counters: agent.health.as_ref().map(counters).unwrap_or_default(),
            days: if list.alerts.is_empty() { None } else { Some(days.picture()?) },
            alerts: list.alerts,
            no_alerts: if agent.release == 0 { "No alerts: the agent has no release." } else { "No alerts." },
            more_alerts: list.next.map(|next| format!("/alerts?agent={}&before={next}", path_segment(&name))),
            updates,
            agent,
        })
    })
    .await
}

fn facts(agent: &AgentView) -> Vec<Fact> {
    let or_unknown = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    vec![
        ("last message", format!("{} UTC, {}", when(agent.last_seen_s), agent.last_seen())),
        ("group", agent.group_text()),
        ("release", agent.release_text()),
        ("engine", or_unknown(&agent.engine)),
        ("version", or_unknown(&agent.agent_version)),
        ("open alerts", count(agent.open_alerts)),
        ("alert messages", count(agent.alert_messages)),
        ("feature rows", count(agent.sample_rows)),
    ]
}

fn counters(health: &HealthView) -> Vec<Fact> {
    let share = |share: f64| format!("{:.1}\u{a0}%", share * 100.0);
    let outbox = format!(
        "{} waiting; {} alerts and {} other messages dropped",
        count(u64::from(health.outbox_waiting)),
        count(health.dropped_alerts),
        count(health.dropped_telemetry)
    );
    let episodes = [health.episodes_held_back, health.episodes_replaced, health.episodes_folded].map(count).join(", ");
    let hosts = [health.flooding_sources, health.hosts_turned_away].map(count).join(", ");
    let clock = if health.clock_set {
        "set"
    } else {
        "not set: timestamps are lower bounds until the clock is set, then corrected"
    };
    vec![
        ("uptime", ago(health.uptime_s)),
        ("packets/s", health.packets_per_s.map_or_else(|| "unknown".into(), value)),
        ("packets", count(health.packets)),
        ("rejected packets", count(health.refused_packets)),
        ("packets dropped by the kernel", count(health.kernel_drops)),
        ("coverage", health.coverage.map_or_else(|| "not measured (no live interface)".into(), share)),
        ("flows metered", share(health.sampled)),
        ("flow records", count(health.flows)),
        ("evicted flows, hosts", format!("{}, {}", count(health.flow_evictions), count(health.host_evictions))),
        ("feature rows not scored", count(health.unscored)),
        ("alerts held back, replaced, folded", episodes),
        ("new sources in floods, new hosts turned away", hosts),
        ("outbox", outbox),
        ("clock", clock.into()),
    ]
}

fn warnings(agent: &AgentView) -> Vec<String> {
    let state = match agent.state {
        _ if agent.revoked => "Revoked. If a broker still admits it, collectors refuse its messages.",
        AgentState::Offline => {
            "Offline. The agent may still be running; if so, it queues its alerts until it reconnects."
        }
        AgentState::Silent => "No messages for two minutes, although the broker still reports it as connected.",
        AgentState::Degraded => {
            "The agent sees far less traffic than its interfaces carry, or the kernel drops packets: check for hardware \
             flow offload, or configure a larger ring (docs/live.md)."
        }
        AgentState::Unknown | AgentState::Online => "",
    };
    let release = if agent.release == 0 { "No release yet: the agent collects data but detects nothing." } else { "" };
    let health = agent.health.as_ref();
    let limits = if health.is_some_and(|health| health.episodes_held_back > 0) {
        "Since its start, more hosts exceeded the evidence limit than the agent can report; it reported the strongest."
    } else {
        ""
    };
    let flood = if health.is_some_and(|health| health.flooding_sources > 0) {
        "Since its start, hosts appeared at a rate far above the normal one: source addresses were probably forged, and \
         an attack may hide among them."
    } else {
        ""
    };
    let mut warnings: Vec<String> =
        [state, release, limits, flood].into_iter().filter(|text| !text.is_empty()).map(str::to_owned).collect();
    let update = agent.update_text();
    if !update.is_empty() {
        warnings.push(format!("Latest update: {update}."));
    }
    warnings
}

// Texts for the templates.
impl AgentView {
    pub(super) fn href(&self) -> String {
        format!("/agents/{}", path_segment(&self.name))
    }

    /// State as pages show it.
    pub(super) fn state_text(&self) -> &'static str {
        if self.revoked { "revoked" } else { self.state.as_str() }
    }

    /// Class of its style.
    pub(super) fn class(&self) -> &'static str {
        if self.revoked { AgentState::Offline.as_str() } else { self.state.as_str() }
    }

    /// Its group, and whether an operator assigned it.
    fn group_text(&self) -> String {
        match (self.group.as_str(), self.group_assigned) {
            ("", _) => "unknown".into(),
            (group, true) => format!("{group}, assigned"),
            (group, false) => group.into(),
        }
    }

    pub(super) fn group_and_engine(&self) -> String {
        let group = if self.group.is_empty() { String::new() } else { format!("group {}", self.group) };
        let engine = if self.engine.is_empty() { String::new() } else { format!(", engine {}", self.engine) };
        group + &engine
    }

    pub(super) fn coverage(&self) -> String {
        let Some(health) = &self.health else { return String::new() };
        let mut parts = Vec::new();
        if health.coverage_degraded {
            let share =
                health.coverage.map_or_else(String::new, |share| format!(": {} of the octets seen", percent(share)));
            parts.push(format!("coverage degraded{share}"));
        }
        if health.sampled < 1.0 {
            parts.push(format!("{} of the flows metered", percent(health.sampled)));
        }
        parts.join(", ")
    }

    pub(super) fn last_seen(&self) -> String {
        format!("{} ago", ago(self.silence_s))
    }

    /// Packets per second; of a disconnected agent the last rate is out of date.
    pub(super) fn packet_rate(&self) -> String {
        let connected = matches!(self.state, AgentState::Online | AgentState::Degraded | AgentState::Unknown);
        let rate = self.health.as_ref().filter(|_| connected).and_then(|health| health.packets_per_s);
        rate.map_or_else(|| "–".into(), value)
    }

    pub(super) fn losses(&self) -> String {
        let Some(health) = &self.health else { return "–".into() };
        let losses = listed(&[
            (health.kernel_drops, "packets dropped by the kernel"),
            (health.unscored, "feature rows not scored"),
            (health.flow_evictions, "flows evicted"),
            (health.episodes_held_back, "flows over the limit held back"),
            (health.dropped_alerts, "alerts dropped"),
            (health.dropped_telemetry, "other messages dropped"),
        ]);
        if losses.is_empty() { "none".into() } else { losses }
    }

    pub(super) fn release_text(&self) -> String {
        let state = if self.release_state == ReleaseState::Trial { "trial" } else { "confirmed" };
        if self.release == 0 { "none".into() } else { format!("{}, {state}", self.release) }
    }

    /// The newest update if it is in progress or failed, else empty.
    pub(super) fn update_text(&self) -> String {
        let pending = |update: &&UpdateView| !matches!(update.step, ReportedStep::Confirmed | ReportedStep::Trial);
        let Some(update) = self.update.as_ref().filter(pending) else { return String::new() };
        let reason = update.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        format!("release {} {}{reason}", update.release, update.step.as_str())
    }

    /// The list of its open alerts, if it has any.
    pub(super) fn alerts_href(&self) -> Option<String> {
        (self.open_alerts > 0).then(|| format!("/alerts?agent={}&state=open", path_segment(&self.name)))
    }

    pub(super) fn open_alerts_text(&self) -> String {
        count(self.open_alerts)
    }
}

impl UpdateView {
    pub(super) fn received(&self) -> String {
        when(self.received_s)
    }

    pub(super) fn reason_text(&self) -> &str {
        self.reason.as_deref().unwrap_or_default()
    }
}
