//! Serves the dashboard of a simulated group with campaigns of every kind, to look at its pages.
//!
//! `cargo run -p lapwing-web --features testing --example campaign_pages -- running` prints an address and serves until it
//! reads a line or the end of standard input. Instead of `running`: `paused`, `waiting` or `aborting`, the state of the newest
//! campaign.
#![allow(clippy::unwrap_used, reason = "an example ends at the first failure")]

use lapwing_campaigns::testing::{Conduct, HOUR_S, Stage};
use lapwing_campaigns::{FactsReader, Order, act, advance, start};
use lapwing_common::clock;
use lapwing_fleet::campaign::{AbortMode, Action, CampaignState, Plan};
use lapwing_fleet::{HeldRelease, HeldState};
use lapwing_shared::messages::UpdateStep;
use lapwing_web::{Site, WebServer};

/// Hours from the first campaign to now.
const HOURS: u64 = 240;
const AGENTS: usize = 100;

fn begin(stage: &Stage, version: u64, approval: bool) {
    if version > 4 {
        stage.add_release(version);
    }
    let plan = Plan { approval, ..Plan::default() };
    let order = Order { group: "home", version, plan, who: "ann", supersede: true, findings: &[] };
    start(&stage.handle, &order, stage.now_s).unwrap();
}

/// Lets hours pass, until the campaign has this state.
fn pass(stage: &mut Stage, hours: u64, until: CampaignState) {
    let mut reader = FactsReader::default();
    for _ in 0..hours {
        stage.hour();
        let outcome = advance(&stage.handle, &mut reader, "home", stage.now_s).unwrap();
        if outcome.is_none_or(|outcome| outcome.campaign.state() == until) {
            return;
        }
    }
}

/// Campaigns that have ended: aborted, refused, superseded, completed; and a release that the gate holds back.
fn past(stage: &mut Stage) {
    stage.conduct = Conduct::Alerts;
    begin(stage, 4, false);
    pass(stage, 24, CampaignState::Aborted);
    begin(stage, 5, true);
    act(&stage.handle, "home", Action::Refuse, "bob", stage.now_s).unwrap();
    begin(stage, 6, false);
    pass(stage, 8, CampaignState::Completed);
    begin(stage, 7, false);
    pass(stage, 120, CampaignState::Completed);
    stage.hold(&HeldRelease {
        group: "home".into(),
        version: 9,
        made_s: stage.now_s,
        file: "home-9.held".into(),
        reason: "20000 new feature rows".into(),
        findings: "detects 19 of 20 sealed attacks, misses port-scan in home-a\nevidence limits change more than 2-fold: 14.2 \
                   to 31.9 nats at 1 alerts per day"
            .into(),
        state: HeldState::Waiting,
        who: None,
    });
}

/// The newest campaign, with agents in as many steps as possible.
fn newest(stage: &mut Stage, state: &str) {
    begin(stage, 8, state == "waiting");
    if state == "waiting" {
        return;
    }
    pass(stage, 40, CampaignState::Completed);
    let rolled_back = UpdateStep::RolledBack(heapless::String::try_from("no packets for 60 s").unwrap());
    let refused = UpdateStep::Refused(heapless::String::try_from("not enough memory: 41 of 64 MiB in use").unwrap());
    let steps = [rolled_back, refused, UpdateStep::Downloading, UpdateStep::Trial];
    let messages: Vec<_> =
        stage.agents.iter_mut().take(4).zip(steps).map(|(agent, step)| agent.step(8, step)).collect();
    stage.commit(&messages);
    for agent in stage.agents.iter_mut().take(4) {
        agent.is_online = false;
    }
    stage.agents.iter_mut().skip(4).take(2).for_each(|agent| agent.release.is_held = true);
    let action = match state {
        "paused" => Some(Action::Pause),
        "aborting" => Some(Action::Abort(AbortMode::Withdraw)),
        _ => None,
    };
    if let Some(action) = action {
        stage.agents.iter_mut().skip(50).for_each(|agent| agent.is_online = false);
        act(&stage.handle, "home", action, "bob", stage.now_s).unwrap();
    }
}

fn main() {
    let state = std::env::args().nth(1).unwrap_or_else(|| "running".into());
    let mut stage = Stage::new(AGENTS, clock::now_s() - HOURS * HOUR_S);
    past(&mut stage);
    // The newest campaign should be recent.
    stage.now_s = stage.now_s.max(clock::now_s() - 42 * HOUR_S);
    newest(&mut stage, &state);
    let site = Site { store: Some(stage.folder.store().into()), ..Site::default() };
    let server = WebServer::start(site, "127.0.0.1:0".parse().unwrap()).unwrap();
    println!("http://{}", server.address);
    let _ = std::io::stdin().read_line(&mut String::new());
    server.stop().unwrap();
}
