//! Alert episodes → the alert list, `/alerts`, and a page for each, `/alerts/AGENT/EPISODE`.

use super::filters;
use super::layout::Layout;
use super::{Fact, TEST_ALERT, error_page, page, path_segment, percent, shell_word};
use crate::Shared;
use crate::access::Known;
use crate::actions::label;
use crate::api::{RequestError, fleet, query};
use crate::forms::form;
use crate::params::{AlertQuery, EpisodeState, When, with_parameter};
use crate::views::alerts::{AlertView, HostRole, ReasonView};
use crate::views::incidents::IncidentView;
use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use lapwing_common::format::{ago, count, value, when};
use lapwing_people::Permission;
use lapwing_store::{EpisodeMessage, Label, UNKNOWN_CLASS};
use serde::Deserialize;
use std::sync::Arc;

/// Most reasons in a list; the alert's page has all.
const REASONS: usize = 2;

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage {
    layout: Layout,
    query: AlertQuery,
    states: [EpisodeState; 2],
    kinds: Vec<String>,
    from: String,
    to: String,
    alerts: Vec<AlertView>,
    empty: &'static str,
    next: Option<String>,
}

impl AlertsPage {
    fn is_selected(&self, state: &EpisodeState) -> bool {
        self.query.state == Some(*state)
    }
}

/// `/alerts`.
pub(crate) async fn alerts(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    page(async {
        let parameters: AlertQuery = query(&uri)?;
        let list = fleet(&shared)?.alerts(&parameters).await?;
        let text = uri.query().unwrap_or_default();
        let filtered = AlertQuery { limit: None, refresh: None, ..parameters.clone() } != AlertQuery::default();
        Ok(AlertsPage {
            layout: Layout::new("Alerts", "/alerts", parameters.refresh(), text),
            states: [EpisodeState::Open, EpisodeState::Closed],
            kinds: kinds(&list.alerts),
            from: input_value(parameters.from),
            to: input_value(parameters.to),
            alerts: list.alerts,
            empty: if filtered { "No alerts match these filters." } else { TEST_ALERT },
            next: list.next.map(|next| with_parameter(text, "before", &next.to_string())),
            query: parameters,
        })
    })
    .await
}

