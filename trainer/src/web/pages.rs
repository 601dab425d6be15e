//! Pages: what the store says, filled into templates.

use super::api::{Refusal, fleet, query};
use super::drift::DriftView;
use super::fleet::{AgentList, AlertList, ReleaseList};
use super::lines::{self, AgentLine, AlertLine, ReasonLine, ReleaseLine, path_part};
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

/// Lines of a list on the overview.
const NEWEST: u32 = 8;
/// Alerts on an agent's page.
const OF_AGENT: u32 = 20;
/// A model card is smaller than this, bytes.
const CARD_BYTES: u64 = 16 << 20;
/// A card is a page of its own: styles stand in it, and it may do nothing else.
const CARD_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'";

const START_AGENT: &str =
    "lapwing-agent run --interface br-lan --mqtt mqtt://THIS-SERVER:1883 --key site-1.pub --state-dir /var/lib/lapwing";
const MAKE_RELEASE: &str =
    "lapwing-trainer keys new site-1\nlapwing-trainer serve --key site-1.key …\nlapwing-trainer retrain";

/// A page, or why there is none.
async fn page<T: Template>(answer: impl Future<Output = Result<T, Refusal>>) -> Response {
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

struct Tile {
    href: &'static str,
    number: String,
    name: &'static str,
    class: &'static str,
}

/// Drift in words.
struct DriftLines {
    group: String,
    version: u64,
    drift: Option<bool>,
    summary: String,
    threshold: String,
    measured: String,
    columns: Vec<DriftLine>,
}

struct DriftLine {
    name: String,
    ratio: String,
    then: String,
    now: String,
}

impl DriftLines {
    fn new(view: &DriftView) -> Self {
        let line = |column: &super::drift::DriftColumn| DriftLine {
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

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    shell: Shell,
    tiles: Vec<Tile>,
    warnings: Vec<String>,
    alerts: Vec<AlertLine>,
    no_alerts: String,
    days: Option<Picture>,
    agents: Vec<AgentLine>,
    no_agents: &'static str,
    start_agent: &'static str,
    releases: Vec<ReleaseLine>,
    min_rows: String,
    make_release: &'static str,
    drift: Option<DriftLines>,
}

/// `/`.
pub(super) async fn overview(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    page(async {
        let asked: AgentQuery = query(&uri)?;
        let fleet = fleet(&shared)?;
        let list = fleet.agents(&AgentQuery { limit: Some(NEWEST), ..asked.clone() }).await?;
        let alerts = fleet.alerts(&AlertQuery { limit: Some(NEWEST), ..AlertQuery::default() }).await?;
        let releases = fleet.releases().await?;
        let days = fleet.days(None).await?;
        let refresh = asked.refresh();
        Ok(OverviewPage {
            shell: Shell::new("Fleet", "/", refresh, uri.query().unwrap_or_default()),
            tiles: tiles(&list, &releases),
            warnings: warnings(&list),
            no_alerts: no_alerts(&list),
            alerts: lines(&alerts),
            // Without an alert there is nothing to draw.
            days: if alerts.alerts.is_empty() { None } else { Some(days.picture()?) },
            agents: agent_lines(&list),
            no_agents: "No agent has been heard yet. Start one on a gateway (docs/install.md), with this server as its broker:",
            start_agent: START_AGENT,
            releases: releases.releases.iter().take(NEWEST as usize).map(ReleaseLine::new).collect(),
            min_rows: count(shared.min_rows),
            make_release: MAKE_RELEASE,
            drift: releases.drift.as_ref().map(DriftLines::new),
        })
    })
    .await
}

fn tiles(list: &AgentList, releases: &ReleaseList) -> Vec<Tile> {
    let counts = &list.counts;
    let tile = |number: u64, name, href, class| Tile { href, number: count(number), name, class };
    let bad = |number: u64, class| if number > 0 { class } else { "" };
    let mut tiles = vec![
        tile(counts.open_alerts, "open alerts", "/alerts?state=open", bad(counts.open_alerts, "bad")),
        tile(counts.online, "agents online", "/agents?state=online", bad(counts.online, "good")),
        tile(counts.degraded, "see too little", "/agents?state=degraded", bad(counts.degraded, "warned")),
        tile(counts.silent, "silent", "/agents?state=silent", bad(counts.silent, "bad")),
        tile(counts.offline, "offline", "/agents?state=offline", bad(counts.offline, "bad")),
    ];
    if counts.unknown > 0 {
        tiles.push(tile(counts.unknown, "told no status", "/agents?state=unknown", "warned"));
    }
    tiles.push(tile(releases.releases.len() as u64, "releases", "/releases", ""));
    tiles
}

fn warnings(list: &AgentList) -> Vec<String> {
    let mut warnings = Vec::new();
    if list.counts.without_release > 0 && list.counts.agents > 0 {
        let (number, all) = (count(list.counts.without_release), count(list.counts.agents));
        warnings.push(format!("{number} of {all} agents without a release: they collect, but detect nothing yet. Ask for one with `lapwing-trainer retrain`."));
    }
    if list.cut {
        warnings.push("There are more than 20 000 agents; only the first of them, by name, were looked at.".into());
    }
    warnings
}

fn no_alerts(list: &AgentList) -> String {
    if list.counts.agents == 0 {
        return "None yet: no agent has been heard.".into();
    }
    if list.counts.without_release == list.counts.agents {
        return "None yet: no agent has a release to detect with. Ask for one with `lapwing-trainer retrain`.".into();
    }
    "None yet. `lapwing-agent test-alert` on a gateway tries the way that alerts go.".into()
}

fn lines(list: &AlertList) -> Vec<AlertLine> {
    list.alerts.iter().map(AlertLine::new).collect()
}

fn agent_lines(list: &AgentList) -> Vec<AgentLine> {
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
            alerts: lines(&list),
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
            alerts: lines(&list),
            empty: if filtered {
                "No alert is like that; clear the filters to see all."
            } else {
                "None yet. Agents alert once they have a release; `lapwing-agent test-alert` on a gateway tries the way that alerts go."
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
