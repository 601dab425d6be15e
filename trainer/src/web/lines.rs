//! Views → the words of a table's line. Everything is text here; templates escape it.

use super::drift::{DriftColumn, DriftView};
use super::fleet::Counts;
use super::query::{AgentState, Stand};
use super::releases::ReleaseView;
use super::views::{AgentView, AlertView, HealthView, ReasonView};
use crate::store::NO_KIND;
use crate::words::{ago, count, value, when};

/// Reasons that a list tells; the alert's page tells all.
const REASONS: usize = 2;

/// A path's part: what is no unreserved character (RFC 3986, section 2.3) is percent-encoded.
pub(super) fn path_part(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") }).collect()
}

/// An alert in a list.
pub(super) struct AlertLine {
    pub(super) href: String,
    pub(super) began: String,
    pub(super) open: bool,
    pub(super) lasted: String,
    pub(super) agent: String,
    pub(super) agent_href: String,
    pub(super) kind: String,
    pub(super) unknown: bool,
    pub(super) sure: String,
    pub(super) label: Option<String>,
    pub(super) who: String,
    pub(super) whom: String,
    pub(super) evidence: String,
    pub(super) reasons: Vec<String>,
}

impl AlertLine {
    pub(super) fn new(view: &AlertView) -> Self {
        let agent_href = format!("/agents/{}", path_part(&view.agent));
        let (who, whom) = ends(view);
        Self {
            href: format!("/alerts/{}/{}", path_part(&view.agent), view.episode),
            began: when(view.since_s),
            open: view.state == Stand::Open,
            lasted: lasted(view),
            agent: view.agent.clone(),
            agent_href,
            kind: view.kind.clone(),
            unknown: view.kind == NO_KIND,
            sure: sure(view),
            label: view.label.clone(),
            who,
            whom,
            evidence: format!("{} / {}", value(view.peak_nats), value(view.limit_nats)),
            reasons: plainest(&view.reasons),
        }
    }
}

/// What a person sees to be off, at most [`REASONS`] of them; where every value is within what is normal, the first.
fn plainest(reasons: &[ReasonView]) -> Vec<String> {
    let off = reasons.iter().filter(|reason| !reason.usual).take(REASONS);
    let told: Vec<String> = off.map(|reason| reason.words.clone()).collect();
    if told.is_empty() { reasons.iter().take(1).map(|reason| reason.words.clone()).collect() } else { told }
}

/// Who did it, and to whom.
fn ends(view: &AlertView) -> (String, String) {
    let other = match view.peers.as_slice() {
        [] => "unknown hosts".to_owned(),
        [one] => one.address.clone(),
        [first, rest @ ..] => format!("{} and {} more", first.address, rest.len()),
    };
    let port = if view.service_port == 0 { String::new() } else { format!(", port {}", view.service_port) };
    if view.role == "source" { (view.host.clone(), other + &port) } else { (other, view.host.clone() + &port) }
}

fn lasted(view: &AlertView) -> String {
    let span = view.at_s.saturating_sub(view.since_s);
    if view.state == Stand::Open { format!("for {} so far", ago(span)) } else { format!("lasted {}", ago(span)) }
}

/// Where the kind comes from.
fn sure(view: &AlertView) -> String {
    let percent = |share: f64| format!("{:.0}\u{a0}%", share * 100.0);
    match (view.named.as_deref(), view.named_probability) {
        (Some(NO_KIND), Some(share)) if view.resembles.is_none() => format!("likeliest only {}", percent(share)),
        (Some(kind), Some(share)) if kind != NO_KIND => format!("named, {}", percent(share)),
        _ if view.resembles.is_some() => "resembles, says the agent".into(),
        _ => String::new(),
    }
}

/// What an alert's page says first.
pub(super) fn sentence(view: &AlertView) -> String {
    let unknown = if view.kind == NO_KIND { "; it looks like no attack that is known here" } else { "" };
    let (peak, limit) = (value(view.peak_nats), value(view.limit_nats));
    format!("{}{unknown}. Evidence rose to {peak} nats over a limit of {limit}.", view.words)
}

/// The facts of an episode.
pub(super) fn alert_facts(view: &AlertView) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("state", if view.state == Stand::Open { "open".to_owned() } else { "closed".to_owned() }),
        ("began", format!("{} UTC, by the agent's clock", when(view.since_s))),
        ("newest message", format!("{} UTC", when(view.at_s))),
        ("duration", ago(view.at_s.saturating_sub(view.since_s))),
        ("host", format!("{}, as {}", view.host, view.role)),
        ("port", if view.service_port == 0 { "none".into() } else { view.service_port.to_string() }),
        ("flows", format!("{}, {} odd", count(u64::from(view.flows)), count(u64::from(view.odd_flows)))),
        ("named by the trainer", named(view)),
        ("resembles, by the agent", view.resembles.clone().unwrap_or_else(|| "no kind that its release knows".into())),
        ("release", view.release.to_string()),
        ("episode", view.episode.clone()),
    ];
    let who = view.labelled_by.as_deref().unwrap_or("somebody");
    facts.push(("label", view.label.as_ref().map_or("none yet".into(), |label| format!("{label}, says {who}"))));
    facts
}

