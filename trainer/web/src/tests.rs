//! A store of synthetic agents → pages and JSON, over a socket.

use super::drift::explain;
use super::openapi::Document;
use super::server::ConnectionLimits;
use super::testing::{ask, documented, fetch};
use super::*;
use lapwing_pipeline::drift::DriftError;
use lapwing_shared::messages::{AlertState, Body, Health, Message, Peer, Reason};
use lapwing_shared::release::manifest::Name;
use lapwing_shared::units::Address;
use lapwing_store::testing::{Folder, alert, received, samples, status, update};
use lapwing_store::{Limits, Received, Release, Store, StoreUrl};
use serde_json::Value as Json;
use utoipa::OpenApi as _;

/// An agent name that the collector would reject.
pub(super) const HOSTILE_NAME: &str = "<script>alert('1')</script>&\"";

pub(super) fn health(uptime_s: u64, packets: u64, coverage_degraded: bool) -> Message {
    let health =
        Health { uptime_s, packets, coverage_degraded, seen_octets: 10, moved_octets: 100, ..Health::default() };
    Message { run: 1, number: 0, sent_s: 0, body: Body::Health(health) }
}

pub(super) fn alert_with_reason(number: u64, episode: u64, state: AlertState, span_s: (u64, u64)) -> Message {
    let mut message = alert(1, number, episode, state, span_s);
    let Body::Alert(alert) = &mut message.body else { unreachable!() };
    let reason = Reason { feature: 3, value: 1_500.0, normal_low: 0.0, normal_high: 20.0, share_permille: 640 };
    alert.reasons.push(reason).unwrap();
    alert.peers.push(Peer { address: Address::from_v4([192, 0, 2, 7]), flows: 9 }).unwrap();
    message
}

/// A message from an agent with any name, as if the collector had accepted it.
pub(super) fn received_from(agent: &str, message: &Message) -> Received {
    Received { agent: Name::try_from(agent).unwrap(), ..received("gw", message) }
}

fn broker(name: &str, connected: bool) -> BrokerLink {
    BrokerLink { broker: name.into(), connected, received: 7, ..BrokerLink::default() }
}

pub(super) struct Stage {
    pub(super) folder: Folder,
    pub(super) store: Store,
    pub(super) server: WebServer,
}

impl Stage {
    pub(super) fn new(batch: &[Received]) -> Self {
        Self::with(batch, Limits::default(), ConnectionLimits::default())
    }

    pub(super) fn with(batch: &[Received], store_limits: Limits, limits: ConnectionLimits) -> Self {
        let folder = Folder::new();
        let mut stage = Self::of(&folder.store().into(), folder, store_limits, limits);
        stage.store.commit(batch, lapwing_common::clock::now_s()).unwrap();
        stage
    }

    /// A server of an empty store.
    pub(super) fn of(url: &StoreUrl, folder: Folder, store_limits: Limits, limits: ConnectionLimits) -> Self {
        let store = Store::open(url, store_limits).unwrap();
        let site = Site {
            store: Some(url.clone()),
            min_rows: 2_000,
            ending_s: 60 * 86_400,
            names: vec!["fleet.example".into()],
            brokers: Some(Arc::new(|| vec![broker("mqtt://one", true), broker("mqtt://two", false)])),
            ..Site::default()
        };
        let server = WebServer::with_limits(site, "127.0.0.1:0".parse().unwrap(), limits).unwrap();
        Self { folder, store, server }
    }

