//! What a campaign needs to know of a group's agents.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use super::campaigns::{add, draft};
use crate::testing::{alert, name, received, status};
use crate::traits::{AgentAlertHour, StoredReleaseHealth};
use crate::{HeldRelease, HeldState, HighestVersion, Limits, Received, Release, StoreHandle};
use lapwing_shared::messages::{AlertState, Body, Health, Message, ReleaseHealth, Update, UpdateStep};
use lapwing_shared::release::accept::Refusal;

const NOW_S: u64 = 1_700_000_000;

fn of(agent: &str, group: &str) -> Received {
    let mut message = status(1);
    let Body::Status(status) = &mut message.body else { unreachable!() };
    (status.group, status.release) = (name(group), 0);
    received(agent, &message)
}

fn update(agent: &str, number: u64, release: u64, step: UpdateStep) -> Received {
    received(agent, &Message { run: 1, number, sent_s: 0, body: Body::Update(Update { release, step }) })
}

fn health(agent: &str, coverage_degraded: bool, release: ReleaseHealth) -> Received {
    let body = Body::Health(Health { coverage_degraded, release, ..Health::default() });
    received(agent, &Message { run: 1, number: 0, sent_s: 0, body })
}

fn running(version: u64, cpu_ms: u64) -> ReleaseHealth {
    ReleaseHealth { version, cpu_ms, packets: 10 * cpu_ms, surprise: [9; 8], serial: 7, ..ReleaseHealth::default() }
}

pub fn the_newest_step_of_each_agent_about_a_version_is_read<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let handle = store.handle().unwrap();
    let refused = UpdateStep::Refused(heapless::String::try_from("digest").unwrap());
    let early = [of("a", "home"), of("b", "home"), of("c", "shop"), update("b", 1, 2, UpdateStep::Verified)];
    store.commit(&early, NOW_S).unwrap();
    let messages = [
        update("a", 1, 2, UpdateStep::Downloading),
        update("a", 3, 2, UpdateStep::Trial),
        // Delivered late.
        update("a", 2, 2, UpdateStep::Verified),
        // About the release to which it went back.
        update("a", 4, 1, UpdateStep::Confirmed),
        update("c", 1, 2, refused.clone()),
    ];
    store.commit(&messages, NOW_S + 60).unwrap();
    let steps = |group: &str, version, since_s| {
        let steps = handle.campaign_agents(group, version, since_s).unwrap();
        steps.into_iter().map(|step| (step.name, step.step, step.reason, step.at_s - NOW_S)).collect::<Vec<_>>()
    };
    let line = |name: &str, step: &str, at_s| (name.to_owned(), step.to_owned(), None, at_s);
    assert_eq!(steps("home", 2, NOW_S), [line("a", "trial", 60), line("b", "verified", 0)]);
    assert_eq!(steps("home", 2, NOW_S + 1), [line("a", "trial", 60)]);
    assert_eq!(steps("home", 1, 0), [line("a", "confirmed", 60)]);
    assert_eq!(steps("shop", 2, 0), [("c".to_owned(), "refused".to_owned(), Some("digest".to_owned()), 60)]);
    assert_eq!(steps("home", 3, 0), []);
}

pub fn alert_episodes_are_counted_by_agent_and_hour_of_their_start<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let handle = store.handle().unwrap();
    store.commit(&[of("a", "home"), of("b", "home"), of("c", "shop")], NOW_S).unwrap();
    let opened = |agent: &str, episode, since_s| {
        received(agent, &alert(1, episode, episode, AlertState::Opened, (since_s, since_s + 60)))
    };
    let closed = received("a", &alert(1, 9, 2, AlertState::Closed, (7_300, 9_000)));
    let messages = [
        opened("a", 1, 7_199),
        opened("a", 2, 7_300),
        opened("a", 3, 10_799),
        opened("b", 1, 10_800),
        opened("c", 1, 7_300),
        closed,
    ];
    store.commit(&messages, NOW_S).unwrap();
    let ids = handle.agents_of_group("home").unwrap();
    let hours = |since_s| {
        let hours = handle.alert_hours("home", since_s).unwrap();
        let line = |AgentAlertHour { agent, hour, episodes }| (ids[&agent].clone(), hour, episodes);
        hours.into_iter().map(line).collect::<Vec<_>>()
    };
    let line = |agent: &str, hour, episodes| (agent.to_owned(), hour, episodes);
    assert_eq!(hours(0), [line("a", 1, 1), line("a", 2, 2), line("b", 3, 1)]);
    assert_eq!(hours(7_301), [line("a", 2, 1), line("b", 3, 1)]);
    assert_eq!(hours(u64::MAX), []);
}

fn line(handle: &StoreHandle) -> StoredReleaseHealth {
    handle.release_health("home").unwrap().remove(0)
}

