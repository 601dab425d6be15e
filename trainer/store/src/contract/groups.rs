//! Groups of agents and their rows.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use crate::testing::{SCHEMA, name, received, samples, status};
use crate::{AgentsOfGroup, GroupRows, Limits, Received, StoreHandle};
use lapwing_shared::messages::Body;

/// Status of an agent in a group.
fn of(agent: &str, group: &str) -> Received {
    let mut message = status(1);
    let Body::Status(status) = &mut message.body else { unreachable!() };
    status.group = name(group);
    received(agent, &message)
}

fn rows(agent: &str, number: u64, rows: u64) -> Received {
    let rows: Vec<_> = (0..rows).map(|row| (number * 100 + row, false)).collect();
    received(agent, &samples(1, number, &rows))
}

fn names(handle: &StoreHandle, group: &str) -> Vec<String> {
    handle.agents_of_group(group).unwrap().into_values().collect()
}

pub fn an_agent_is_in_the_group_that_it_reports_unless_an_operator_assigns_another<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    store.commit(&[of("gw-1", "home"), of("gw-2", "shop"), of("gw-3", "shop"), rows("gw-4", 1, 2)], 5).unwrap();
    let handle = store.handle().unwrap();
    assert_eq!(names(&handle, "shop"), ["gw-2", "gw-3"]);
    handle.assign_group("gw-2", Some("home"), "ann", 5).unwrap();
    store.commit(&[of("gw-2", "shop"), of("gw-3", "barn")], 6).unwrap();
    assert_eq!(names(&handle, "home"), ["gw-1", "gw-2"], "it outlives a status");
    assert_eq!((names(&handle, "shop"), names(&handle, "barn")), (vec![], vec!["gw-3".into()]));
    let groups: Vec<_> = handle.agents().unwrap().iter().map(|agent| agent.group().map(str::to_owned)).collect();
    assert_eq!(groups, [Some("home".into()), Some("home".into()), Some("barn".into()), None]);
    let line = |group: &str, agents| AgentsOfGroup { group: group.into(), agents };
    assert_eq!(handle.agents_by_group(9).unwrap(), [line("home", 2), line("barn", 1)]);
    assert_eq!(handle.agents_by_group(1).unwrap(), [line("home", 2)]);
    handle.assign_group("gw-2", None, "ann", 6).unwrap();
    assert_eq!(names(&handle, "shop"), ["gw-2"]);
    assert!(handle.assign_group("gw-9", None, "ann", 6).unwrap_err().to_string().contains("agent `gw-9`"));
}

pub fn rows_are_counted_for_the_group_in_which_their_agent_was<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    store.commit(&[of("gw-1", "home"), rows("gw-1", 1, 3), of("gw-2", "shop"), rows("gw-2", 1, 4)], 5).unwrap();
    let handle = store.handle().unwrap();
    assert!(handle.group_rows().unwrap().is_empty(), "groups that no trainer serves are not counted");
    handle.add_groups(&["home", "shop"]).unwrap();
    let stored = |group: &str| handle.group_rows().unwrap()[group];
    assert_eq!((stored("home").stored, stored("shop").stored), (3, 4), "those that came before");
    handle.assign_group("gw-2", Some("home"), "ann", 5).unwrap();
    store.commit(&[rows("gw-1", 2, 1), rows("gw-2", 2, 5), of("gw-3", "barn"), rows("gw-3", 1, 9)], 6).unwrap();
    handle.set_trained_rows("home", 7).unwrap();
    handle.add_groups(&["home", "shop"]).unwrap();
    assert_eq!(stored("home"), GroupRows { stored: 9, trained: 7 });
    assert_eq!(stored("shop"), GroupRows { stored: 4, trained: 0 });
    store.commit(&[rows("gw-1", 2, 1)], 7).unwrap();
    assert_eq!(stored("home").stored, 9, "duplicates do not count");
}

pub fn training_rows_of_a_group_are_those_of_its_agents<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    store.commit(&[of("gw-1", "home"), rows("gw-1", 1, 3), of("gw-2", "shop"), rows("gw-2", 1, 4)], 5).unwrap();
    let handle = store.handle().unwrap();
    let shop = handle.agents_of_group("shop").unwrap().into_values();
    let mut found = handle.training_rows_of(&SCHEMA, shop).unwrap();
    assert_eq!(found.by_ref().map(|row| row.unwrap().at.as_secs()).collect::<Vec<_>>(), [100, 101, 102, 103]);
    assert_eq!((found.summary().rows, found.summary().per_agent.len()), (4, 1));
}