    pub(super) fn page(&self, path: &str) -> String {
        let (status, _, body) = fetch(self.server.address, "GET", path, &self.server.address.to_string(), "");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Status and page.
    pub(super) fn page_or_error(&self, path: &str) -> (u16, String) {
        let (status, _, body) = fetch(self.server.address, "GET", path, &self.server.address.to_string(), "");
        (status, body)
    }

    pub(super) fn json(&self, path: &str) -> Json {
        let answer = ask(self.server.address, "GET", path, "");
        assert_eq!(answer.0, 200, "{path}: {answer:?}");
        answer.1
    }

    pub(super) fn end(self) {
        self.server.stop().unwrap();
        self.store.close().unwrap();
    }
}

/// Two agents, one without a status; two episodes, one of them open.
pub(super) fn fleet() -> Vec<Received> {
    vec![
        received("gw-1", &status(1)),
        received("gw-1", &health(10, 1_000, false)),
        received("gw-1", &alert_with_reason(1, 77, AlertState::Opened, (1_000, 1_010))),
        received("gw-1", &alert_with_reason(2, 77, AlertState::Closed, (1_000, 1_090))),
        received("gw-1", &update(1, 3)),
        received("gw-2", &samples(1, 1, &[(1_000, false)])),
        received("gw-2", &alert_with_reason(2, 5, AlertState::Opened, (90_000, 90_001))),
    ]
}

#[test]
fn the_overview_shows_agents_alerts_releases_and_alerts_per_day() {
    let mut stage = Stage::new(&fleet());
    let overview = stage.page("/");
    for expected in ["gw-1", "gw-2", "10.0.0.9", "192.0.2.7", "the source sent 1.5 kB; here normally 0 to 20 B", "open"]
    {
        assert!(overview.contains(expected), "{expected}");
    }
    assert!(overview.contains("<svg") && overview.contains("Alerts per day"));
    assert!(
        overview.contains("agents have no release") && overview.contains("lapwing-trainer retrain"),
        "the next steps"
    );
    // With a second report the rate is that between the two.
    stage.store.commit(&[received("gw-1", &health(20, 1_500, true))], lapwing_common::clock::now_s()).unwrap();
    let agents = stage.json("/api/v1/agents?agent=gw-1");
    let agent = &agents["agents"][0];
    assert_eq!((agent["state"].as_str(), agent["health"]["packets_per_s"].as_f64()), (Some("degraded"), Some(50.0)));
    assert_eq!((agent["release"].as_u64(), agent["release_state"].as_str()), (Some(3), Some("refused")));
    assert_eq!(agent["update"]["reason"], "expired");
    assert_eq!(agents["counts"]["unknown"], 1, "gw-2 sent no status");
    let list = stage.page("/agents");
    assert!(list.contains("2 agents: 1 unknown, 1 degraded; open alerts: 1."), "{list}");
    assert!(list.contains("<a class=\"mark open\" href=\"/alerts?agent=gw-2&#38;state=open\">1</a>"), "{list}");
    let page = stage.page("/agents/gw-1");
    for expected in ["degraded", "expired", "lasted 90 s", "10.0\u{a0}%"] {
        assert!(page.contains(expected), "{expected}");
    }
    stage.end();
}

#[test]
fn an_alert_page_shows_hosts_reasons_messages_and_label_commands() {
    let stage = Stage::new(&fleet());
    let page = stage.page("/alerts/gw-1/77");
    for expected in [
        "10.0.0.9 → 192.0.2.7, port 23",
        "10.0.0.9 started 12 flows since 1970-01-01 00:16:40 UTC, 9 anomalous, mostly to 192.0.2.7, busiest port 23",
        "it does not resemble any known attack type",
        "<strong>the source sent 1.5 kB</strong><small>forward_octets</small>",
        "0 to 20 B",
        "64\u{a0}%",
        "opened",
        "closed",
        "lapwing-trainer label gw-1 77 benign",
    ] {
        assert!(page.contains(expected), "{expected} in {page}");
    }
    for path in [
        "/alerts/gw-1/78",
        "/alerts/gw-9/77",
        "/alerts/gw-1/x",
        "/agents/gw-9",
        "/releases/a/1/card",
        "/releases/a/1",
        "/campaigns/1",
        "/campaigns/x",
        "/x",
    ] {
        let (status, _, body) = fetch(stage.server.address, "GET", path, "localhost", "");
        assert_eq!(status, 404, "{path}");
        assert!(body.contains("<h1>Not Found</h1>"), "{path}: {body}");
    }
    stage.end();
}

#[test]
fn a_list_shows_unusual_values_and_the_alert_page_all_of_them() {
    let usual = Reason { feature: 4, value: 5.0, normal_low: 0.0, normal_high: 20.0, share_permille: 300 };
    let with_usual = |number, episode, keep: usize| {
        let mut message = alert_with_reason(number, episode, AlertState::Opened, (1_000, 1_010));
        let Body::Alert(alert) = &mut message.body else { unreachable!() };
        alert.reasons.truncate(keep);
        alert.reasons.push(usual).unwrap();
        received("gw", &message)
    };
    let stage = Stage::new(&[with_usual(1, 5, 1)]);
    let (list, page) = (stage.page("/alerts"), stage.page("/alerts/gw/5"));
    assert!(list.contains("the source sent 1.5 kB") && !list.contains("within the normal range"), "{list}");
    assert!(page.contains("reverse_octets"), "{page}");
    stage.end();
    // Without an unusual value the list shows the first reason.
    let stage = Stage::new(&[with_usual(1, 5, 0)]);
    assert!(stage.page("/alerts").contains("within the normal range"));
    stage.end();
}

#[test]
fn texts_from_agents_are_escaped() {
    let mut message = status(1);
    let Body::Status(status) = &mut message.body else { unreachable!() };
    status.agent_version = "<em>1</em>\"'&".try_into().unwrap();
    status.engine = "<i>x".try_into().unwrap();
    let mut report = update(1, 9);
    let Body::Update(update) = &mut report.body else { unreachable!() };
    update.step = lapwing_shared::messages::UpdateStep::RolledBack("<img src=x onerror=alert(1)>".try_into().unwrap());
    let messages = [message, report, alert_with_reason(1, 3, AlertState::Opened, (1_000, 1_010)), health(5, 5, true)];
    let stage = Stage::new(&messages.map(|message| received_from(HOSTILE_NAME, &message)));
    let handle = stage.store.handle().unwrap();
    handle.label(HOSTILE_NAME, 3, lapwing_store::Label::Attack, "<u>me</u>", 5).unwrap();
    let encoded = "%3Cscript%3Ealert%28%271%27%29%3C%2Fscript%3E%26%22";
    let pages = [
        "/",
        "/agents",
        "/alerts",
        "/releases",
        &format!("/agents/{encoded}"),
        &format!("/alerts/{encoded}/3"),
        &format!("/alerts?agent={encoded}&kind={encoded}"),
        &format!("/agents?agent={encoded}"),
    ];
    for path in pages {
        let page = stage.page(path);
        for tag in ["<script", "<em>", "<i>x", "<img", "<u>me", "onerror=\"", "='1'"] {
            assert!(!page.contains(tag), "{tag} in {path}");
        }
    }
    let page = stage.page(&format!("/alerts/{encoded}/3"));
    assert!(page.contains("&#60;script&#62;") && page.contains(encoded), "the name is shown and linked");
    assert!(
        page.contains(r"label &#39;&#60;script&#62;alert(&#39;\&#39;&#39;1"),
        "the name is quoted for a shell: {page}"
    );
    stage.end();
}

#[test]
fn every_page_of_an_empty_store_shows_the_next_step() {
    let stage = Stage::new(&[]);
    for (path, step) in [
        ("/", "lapwing-agent run --interface"),
        ("/agents", "lapwing-agent run --interface"),
        ("/alerts", "lapwing-agent test-alert"),
        ("/releases", "lapwing-trainer keys new"),
        ("/campaigns", "lapwing-trainer rollout plan"),
    ] {
        assert!(stage.page(path).contains(step), "{path}");
    }
    stage.end();
}

#[test]
fn releases_show_their_origin_agents_and_model_card() {
    let mut stage = Stage::new(&[received("gw-1", &status(1))]);
    let handle = stage.store.handle().unwrap();
    let made = |version| Release {
        group: "home".into(),
        version,
        manifest_sha256: [1; 32],
        made_s: 1_700_000_000 + version,
        file: stage.folder.path().join(format!("home-{version}.lwr")),
        reason: Some(format!("{version} new feature rows")),
    };
    handle.add_release(&made(2), "serve", 1).unwrap();
    handle.add_release(&made(3), "serve", 1).unwrap();
    std::fs::write(stage.folder.path().join("home-3.card.html"), "<!doctype html><p>the card").unwrap();
    // A release that the trainer did not make.
    let mut other = status(1);
    let Body::Status(status) = &mut other.body else { unreachable!() };
    (status.release, status.on_trial) = (9, true);
    stage.store.commit(&[received("gw-2", &other)], lapwing_common::clock::now_s()).unwrap();
    let list = stage.json("/api/v1/releases");
    let short: Vec<_> = list["releases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|release| {
            let count = |name: &str| release[name].as_u64().unwrap();
            (count("version"), count("confirmed_by"), count("on_trial_at"), release["card"].is_string())
        })
        .collect();
    assert_eq!(short, [(3, 1, 0, true), (2, 0, 0, false), (9, 0, 1, false)]);
    let text = explain(&DriftError::FewRows { side: "present", rows: 3, expected: 25 });
    assert_eq!(text, "3 rows collected since the release was created, by the agents' clocks; at least 25 are needed");
    let page = stage.page("/releases");
    assert!(page.contains("3 new feature rows") && page.contains("not made by this trainer"));
    let (status, head, card) = fetch(stage.server.address, "GET", "/releases/home/3/card", "localhost", "");
    assert!(status == 200 && card.ends_with("the card") && head.contains("sandbox"), "{head}");
    stage.end();
}

