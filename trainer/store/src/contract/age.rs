//! The limit by age.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use super::segments::{AGE_S, START_S, Stage, small, training};
use crate::testing::{alert, own_samples, problems, received, update};
use crate::{AlertFilter, Counter, Label, Limits};
use lapwing_shared::messages::AlertState;

const DAY_S: u64 = 86_400;

fn limits() -> Limits {
    Limits { age_s: Some(30 * DAY_S), ..Limits::default() }
}

pub fn old_alerts_and_update_reports_are_deleted_with_their_labels<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(limits());
    let sent = |number: u64| {
        let alert = received("gw", &alert(1, 2 * number, number, AlertState::Opened, (1, 2)));
        [alert, received("gw", &update(1, 2 * number + 1))]
    };
    // More than one commit deletes.
    let old: Vec<_> = (1..=1_500).flat_map(sent).collect();
    for batch in old.chunks(500) {
        store.commit(batch, START_S).unwrap();
    }
    let handle = store.handle().unwrap();
    handle.label("gw", 3, Label::Attack, "operator", 2).unwrap();
    store.commit(&sent(1_501), START_S + 29 * DAY_S).unwrap();
    assert_eq!(handle.message_counts().unwrap(), [1_501, 0, 1_501], "nothing is too old");
    for number in 1_502..=1_504 {
        store.commit(&sent(number), START_S + 31 * DAY_S).unwrap();
    }
    assert_eq!(handle.message_counts().unwrap(), [4, 0, 4]);
    let lines = handle.alerts(&AlertFilter { limit: 10_000, ..AlertFilter::default() }).unwrap();
    let mut numbers: Vec<u64> = lines.iter().map(|line| line.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1_501, 1_502, 1_503, 1_504]);
    assert_eq!(handle.counter(Counter::AlertsDropped).unwrap(), 1_500);
    assert_eq!(handle.counter(Counter::UpdatesDropped).unwrap(), 1_500);
    let done = store.commit(&sent(7)[1..], START_S + 31 * DAY_S).unwrap();
    assert_eq!((done.stored, done.duplicates), (0, 1), "a deleted report is not taken again");
    assert_eq!(problems(&handle), Vec::<String>::new());
}

pub fn old_rows_leave_the_segments<T: TestStore>() {
    let stage = Stage::<T>::new();
    let batch = |agent: &str, number| received(agent, &own_samples(1, number, &[(number, false)]));
    let mut store = stage.store.open(limits());
    let all: Vec<_> = (1..=20).flat_map(|number| [batch("gw-1", number), batch("gw-2", number)]).collect();
    store.commit(&all, 5).unwrap();
    let mut compactor = stage.compactor(small(64));
    compactor.pass(START_S, &mut |_| true).unwrap();
    compactor.pass(START_S + AGE_S, &mut |_| true).unwrap();
    let files = stage.files();
    assert!(!files.is_empty() && training(&stage.handle()).0.len() == 40);
    let late_s = START_S + 40 * DAY_S;
    store.commit(&[batch("gw-1", 21)], late_s).unwrap();
    let handle = stage.handle();
    let left: Vec<u64> = training(&handle).0.iter().map(|row| row.at.as_secs()).collect();
    assert_eq!(left, [21], "the batch that is in no segment yet");
    assert_eq!(handle.counter(Counter::SampleRowsDropped).unwrap(), 40);
    assert_eq!(problems(&handle), Vec::<String>::new());
    compactor.pass(late_s, &mut |_| true).unwrap();
    compactor.pass(late_s + 4_000, &mut |_| true).unwrap();
    assert!(files.iter().all(|file| !stage.files().contains(file)), "the files are deleted");
}
