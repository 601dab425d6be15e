//! Releases, those that the gate holds back, and counters.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use crate::{AuditFilter, Counter, HeldRelease, HeldState, Limits, Release};

fn release(group: &str, version: u64, made_s: u64) -> Release {
    let file = format!("{group}-{version}.lwr").into();
    Release {
        group: group.into(),
        version,
        manifest_sha256: [version as u8; 32],
        made_s,
        file,
        reason: Some("test".into()),
    }
}

pub fn releases_are_listed_newest_first_for_each_group<T: TestStore>() {
    let folder = T::new();
    let handle = folder.open(Limits::default()).handle().unwrap();
    for (group, version, made_s) in [("home", 1, 10), ("shop", 1, 20), ("home", 2, 30)] {
        handle.add_release(&release(group, version, made_s), "serve", made_s).unwrap();
    }
    let versions =
        |releases: Vec<Release>| releases.into_iter().map(|line| (line.group, line.version)).collect::<Vec<_>>();
    let pair = |group: &str, version| (group.to_owned(), version);
    assert_eq!(versions(handle.releases("home", 9).unwrap()), [pair("home", 2), pair("home", 1)]);
    assert_eq!(versions(handle.all_releases(2).unwrap()), [pair("home", 2), pair("shop", 1)]);
    assert_eq!(handle.release("shop", 1).unwrap(), Some(release("shop", 1, 20)));
    assert_eq!(handle.release("shop", 2).unwrap(), None);
    let other = Release { manifest_sha256: [9; 32], ..release("home", 2, 40) };
    assert!(handle.add_release(&other, "serve", 40).is_err(), "a version is used once");
}

pub fn a_release_that_is_added_again_after_an_error_changes_nothing<T: TestStore>() {
    let folder = T::new();
    let handle = folder.open(Limits::default()).handle().unwrap();
    for second in 30..33 {
        handle.add_release(&release("home", 2, 30), "serve", second).unwrap();
    }
    assert_eq!(handle.releases("home", 9).unwrap(), [release("home", 2, 30)]);
    let entries = handle.audit(&AuditFilter { limit: 9, ..AuditFilter::default() }).unwrap().records;
    assert_eq!(entries.iter().map(|record| record.at_s).collect::<Vec<_>>(), [30]);
}

pub fn a_held_release_is_decided_once<T: TestStore>() {
    let folder = T::new();
    let handle = folder.open(Limits::default()).handle().unwrap();
    let held = |version| HeldRelease {
        group: "home".into(),
        version,
        made_s: version,
        file: format!("home-{version}.held").into(),
        reason: "test".into(),
        findings: "limits".into(),
        state: HeldState::Waiting,
        who: None,
    };
    handle.hold_release(&held(1)).unwrap();
    handle.hold_release(&held(2)).unwrap();
    let states = || handle.held_releases("home", 9).unwrap().iter().map(|held| held.state).collect::<Vec<_>>();
    assert_eq!(states(), [HeldState::Waiting, HeldState::Superseded]);
    assert_eq!(handle.waiting_releases(9).unwrap(), [held(2)]);
    assert!(handle.decide_held("home", 1, true, "ann", 5).is_err(), "superseded");
    handle.decide_held("home", 2, true, "ann", 5).unwrap();
    assert!(handle.decide_held("home", 2, false, "bob", 6).is_err(), "decided");
    let approved = handle.approved_release("home").unwrap().unwrap();
    assert_eq!((approved.version, approved.who.as_deref()), (2, Some("ann")));
    handle.set_held_state("home", 2, HeldState::Published).unwrap();
    handle.set_held_state("home", 2, HeldState::Waiting).unwrap();
    assert_eq!(states()[0], HeldState::Published, "a published release never waits again");
    assert_eq!(handle.approved_release("home").unwrap(), None);
}

pub fn counters_add_up_and_are_replaced<T: TestStore>() {
    let folder = T::new();
    let store = folder.open(Limits::default());
    let handle = store.handle().unwrap();
    assert_eq!(handle.counter(Counter::SampleRowsTrained).unwrap(), 0);
    for value in [7, u64::MAX >> 1, 3] {
        handle.set_counter(Counter::SampleRowsTrained, value).unwrap();
        assert_eq!(handle.counter(Counter::SampleRowsTrained).unwrap(), value);
    }
    let id = handle.id().unwrap();
    drop(store);
    assert_eq!(folder.handle().id().unwrap(), id, "drawn once");
}