/// Attack types in the list, to suggest in the filter.
fn kinds(alerts: &[AlertView]) -> Vec<String> {
    let mut kinds: Vec<String> = alerts.iter().map(|alert| alert.kind.clone()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.retain(|kind| kind != UNKNOWN_CLASS);
    kinds
}

/// A time in the form of `<input type="datetime-local">`, to the minute.
pub(super) fn input_value(time: Option<When>) -> String {
    time.map_or_else(String::new, |time| when(time.0)[..16].replace(' ', "T"))
}

struct MessageRow {
    at: String,
    state: &'static str,
    peak: String,
    flows: String,
    received: String,
}

impl MessageRow {
    fn new(message: &EpisodeMessage) -> Self {
        let state = ["opened", "updated"].get(usize::from(message.state)).copied().unwrap_or("closed");
        Self {
            at: when(message.at_s),
            state,
            peak: value(message.peak_nats),
            flows: count(u64::from(message.flows)),
            received: when(message.received_s),
        }
    }
}

#[derive(Template)]
#[template(path = "alert.html")]
struct AlertPage {
    layout: Layout,
    alert: AlertView,
    facts: Vec<Fact>,
    messages: Vec<MessageRow>,
    may_label: bool,
    commands: String,
    incident: Option<IncidentView>,
}

/// `/alerts/{agent}/{episode}`.
pub(crate) async fn alert(
    State(shared): State<Arc<Shared>>,
    Path((agent, episode)): Path<(String, String)>,
) -> Response {
    page(async {
        let missing =
            || RequestError::Missing(format!("Agent {agent} has no alert episode {episode}, or it was deleted."));
        let number: u64 = episode.parse().map_err(|_| missing())?;
        let (alert, messages) = fleet(&shared)?.alert(&agent, number).await?.ok_or_else(missing)?;
        let command =
            |label: &str| format!("lapwing-trainer label {} {} {label}", shell_word(&alert.agent), alert.episode);
        let layout = Layout::new(&format!("{} at {}", alert.kind, alert.agent), "/alerts", None, "");
        Ok(AlertPage {
            may_label: layout.may(Permission::Label),
            layout,
            facts: facts(&alert),
            messages: messages.iter().map(MessageRow::new).collect(),
            commands: format!("{}\n{}", command("benign"), command("attack")),
            incident: fleet(&shared)?.incident_of(&agent, number).await?,
            alert,
        })
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chosen {
    label: String,
}

/// A label by its name.
///
/// # Errors
/// When there is no such label.
pub(crate) fn parse_label(text: &str) -> Result<Label, RequestError> {
    match text {
        "benign" => Ok(Label::Benign),
        "attack" => Ok(Label::Attack),
        _ => Err(RequestError::Body(format!("invalid label `{text}`, expected benign or attack"))),
    }
}

/// `POST /alerts/{agent}/{episode}/label`.
pub(crate) async fn set_label(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path((agent, episode)): Path<(String, u64)>,
    request: Request<Body>,
) -> Response {
    let place = format!("/alerts/{}/{episode}", path_segment(&agent));
    let done = async {
        let Chosen { label: chosen } = form(request).await?;
        label(&shared, &known, (agent, episode), parse_label(&chosen)?).await
    };
    done.await.map_or_else(|error| error_page(&error), |()| Redirect::to(&place).into_response())
}

fn facts(alert: &AlertView) -> Vec<Fact> {
    let operator = alert.labelled_by.as_deref().unwrap_or("unknown operator");
    let label = alert.label.as_ref().map_or_else(|| "none".into(), |label| format!("{label}, by {operator}"));
    let resembles = alert.resembles.clone().unwrap_or_else(|| "none that its release knows".into());
    let (flows, anomalous) = (count(u64::from(alert.flows)), count(u64::from(alert.odd_flows)));
    vec![
        ("state", alert.state.as_str().into()),
        ("began", format!("{} UTC, by the agent's clock", when(alert.since_s))),
        ("latest message", format!("{} UTC", when(alert.at_s))),
        ("duration", ago(alert.at_s.saturating_sub(alert.since_s))),
        ("host", format!("{}, as {}", alert.host, alert.role.as_str())),
        ("addresses", addresses(alert)),
        ("port", if alert.service_port == 0 { "none".into() } else { alert.service_port.to_string() }),
        ("flows", format!("{flows}, {anomalous} anomalous")),
        ("attack type (trainer)", classification(alert)),
        ("attack type (agent)", resembles),
        ("release", alert.release.to_string()),
        ("episode", alert.episode.clone()),
        ("label", label),
    ]
}

fn addresses(alert: &AlertView) -> String {
    match (alert.addresses.as_str(), &alert.address_key) {
        (_, Some(key)) => format!("pseudonyms of key {key}: run `lapwing-trainer resolve` with it"),
        ("plain", None) => "plain".into(),
        (_, None) => "pseudonyms of one run of the agent, which no key resolves".into(),
    }
}

fn classification(alert: &AlertView) -> String {
    let rows = alert.named_rows.unwrap_or(0);
    match (&alert.named, alert.named_probability) {
        (None, _) => "not classified: `serve` runs without --kinds-model, or the classification is pending".into(),
        (Some(kind), Some(share)) => format!("{kind} (likeliest type: {}; from {rows} feature rows)", percent(share)),
        (Some(kind), None) => format!("{kind}; no feature rows to classify"),
    }
}

// Texts for the templates.
impl AlertView {
    pub(super) fn href(&self) -> String {
        format!("/alerts/{}/{}", path_segment(&self.agent), self.episode)
    }

    pub(super) fn agent_href(&self) -> String {
        format!("/agents/{}", path_segment(&self.agent))
    }

    pub(super) fn began(&self) -> String {
        when(self.since_s)
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == EpisodeState::Open
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.kind == UNKNOWN_CLASS
    }

    pub(super) fn duration(&self) -> String {
        let span = ago(self.at_s.saturating_sub(self.since_s));
        if self.is_open() { format!("for {span} so far") } else { format!("lasted {span}") }
    }

    pub(super) fn source(&self) -> String {
        if self.role == HostRole::Source { self.host.clone() } else { self.peers_text() }
    }

    pub(super) fn target(&self) -> String {
        let port = if self.service_port == 0 { String::new() } else { format!(", port {}", self.service_port) };
        let target = if self.role == HostRole::Source { self.peers_text() } else { self.host.clone() };
        target + &port
    }

    fn peers_text(&self) -> String {
        match self.peers.as_slice() {
            [] => "unknown hosts".to_owned(),
            [one] => one.address.clone(),
            [first, rest @ ..] => format!("{} and {} more", first.address, rest.len()),
        }
    }

    /// Who determined the attack type, and how certain it is.
    pub(super) fn kind_origin(&self) -> String {
        match (self.named.as_deref(), self.named_probability) {
            (Some(UNKNOWN_CLASS), Some(share)) if self.resembles.is_none() => {
                format!("likeliest type: {}", percent(share))
            }
            (Some(kind), Some(share)) if kind != UNKNOWN_CLASS => format!("by the trainer, {}", percent(share)),
            _ if self.resembles.is_some() => "by the agent".into(),
            _ => String::new(),
        }
    }

    pub(super) fn evidence(&self) -> String {
        format!("{} / {}", value(self.peak_nats), value(self.limit_nats))
    }

    /// At most [`REASONS`] reasons outside the normal range, or the first reason if all are inside.
    pub(super) fn main_reasons(&self) -> Vec<&ReasonView> {
        let unusual: Vec<&ReasonView> = self.reasons.iter().filter(|reason| !reason.usual).take(REASONS).collect();
        if unusual.is_empty() { self.reasons.iter().take(1).collect() } else { unusual }
    }

    pub(super) fn summary(&self) -> String {
        let unknown = if self.is_unknown() { "; it does not resemble any known attack type" } else { "" };
        let (peak, limit) = (value(self.peak_nats), value(self.limit_nats));
        format!("{}{unknown}. The evidence reached {peak} nats; the limit is {limit}.", self.words)
    }
}

impl ReasonView {
    pub(super) fn percent(&self) -> String {
        percent(f64::from(self.share))
    }
}
