//! `/`: the fleet in one look.

use super::api::{fleet, query};
use super::fleet::{AgentList, ReleaseList};
use super::lines::{AgentLine, AlertLine, DriftLines, ReleaseLine};
use super::pages::{MAKE_RELEASE, START_AGENT, agent_lines, alert_lines, page};
use super::query::{AgentQuery, AlertQuery};
use super::{Shared, shell::Shell};
use crate::words::count;
use askama::Template;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use lapwing_report::Picture;
use std::sync::Arc;

/// Lines of a list.
const NEWEST: u32 = 8;

struct Tile {
    href: &'static str,
    number: String,
    name: &'static str,
    class: &'static str,
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
    all_agents: String,
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
            alerts: alert_lines(&alerts),
            // Without an alert there is nothing to draw.
            days: if alerts.alerts.is_empty() { None } else { Some(days.picture()?) },
            agents: agent_lines(&list),
            all_agents: count(list.counts.agents),
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
        warnings.push(format!("{number} of {all} agents without a release: they collect, but detect nothing yet. Ask for one: lapwing-trainer retrain."));
    }
    if list.cut {
        warnings.push("There are more than 20,000 agents; only the first of them, by name, were looked at.".into());
    }
    warnings
}

fn no_alerts(list: &AgentList) -> String {
    if list.counts.agents == 0 {
        return "None yet: no agent has been heard.".into();
    }
    if list.counts.without_release == list.counts.agents {
        return "None yet: no agent has a release to detect with. Ask for one: lapwing-trainer retrain.".into();
    }
    "None yet. On a gateway, lapwing-agent test-alert tries the way that alerts go.".into()
}
