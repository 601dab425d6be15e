//! What release health costs the ingest, and how long the queries of a campaign take: the numbers in docs/measurements.md.
//!
//! `cargo run --release -p lapwing-store --features testing,postgres --example campaigns -- FOLDER|postgres://…`
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a measurement")]

use lapwing_fleet::campaign::gates::{Finding, Gate, Verdict};
use lapwing_fleet::campaign::{Action, AlertHours, Campaign, Facts, Outcome, Plan, Terms};
use lapwing_shared::messages::{AlertState, Body, Health, Message, ReleaseHealth, Update, UpdateStep};
use lapwing_store::testing::{alert, received, status};
use lapwing_store::traits::Saved;
use lapwing_store::{Limits, Received, Store, StoreHandle};
use std::path::Path;
use std::time::{Duration, Instant};

const NOW_S: u64 = 1_700_000_000;
const REPORTING: u64 = 1_000;
const ROUNDS: u64 = 20;
const AGENTS: u64 = 10_000;
const DAYS: u64 = 31;
const SAVES: u64 = 200;

fn name(number: u64) -> String {
    format!("gateway-{number}")
}

fn health(agent: u64, release: ReleaseHealth) -> Received {
    let body = Body::Health(Health { uptime_s: agent, release, ..Health::default() });
    received(&name(agent), &Message { run: 1, number: 0, sent_s: 0, body })
}

/// Time in which a report of each agent is stored, again and again.
fn reports(store: &mut Store, release: impl Fn(u64) -> ReleaseHealth) -> Duration {
    let mut spent = Duration::ZERO;
    for round in 0..ROUNDS {
        let batch: Vec<Received> = (0..REPORTING).map(|agent| health(agent, release(round))).collect();
        let began = Instant::now();
        store.commit(&batch, NOW_S + round).unwrap();
        spent += began.elapsed();
    }
    spent / ROUNDS as u32
}

fn ingest(store: &mut Store) {
    let running = |version, rows| ReleaseHealth { version, rows, cpu_ms: rows, packets: rows, ..Default::default() };
    reports(store, |_| ReleaseHealth::default());
    for turn in 1..=3 {
        let older = reports(store, |_| ReleaseHealth::default());
        let same = reports(store, |round| running(1, round + 1));
        let changed = reports(store, |round| running(2 + round % 2, round + 1));
        println!(
            "{turn}: {REPORTING} reports of older agents {older:.1?}, with a release {same:.1?} ({:.2} times), all with \
             another version each time {changed:.1?}",
            same.as_secs_f64() / older.as_secs_f64()
        );
    }
}

/// Agents that each have 24 alerts in 31 days, and have reported three steps about version 2.
fn fill(store: &mut Store) {
    let limits = [AGENTS * 24, AGENTS * 3];
    let agents: Vec<u64> = (0..AGENTS).collect();
    for part in agents.chunks(500) {
        let mut batch = Vec::new();
        for agent in part {
            batch.push(received(&name(*agent), &status(1)));
            batch.push(health(*agent, ReleaseHealth { version: 1, rows: 9, ..ReleaseHealth::default() }));
            for episode in 0..24 {
                let since_s = NOW_S - (episode * DAYS * 3_600 + agent * 37 % 3_600);
                let message = alert(1, episode + 1, episode, AlertState::Closed, (since_s, since_s + 60));
                batch.push(received(&name(*agent), &message));
            }
            for (number, step) in (30..).zip([UpdateStep::Downloading, UpdateStep::Trial, UpdateStep::Confirmed]) {
                let body = Body::Update(Update { release: 2, step });
                batch.push(received(&name(*agent), &Message { run: 1, number, sent_s: 0, body }));
            }
        }
        store.commit(&batch, NOW_S).unwrap();
    }
    println!("{AGENTS} agents, {} alerts, {} steps", limits[0], limits[1]);
}

fn timed<T>(what: &str, work: impl Fn() -> Vec<T>) {
    let times = (0..5).map(|_| {
        let began = Instant::now();
        (work().len(), began.elapsed())
    });
    let (rows, best) = times.min_by_key(|(_, time)| *time).unwrap();
    println!("{what}: {rows} rows in {best:.1?}");
}

fn save(handle: &StoreHandle) {
    let rollout = lapwing_shared::rollout::testing::rollout(7, 1);
    let terms = Terms { version: 2, plan: Plan::default(), salt: *b"saltsalt", made_by: "ann".into(), rollout };
    let facts = Facts { agents: &[], alerts: &AlertHours::default(), reported: 0 };
    let draft = Campaign::draft(terms, NOW_S).unwrap();
    let started = draft.act(Action::Submit, "ann", &facts, NOW_S).unwrap();
    let mut stored = handle.add_campaign(&started, None, NOW_S).unwrap().unwrap();
    let finding = |gate, numerator| Finding {
        gate,
        verdict: Verdict::Undecided("0.8 of 3 agent-days".into()),
        numerator,
        denominator: 3.0,
        control_numerator: 1.0,
        control_denominator: 2.0,
        threshold: 4.0,
        text: "1.0 alerts".into(),
    };
    let began = Instant::now();
    for number in 0..SAVES {
        let findings = Gate::ALL.into_iter().map(|gate| finding(gate, number as f64)).collect();
        let action = if number % 2 == 0 { Action::Pause } else { Action::Resume };
        let acted = stored.campaign.clone().act(action, "ann", &facts, NOW_S + number).unwrap();
        let outcome = Outcome { findings, ..acted };
        let Saved::Stored(revision) = handle.save_campaign(stored.change(&outcome), NOW_S + number).unwrap() else {
            unreachable!()
        };
        (stored.campaign, stored.revision) = (outcome.campaign, revision);
    }
    let each = began.elapsed() / SAVES as u32;
    println!("save_campaign with seven results, a transition and a rollout: {each:.2?}");
}

fn main() {
    let place = std::env::args().nth(1).unwrap();
    let place = if place.starts_with("postgres") { place } else { format!("{place}/campaigns.sqlite") };
    let mut store = Store::open(Path::new(&place), Limits::default()).unwrap();
    ingest(&mut store);
    fill(&mut store);
    let handle = store.handle().unwrap();
    save(&handle);
    let since_s = NOW_S - DAYS * 86_400;
    timed("alert_hours of 31 days", || handle.alert_hours("home", since_s).unwrap());
    timed("alert_hours of a day", || handle.alert_hours("home", NOW_S - 86_400).unwrap());
    timed("campaign_agents", || handle.campaign_agents("home", 2, 0).unwrap());
    timed("release_health", || handle.release_health("home").unwrap());
    timed("highest_version", || vec![handle.highest_version("home").unwrap()]);
    timed("open_campaign", || handle.open_campaign("home").unwrap().into_iter().collect());
}
