//! A thousand agents → order of the agent list, size and time of pages.

use super::server::ConnectionLimits;
use super::tests::{Stage, alert_with_reason};
use lapwing_shared::messages::{AlertState, Body, Health, Message, Reason, Role};
use lapwing_shared::units::Address;
use lapwing_store::testing::{name, received, status};
use lapwing_store::{Limits, Received, Store};

const AGENTS: u64 = 1_000;
pub(super) const DAY_S: u64 = 86_400;
pub(super) const KINDS: [Option<&str>; 4] = [Some("port-scan"), Some("telnet-spread"), Some("syn-flood"), None];

pub(super) fn agent(number: u64) -> String {
    format!("gateway-{number:04}")
}

/// Age and contents of an agent's newest messages: most are online, some degraded, silent, offline or without release.
pub(super) fn agent_messages(number: u64) -> (u64, Vec<Received>) {
    let mut message = status(1);
    let Body::Status(status) = &mut message.body else { unreachable!() };
    status.group = name(["home", "shop", "farm"][number as usize % 3]);
    status.release = if number.is_multiple_of(40) { 0 } else { 3 };
    status.online = !number.is_multiple_of(30);
    let counters = Health {
        uptime_s: 60 * number,
        packets: 70_000 * number,
        coverage_degraded: number.is_multiple_of(50),
        seen_octets: 10,
        moved_octets: 100,
        kernel_drops: if number.is_multiple_of(50) { 77 * number } else { 0 },
        sampled_permille: 1000,
        ..Health::default()
    };
    let counters = Message { run: 1, number: 0, sent_s: 0, body: Body::Health(counters) };
    let age_s = match number {
        _ if number.is_multiple_of(30) => number * 600,
        _ if number.is_multiple_of(70) => 3_600,
        _ => 20,
    };
    (age_s, vec![received(&agent(number), &message), received(&agent(number), &counters)])
}

/// The messages of an episode, `back` episodes before the newest of `all`, within the last two weeks. It is open if it
/// is one of the newest and of one of a few agents.
fn episode(back: u64, all: u64, now_s: u64) -> Vec<Received> {
    // A few agents have most of the alerts.
    let of = (back * back + 7 * back) % AGENTS + 1;
    let since_s = now_s - back * 14 * DAY_S / all - 30;
    let open = back < 400 && of % 11 == 1;
    let mut messages = Vec::new();
    for (state, number) in [(AlertState::Opened, 2 * (all - back)), (AlertState::Closed, 2 * (all - back) + 1)] {
        let mut message = alert_with_reason(number, all - back, state, (since_s, since_s + 25));
        let Body::Alert(alert) = &mut message.body else { unreachable!() };
        alert.host = Address::from_v4([192, 168, (of % 250) as u8, (back % 250) as u8]);
        alert.role = if back.is_multiple_of(3) { Role::Target } else { Role::Source };
        alert.flows = 12 + (back % 4_000) as u32;
        alert.resembles = KINDS[back as usize % 4].and_then(|kind| kind.try_into().ok());
        let reason = Reason { feature: 47, value: 339.4, normal_low: 0.0, normal_high: 2.04, share_permille: 210 };
        alert.reasons.push(reason).unwrap();
        messages.push(received(&agent(of), &message));
        if open {
            break;
        }
    }
    messages
}

pub(super) fn fill(store: &mut Store, episodes: u64, now_s: u64) {
    for number in 1..=AGENTS {
        let (age_s, messages) = agent_messages(number);
        store.commit(&messages, now_s - age_s).unwrap();
    }
    let numbers: Vec<u64> = (0..episodes).rev().collect();
    for part in numbers.chunks(5_000) {
        let batch: Vec<Received> = part.iter().flat_map(|back| episode(*back, episodes, now_s)).collect();
        store.commit(&batch, now_s).unwrap();
    }
    store.handle().unwrap().mark_silent(now_s).unwrap();
}

fn small_fleet() -> Stage {
    let mut stage = Stage::with(&[], Limits::default(), ConnectionLimits::default());
    fill(&mut stage.store, 2_000, lapwing_common::clock::now_s());
    stage
}

#[test]
fn agents_with_open_alerts_come_first_then_those_with_problems() {
    let stage = small_fleet();
    let mut order: Vec<(bool, usize, String)> = Vec::new();
    let mut after = 0;
    while order.len() < AGENTS as usize {
        let list = stage.json(&format!("/api/v1/agents?limit=500&after={after}"));
        let agents = list["agents"].as_array().unwrap();
        assert!(!agents.is_empty());
        let key = |agent: &serde_json::Value| {
            let states = ["offline", "silent", "unknown", "degraded", "online"];
            let state = states.iter().position(|state| agent["state"] == *state).unwrap();
            (agent["open_alerts"] == 0, state, agent["name"].as_str().unwrap().to_owned())
        };
        order.extend(agents.iter().map(key));
        after = list["next"].as_u64().unwrap_or(u64::MAX);
    }
    assert!(order.is_sorted());
    assert!(!order[0].0 && order[AGENTS as usize - 1].0, "some agents have open alerts, some do not");
    assert!(order.iter().any(|agent| agent.1 == 1), "some are silent");
    stage.end();
}

#[test]
fn page_size_is_bounded_with_a_thousand_agents() {
    let stage = small_fleet();
    for (path, most) in PAGES {
        let page = stage.page(path);
        assert!(page.len() < most, "{path}: {} bytes", page.len());
    }
    stage.end();
}

/// Pages and an upper bound of their size, bytes.
const PAGES: [(&str, usize); 11] = [
    ("/", 60_000),
    ("/agents", 60_000),
    ("/agents?state=offline", 60_000),
    ("/agents?limit=500", 500_000),
    ("/agents/gateway-0001", 40_000),
    ("/alerts", 80_000),
    ("/alerts?limit=500", 800_000),
    ("/alerts?state=open", 80_000),
    ("/alerts?kind=port-scan&from=2020-01-01", 80_000),
    ("/alerts?agent=gateway-0001", 80_000),
    ("/releases", 30_000),
];