pub fn a_new_version_keeps_what_the_one_before_it_cost<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let handle = store.handle().unwrap();
    let older = health("old", true, ReleaseHealth::default());
    store.commit(&[of("a", "home"), of("old", "home"), older, health("a", false, running(1, 5))], NOW_S).unwrap();
    let first = line(&handle);
    assert_eq!(handle.release_health("home").unwrap().len(), 1, "an agent that does not report it has no row");
    assert_eq!((first.name.as_str(), first.release, first.first_s), ("a", running(1, 5), NOW_S));
    assert_eq!((first.before_version, first.before_cpu_ms, first.degraded_since_s), (0, 0, None));
    store.commit(&[health("a", false, running(1, 50)), health("a", true, running(1, 100))], NOW_S + 10).unwrap();
    // A writer that has just started knows the same.
    drop(store);
    let mut store = folder.open(Limits::default());
    store.commit(&[health("a", true, running(2, 3))], NOW_S + 20).unwrap();
    let second = line(&handle);
    assert_eq!((second.before_version, second.before_cpu_ms, second.before_packets), (1, 100, 1_000));
    assert_eq!((second.release.version, second.first_s, second.at_s), (2, NOW_S, NOW_S + 20));
    assert_eq!(second.degraded_since_s, Some(NOW_S + 10));
    store.commit(&[health("a", false, running(2, 7))], NOW_S + 30).unwrap();
    let third = line(&handle);
    assert_eq!((third.before_version, third.before_cpu_ms, third.degraded_since_s), (1, 100, None));
    assert_eq!(third.release.cpu_ms, 7);
    // A report without the fields, e.g. of an agent that was downgraded, changes nothing.
    store.commit(&[health("a", true, ReleaseHealth::default())], NOW_S + 40).unwrap();
    assert_eq!(handle.release_health("home").unwrap(), []);
    store.commit(&[health("a", false, running(3, 1))], NOW_S + 50).unwrap();
    assert_eq!((line(&handle).before_version, line(&handle).before_packets), (2, 0), "its costs are not known");
    handle.forget_agent("a", "ann", NOW_S + 60).unwrap();
    store.commit(&[of("a", "home"), health("a", false, running(3, 1))], NOW_S + 70).unwrap();
    assert_eq!((line(&handle).before_version, line(&handle).first_s), (0, NOW_S + 70));
}

pub fn agents_that_report_a_group_are_read_with_what_a_campaign_needs<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let handle = store.handle().unwrap();
    let messages = [
        of("c", "shop"),
        of("b", "home"),
        of("a", "home"),
        health("a", true, running(1, 5)),
        health("b", false, ReleaseHealth::default()),
        update("a", 2, 2, UpdateStep::Trial),
        update("a", 1, 2, UpdateStep::Downloading),
        // It has sent no status yet.
        health("d", false, running(1, 5)),
    ];
    store.commit(&messages, NOW_S).unwrap();
    let [a, b] = &handle.group_agents("home").unwrap()[..] else { panic!() };
    assert_eq!((a.name.as_str(), a.last_seen_s, a.is_degraded, a.status.online), ("a", NOW_S, true, true));
    let update = a.update.as_ref().unwrap();
    assert_eq!((update.release, update.step.as_str(), update.received_s), (2, "trial", NOW_S));
    assert_eq!(a.release, Some(line(&handle)));
    assert_eq!((b.name.as_str(), b.is_degraded, &b.update, &b.release), ("b", false, &None, &None));
    // Its rows train another group; it still follows the rollouts of its own.
    handle.assign_group("a", Some("shop"), "ann", NOW_S).unwrap();
    let agents = handle.group_agents("home").unwrap();
    assert_eq!((agents.len(), agents[0].name.as_str(), &agents[0].release), (2, "a", &None));
    assert_eq!(handle.group_agents("shop").unwrap().len(), 1);
}

pub fn the_highest_version_is_that_of_the_store_or_of_an_agent<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let handle = store.handle().unwrap();
    let highest = || handle.highest_version("home").unwrap();
    assert_eq!(highest(), HighestVersion::default());
    let release = |group: &str, version| Release {
        group: group.into(),
        version,
        manifest_sha256: [0; 32],
        made_s: 1,
        file: "x".into(),
        reason: None,
    };
    handle.add_release(&release("home", 3), "serve", 1).unwrap();
    handle.add_release(&release("shop", 99), "serve", 1).unwrap();
    assert_eq!(highest().stored, 3);
    let held = HeldRelease {
        group: "home".into(),
        version: 4,
        made_s: 1,
        file: "x".into(),
        reason: String::new(),
        findings: String::new(),
        state: HeldState::Waiting,
        who: None,
    };
    handle.hold_release(&held).unwrap();
    assert_eq!(highest().stored, 4);
    add(&handle, &draft(5, 7));
    assert_eq!(highest().stored, 5);
    let mut message = status(1);
    let Body::Status(status) = &mut message.body else { unreachable!() };
    status.release = 4;
    store.commit(&[received("a", &message), of("b", "home"), of("c", "shop")], NOW_S).unwrap();
    assert_eq!((highest().reported, highest().version()), (4, 5));
    store.commit(&[health("b", false, running(6, 1)), health("c", false, running(90, 1))], NOW_S).unwrap();
    let found = HighestVersion { stored: 5, reported: 6, agent: Some("b".into()), ignored: 0 };
    assert_eq!(highest(), found);
    store.commit(&[update("a", 1, 8, UpdateStep::Confirmed), update("a", 2, 7, UpdateStep::Trial)], NOW_S).unwrap();
    assert_eq!((highest().reported, highest().agent.as_deref(), highest().version()), (8, Some("a"), 8));
    let not_newer = Refusal::NotNewer { found: 1, confirmed: 9 }.to_string();
    let refused = UpdateStep::Refused(heapless::String::try_from(not_newer.as_str()).unwrap());
    store.commit(&[update("a", 3, 1, refused)], NOW_S).unwrap();
    assert_eq!((highest().reported, highest().agent.as_deref()), (9, Some("a")));
    for (number, version) in (3..).zip([2_000, i64::MAX.cast_unsigned(), u64::MAX]) {
        let reports = [update("b", number, version, UpdateStep::Trial), health("b", false, running(version, 1))];
        store.commit(&reports, NOW_S).unwrap();
        assert_eq!((highest().version(), highest().ignored), (9, 1), "{version}");
    }
}
