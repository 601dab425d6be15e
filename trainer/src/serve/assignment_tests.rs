//! Assignments in virtual time: the store, the process that publishes, and a broker in memory.

use crate::serve::simulated_fleet::{Behaviour, DAY_S, Fleet, key};
use lapwing_campaigns::{Order, act, start};
use lapwing_fleet::campaign::{AbortMode, Action, Plan};
use lapwing_fleet::{AssignedSettings, AssignmentChange, SERVE};
use lapwing_shared::messages::UpdateStep;
use lapwing_shared::rollout::assignment::{Assignment, open_assignment};
use lapwing_shared::rollout::message::Channel;
use lapwing_store::testing::name;

const HELD: AssignedSettings =
    AssignedSettings { channel: None, pin: Some(1), hold: true, alerts_per_1000_days: Some(250) };

fn topic(agent: &str) -> String {
    format!("lapwing/v1/agent/{agent}/assignment")
}

fn bytes(fleet: &Fleet, agent: &str) -> Option<Vec<u8>> {
    fleet.broker.lock().unwrap().retained.get(&topic(agent)).cloned()
}

/// The assignment at the broker, if the agent accepts it.
fn published(fleet: &Fleet, agent: &str) -> Option<Assignment> {
    let public = key().public().unwrap();
    let keys = (public.id().clone(), ed25519_dalek::VerifyingKey::from_bytes(&public.public()).unwrap());
    Some(open_assignment(&bytes(fleet, agent)?, &keys, &name(agent)).unwrap().0)
}

fn assign(fleet: &Fleet, agent: &str, settings: AssignedSettings) {
    let change = AssignmentChange::Settings(settings);
    fleet.handle.assign(agent, change, 0, "ann", fleet.now.wall_s).unwrap().unwrap();
}

/// How often an assignment was published since the last call.
fn publications(fleet: &Fleet) -> usize {
    let published = std::mem::take(&mut fleet.broker.lock().unwrap().published);
    published.iter().filter(|topic| topic.ends_with("/assignment")).count()
}

/// A fleet that follows rollouts.
fn fleet() -> Fleet {
    let mut fleet = Fleet::new(20, Behaviour::Good);
    (0..2).for_each(|_| fleet.step());
    fleet
}

#[test]
fn an_assignment_is_signed_and_published_once_and_the_same_again_after_a_restart() {
    let mut fleet = fleet();
    assign(&fleet, "gw-3", HELD);
    fleet.publish();
    let assignment = published(&fleet, "gw-3").unwrap();
    let (serial, issued_s) = (1, fleet.now.wall_s);
    let (pin, alerts_per_1000_days) = (Some(1), Some(250));
    let expected =
        Assignment { agent: name("gw-3"), serial, channel: None, pin, hold: true, alerts_per_1000_days, issued_s };
    assert_eq!(assignment, expected);
    assert_eq!((publications(&fleet), published(&fleet, "gw-4")), (1, None));
    fleet.publish();
    assert_eq!(publications(&fleet), 0);
    let before = bytes(&fleet, "gw-3");
    fleet.broker.lock().unwrap().retained.remove(&topic("gw-3"));
    fleet.restart();
    fleet.publish();
    assert_eq!(bytes(&fleet, "gw-3"), before);
    assign(&fleet, "gw-3", AssignedSettings::default());
    fleet.publish();
    let cleared = published(&fleet, "gw-3").unwrap();
    assert_eq!((cleared.serial, cleared.pin, cleared.hold), (2, None, false));
    assert_eq!(fleet.counts.assignments_published.get(), 3);
}

#[test]
fn a_key_that_cannot_be_read_delays_assignments_and_is_a_problem_of_none_else() {
    let mut fleet = fleet();
    let (path, away) = (fleet.folder.path().join("rollout.key"), fleet.folder.path().join("away"));
    std::fs::rename(&path, &away).unwrap();
    assign(&fleet, "gw-3", HELD);
    fleet.publish();
    assert_eq!(published(&fleet, "gw-3"), None);
    std::fs::rename(&away, &path).unwrap();
    fleet.wait(120);
    fleet.publish();
    assert_eq!(published(&fleet, "gw-3").unwrap().serial, 1);
}

#[test]
fn an_agent_on_which_two_campaigns_failed_is_late_for_30_days() {
    let mut fleet = fleet();
    assign(&fleet, "gw-7", AssignedSettings { channel: Some(Channel::Early), ..AssignedSettings::default() });
    for version in [2, 3] {
        fleet.add_release(version);
        let order =
            Order { group: "home", version, plan: Plan::default(), who: "ann", supersede: false, findings: &[] };
        start(&fleet.handle, &order, fleet.now.wall_s).unwrap();
        fleet.wait(60);
        fleet.send_update(7, version, UpdateStep::RolledBack("crashed".try_into().unwrap()));
        act(&fleet.handle, "home", Action::Abort(AbortMode::Stop), "ann", fleet.now.wall_s).unwrap();
    }
    fleet.wait(DAY_S);
    fleet.decide();
    fleet.publish();
    assert_eq!(published(&fleet, "gw-7").unwrap().channel, Some(Channel::Late));
    let stored = fleet.handle.assignment("gw-7").unwrap().unwrap();
    assert_eq!((stored.is_set_aside, stored.who.as_str(), stored.serial), (true, SERVE, 2));
    assert_eq!(fleet.handle.assignments(0, 9).unwrap().len(), 1, "no other agent has one");
    fleet.wait(DAY_S);
    fleet.decide();
    assert_eq!(fleet.handle.assignment("gw-7").unwrap().unwrap().serial, 2, "nothing changed");
    fleet.wait(30 * DAY_S);
    fleet.decide();
    fleet.publish();
    let back = published(&fleet, "gw-7").unwrap();
    assert_eq!((back.channel, back.serial), (Some(Channel::Early), 3));
}

#[test]
fn after_a_restore_an_assignment_gets_a_serial_above_that_of_its_agent() {
    let mut fleet = fleet();
    assign(&fleet, "gw-3", HELD);
    fleet.agents[3].device.assignment = 40;
    // The store has lost this one.
    fleet.agents[4].device.assignment = 41;
    // It lies.
    fleet.agents[5].device.assignment = u64::MAX;
    fleet.report();
    fleet.wait(DAY_S);
    fleet.decide();
    fleet.publish();
    let (own, lost) = (published(&fleet, "gw-3").unwrap(), published(&fleet, "gw-4").unwrap());
    assert!(own.serial > 40 && own.hold, "{own:?}");
    assert!(lost.serial > 41 && !lost.hold && lost.channel.is_none(), "{lost:?}");
    assert_eq!(published(&fleet, "gw-5"), None);
}
