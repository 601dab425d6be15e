//! What a step of a campaign costs with 10,000 agents: the numbers in docs/measurements.md.
//!
//! `tests/postgres cargo test -p lapwing-trainer ten_thousand_agents -- --ignored --nocapture --test-threads 1`

use super::facts::load;
use super::testing::{BASE, DAY_S, HOUR_S, NEXT};
use super::*;
use lapwing_common::clock;
use lapwing_fleet::campaign::{AbortMode, Action, Plan, ROWS_PER_DAY, Standing};
use lapwing_shared::messages::{AlertState, Body, Health, Message, ReleaseHealth, Update, UpdateStep};
use lapwing_store::contract::TestStore;
use lapwing_store::testing::postgres::Database;
use lapwing_store::testing::{Folder, alert, received, status};
use lapwing_store::{Limits, Received, Release, Store};
use std::time::Duration;

const AGENTS: u64 = 10_000;
/// Alert episodes of each agent in the 14 days before the campaign.
const ALERTS: u64 = 8;
/// Age of the campaign, in which every agent has one alert episode.
const CAMPAIGN_S: u64 = 2 * DAY_S;
const NOW_S: u64 = 1_800_000_000;
const MADE_S: u64 = NOW_S - CAMPAIGN_S;
const ROUNDS: u64 = 9;

fn name(agent: u64) -> String {
    format!("gateway-{agent}")
}

fn sent(agent: u64, number: u64, body: Body) -> Received {
    received(&name(agent), &Message { run: 1, number, sent_s: 0, body })
}

fn episode(agent: u64, number: u64, since_s: u64) -> Received {
    let since_s = since_s + agent * 37 % HOUR_S;
    received(&name(agent), &alert(1, number, number, AlertState::Closed, (since_s, since_s + 60)))
}

/// Status and health.
fn report(agent: u64, version: u64, rows: u64) -> [Received; 2] {
    let Body::Status(mut online) = status(1).body else { unreachable!() };
    online.release = version;
    let release = ReleaseHealth {
        version,
        rows,
        anomalous: rows / 100,
        surprise: std::array::from_fn(|bin| (rows >> (bin + 1).min(7)) as u32),
        cpu_ms: rows,
        packets: rows * 100,
        serial: 1,
        ..ReleaseHealth::default()
    };
    let health = Health { release, ..Health::default() };
    [sent(agent, 0, Body::Status(online)), sent(agent, 0, Body::Health(health))]
}

/// The three steps of an update that succeeds.
fn steps(agent: u64, number: u64, release: u64) -> impl Iterator<Item = Received> {
    let steps = [UpdateStep::Downloading, UpdateStep::Trial, UpdateStep::Confirmed];
    (number..).zip(steps).map(move |(number, step)| sent(agent, number, Body::Update(Update { release, step })))
}

fn commit<I: IntoIterator<Item = Received>>(store: &mut Store, at_s: u64, messages: impl Fn(u64) -> I) {
    for part in (0..AGENTS).collect::<Vec<_>>().chunks(500) {
        let messages: Vec<Received> = part.iter().flat_map(|agent| messages(*agent)).collect();
        store.commit(&messages, at_s).unwrap();
    }
}

/// A group that has run release 3 for two weeks, whose agents have all confirmed release 4 in an earlier campaign.
fn fill(store: &mut Store) {
    commit(store, MADE_S - 14 * DAY_S, |agent| report(agent, BASE, 10_000));
    let past = |agent| (1..=ALERTS).map(move |number| episode(agent, number, MADE_S - number * 40 * HOUR_S));
    commit(store, MADE_S - DAY_S, past);
    let handle = store.handle().unwrap();
    for version in [BASE, NEXT, NEXT + 1] {
        let (group, made_s, file) = ("home".into(), MADE_S - 3 * DAY_S, format!("home-{version}.lwr").into());
        let release = Release { group, version, manifest_sha256: [0; 32], made_s, file, reason: None };
        handle.add_release(&release, "serve", made_s).unwrap();
    }
    let standing = Standing { agents: AGENTS, rows_per_day: ROWS_PER_DAY, reported: 0, now_s: MADE_S - 3 * DAY_S };
    assert!(handle.add_rollout(&standing.first("home".try_into().unwrap(), BASE, 0)).unwrap());
    start(&handle, &order(NEXT), MADE_S - 3 * DAY_S).unwrap();
    commit(store, MADE_S - 2 * DAY_S, |agent| steps(agent, 100, NEXT));
    act(&handle, "home", Action::Abort(AbortMode::Stop), "ann", MADE_S - 2 * DAY_S).unwrap();
}

fn order(version: u64) -> Order<'static> {
    Order { group: "home", version, plan: Plan::default(), who: "ann", supersede: false, findings: &[] }
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

/// Best time of several rounds, and the CPU time of this thread in it. A database server's is not included.
fn timed<T>(what: &str, mut work: impl FnMut(u64) -> T) {
    let times = (0..ROUNDS).map(|round| {
        let (began, before) = (clock::monotonic(), cpu());
        work(round);
        (clock::monotonic() - began, cpu() - before)
    });
    let (wall, own) = times.min().unwrap();
    println!("{what}: {wall:.1?}, of which {own:.1?} in this process");
}

/// Largest memory of this process so far, MB.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_000
}

fn measure<S: TestStore>() {
    if !S::is_available() {
        return;
    }
    let place = S::new();
    let mut store = place.open(Limits::default());
    fill(&mut store);
    let handle = store.handle().unwrap();
    let began = clock::monotonic();
    let (stored, _) = start(&handle, &order(NEXT + 1), MADE_S).unwrap();
    println!("starting the campaign: {:.0?}", clock::monotonic() - began);
    commit(&mut store, MADE_S + HOUR_S, |agent| steps(agent, 200, NEXT + 1));
    commit(&mut store, NOW_S, |agent| [episode(agent, 50, MADE_S + agent % 48 * HOUR_S)]);
    commit(&mut store, NOW_S, |agent| report(agent, NEXT + 1, 10_000));
    println!("memory before: {} MB at most", peak_mb());
    let (scope, history_s) = (scope_of(&stored), MADE_S - 14 * DAY_S);
    timed("group_agents", |_| handle.group_agents("home").unwrap().len());
    timed("campaign_agents", |_| handle.campaign_agents("home", NEXT + 1, MADE_S).unwrap().len());
    timed("alert_hours of all days", |_| handle.alert_hours("home", history_s).unwrap().len());
    timed("alert_hours of the last two hours", |_| handle.alert_hours("home", NOW_S - 2 * HOUR_S).unwrap().len());
    timed("load everything", |_| load(&handle, &scope, "home", NOW_S).unwrap());
    let facts = load(&handle, &scope, "home", NOW_S).unwrap();
    assert_eq!(facts.agents.len() as u64, AGENTS);
    timed("step", |_| stored.campaign.clone().step(&facts.facts(), MADE_S + 60));
    let mut reader = FactsReader::default();
    timed("load what has changed", |round| reader.load(&handle, &scope, "home", NOW_S + round).unwrap());
    timed("advance", |round| advance(&handle, &mut reader, "home", MADE_S + 60 + round).unwrap());
    println!("memory: {} MB at most", peak_mb());
    drop(handle);
}

#[test]
#[ignore = "a measurement of a minute"]
fn a_step_with_ten_thousand_agents_on_sqlite() {
    measure::<Folder>();
}

#[test]
#[ignore = "a measurement of a minute"]
fn a_step_with_ten_thousand_agents_on_postgresql() {
    measure::<Database>();
}
