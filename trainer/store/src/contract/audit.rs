//! The audit log.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use crate::testing::{alert, received, status};
use crate::{AuditFilter, AuditRecord, HeldRelease, HeldState, Label, Limits, Release, StoreHandle};
use lapwing_fleet::AUDIT_ENTRIES;
use lapwing_shared::messages::AlertState;

/// A store with agent gw-1 and its episodes 1 to `episodes`.
fn with_episodes<T: TestStore>(episodes: u64) -> (T, StoreHandle) {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let opened = |number: u64| received("gw-1", &alert(1, number, number, AlertState::Opened, (10, 20)));
    let mut batch: Vec<_> = (1..=episodes).map(opened).collect();
    batch.push(received("gw-1", &status(1)));
    store.commit(&batch, 5).unwrap();
    let handle = store.handle().unwrap();
    (folder, handle)
}

fn records(handle: &StoreHandle) -> Vec<AuditRecord> {
    handle.audit(&AuditFilter { limit: 1_000, ..AuditFilter::default() }).unwrap().records
}

fn problems(handle: &StoreHandle) -> Vec<String> {
    handle.check_audit(None).unwrap().problems
}

fn release(version: u64) -> Release {
    Release {
        group: "home".into(),
        version,
        manifest_sha256: [version as u8; 32],
        made_s: 6,
        file: "home.lwr".into(),
        reason: Some("schedule".into()),
    }
}

fn hold(handle: &StoreHandle, version: u64) {
    let (group, reason, findings) = ("home".into(), "schedule".into(), "limits".into());
    let (file, state) = ("home.held".into(), HeldState::Waiting);
    handle.hold_release(&HeldRelease { group, version, made_s: 6, file, reason, findings, state, who: None }).unwrap();
}

pub fn every_action_is_recorded_with_who_did_it<T: TestStore>() {
    let (_folder, handle) = with_episodes::<T>(1);
    handle.label("gw-1", 1, Label::Benign, "ann", 10).unwrap();
    let job = handle.request_retraining(None, "bob", 11).unwrap();
    hold(&handle, 7);
    handle.decide_held("home", 7, true, "ann", 12).unwrap();
    handle.add_release(&release(7), "serve", 13).unwrap();
    hold(&handle, 8);
    handle.decide_held("home", 8, false, "ann", 14).unwrap();
    handle.assign_group("gw-1", Some("shop"), "bob", 15).unwrap();
    handle.assign_group("gw-1", None, "bob", 16).unwrap();
    handle.forget_agent("gw-1", "cli\u{1b}[2J\0", 17).unwrap();
    let lines: Vec<String> = records(&handle)
        .iter()
        .rev()
        .map(|record| {
            let AuditRecord { number, at_s, who, action, object, detail, .. } = record;
            format!("{number} {at_s} {who}: {action} {object} {detail}")
        })
        .collect();
    let expected = [
        "1 10 ann: label gw-1/1 benign".to_owned(),
        format!("2 11 bob: retrain every group job {job}"),
        "3 12 ann: approve home/7 ".into(),
        "4 13 serve: release home/7 schedule".into(),
        "5 14 ann: reject home/8 ".into(),
        "6 15 bob: assign-group gw-1 group shop".into(),
        "7 16 bob: assign-group gw-1 the group that it reports".into(),
        "8 17 cli\u{fffd}[2J\u{fffd}: forget-agent gw-1 ".into(),
    ];
    assert_eq!(lines, expected);
    let check = handle.check_audit(None).unwrap();
    assert_eq!((check.entries, check.oldest, check.newest.number), (8, 1, 8));
    assert_eq!(check.problems, Vec::<String>::new());
    assert_eq!(handle.held_releases("home", 9).unwrap()[1].state, HeldState::Published, "with the release");
}

pub fn an_action_that_fails_is_not_recorded_and_one_that_cannot_be_recorded_fails<T: TestStore>() {
    let (folder, handle) = with_episodes::<T>(1);
    handle.label("gw-1", 2, Label::Benign, "ann", 10).unwrap_err();
    handle.decide_held("home", 7, true, "ann", 10).unwrap_err();
    handle.assign_group("gw-2", Some("shop"), "ann", 10).unwrap_err();
    handle.forget_agent("gw-2", "ann", 10).unwrap_err();
    assert_eq!(records(&handle), []);
    folder.execute("DROP TABLE audit");
    handle.label("gw-1", 1, Label::Benign, "ann", 10).unwrap_err();
    handle.assign_group("gw-1", Some("shop"), "ann", 10).unwrap_err();
    handle.forget_agent("gw-1", "ann", 10).unwrap_err();
    handle.add_release(&release(7), "serve", 10).unwrap_err();
    let episode = handle.episode("gw-1", 1, 1).unwrap().unwrap().0;
    assert_eq!((episode.label, handle.release("home", 7).unwrap()), (None, None));
    assert_eq!(handle.agents().unwrap()[0].group(), Some("home"));
}