#[test]
fn every_json_response_matches_the_openapi_document() {
    let stage = Stage::new(&fleet());
    let document = stage.json("/api/v1/openapi.json");
    assert_eq!(document, serde_json::to_value(Document::openapi()).unwrap());
    for (path, query, status) in [
        ("/api/v1/agents", "/api/v1/agents", 200),
        ("/api/v1/agents", "/api/v1/agents?state=online&group=home&limit=1", 200),
        ("/api/v1/agents", "/api/v1/agents?state=well", 400),
        ("/api/v1/alerts", "/api/v1/alerts", 200),
        ("/api/v1/alerts", "/api/v1/alerts?agnet=gw-1", 400),
        ("/api/v1/alerts", "/api/v1/alerts?from=yesterday", 400),
        ("/api/v1/alerts", "/api/v1/alerts?limit=-1", 400),
        ("/api/v1/releases", "/api/v1/releases", 200),
        ("/api/v1/releases/{group}/{version}", "/api/v1/releases/home/9", 404),
        ("/api/v1/releases/{group}/{version}", "/api/v1/releases/home/nine", 404),
        ("/api/v1/campaigns", "/api/v1/campaigns?group=home&limit=3", 200),
        ("/api/v1/campaigns", "/api/v1/campaigns?state=well", 400),
        ("/api/v1/campaigns/{id}", "/api/v1/campaigns/1", 404),
        ("/api/v1/campaigns/{id}", "/api/v1/campaigns/one", 404),
        ("/api/v1/brokers", "/api/v1/brokers", 200),
        ("/api/v1/groups", "/api/v1/groups", 200),
        ("/api/v1/process", "/api/v1/process", 200),
        ("/api/v1/audit", "/api/v1/audit?since=1970-01-01&limit=3", 200),
        ("/api/v1/audit", "/api/v1/audit?since=soon", 400),
        ("/api/v1/identities", "/api/v1/identities?state=ending", 200),
        ("/api/v1/identities", "/api/v1/identities?state=lost", 400),
        ("/api/v1/model", "/api/v1/model", 404),
    ] {
        let answer = ask(stage.server.address, "GET", query, "");
        assert_eq!(answer.0, status, "{query}: {answer:?}");
        documented(&document, path, "get", &answer).unwrap();
    }
    let invalid = ask(stage.server.address, "GET", "/api/v1/alerts?from=yesterday", "").1;
    assert!(
        invalid["message"].as_str().unwrap().contains("invalid time `yesterday`, expected a date such as 2026-11-21"),
        "{invalid}"
    );
    let predicted = ask(stage.server.address, "POST", "/api/v1/predict", "{\"rows\": []}");
    assert_eq!((predicted.0, predicted.1["code"].as_str()), (404, Some("no-model")));
    documented(&document, "/api/v1/predict", "post", &predicted).unwrap();
    stage.end();
}

