//! Pages: what the store says, filled into templates.

use super::api::{Refusal, fleet, query};
use super::fleet::{AgentList, AlertList};
use super::lines::{self, AgentLine, AlertLine, DriftLines, ReasonLine, ReleaseLine, path_part};
use super::query::{AgentQuery, AgentState, AlertQuery, Stand, When, next_page};
use super::views::{PeerView, UpdateView};
use super::{Shared, shell::Shell};
use crate::clock;
use crate::store::Told;
use crate::words::{count, value, when};
use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderName, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use lapwing_report::Picture;
use std::future::Future;
use std::sync::Arc;

/// Alerts on an agent's page.
const OF_AGENT: u32 = 20;
/// A model card is smaller than this, bytes.
const CARD_BYTES: u64 = 16 << 20;
/// A card is a page of its own: styles stand in it, and it may do nothing else.
const CARD_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'";

pub(super) const START_AGENT: &str =
    "lapwing-agent run --interface br-lan --mqtt mqtt://THIS-SERVER:1883 --key site-1.pub --state-dir /var/lib/lapwing";
pub(super) const MAKE_RELEASE: &str =
    "lapwing-trainer keys new site-1\nlapwing-trainer serve --key site-1.key …\nlapwing-trainer retrain";

/// A page, or why there is none.
pub(super) async fn page<T: Template>(answer: impl Future<Output = Result<T, Refusal>>) -> Response {
    let failed = |error: askama::Error| Refusal::Missing(format!("the page cannot be filled: {error}"));
    match answer.await.and_then(|page| page.render().map_err(failed)) {
        Ok(text) => Html(text).into_response(),
        Err(refusal) => problem(&refusal),
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    shell: Shell,
    message: String,
    back: &'static str,
}

fn problem(refusal: &Refusal) -> Response {
    let (status, _) = refusal.status();
    if status.is_server_error() {
        tracing::warn!(error = %refusal, "a page cannot be shown");
    }
    let title = status.canonical_reason().unwrap_or("No page");
    let page = ProblemPage { shell: Shell::new(title, "", None, ""), message: refusal.to_string(), back: "/" };
    // A page of words always fills.
    (status, Html(page.render().unwrap_or_default())).into_response()
}

/// What no route knows.
pub(super) async fn nothing() -> Response {
    problem(&Refusal::Missing("There is nothing here.".into()))
}

/// The style sheet of all pages.
pub(super) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../../templates/style.css")).into_response()
}

pub(super) fn alert_lines(list: &AlertList) -> Vec<AlertLine> {
    list.alerts.iter().map(AlertLine::new).collect()
}

pub(super) fn agent_lines(list: &AgentList) -> Vec<AgentLine> {
    let now_s = clock::now_s();
    list.agents.iter().map(|agent| AgentLine::new(agent, now_s)).collect()
}

#[derive(Template)]
#[template(path = "agents.html")]
struct AgentsPage {
    shell: Shell,
    query: AgentQuery,
    states: [AgentState; 5],
    cut: bool,
    summary: String,
    agents: Vec<AgentLine>,
    empty: &'static str,
    next_step: &'static str,
    next: Option<String>,
}

impl AgentsPage {
    fn is_state(&self, state: &AgentState) -> bool {
        self.query.state == Some(*state)
    }
}

/// `/agents`.
pub(super) async fn agents(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    page(async {
        let asked: AgentQuery = query(&uri)?;
        let list = fleet(&shared)?.agents(&asked).await?;
        let text = uri.query().unwrap_or_default();
        let nobody = list.counts.agents == 0;
        Ok(AgentsPage {
            shell: Shell::new("Agents", "/agents", asked.refresh(), text),
            states: AgentState::ALL,
            cut: list.cut,
            summary: if nobody { String::new() } else { lines::fleet_summary(&list.counts) },
            agents: agent_lines(&list),
            empty: if nobody {
                "No agent has been heard yet. Start one on a gateway (docs/install.md), with this server as its broker:"
            } else {
                "No agent is like that; clear the filters to see all."
            },
            next_step: if nobody { START_AGENT } else { "" },
            next: list.next.map(|next| next_page(text, "after", &next.to_string())),
            query: asked,
        })
    })
    .await
}

