//! A group with campaigns, in virtual time → its pages, JSON and metrics.

use crate::testing::{ask, documented, fetch};
use crate::{Site, WebServer};
use lapwing_campaigns::testing::{Conduct, HOUR_S, NEXT, Stage};
use lapwing_campaigns::view::CampaignReport;
use lapwing_campaigns::{FactsReader, Order, act, advance, start};
use lapwing_common::clock;
use lapwing_fleet::campaign::{Action, CampaignState, Plan};
use lapwing_fleet::{HeldRelease, HeldState};
use serde_json::Value as Json;

/// A group whose campaign ran for some hours, until now or its withdrawal, and a server of its store.
struct Shown {
    stage: Stage,
    server: WebServer,
}

impl Shown {
    fn new(agents: usize, conduct: Conduct, plan: Plan, hours: u64) -> Self {
        let mut stage = Stage::new(agents, clock::now_s() - hours * HOUR_S);
        stage.conduct = conduct;
        let order = Order { group: "home", version: NEXT, plan, who: "<u>ann</u>", supersede: false, findings: &[] };
        start(&stage.handle, &order, stage.now_s).unwrap();
        let mut reader = FactsReader::default();
        for _ in 0..hours {
            stage.hour();
            let outcome = advance(&stage.handle, &mut reader, "home", stage.now_s).unwrap();
            if outcome.is_none_or(|outcome| outcome.campaign.state() == CampaignState::Aborting) {
                break;
            }
        }
        let site = Site { store: Some(stage.folder.store().into()), ..Site::default() };
        let server = WebServer::start(site, "127.0.0.1:0".parse().unwrap()).unwrap();
        Self { stage, server }
    }

    fn page(&self, path: &str) -> String {
        let (status, _, body) = fetch(self.server.address, "GET", path, "localhost", "");
        assert_eq!(status, 200, "{path}: {body}");
        assert!(!body.contains("<u>"), "{path}: texts are escaped");
        body
    }

    /// A response that the OpenAPI document describes at `described`.
    fn json(&self, path: &str, described: &str) -> Json {
        let answer = ask(self.server.address, "GET", path, "");
        let document = ask(self.server.address, "GET", "/api/v1/openapi.json", "").1;
        documented(&document, described, "get", &answer).unwrap();
        answer.1
    }

    fn state(&self) -> CampaignState {
        self.stage.handle.campaigns(Some("home"), 1).unwrap().remove(0).campaign.state()
    }

    fn end(self) {
        self.server.stop().unwrap();
    }
}

