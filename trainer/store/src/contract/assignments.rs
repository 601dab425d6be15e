//! Assignments of agents.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use crate::Limits;
use crate::audit::AuditFilter;
use crate::testing::{received, status};
use lapwing_fleet::{AssignedSettings, AssignmentChange};
use lapwing_shared::rollout::message::Channel;

const LATE: AssignedSettings =
    AssignedSettings { channel: Some(Channel::Late), pin: Some(3), hold: true, alerts_per_1000_days: Some(250) };

pub fn an_assignment_follows_all_before_it_and_readers_find_what_changed<T: TestStore>() {
    let folder = T::new();
    let mut writer = folder.open(Limits::default());
    writer.commit(&["gw-1", "gw-2"].map(|name| received(name, &status(1))), 1_700_000_000).unwrap();
    let (first, second) = (folder.handle(), folder.handle());
    let set = |name: &str, settings, now_s| {
        first.assign(name, AssignmentChange::Settings(settings), 0, "ann", now_s).unwrap().map(|new| new.serial)
    };
    assert_eq!(second.assignments(0, 9).unwrap(), []);
    assert_eq!((set("gw-1", LATE, 10), set("gw-2", LATE, 11), set("gw-1", LATE, 12)), (Some(1), Some(2), None));
    let stored = second.assignment("gw-1").unwrap().unwrap();
    assert_eq!((stored.settings, stored.serial, stored.issued_s, &*stored.who), (LATE, 1, 10, "ann"));
    assert_eq!(second.assignments(0, 1).unwrap(), [stored]);
    assert_eq!(set("gw-1", AssignedSettings::default(), 13), Some(3));
    let changed = second.assignments(1, 9).unwrap();
    assert_eq!(changed.iter().map(|one| (&*one.name, one.serial)).collect::<Vec<_>>(), [("gw-2", 2), ("gw-1", 3)]);
    assert!(changed[1].is_empty());
    let error = first.assign("gw-9", AssignmentChange::Settings(LATE), 0, "ann", 14).unwrap_err().to_string();
    assert!(error.contains("agent `gw-9`"), "{error}");
    assert_eq!(second.assignment("gw-9").unwrap(), None);
    let page = second.audit(&AuditFilter { limit: 9, ..AuditFilter::default() }).unwrap();
    let details: Vec<_> = page.records.iter().map(|one| (&*one.object, &*one.detail)).collect();
    let late = "channel late, pinned to 3, held, 0.25 alerts a day";
    assert_eq!(details, [("gw-1", "nothing"), ("gw-2", late), ("gw-1", late)]);
}

pub fn an_agent_that_is_set_aside_keeps_its_own_assignment<T: TestStore>() {
    let folder = T::new();
    let mut writer = folder.open(Limits::default());
    writer.commit(&[received("gw-1", &status(1))], 1_700_000_000).unwrap();
    let handle = folder.handle();
    let change = |change, reported| handle.assign("gw-1", change, reported, "serve", 20).unwrap();
    assert_eq!(change(AssignmentChange::SetAside(false), 0), None);
    let early = AssignedSettings { channel: Some(Channel::Early), ..AssignedSettings::default() };
    change(AssignmentChange::Settings(early), 0).unwrap();
    let aside = change(AssignmentChange::SetAside(true), 1).unwrap();
    assert_eq!((aside.serial, aside.is_set_aside, aside.settings), (2, true, early));
    assert_eq!(change(AssignmentChange::SetAside(true), 2), None);
    assert_eq!(handle.assignment("gw-1").unwrap(), Some(aside));
    // The agent has one of a store that was lost.
    assert_eq!(change(AssignmentChange::Renew, 40).unwrap().serial, 41);
    assert_eq!(change(AssignmentChange::SetAside(false), 41).unwrap().serial, 42);
}
