//! Pages and numbers of agents.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use crate::testing::{alert, name, received, status, update};
use crate::{AgentCount, AgentFilter, Limits, Received, Store, StoreHandle};
use lapwing_fleet::{AgentState, SILENT_S};
use lapwing_shared::messages::{AlertState, Body, Health, Message};

const NOW_S: u64 = 100_000;

fn of(agent: &str, online: bool, group: &str, release: u64) -> Received {
    let mut message = status(1);
    let Body::Status(status) = &mut message.body else { unreachable!() };
    (status.online, status.group, status.release) = (online, name(group), release);
    received(agent, &message)
}

fn health(agent: &str, coverage_degraded: bool) -> Received {
    let body = Body::Health(Health { coverage_degraded, ..Health::default() });
    received(agent, &Message { run: 1, number: 0, sent_s: 0, body })
}

fn opened(agent: &str, episode: u64) -> Received {
    received(agent, &alert(1, episode, episode, AlertState::Opened, (1, 2)))
}

/// Forty agents, in turns online, offline, silent, degraded and without a status; every seventh has an open alert.
fn forty(store: &mut Store, handle: &StoreHandle) {
    let agent = |number: u64| format!("gw-{number:02}");
    for number in 0..40 {
        let (agent, group) = (agent(number), ["home", "shop"][usize::from(number.is_multiple_of(4))]);
        let mut batch = match number % 5 {
            4 => vec![received(&agent, &update(1, 90))],
            1 => vec![of(&agent, false, group, 3)],
            3 => vec![of(&agent, true, group, 3), health(&agent, true)],
            _ => vec![of(&agent, true, group, 3)],
        };
        if number.is_multiple_of(7) {
            batch.push(opened(&agent, number + 1));
        }
        let age_s = if number % 5 == 2 { SILENT_S + 1 } else { SILENT_S };
        store.commit(&batch, NOW_S - age_s).unwrap();
    }
    assert_eq!(handle.mark_silent(NOW_S).unwrap(), 8);
    assert_eq!(handle.mark_silent(NOW_S).unwrap(), 0);
}

/// Names of all agents that match, page by page.
fn names(handle: &StoreHandle, filter: AgentFilter) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = handle.agent_page(&AgentFilter { limit: 3, after, ..filter.clone() }).unwrap();
        assert!(page.agents.len() <= 3);
        found.extend(page.agents.into_iter().map(|agent| agent.line.name));
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

pub fn agents_with_problems_come_first_on_pages_that_continue<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let handle = store.handle().unwrap();
    forty(&mut store, &handle);
    // Offline, silent, unknown, degraded, online.
    let rank = |number: &u64| (!number.is_multiple_of(7), [4, 0, 1, 3, 2][(number % 5) as usize], *number);
    let expected = |is_wanted: &dyn Fn(u64) -> bool| {
        let mut numbers: Vec<u64> = (0..40).filter(|number| is_wanted(*number)).collect();
        numbers.sort_by_key(rank);
        numbers.into_iter().map(|number| format!("gw-{number:02}")).collect::<Vec<_>>()
    };
    let filter = AgentFilter::default;
    assert_eq!(names(&handle, filter()), expected(&|_| true));
    let state = |state| AgentFilter { state: Some(state), ..filter() };
    assert_eq!(names(&handle, state(AgentState::Silent)), expected(&|number| number % 5 == 2));
    assert_eq!(names(&handle, state(AgentState::Unknown)), expected(&|number| number % 5 == 4));
    let shop = AgentFilter { group: Some("shop".into()), ..filter() };
    assert_eq!(names(&handle, shop.clone()), expected(&|number| number % 4 == 0 && number % 5 != 4));
    let online = AgentFilter { state: Some(AgentState::Online), prefix: Some("gw-2".into()), ..shop };
    assert_eq!(names(&handle, online), ["gw-20"]);
    let prefix = |prefix: &str| AgentFilter { prefix: Some(prefix.into()), ..filter() };
    assert_eq!(names(&handle, prefix("gw-1")), expected(&|number| number / 10 == 1));
    assert!(names(&handle, prefix("gw-4")).is_empty() && names(&handle, prefix("gw-\0")).is_empty());
    let part = AgentFilter { contains: Some("-3".into()), ..filter() };
    assert_eq!(names(&handle, part), expected(&|number| number / 10 == 3));
    let page = handle.agent_page(&AgentFilter { limit: 40, ..filter() }).unwrap();
    assert_eq!((page.agents.len(), page.next), (40, None), "exactly full");
}