fn named(view: &AlertView) -> String {
    let rows = view.named_rows.unwrap_or(0);
    match (&view.named, view.named_probability) {
        (None, _) => "not looked at: serve has no --kinds-model, or looks in a moment".into(),
        (Some(kind), Some(share)) => format!("{kind}; likeliest kind {:.0}\u{a0}%, by {rows} rows", share * 100.0),
        (Some(kind), None) => format!("{kind}; no row told anything"),
    }
}

/// A feature on an alert's page.
pub(super) struct ReasonLine {
    pub(super) feature: String,
    pub(super) seen: String,
    pub(super) normal: String,
    pub(super) share: f32,
    pub(super) percent: String,
}

impl ReasonLine {
    pub(super) fn new(view: &ReasonView) -> Self {
        Self {
            feature: view.feature.clone(),
            seen: view.seen.clone(),
            normal: view.normal.clone(),
            share: view.share,
            percent: format!("{:.0}\u{a0}%", view.share * 100.0),
        }
    }
}

/// An agent in a list.
pub(super) struct AgentLine {
    pub(super) href: String,
    pub(super) name: String,
    pub(super) what: String,
    pub(super) state: &'static str,
    pub(super) coverage: String,
    pub(super) heard: String,
    pub(super) rate: String,
    pub(super) lost: String,
    pub(super) release: String,
    pub(super) update: String,
    pub(super) open_alerts: String,
    /// Where they are listed, if there are any.
    pub(super) alerts_href: Option<String>,
}

impl AgentLine {
    pub(super) fn new(view: &AgentView, now_s: u64) -> Self {
        let health = view.health.as_ref();
        let group = if view.group.is_empty() { String::new() } else { format!("group {}", view.group) };
        let engine = if view.engine.is_empty() { String::new() } else { format!(", engine {}", view.engine) };
        Self {
            href: format!("/agents/{}", path_part(&view.name)),
            name: view.name.clone(),
            what: group + &engine,
            state: view.state.as_str(),
            coverage: health.map_or_else(String::new, coverage),
            heard: format!("{} ago", ago(now_s.saturating_sub(view.last_seen_s))),
            rate: rate(view).map_or_else(|| "–".into(), value),
            lost: health.map_or_else(|| "–".into(), lost),
            release: release(view),
            update: update(view),
            open_alerts: count(view.open_alerts),
            alerts_href: (view.open_alerts > 0).then(|| format!("/alerts?agent={}&state=open", path_part(&view.name))),
        }
    }
}

/// Packets a second of an agent that is there: of one that is gone the last ones say nothing of now.
fn rate(view: &AgentView) -> Option<f64> {
    let here = matches!(view.state, AgentState::Online | AgentState::Degraded | AgentState::Unknown);
    view.health.as_ref().filter(|_| here)?.packets_per_s
}

fn coverage(health: &HealthView) -> String {
    let percent = |share: f64| format!("{:.0}\u{a0}%", share * 100.0);
    let mut parts = Vec::new();
    if health.coverage_degraded {
        let share =
            health.coverage.map_or_else(String::new, |share| format!(": sees {} of the octets", percent(share)));
        parts.push(format!("coverage degraded{share}"));
    }
    if health.sampled < 1.0 {
        parts.push(format!("looks at {} of the flows", percent(health.sampled)));
    }
    parts.join(", ")
}

/// What was lost on the way, by place; what is 0 is left out.
fn lost(health: &HealthView) -> String {
    let places = [
        (health.kernel_drops, "packets in the kernel"),
        (health.unscored, "rows unscored"),
        (health.flow_evictions, "flows evicted"),
        (health.dropped_alerts, "alerts"),
        (health.dropped_telemetry, "samples and states"),
    ];
    let told: Vec<String> = places
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", count(*number)))
        .collect();
    if told.is_empty() { "nothing".into() } else { told.join(", ") }
}

fn release(view: &AgentView) -> String {
    match view.release {
        0 => "none".into(),
        version => format!(
            "{version}, {}",
            if view.release_state == super::views::ReleaseState::Trial { "trial" } else { "confirmed" }
        ),
    }
}

/// An update that is under way or went wrong.
fn update(view: &AgentView) -> String {
    let Some(update) = view.update.as_ref().filter(|update| !["confirmed", "trial"].contains(&update.step.as_str()))
    else {
        return String::new();
    };
    let why = update.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    format!("release {} {}{why}", update.release, update.step.replace('-', " "))
}

/// Facts of an agent.
pub(super) fn agent_facts(view: &AgentView, now_s: u64) -> Vec<(&'static str, String)> {
    let told = |text: &str| if text.is_empty() { "not told yet".to_owned() } else { text.to_owned() };
    vec![
        ("last heard", format!("{} UTC, {} ago", when(view.last_seen_s), ago(now_s.saturating_sub(view.last_seen_s)))),
        ("group", told(&view.group)),
        ("release", release(view)),
        ("engine", told(&view.engine)),
        ("version", told(&view.agent_version)),
        ("open alerts", count(view.open_alerts)),
        ("alert messages", count(view.alert_messages)),
        ("feature rows", count(view.sample_rows)),
    ]
}

