//! The HTTP side over a socket, on a store of made-up agents.

use super::api::Document;
use super::drift::why;
use super::limited::Places;
use super::testing::{ask, documented, fetch};
use super::*;
use crate::drift::DriftError;
use crate::store::testing::{Folder, alert, received, samples, status, update};
use crate::store::{Limits, Received, ReleaseLine, Store};
use lapwing_shared::messages::{AlertState, Body, Health, Message, Peer, Reason};
use lapwing_shared::release::manifest::Name;
use lapwing_shared::units::Address;
use serde_json::Value as Json;

/// What an agent calls itself that has never seen our rule for names.
pub(super) const EVIL: &str = "<script>alert('1')</script>&\"";

pub(super) fn health(uptime_s: u64, packets: u64, coverage_degraded: bool) -> Message {
    let health =
        Health { uptime_s, packets, coverage_degraded, seen_octets: 10, moved_octets: 100, ..Health::default() };
    Message { run: 1, number: 0, sent_s: 0, body: Body::Health(health) }
}

pub(super) fn explained(number: u64, episode: u64, state: AlertState, span_s: (u64, u64)) -> Message {
    let mut message = alert(1, number, episode, state, span_s);
    let Body::Alert(alert) = &mut message.body else { unreachable!() };
    let reason = Reason { feature: 3, value: 1_500.0, normal_low: 0.0, normal_high: 20.0, share_permille: 640 };
    alert.reasons.push(reason).unwrap();
    alert.peers.push(Peer { address: Address::from_v4([192, 0, 2, 7]), flows: 9 }).unwrap();
    message
}

/// From an agent of any name, as if the collector had let it in.
pub(super) fn from_anybody(agent: &str, message: &Message) -> Received {
    Received { agent: Name::try_from(agent).unwrap(), ..received("gw", message) }
}

pub(super) struct Stage {
    pub(super) folder: Folder,
    pub(super) store: Store,
    pub(super) server: WebServer,
}

impl Stage {
    pub(super) fn new(batch: &[Received]) -> Self {
        Self::with(batch, Limits::default(), Places::default())
    }

    pub(super) fn with(batch: &[Received], limits: Limits, places: Places) -> Self {
        let folder = Folder::new();
        let mut store = Store::open(&folder.store(), limits).unwrap();
        store.commit(batch, crate::clock::now_s()).unwrap();
        let site = Site {
            store: Some(folder.store()),
            min_rows: 2_000,
            names: vec!["fleet.example".into()],
            ..Site::default()
        };
        let server = WebServer::with_places(site, "127.0.0.1:0".parse().unwrap(), places).unwrap();
        Self { folder, store, server }
    }

