//! A fleet in an SQLite file and in PostgreSQL → the same pages, and the time that each takes.

use super::large_fleet_tests::{DAY_S, KINDS, agent, agent_messages, fill};
use super::server::ConnectionLimits;
use super::tests::{Stage, alert_with_reason};
use lapwing_shared::messages::{AlertState, Body};
use lapwing_store::testing::postgres::Database;
use lapwing_store::testing::{Folder, received};
use lapwing_store::{Limits, Received, Store};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::time::Duration;

fn stage_of(database: &Database, limits: Limits) -> Stage {
    Stage::of(&database.url(), Folder::new(), limits, ConnectionLimits::default())
}

#[test]
fn a_fleet_has_the_same_lists_in_both_stores() {
    let Some(server) = Database::server_url() else { return };
    let database = Database::create_at(server);
    let mut stages =
        [Stage::with(&[], Limits::default(), ConnectionLimits::default()), stage_of(&database, Limits::default())];
    let now_s = lapwing_common::clock::now_s();
    stages.iter_mut().for_each(|stage| fill(&mut stage.store, 500, now_s));
    for path in [
        "agents?limit=500",
        "agents?prefix=gateway-00&state=silent",
        "agents?agent=77&group=home",
        "alerts?limit=500",
        "alerts?state=open",
        "alerts?kind=port-scan&agent=gateway-0009&from=2020-01-01",
        "releases",
        "groups",
    ] {
        let lists = stages.each_ref().map(|stage| all_pages(stage, path));
        assert!(!lists[0].is_empty() || path.contains("gateway-0009"), "{path}");
        assert_eq!(lists[0], lists[1], "{path}");
    }
    for path in
        ["/", "/agents/gateway-0001", "/alerts/gateway-0001/1", "/agents?prefix=%00", "/alerts?agent=%00&kind=%00"]
    {
        let pages = stages.each_ref().map(|stage| {
            let (status, page) = stage.page_or_error(path);
            // The time passes between the two requests.
            (status, page.lines().filter(|line| !line.contains(" ago")).map(str::to_owned).collect::<Vec<_>>())
        });
        assert_eq!(pages[0], pages[1], "{path}");
    }
    stages.into_iter().for_each(Stage::end);
}