pub fn a_page_continues_although_agents_change_their_state_or_are_removed<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let handle = store.handle().unwrap();
    let agents = ["a", "b", "c", "d", "e"];
    store.commit(&agents.map(|agent| of(agent, true, "home", 3)), NOW_S).unwrap();
    let page = |after, limit| {
        let page = handle.agent_page(&AgentFilter { after, limit, ..AgentFilter::default() }).unwrap();
        (page.agents.into_iter().map(|agent| agent.line.name).collect::<Vec<_>>(), page.next)
    };
    let (first, next) = page(None, 2);
    assert_eq!(first, ["a", "b"]);
    // The last agent of the page goes to another section; the page continues after its name.
    store.commit(&[of("b", false, "home", 3)], NOW_S).unwrap();
    assert_eq!(page(next, 9).0, ["c", "d", "e"]);
    handle.forget_agent("b", "ann", 9).unwrap();
    assert_eq!(page(next, 9).0, ["a", "c", "d", "e"], "its section starts again");
}

pub fn a_last_will_changes_nothing_but_that_the_agent_has_gone<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let handle = store.handle().unwrap();
    let shown = |agent: &str| {
        let stored = handle.agents().unwrap().into_iter().find(|stored| stored.name == agent).unwrap();
        let status = stored.status.unwrap();
        (status.online, status.release, status.group.to_string())
    };
    store.commit(&[of("a", true, "home", 4)], NOW_S).unwrap();
    store.commit(&[of("a", false, "shop", 3), of("b", true, "home", 2)], NOW_S + 1).unwrap();
    assert_eq!(shown("a"), (false, 4, "home".into()), "the will is of the beginning of the connection");
    // Both in one batch; and a broker that repeats the retained will.
    let batch = [of("b", true, "home", 5), of("b", false, "home", 2), of("a", false, "shop", 3)];
    store.commit(&batch, NOW_S + 2).unwrap();
    assert_eq!((shown("a"), shown("b")), ((false, 4, "home".into()), (false, 5, "home".into())));
    let counts = handle.agent_counts().unwrap();
    assert!(counts.iter().all(|count| count.state == AgentState::Offline && count.release >= 4), "{counts:?}");
    store.commit(&[of("c", false, "home", 3), of("b", false, "home", 2), of("b", true, "home", 6)], NOW_S + 3).unwrap();
    assert_eq!((shown("c"), shown("b")), ((false, 3, "home".into()), (true, 6, "home".into())));
    let page =
        handle.agent_page(&AgentFilter { limit: 9, prefix: Some("b".into()), ..AgentFilter::default() }).unwrap();
    assert!(page.agents[0].line.status.as_ref().unwrap().online);
    let problems = handle.check().unwrap();
    assert!(!problems.iter().any(|problem| problem.contains("numbers of agents")), "{problems:?}");
}

pub fn numbers_of_agents_follow_their_messages<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let handle = store.handle().unwrap();
    let counts = || {
        let mut counts = handle.agent_counts().unwrap();
        counts.sort_by_key(|count| (count.state, count.group.clone(), count.release));
        counts
    };
    assert_eq!(counts(), []);
    let batch = [of("a", true, "home", 3), of("b", true, "home", 3), opened("b", 1), opened("b", 2), opened("c", 1)];
    store.commit(&batch, NOW_S).unwrap();
    let count = |state, group: &str, release, agents, open_alerts| AgentCount {
        state,
        group: group.into(),
        release,
        on_trial: false,
        failed_release: 0,
        agents,
        open_alerts,
    };
    let (unknown, online, silent) = (AgentState::Unknown, AgentState::Online, AgentState::Silent);
    assert_eq!(counts(), [count(unknown, "", 0, 1, 1), count(online, "home", 3, 2, 2)]);
    store.commit(&[of("a", true, "home", 4), received("b", &update(1, 3))], NOW_S + 1).unwrap();
    let failed = AgentCount { failed_release: 4, ..count(online, "home", 3, 1, 2) };
    assert_eq!(counts(), [count(unknown, "", 0, 1, 1), failed.clone(), count(online, "home", 4, 1, 0)]);
    assert_eq!(handle.mark_silent(NOW_S + 1 + SILENT_S).unwrap(), 0);
    assert_eq!(handle.mark_silent(NOW_S + 2 + SILENT_S).unwrap(), 2);
    store.commit(&[health("a", true)], NOW_S + 3 + SILENT_S).unwrap();
    let degraded = count(AgentState::Degraded, "home", 4, 1, 0);
    let failed = AgentCount { state: silent, ..failed };
    assert_eq!(counts(), [failed, count(unknown, "", 0, 1, 1), degraded.clone()]);
    handle.assign_group("a", Some("shop"), "ann", 9).unwrap();
    handle.forget_agent("b", "ann", 9).unwrap();
    handle.forget_agent("c", "ann", 9).unwrap();
    assert_eq!(counts(), [AgentCount { group: "shop".into(), ..degraded }]);
    let problems = handle.check().unwrap();
    assert!(!problems.iter().any(|problem| problem.contains("numbers of agents")), "{problems:?}");
}