#[test]
fn foreign_host_names_and_writes_are_rejected_with_security_headers() {
    let stage = Stage::new(&fleet());
    let at = stage.server.address;
    for path in ["/", "/api/v1/agents", "/api/v1/predict", "/style.css", "/nothing"] {
        let (status, head, body) = fetch(at, "GET", path, "evil.example:8480", "");
        assert_eq!(status, 421, "{path}");
        assert!(!body.contains("gw-1") && body.contains("--http-name"));
        assert!(head.contains("default-src 'none'"), "{head}");
    }
    for host in ["localhost", "fleet.example", &at.to_string(), "[::1]:80"] {
        assert_eq!(fetch(at, "GET", "/", host, "").0, 200, "{host}");
    }
    let (_, head, _) = fetch(at, "GET", "/", "localhost", "");
    for header in
        ["default-src 'none'", "frame-ancestors 'none'", "x-content-type-options: nosniff", "cache-control: no-store"]
    {
        assert!(head.contains(header), "{header} in {head}");
    }
    assert!(!head.contains("script-src") && !head.contains("unsafe"), "{head}");
    for (method, path) in [
        ("POST", "/"),
        ("POST", "/alerts"),
        ("DELETE", "/alerts/gw-1/77"),
        ("PUT", "/releases"),
        ("POST", "/api/v1/agents"),
    ] {
        assert_eq!(fetch(at, method, path, "localhost", "").0, 405, "{method} {path}");
    }
    stage.end();
}

#[test]
fn a_reader_cannot_write_and_does_not_block_the_writer() {
    let mut stage = Stage::new(&fleet());
    let handle = lapwing_store::StoreHandle::open_reading(stage.folder.store()).unwrap();
    assert!(handle.label("gw-1", 77, lapwing_store::Label::Benign, "me", 1).is_err(), "a reader cannot write");
    // An unfinished query keeps its snapshot of the store while the writer continues.
    let mut rows = handle.training_rows(&lapwing_store::testing::SCHEMA).unwrap();
    assert!(rows.next().is_some());
    let done = stage.store.commit(&[received("gw-2", &samples(1, 9, &[(1_000, false)]))], 9).unwrap();
    assert_eq!(done.stored, 1);
    stage.end();
}
