//! The fleet's state → the overview page, `/`.

use super::filters;
use super::layout::Layout;
use super::{MAKE_RELEASE, NO_AGENTS, START_AGENT, TEST_ALERT, page};
use crate::Shared;
use crate::api::{fleet, query};
use crate::drift::DriftView;
use crate::params::{AgentQuery, AlertQuery};
use crate::queries::{AgentList, ReleaseList};
use crate::views::agents::AgentView;
use crate::views::alerts::AlertView;
use crate::views::brokers::BrokerTexts;
use crate::views::campaigns::OpenCampaign;
use crate::views::incidents::IncidentView;
use crate::views::releases::ReleaseView;
use crate::views::{identities, process};
use askama::Template;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use lapwing_common::format::count;
use lapwing_fleet::BrokerLink;
use lapwing_report::Picture;
use std::sync::Arc;

/// Rows in each list.
const ROWS: u32 = 8;
const NO_RELEASE: &str = "To request one, run `lapwing-trainer retrain`.";

struct Tile {
    href: &'static str,
    number: String,
    name: &'static str,
    class: &'static str,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    layout: Layout,
    tiles: Vec<Tile>,
    warnings: Vec<String>,
    campaigns: Vec<OpenCampaign>,
    brokers: Vec<BrokerLink>,
    /// That no operator has seen.
    unseen: Vec<IncidentView>,
    alerts: Vec<AlertView>,
    no_alerts: String,
    days: Option<Picture>,
    agents: Vec<AgentView>,
    all_agents: String,
    no_agents: &'static str,
    start_agent: &'static str,
    releases: Vec<ReleaseView>,
    min_rows: String,
    make_release: &'static str,
    drift: Option<DriftView>,
    counters: Vec<(String, String, &'static str)>,
}

/// `/`.
pub(crate) async fn overview(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    page(async {
        let parameters: AgentQuery = query(&uri)?;
        let refresh = parameters.refresh();
        let fleet = fleet(&shared)?;
        let agents = fleet.agents(&AgentQuery { limit: Some(ROWS), ..parameters }).await?;
        let alerts = fleet.alerts(&AlertQuery { limit: Some(ROWS), ..AlertQuery::default() }).await?.alerts;
        let unseen = fleet.unseen(ROWS).await?;
        let mut list = fleet.releases().await?;
        let days = fleet.days(None).await?;
        let identities = fleet.identity_counts().await?;
        let brokers = shared.brokers();
        let campaigns = fleet.open_campaigns().await?;
        let tiles = tiles(&agents, &list, campaigns.len());
        list.releases.truncate(ROWS as usize);
        Ok(OverviewPage {
            layout: Layout::new("Fleet", "/", refresh, uri.query().unwrap_or_default()),
            tiles,
            warnings: process::warnings(&shared.process())
                .chain(warnings(&agents, &brokers))
                .chain(identities::warnings(&identities))
                .collect(),
            campaigns,
            brokers,
            unseen,
            no_alerts: no_alerts(&agents),
            days: if alerts.is_empty() { None } else { Some(days.picture()?) },
            alerts,
            all_agents: count(agents.counts.agents),
            agents: agents.agents,
            no_agents: NO_AGENTS,
            start_agent: START_AGENT,
            releases: list.releases,
            min_rows: count(shared.min_rows),
            make_release: MAKE_RELEASE,
            drift: list.drift,
            counters: counters(&shared),
        })
    })
    .await
}

fn tiles(agents: &AgentList, releases: &ReleaseList, campaigns: usize) -> Vec<Tile> {
    let counts = &agents.counts;
    let tile = |number: u64, name, href, class| Tile { href, number: count(number), name, class };
    let class_if_any = |number: u64, class| if number > 0 { class } else { "" };
    let mut tiles = vec![
        tile(counts.open_alerts, "open alerts", "/alerts?state=open", class_if_any(counts.open_alerts, "bad")),
        tile(counts.online, "agents online", "/agents?state=online", class_if_any(counts.online, "good")),
        tile(counts.degraded, "degraded", "/agents?state=degraded", class_if_any(counts.degraded, "warned")),
        tile(counts.silent, "silent", "/agents?state=silent", class_if_any(counts.silent, "bad")),
        tile(counts.offline, "offline", "/agents?state=offline", class_if_any(counts.offline, "bad")),
    ];
    if counts.unknown > 0 {
        tiles.push(tile(counts.unknown, "unknown", "/agents?state=unknown", "warned"));
    }
    tiles.push(tile(releases.releases.len() as u64, "releases", "/releases", ""));
    if campaigns > 0 {
        tiles.push(tile(campaigns as u64, "open campaigns", "/campaigns?state=open", ""));
    }
    tiles
}

/// The counters above 0: name, value, description.
fn counters(shared: &Shared) -> Vec<(String, String, &'static str)> {
    let all = crate::counters::all(shared).into_iter().filter(|counter| counter.value > 0);
    all.map(|counter| (counter.name.replace('_', " "), count(counter.value), counter.text)).collect()
}

fn warnings(list: &AgentList, brokers: &[BrokerLink]) -> Vec<String> {
    let mut warnings: Vec<String> = brokers.iter().filter_map(BrokerTexts::warning).collect();
    if list.counts.without_release > 0 {
        let (number, all) = (count(list.counts.without_release), count(list.counts.agents));
        warnings.push(format!(
            "{number} of {all} agents have no release: they collect data but detect nothing. {NO_RELEASE}"
        ));
    }
    warnings
}

fn no_alerts(list: &AgentList) -> String {
    if list.counts.agents == 0 {
        return "No alerts yet: there are no agents.".into();
    }
    if list.counts.without_release == list.counts.agents {
        return format!("No alerts yet: no agent has a release. {NO_RELEASE}");
    }
    TEST_ALERT.into()
}