    pub(super) fn page(&self, path: &str) -> String {
        let (status, _, body) = fetch(self.server.address, "GET", path, &self.server.address.to_string(), "");
        assert_eq!(status, 200, "{path}: {body}");
        body
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

/// Two agents, one of them without a status; two episodes, one of them open.
fn fleet() -> Vec<Received> {
    vec![
        received("gw-1", &status(1)),
        received("gw-1", &health(10, 1_000, false)),
        received("gw-1", &explained(1, 77, AlertState::Opened, (1_000, 1_010))),
        received("gw-1", &explained(2, 77, AlertState::Closed, (1_000, 1_090))),
        received("gw-1", &update(1, 3)),
        received("gw-2", &samples(1, 1, &[(1_000, false)])),
        received("gw-2", &explained(2, 5, AlertState::Opened, (90_000, 90_001))),
    ]
}

#[test]
fn one_look_tells_agents_alerts_releases_and_the_day() {
    let mut stage = Stage::new(&fleet());
    let overview = stage.page("/");
    for told in ["gw-1", "gw-2", "10.0.0.9", "192.0.2.7", "the source sent 1.5 kB; here normally 0 to 20 B", "open"] {
        assert!(overview.contains(told), "{told}");
    }
    assert!(overview.contains("<svg") && overview.contains("Alerts a day"));
    assert!(
        overview.contains("agents without a release") && overview.contains("lapwing-trainer retrain"),
        "the next steps"
    );
    // A second report gives the rate of the time between.
    stage.store.commit(&[received("gw-1", &health(20, 1_500, true))], crate::clock::now_s()).unwrap();
    let agents = stage.json("/api/v1/agents?agent=gw-1");
    let agent = &agents["agents"][0];
    assert_eq!((agent["state"].as_str(), agent["health"]["packets_per_s"].as_f64()), (Some("degraded"), Some(50.0)));
    assert_eq!((agent["release"].as_u64(), agent["release_state"].as_str()), (Some(3), Some("refused")));
    assert_eq!(agent["update"]["reason"], "expired");
    assert_eq!(agents["counts"]["unknown"], 1, "gw-2 told no status");
    let list = stage.page("/agents");
    assert!(list.contains("2 agents: 1 unknown, 1 degraded; open alerts: 1."), "{list}");
    assert!(list.contains("<a class=\"mark open\" href=\"/alerts?agent=gw-2&#38;state=open\">1</a>"), "{list}");
    let page = stage.page("/agents/gw-1");
    for told in ["degraded", "expired", "lasted 90 s", "10.0\u{a0}%"] {
        assert!(page.contains(told), "{told}");
    }
    stage.end();
}

#[test]
fn an_alerts_page_tells_who_whom_what_is_off_and_what_to_do() {
    let stage = Stage::new(&fleet());
    let page = stage.page("/alerts/gw-1/77");
    for told in [
        "10.0.0.9 → 192.0.2.7, port 23",
        "10.0.0.9 started 12 flows since 1970-01-01 00:16:40 UTC, 9 odd, chiefly to 192.0.2.7, busiest port 23",
        "it looks like no attack that is known here",
        "<strong>the source sent 1.5 kB</strong><small>forward_octets</small>",
        "0 to 20 B",
        "64\u{a0}%",
        "opened",
        "closed",
        "lapwing-trainer label gw-1 77 benign",
    ] {
        assert!(page.contains(told), "{told} in {page}");
    }
    for path in ["/alerts/gw-1/78", "/alerts/nobody/77", "/alerts/gw-1/x", "/agents/nobody", "/releases/a/1/card", "/x"]
    {
        let (status, _, body) = fetch(stage.server.address, "GET", path, "localhost", "");
        assert_eq!(status, 404, "{path}");
        assert!(body.contains("<h1>Not Found</h1>"), "{path}: {body}");
    }
    stage.end();
}

#[test]
fn a_list_tells_what_is_plainly_off_and_the_alerts_page_all() {
    let usual = Reason { feature: 4, value: 5.0, normal_low: 0.0, normal_high: 20.0, share_permille: 300 };
    let with_usual = |number, episode, keep: usize| {
        let mut message = explained(number, episode, AlertState::Opened, (1_000, 1_010));
        let Body::Alert(alert) = &mut message.body else { unreachable!() };
        alert.reasons.truncate(keep);
        alert.reasons.push(usual).unwrap();
        received("gw", &message)
    };
    let stage = Stage::new(&[with_usual(1, 5, 1)]);
    let (list, page) = (stage.page("/alerts"), stage.page("/alerts/gw/5"));
    assert!(list.contains("the source sent 1.5 kB") && !list.contains("within what is normal"), "{list}");
    assert!(page.contains("reverse_octets"), "{page}");
    stage.end();
    // Something has to be told.
    let stage = Stage::new(&[with_usual(1, 5, 0)]);
    assert!(stage.page("/alerts").contains("within what is normal"));
    stage.end();
}

#[test]
fn filters_narrow_and_pages_go_on() {
    let opened = |number: u64| {
        let agent = ["gw-1", "gw-2", "gw-3"][number as usize % 3];
        received(agent, &alert(1, number, number, AlertState::Opened, (number * 3_600, number * 3_600 + 5)))
    };
    let stage = Stage::new(&(1..=30).map(opened).collect::<Vec<_>>());
    let episodes = |path: &str| -> (Vec<String>, Option<i64>) {
        let found = stage.json(path);
        let alerts = found["alerts"].as_array().unwrap();
        (alerts.iter().map(|alert| alert["episode"].as_str().unwrap().to_owned()).collect(), found["next"].as_i64())
    };
    assert_eq!(episodes("/api/v1/alerts").0.len(), 30);
    let mut seen = Vec::new();
    let mut path = "/api/v1/alerts?agent=gw-2&limit=4".to_owned();
    loop {
        let (mut page, next) = episodes(&path);
        assert!(page.len() <= 4);
        seen.append(&mut page);
        let Some(next) = next else { break };
        path = format!("/api/v1/alerts?agent=gw-2&limit=4&before={next}");
    }
    let of_gw_2: Vec<String> =
        (1..=30).rev().filter(|number| number % 3 == 1).map(|number: u64| number.to_string()).collect();
    assert_eq!(seen, of_gw_2, "each once, newest first");
    assert_eq!(episodes("/api/v1/alerts?from=1970-01-02&to=1970-01-02T02:00").0, ["26", "25", "24"]);
    assert_eq!(episodes("/api/v1/alerts?kind=unknown&state=open&limit=500").0.len(), 30);
    assert!(episodes("/api/v1/alerts?state=closed").0.is_empty() && episodes("/api/v1/alerts?kind=x").0.is_empty());
    assert!(stage.page("/alerts?kind=x").contains("clear the filters"));
    assert!(stage.page("/alerts?agent=gw-2&limit=4").contains("agent=gw-2&#38;limit=4&#38;before="), "the way on");
    stage.end();
}

#[test]
fn one_look_is_bounded_in_messages_and_the_next_goes_on_from_there() {
    let told = |number: u64| received("gw-1", &alert(1, number, 2, AlertState::Updated, (50, 60 + number)));
    let mut batch = vec![received("gw-2", &alert(1, 1, 1, AlertState::Opened, (10, 20)))];
    batch.extend((1..=u64::from(crate::store::LOOKED_AT)).map(told));
    let stage = Stage::new(&batch);
    assert_eq!(stage.json("/api/v1/agents")["counts"]["open_alerts"], 1, "gw-2's is further back");
    let first = stage.json("/api/v1/alerts?state=closed");
    assert_eq!(first["alerts"].as_array().unwrap().len(), 0);
    let next = first["next"].as_i64().unwrap();
    let second = stage.json(&format!("/api/v1/alerts?before={next}"));
    assert_eq!((second["alerts"][0]["agent"].as_str(), second["next"].as_i64()), (Some("gw-2"), None));
    assert!(stage.page("/alerts?state=closed").contains("Look further back"));
    stage.end();
}

#[test]
fn whatever_agents_call_themselves_is_only_words() {
    let mut said = status(1);
    let Body::Status(told) = &mut said.body else { unreachable!() };
    told.agent_version = "<em>1</em>\"'&".try_into().unwrap();
    told.engine = "<i>x".try_into().unwrap();
    let mut report = update(1, 9);
    let Body::Update(told) = &mut report.body else { unreachable!() };
    told.step = lapwing_shared::messages::UpdateStep::RolledBack("<img src=x onerror=alert(1)>".try_into().unwrap());
    let messages = [said, report, explained(1, 3, AlertState::Opened, (1_000, 1_010)), health(5, 5, true)];
    let stage = Stage::new(&messages.map(|message| from_anybody(EVIL, &message)));
    let desk = stage.store.desk().unwrap();
    desk.label(EVIL, 3, crate::store::Label::Attack, "<u>me</u>", 5).unwrap();
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
    assert!(page.contains("&#60;script&#62;") && page.contains(encoded), "the name is shown, and linked");
    assert!(page.contains(r"label &#39;&#60;script&#62;alert(&#39;\&#39;&#39;1"), "and quoted for a shell: {page}");
    stage.end();
}

#[test]
fn an_empty_store_says_the_next_step_on_every_page() {
    let stage = Stage::new(&[]);
    for (path, step) in [
        ("/", "lapwing-agent run --interface"),
        ("/agents", "lapwing-agent run --interface"),
        ("/alerts", "lapwing-agent test-alert"),
        ("/releases", "lapwing-trainer keys new"),
    ] {
        assert!(stage.page(path).contains(step), "{path}");
    }
    stage.end();
}

#[test]
fn releases_say_where_they_come_from_who_runs_them_and_show_their_card() {
    let mut stage = Stage::new(&[received("gw-1", &status(1))]);
    let desk = stage.store.desk().unwrap();
    let made = |version| ReleaseLine {
        group: "home".into(),
        version,
        manifest_sha256: [1; 32],
        made_s: 1_700_000_000 + version,
        file: stage.folder.path().join(format!("home-{version}.lwr")),
        reason: Some(format!("{version} new feature rows")),
    };
    desk.add_release(&made(2)).unwrap();
    desk.add_release(&made(3)).unwrap();
    std::fs::write(stage.folder.path().join("home-3.card.html"), "<!doctype html><p>the card").unwrap();
    // A release that the trainer did not make.
    let mut other = status(1);
    let Body::Status(told) = &mut other.body else { unreachable!() };
    (told.release, told.on_trial) = (9, true);
    stage.store.commit(&[received("gw-2", &other)], crate::clock::now_s()).unwrap();
    let found = stage.json("/api/v1/releases");
    let short: Vec<_> = found["releases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|release| {
            let count = |name: &str| release[name].as_u64().unwrap();
            (count("version"), count("confirmed_by"), count("on_trial_at"), release["card"].is_string())
        })
        .collect();
    assert_eq!(short, [(3, 1, 0, true), (2, 0, 0, false), (9, 0, 1, false)]);
    let told = why(&DriftError::FewRows { side: "present", rows: 3, expected: 25 });
    assert_eq!(told, "3 rows were collected since the release was made, by the agents' clocks; 25 are needed");
    let page = stage.page("/releases");
    assert!(page.contains("3 new feature rows") && page.contains("not made by this trainer"));
    let (status, head, card) = fetch(stage.server.address, "GET", "/releases/home/3/card", "localhost", "");
    assert!(status == 200 && card.ends_with("the card") && head.contains("sandbox"), "{head}");
    stage.end();
}

#[test]
fn every_json_answer_fits_the_published_document() {
    let stage = Stage::new(&fleet());
    let document = stage.json("/api/v1/openapi.json");
    assert_eq!(document, serde_json::to_value(Document::openapi()).unwrap());
    for (path, asked, status) in [
        ("/api/v1/agents", "/api/v1/agents", 200),
        ("/api/v1/agents", "/api/v1/agents?state=online&group=home&limit=1", 200),
        ("/api/v1/agents", "/api/v1/agents?state=well", 400),
        ("/api/v1/alerts", "/api/v1/alerts", 200),
        ("/api/v1/alerts", "/api/v1/alerts?agnet=gw-1", 400),
        ("/api/v1/alerts", "/api/v1/alerts?from=yesterday", 400),
        ("/api/v1/alerts", "/api/v1/alerts?limit=-1", 400),
        ("/api/v1/releases", "/api/v1/releases", 200),
        ("/api/v1/model", "/api/v1/model", 404),
    ] {
        let answer = ask(stage.server.address, "GET", asked, "");
        assert_eq!(answer.0, status, "{asked}: {answer:?}");
        documented(&document, path, "get", &answer).unwrap();
    }
    let wrong = ask(stage.server.address, "GET", "/api/v1/alerts?from=yesterday", "").1;
    assert!(wrong["message"].as_str().unwrap().contains("time `yesterday`, expected a date as 2026-11-21"), "{wrong}");
    let predicted = ask(stage.server.address, "POST", "/api/v1/predict", "{\"rows\": []}");
    assert_eq!((predicted.0, predicted.1["code"].as_str()), (404, Some("no-model")));
    documented(&document, "/api/v1/predict", "post", &predicted).unwrap();
    stage.end();
}

#[test]
fn foreign_names_are_refused_every_answer_has_its_headers_and_nothing_can_be_changed() {
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
fn a_reader_neither_writes_nor_holds_up_the_writer() {
    let mut stage = Stage::new(&fleet());
    let desk = crate::store::Desk::open_reading(&stage.folder.store()).unwrap();
    assert!(desk.label("gw-1", 77, crate::store::Label::Benign, "me", 1).is_err(), "it cannot write");
    // A question that is half answered holds its view of the store, and the writer goes on.
    let mut rows = desk.training_rows(&crate::store::testing::SCHEMA).unwrap();
    assert!(rows.next().is_some());
    let done = stage.store.commit(&[received("gw-2", &samples(1, 9, &[(1_000, false)]))], 9).unwrap();
    assert_eq!(done.stored, 1);
    stage.end();
}