/// Counters of an agent.
pub(super) fn agent_counters(health: &HealthView) -> Vec<(&'static str, String)> {
    let share = |share: f64| format!("{:.1}\u{a0}%", share * 100.0);
    vec![
        ("running for", ago(health.uptime_s)),
        ("packets/s", health.packets_per_s.map_or_else(|| "not known yet".into(), value)),
        ("packets", count(health.packets)),
        ("not decoded", count(health.refused_packets)),
        ("dropped by the kernel", count(health.kernel_drops)),
        ("coverage", health.coverage.map_or_else(|| "no interface to compare with".into(), share)),
        ("flows looked at", share(health.sampled)),
        ("flow records", count(health.flows)),
        ("evicted flows, hosts", format!("{}, {}", count(health.flow_evictions), count(health.host_evictions))),
        ("rows not scored", count(health.unscored)),
        (
            "outbox",
            format!(
                "{} waiting; {} alerts and {} others dropped",
                count(u64::from(health.outbox_waiting)),
                count(health.dropped_alerts),
                count(health.dropped_telemetry)
            ),
        ),
        ("clock", if health.clock_set { "set".into() } else { "not set: its times are floors".into() }),
    ]
}

/// What an agent's page warns of.
pub(super) fn agent_warnings(view: &AgentView) -> Vec<String> {
    let mut warnings = Vec::new();
    match view.state {
        AgentState::Offline => warnings.push("It is offline: it goes on detecting and keeps its alerts until it is back.".into()),
        AgentState::Silent => warnings.push("It was not heard for two minutes, though the broker holds it for connected.".into()),
        AgentState::Degraded => warnings.push(
            "It sees far less than passes its interfaces, or the kernel drops packets: look for hardware flow offload, or give it a larger ring (docs/live.md)."
                .into(),
        ),
        AgentState::Unknown | AgentState::Online => {}
    }
    if view.release == 0 {
        warnings.push("It has no release, so it detects nothing yet.".into());
    }
    let told = update(view);
    if !told.is_empty() {
        warnings.push(format!("Newest update: {told}."));
    }
    warnings
}

/// How the fleet is doing, in a line.
pub(super) fn fleet_summary(counts: &Counts) -> String {
    let s = if counts.agents == 1 { "" } else { "s" };
    let states = [
        (counts.offline, "offline"),
        (counts.silent, "silent"),
        (counts.unknown, "unknown"),
        (counts.degraded, "degraded"),
        (counts.online, "online"),
    ];
    let told = states.iter().filter(|(number, _)| *number > 0);
    let told: Vec<String> = told.map(|(number, state)| format!("{} {state}", count(*number))).collect();
    format!("{} agent{s}: {}; open alerts: {}.", count(counts.agents), told.join(", "), count(counts.open_alerts))
}

/// A release in a list.
pub(super) struct ReleaseLine {
    pub(super) name: String,
    pub(super) made: String,
    pub(super) origin: String,
    pub(super) run_by: String,
    pub(super) card: Option<String>,
}

impl ReleaseLine {
    pub(super) fn new(view: &ReleaseView) -> Self {
        let mut run_by = format!("{} confirmed", count(view.confirmed_by));
        if view.on_trial_at > 0 {
            run_by += &format!(", {} on trial", count(view.on_trial_at));
        }
        if view.failed_at > 0 {
            run_by += &format!(", {} refused it or rolled it back", count(view.failed_at));
        }
        Self {
            name: format!("{} {}", view.group, view.version),
            made: view.made_s.map_or_else(|| "–".into(), |made| format!("{} UTC", when(made))),
            origin: view.origin.clone(),
            run_by,
            card: view.card.clone(),
        }
    }
}

/// Drift in words.
pub(super) struct DriftLines {
    pub(super) group: String,
    pub(super) version: u64,
    pub(super) drift: Option<bool>,
    pub(super) summary: String,
    pub(super) threshold: String,
    pub(super) measured: String,
    pub(super) columns: Vec<DriftLine>,
}

pub(super) struct DriftLine {
    pub(super) name: String,
    pub(super) ratio: String,
    pub(super) then: String,
    pub(super) now: String,
}

impl DriftLines {
    pub(super) fn new(view: &DriftView) -> Self {
        let line = |column: &DriftColumn| DriftLine {
            name: column.name.clone(),
            ratio: value(column.ratio),
            then: value(column.reference_median),
            now: value(column.present_median),
        };
        Self {
            group: view.group.clone(),
            version: view.version,
            drift: view.drift,
            summary: view.summary.clone(),
            threshold: view.threshold.map_or_else(String::new, value),
            measured: when(view.measured_s),
            columns: view.columns.iter().map(line).collect(),
        }
    }
}