pub fn pages_continue_and_begin_at_a_time<T: TestStore>() {
    let (_folder, handle) = with_episodes::<T>(1);
    for second in 1..=9 {
        handle.label("gw-1", 1, Label::Benign, "ann", second).unwrap();
    }
    let mut filter = AuditFilter { since_s: Some(3), limit: 3, ..AuditFilter::default() };
    let mut seen = Vec::new();
    loop {
        let page = handle.audit(&filter).unwrap();
        seen.push(page.records.iter().map(|record| record.at_s).collect::<Vec<_>>());
        filter.before = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(seen, [vec![9, 8, 7], vec![6, 5, 4], vec![3]]);
    let all =
        AuditFilter { since_s: Some(u64::MAX), before: Some(u64::MAX), limit: u32::MAX, ..AuditFilter::default() };
    assert_eq!(handle.audit(&all).unwrap().records, []);
}

pub fn entries_are_selected_by_person_and_action<T: TestStore>() {
    let (_folder, handle) = with_episodes::<T>(1);
    for who in ["ann", "ann (page)", "anna", "bob (token 3)", "ann(x"] {
        handle.label("gw-1", 1, Label::Benign, who, 10).unwrap();
    }
    handle.request_retraining(None, "ann (page)", 11).unwrap();
    let found = |who: Option<&str>, action: Option<&str>| {
        let (who, action) = (who.map(str::to_owned), action.map(str::to_owned));
        let filter = AuditFilter { who, action, limit: 9, ..AuditFilter::default() };
        handle.audit(&filter).unwrap().records.iter().map(|record| record.number).collect::<Vec<_>>()
    };
    assert_eq!(found(Some("ann"), None), [6, 2, 1]);
    assert_eq!(found(Some("ann (page)"), None), [6, 2]);
    assert_eq!(found(Some("bob"), Some("label")), [4]);
    assert_eq!(found(None, Some("retrain")), [6]);
    assert_eq!(found(Some("a%"), None), Vec::<u64>::new());
    assert_eq!(found(Some("\0"), Some("x\0")), Vec::<u64>::new());
    let after =
        |number, limit| handle.audit_after(number, limit).unwrap().iter().map(|it| it.number).collect::<Vec<_>>();
    assert_eq!((after(0, 2), after(4, 9), after(u64::MAX, 9)), (vec![1, 2], vec![5, 6], vec![]));
}

pub fn actions_at_the_same_time_make_one_chain<T: TestStore>() {
    let (folder, handle) = with_episodes::<T>(4);
    std::thread::scope(|scope| {
        for episode in 1..=4 {
            let handle = folder.handle();
            scope.spawn(move || {
                for second in 0..25 {
                    handle.label("gw-1", episode, Label::Benign, "ann", second).unwrap();
                }
            });
        }
    });
    let check = handle.check_audit(None).unwrap();
    assert_eq!((check.entries, check.problems), (100, vec![]));
}

pub fn changed_and_removed_entries_are_found<T: TestStore>() {
    let (folder, handle) = with_episodes::<T>(1);
    let label = |second| handle.label("gw-1", 1, Label::Attack, "ann", second).unwrap();
    (1..=5).for_each(label);
    let noted = handle.check_audit(None).unwrap().newest.sha256;
    label(6);
    assert!(handle.check_audit(Some(noted)).unwrap().has_hash);
    assert!(!handle.check_audit(Some([9; 32])).unwrap().has_hash);
    let store_problems = || handle.check().unwrap().into_iter().filter(|problem| problem.contains("audit")).count();
    assert_eq!((problems(&handle), store_problems()), (vec![], 0));
    folder.execute("UPDATE audit SET who = 'bob' WHERE number = 3");
    assert!(problems(&handle)[0].contains("entry 3 was changed"), "{:?}", problems(&handle));
    assert_eq!(store_problems(), 1);
    folder.execute("UPDATE audit SET who = 'ann' WHERE number = 3; DELETE FROM audit WHERE number = 6");
    assert_eq!(problems(&handle), ["entry 6 is missing"]);
    label(7);
    assert_eq!(records(&handle)[0].number, 7, "the number of the removed entry is not used again");
    assert_eq!(problems(&handle), ["entry 6 is missing"]);
    folder.execute("DELETE FROM audit_head; DELETE FROM audit WHERE number < 4");
    label(8);
    let found = problems(&handle);
    assert_eq!(found[1], "entries up to 3 are missing, fewer than the limit requires", "{found:?}");
    // An invalid hash is a problem of its entry, and hides no other.
    folder.execute("UPDATE audit SET previous = substr(previous, 1, 1) WHERE number = 5");
    let found = problems(&handle);
    assert!(found[0].contains("entry 5 has another hash of it") && found[1] == "entry 6 is missing", "{found:?}");
    assert_eq!(records(&handle).len(), 4, "the log is listed all the same");
}

pub fn the_oldest_entries_are_deleted_beyond_the_limit<T: TestStore>() {
    let (folder, handle) = with_episodes::<T>(1);
    let label = |second| handle.label("gw-1", 1, Label::Attack, "ann", second).unwrap();
    label(1);
    label(2);
    folder.execute(&format!("UPDATE audit_head SET number = {AUDIT_ENTRIES}"));
    label(3);
    let numbers: Vec<u64> = records(&handle).iter().map(|record| record.number).collect();
    assert_eq!(numbers, [AUDIT_ENTRIES + 1, 2]);
}

pub fn changed_limits_are_recorded_once<T: TestStore>() {
    let (_folder, handle) = with_episodes::<T>(1);
    let limits = Limits::default();
    assert!(!handle.record_limits(&limits, "serve", 1).unwrap(), "the first ones are no change");
    assert!(!handle.record_limits(&limits, "serve", 2).unwrap());
    let more = Limits { alerts: 9, ..limits };
    assert!(handle.record_limits(&more, "serve", 3).unwrap());
    assert!(!handle.record_limits(&more, "serve", 4).unwrap());
    let [record] = &records(&handle)[..] else { panic!("one entry") };
    assert_eq!((record.at_s, record.who.as_str(), record.action.as_str()), (3, "serve", "limits"));
    assert_eq!(record.detail, format!("{more}; before: {limits}"));
    assert!(record.detail.contains("sample-mib 2048") && record.detail.contains("alerts 9,"), "{}", record.detail);
}