struct UpdateLine {
    received: String,
    release: u64,
    step: String,
    reason: String,
}

impl UpdateLine {
    fn new(view: &UpdateView) -> Self {
        let reason = view.reason.clone().unwrap_or_default();
        Self { received: when(view.received_s), release: view.release, step: view.step.replace('-', " "), reason }
    }
}

#[derive(Template)]
#[template(path = "agent.html")]
struct AgentPage {
    shell: Shell,
    line: AgentLine,
    warnings: Vec<String>,
    about: Vec<(&'static str, String)>,
    counters: Vec<(&'static str, String)>,
    alerts: Vec<AlertLine>,
    no_alerts: &'static str,
    more_alerts: Option<String>,
    days: Option<Picture>,
    updates: Vec<UpdateLine>,
}

/// `/agents/{name}`.
pub(super) async fn agent(State(shared): State<Arc<Shared>>, Path(name): Path<String>, uri: Uri) -> Response {
    page(async {
        let asked: AgentQuery = query(&uri)?;
        let fleet = fleet(&shared)?;
        let found = fleet.agent(&name).await?;
        let (view, updates) = found.ok_or_else(|| Refusal::Missing(format!("No agent {name} was ever heard.")))?;
        let of_agent = AlertQuery { agent: Some(name.clone()), limit: Some(OF_AGENT), ..AlertQuery::default() };
        let list = fleet.alerts(&of_agent).await?;
        let days = fleet.days(Some(&name)).await?;
        let now_s = clock::now_s();
        Ok(AgentPage {
            shell: Shell::new(&view.name, "/agents", asked.refresh(), uri.query().unwrap_or_default()),
            line: AgentLine::new(&view, now_s),
            warnings: lines::agent_warnings(&view),
            about: lines::agent_facts(&view, now_s),
            counters: view.health.as_ref().map(lines::agent_counters).unwrap_or_default(),
            alerts: alert_lines(&list),
            no_alerts: if view.release == 0 { "None: it has no release to detect with." } else { "None." },
            more_alerts: list.next.map(|next| format!("/alerts?agent={}&before={next}", path_part(&name))),
            days: if list.alerts.is_empty() { None } else { Some(days.picture()?) },
            updates: updates.iter().map(UpdateLine::new).collect(),
        })
    })
    .await
}

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage {
    shell: Shell,
    query: AlertQuery,
    kinds: Vec<String>,
    from: String,
    to: String,
    alerts: Vec<AlertLine>,
    empty: &'static str,
    next: Option<String>,
}

impl AlertsPage {
    fn is_state(&self, state: &str) -> bool {
        let wanted = self.query.state.map(|stand| if stand == Stand::Open { "open" } else { "closed" });
        wanted == Some(state)
    }
}

/// `/alerts`.
pub(super) async fn alerts(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    page(async {
        let asked: AlertQuery = query(&uri)?;
        let list = fleet(&shared)?.alerts(&asked).await?;
        let text = uri.query().unwrap_or_default();
        let mut kinds: Vec<String> = list.alerts.iter().map(|alert| alert.kind.clone()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds.retain(|kind| kind != crate::store::NO_KIND);
        // The control's own form of a time, to the minute.
        let time = |at: Option<When>| at.map_or_else(String::new, |at| when(at.0)[..16].replace(' ', "T"));
        let filtered = AlertQuery { limit: None, refresh: None, ..asked.clone() } != AlertQuery::default();
        Ok(AlertsPage {
            shell: Shell::new("Alerts", "/alerts", asked.refresh(), text),
            kinds,
            from: time(asked.from),
            to: time(asked.to),
            alerts: alert_lines(&list),
            empty: if filtered {
                "No alert is like that; clear the filters to see all."
            } else {
                "None yet. Agents alert once they have a release; on a gateway, lapwing-agent test-alert tries the way that alerts go."
            },
            next: list.next.map(|next| next_page(text, "before", &next.to_string())),
            query: asked,
        })
    })
    .await
}

struct MessageLine {
    at: String,
    state: &'static str,
    peak: String,
    flows: String,
    received: String,
}

impl MessageLine {
    fn new(told: &Told) -> Self {
        let state = ["opened", "updated"].get(usize::from(told.state)).copied().unwrap_or("closed");
        let flows = count(u64::from(told.flows));
        Self { at: when(told.at_s), state, peak: value(told.peak_nats), flows, received: when(told.received_s) }
    }
}

#[derive(Template)]
#[template(path = "alert.html")]
struct AlertPage {
    shell: Shell,
    line: AlertLine,
    sentence: String,
    facts: Vec<(&'static str, String)>,
    peers: Vec<PeerView>,
    reasons: Vec<ReasonLine>,
    messages: Vec<MessageLine>,
    commands: String,
}

/// `/alerts/{agent}/{episode}`.
pub(super) async fn alert(
    State(shared): State<Arc<Shared>>,
    Path((agent, episode)): Path<(String, String)>,
) -> Response {
    page(async {
        let missing = || Refusal::Missing(format!("Agent {agent} told of no episode {episode}, or it was removed."));
        let number: u64 = episode.parse().map_err(|_| missing())?;
        let (view, messages) = fleet(&shared)?.alert(&agent, number).await?.ok_or_else(missing)?;
        let line = AlertLine::new(&view);
        let label = |word: &str| format!("lapwing-trainer label {} {} {word}", shell_word(&view.agent), view.episode);
        Ok(AlertPage {
            shell: Shell::new(&format!("{} at {}", view.kind, view.agent), "/alerts", None, ""),
            sentence: lines::sentence(&view),
            facts: lines::alert_facts(&view),
            reasons: view.reasons.iter().map(ReasonLine::new).collect(),
            messages: messages.iter().map(MessageLine::new).collect(),
            commands: format!("{}\n{}", label("benign"), label("attack")),
            peers: view.peers,
            line,
        })
    })
    .await
}

/// A word that a shell takes as it is, whatever an agent calls itself: these lines are there to be copied.
fn shell_word(text: &str) -> String {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[derive(Template)]
#[template(path = "releases.html")]
struct ReleasesPage {
    shell: Shell,
    releases: Vec<ReleaseLine>,
    min_rows: String,
    make_release: &'static str,
    drift: Option<DriftLines>,
}

/// `/releases`.
pub(super) async fn releases(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    page(async {
        let asked: AgentQuery = query(&uri)?;
        let list = fleet(&shared)?.releases().await?;
        Ok(ReleasesPage {
            shell: Shell::new("Releases", "/releases", asked.refresh(), uri.query().unwrap_or_default()),
            releases: list.releases.iter().map(ReleaseLine::new).collect(),
            min_rows: count(shared.min_rows),
            make_release: MAKE_RELEASE,
            drift: list.drift.as_ref().map(DriftLines::new),
        })
    })
    .await
}

/// `/releases/{group}/{version}/card`: the model card that lies beside the release file.
pub(super) async fn card(State(shared): State<Arc<Shared>>, Path((group, version)): Path<(String, u64)>) -> Response {
    let answer = async {
        let missing = || Refusal::Missing(format!("Release {version} of {group} has no model card here."));
        let path = fleet(&shared)?.card(&group, version).await?.ok_or_else(missing)?;
        let small = std::fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() <= CARD_BYTES);
        let text =
            if small { tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await.ok() } else { None };
        text.and_then(Result::ok).ok_or_else(missing)
    };
    match answer.await {
        Ok(text) => {
            let policy: (HeaderName, &str) = (header::CONTENT_SECURITY_POLICY, CARD_POLICY);
            ([policy], Html(text)).into_response()
        }
        Err(refusal) => problem(&refusal),
    }
}