#[test]
fn a_campaign_that_stopped_says_why_and_names_the_agents_that_are_not_back() {
    let shown = Shown::new(100, Conduct::Alerts, Plan::default(), 8);
    assert_eq!(shown.state(), CampaignState::Aborting);
    let page = shown.page("/campaigns/1");
    let lead = page.split("class=\"lead\">").nth(1).unwrap().split("</p>").next().unwrap();
    assert!(lead.contains("wave 2 failed: alerts failed: ") && lead.contains(" agent-days"), "{lead}");
    assert!(page.contains("not back</span></td>\n<td data-label=\"agents\" class=\"number\">5</td>"), "{page}");
    assert!(page.contains("<span class=\"mark open\">fail</span>"), "{page}");
    assert_eq!(page.matches("<td data-label=\"gate\"").count(), 7);
    assert!(page.contains("by &#60;u&#62;ann&#60;/u&#62;"), "{page}");
    let stored = shown.stage.handle.campaign(1).unwrap().unwrap();
    let report = shown.json("/api/v1/campaigns/1", "/api/v1/campaigns/{id}");
    let expected = CampaignReport::read(&shown.stage.handle, &stored, report["at-s"].as_u64().unwrap()).unwrap();
    assert_eq!(report, serde_json::to_value(&expected).unwrap());
    let overview = shown.page("/");
    let attention = "<p class=\"warn\" role=\"note\"><a href=\"/campaigns/1\">Release 4 of group home</a>: aborting, wave 2 \
                     failed: alerts failed: ";
    assert!(overview.contains(attention), "{overview}");
    let release = shown.page("/releases/home/4");
    assert!(
        release.contains("open\">withdrawn</span>") && release.contains("Newest campaign: alerts failed: "),
        "{release}"
    );
    let details = shown.json("/api/v1/releases/home/4", "/api/v1/releases/{group}/{version}");
    assert_eq!((&details["standing"], &details["release"]["confirmed_by"]), (&"withdrawn".into(), &5.into()));
    let places: Vec<Json> = shown.json("/api/v1/releases", "/api/v1/releases")["releases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|release| release["place"].clone())
        .collect();
    assert_eq!(places, ["withdrawn", "the group's release"]);
    let metrics = shown.page("/metrics");
    for line in ["gate{group=\"home\",gate=\"alerts\"} -1", "agents{group=\"home\",step=\"not_back\"} 5"] {
        assert!(metrics.contains(&format!("\nlapwing_campaign_{line}\n")), "{line}: {metrics}");
    }
    shown.end();
}

#[test]
fn a_running_campaign_shows_its_wave_and_what_is_missing() {
    let shown = Shown::new(100, Conduct::Good, Plan::default(), 20);
    let page = shown.page("/campaigns/1");
    for expected in [
        "5 confirmed, 4 needed",
        "18.0 of 24 h",
        "missing: evidence is inconclusive",
        "100 take part, 100 of them fit",
        "lapwing-trainer rollout pause --group home",
        "<rect class=\"reached\" width=\"5.0\"",
    ] {
        assert!(page.contains(expected), "{expected} in {page}");
    }
    assert!(!page.contains("style=\"") && !page.contains("<script"), "the policy forbids both");
    let overview = shown.page("/");
    assert!(overview.contains("Undecided: alerts (evidence is inconclusive"), "{overview}");
    assert!(overview.contains("<b>1</b> open campaigns"), "{overview}");
    act(&shown.stage.handle, "home", Action::Pause, "bob", clock::now_s()).unwrap();
    let paused = shown.page("/campaigns/1");
    assert!(paused.contains("paused</span></h1>") && paused.contains("rollout resume --group home"), "{paused}");
    assert!(!shown.page("/").contains('`'), "commands are marked as code");
    shown.end();
}

#[test]
fn a_wave_of_many_agents_names_some_and_counts_the_rest() {
    let plan: Plan = serde_json::from_str(r#"{"waves": [{"percent": 100.0}]}"#).unwrap();
    let shown = Shown::new(100, Conduct::Good, plan, 0);
    let report = shown.json("/api/v1/campaigns/1", "/api/v1/campaigns/{id}");
    let stage = &report["campaign"]["stages"][0];
    let named = stage["named"].as_array().unwrap().len();
    assert_eq!((&stage["stage"], named), (&"offered".into(), 20), "{stage}");
    let rest = stage["agents"].as_u64().unwrap() - 20;
    assert!(rest > 60 && shown.page("/campaigns/1").contains(&format!("and {rest} more")), "{stage}");
    shown.end();
}

#[test]
fn campaigns_are_listed_newest_first_in_pages() {
    let shown = Shown::new(3, Conduct::Good, Plan::default(), 0);
    for version in NEXT + 1..NEXT + 5 {
        shown.stage.add_release(version);
        let order = Order { group: "home", version, plan: Plan::default(), who: "ann", supersede: true, findings: &[] };
        start(&shown.stage.handle, &order, shown.stage.now_s).unwrap();
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/campaigns?limit=2".to_owned();
    loop {
        let page = shown.json(&path, "/api/v1/campaigns");
        let versions =
            page["campaigns"].as_array().unwrap().iter().map(|campaign| campaign["version"].as_u64().unwrap());
        seen.extend(versions);
        let Some(next) = page["next"].as_i64() else { break };
        path = format!("/api/v1/campaigns?limit=2&before={next}");
    }
    assert_eq!(seen, [8, 7, 6, 5, 4]);
    let page = shown.page("/campaigns?limit=2");
    assert!(page.contains("Release 8 of home") && page.contains("limit=2&#38;before="), "{page}");
    let open = shown.page("/campaigns?state=open");
    assert!(open.contains("Release 8 of home") && !open.contains("Release 7 of home"), "{open}");
    assert!(shown.page("/campaigns?group=shop").contains("No campaigns match"));
    shown.end();
}

#[test]
fn the_page_of_a_release_shows_why_the_gate_holds_it_back() {
    let shown = Shown::new(3, Conduct::Good, Plan::default(), 0);
    shown.stage.hold(&HeldRelease {
        group: "home".into(),
        version: 5,
        made_s: shown.stage.now_s,
        file: "home.held".into(),
        reason: "20000 new feature rows".into(),
        findings: "detects 19 of 20 sealed attacks, misses port-scan in home-a".into(),
        state: HeldState::Waiting,
        who: None,
    });
    let list = shown.page("/releases");
    assert!(list.contains("<a href=\"/releases/home/5\">Release 5</a> of group home waits for approval"), "{list}");
    let page = shown.page("/releases/home/5");
    for expected in ["misses port-scan in home-a", "waiting</span></h1>", "lapwing-trainer approve 5 --group home"] {
        assert!(page.contains(expected), "{expected} in {page}");
    }
    let details = shown.json("/api/v1/releases/home/5", "/api/v1/releases/{group}/{version}");
    assert_eq!((&details["held"]["state"], &details["standing"]), (&"waiting".into(), &Json::Null));
    shown.end();
}