/// The entries of a list on all its pages, and what it counts.
fn all_pages(stage: &Stage, path: &str) -> Vec<Json> {
    let list = path.split('?').next().unwrap();
    let place = if list == "agents" { "after" } else { "before" };
    let mut query = path.to_owned();
    let mut entries = Vec::new();
    loop {
        let page = stage.json(&format!("/api/v1/{query}"));
        entries.extend(page[list].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_i64() else {
            entries.push(page["counts"].clone());
            return entries;
        };
        query = format!("{path}&{place}={next}");
    }
}

/// Agents and episodes to measure.
const FLEET: [u64; 2] = [10_000, 1_000_000];

/// One message of an episode, `back` episodes before the newest of `all`, within the last two weeks, and its time. The
/// newest are open.
fn episode(back: u64, [agents, all]: [u64; 2], numbers: &mut HashMap<u64, u64>, now_s: u64) -> (u64, Received) {
    let of = (back * back + 7 * back) % agents + 1;
    let number = numbers.entry(of).or_insert(0);
    *number += 1;
    let since_s = now_s - back * 14 * DAY_S / all - 30;
    let state = if back < 4_000 && of.is_multiple_of(11) { AlertState::Opened } else { AlertState::Closed };
    let mut message = alert_with_reason(*number, all - back, state, (since_s, since_s + 25));
    let Body::Alert(alert) = &mut message.body else { unreachable!() };
    alert.resembles = KINDS[back as usize % 4].and_then(|kind| kind.try_into().ok());
    (since_s + 25, received(&agent(of), &message))
}

fn fill_large(store: &mut Store, fleet: [u64; 2]) {
    let now_s = lapwing_common::clock::now_s();
    let [agents, episodes] = fleet;
    let mut numbers = HashMap::new();
    let all: Vec<u64> = (0..episodes).rev().collect();
    for part in all.chunks(5_000) {
        let (times, batch): (Vec<u64>, Vec<Received>) =
            part.iter().map(|back| episode(*back, fleet, &mut numbers, now_s)).unzip();
        store.commit(&batch, *times.last().unwrap()).unwrap();
    }
    let statuses: Vec<(u64, Vec<Received>)> = (1..=agents).map(agent_messages).collect();
    for (age_s, messages) in statuses.chunks(500).map(|part| (part[0].0, part.iter().flat_map(|agent| agent.1.clone())))
    {
        store.commit(&messages.collect::<Vec<_>>(), now_s - age_s.min(60)).unwrap();
    }
    store.handle().unwrap().mark_silent(now_s).unwrap();
}

/// Pages to measure, `{week}` is the time a week ago.
const PAGES: [&str; 19] = [
    "/",
    "/agents",
    "/agents?state=offline",
    "/agents?prefix=gateway-09&state=online",
    "/agents?agent=777",
    "/agents?group=home",
    "/agents?limit=500",
    "/agents/gateway-0009",
    "/alerts",
    "/alerts?limit=500",
    "/alerts?state=open",
    "/alerts?state=open&to={week}",
    "/alerts?to={week}",
    "/alerts?kind=port-scan&state=closed&from=2020-01-01",
    "/alerts?agent=gateway-0009",
    "/alerts?agent=gateway-0009&kind=port-scan&state=open",
    "/alerts?agent=gateway-0009&kind=port-scan&from=2020-01-01",
    "/alerts?kind=none-like-this",
    "/releases",
];

/// Times of a page, sorted.
fn times(stage: &Stage, path: &str) -> (usize, Vec<f64>) {
    let mut bytes = 0;
    let mut times: Vec<f64> = (0..100)
        .map(|_| {
            let began = tokio::time::Instant::now();
            bytes = stage.page(path).len();
            began.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (bytes, times)
}

/// Prints the table in docs/measurements.md. `LAPWING_FLEET=AGENTS,EPISODES` changes the size of the fleet.
#[test]
#[ignore = "measures, and takes minutes"]
fn a_fleet_of_ten_thousand_agents_is_measured() {
    let fleet = std::env::var("LAPWING_FLEET").map_or(FLEET, |text| {
        let numbers: Vec<u64> = text.split(',').map(|number| number.parse().unwrap()).collect();
        numbers.try_into().unwrap()
    });
    let limits = Limits { alerts: 2_000_000, ..Limits::default() };
    let database = Database::server_url().map(Database::create_at);
    let mut stages = vec![("SQLite", Stage::with(&[], limits, ConnectionLimits::default()))];
    stages.extend(database.iter().map(|database| ("PostgreSQL", stage_of(database, limits))));
    for (name, stage) in &mut stages {
        let began = tokio::time::Instant::now();
        fill_large(&mut stage.store, fleet);
        println!("{name}: {fleet:?} in {:.0} s", began.elapsed().as_secs_f64());
    }
    let week = (lapwing_common::clock::now_s() - 7 * DAY_S).to_string();
    println!("| page | store | kB | ms, p50 | ms, p95 |\n|---|---|---|---|---|");
    let mut slowest = 0.0_f64;
    for path in PAGES.map(|path| path.replace("{week}", &week)) {
        for (name, stage) in &stages {
            let (bytes, times) = times(stage, &path);
            println!("| `{path}` | {name} | {} | {:.1} | {:.1} |", bytes / 1_000, times[50], times[95]);
            slowest = slowest.max(times[95]);
        }
    }
    assert!(Duration::from_secs_f64(slowest / 1e3) < Duration::from_millis(200), "{slowest} ms");
    stages.into_iter().for_each(|(_, stage)| stage.end());
}
