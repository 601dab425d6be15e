//! Storing messages once, acknowledging them, and keeping within the limits.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use crate::testing::{self, SCHEMA, alert, received, samples, update};
use crate::{Counter, Label, Limits, RowSummary, Store, StoreError, StoreHandle};
use lapwing_shared::messages::AlertState;

fn times(handle: &StoreHandle) -> (Vec<u64>, RowSummary) {
    let mut rows = handle.training_rows(&SCHEMA).unwrap();
    let times = rows.by_ref().map(|row| row.unwrap().at.as_secs()).collect();
    (times, rows.summary().clone())
}

pub fn a_message_is_stored_once_even_after_a_restart<T: TestStore>() {
    let folder = T::new();
    let one = received("gw", &samples(1, 1, &[(10, false)]));
    let mut store = folder.open(Limits::default());
    let done = store.commit(&[one.clone(), one.clone()], 5).unwrap();
    assert_eq!((done.stored, done.duplicates), (1, 1));
    store.close().unwrap();
    let mut store = folder.open(Limits::default());
    let later = received("gw", &samples(2, 1, &[(11, false)]));
    let done = store.commit(&[one, later], 6).unwrap();
    assert_eq!((done.stored, done.duplicates), (1, 1));
    assert_eq!(store.handle().unwrap().message_counts().unwrap(), [0, 2, 0]);
    assert_eq!(store.handle().unwrap().counter(Counter::Duplicates).unwrap(), 2);
}

pub fn a_second_writer_is_refused_or_takes_no_message_of_the_first<T: TestStore>() {
    let folder = T::new();
    let mut first = folder.open(Limits::default());
    let sample = |number| received("gw", &samples(1, number, &[(number, false)]));
    first.commit(&[sample(1), sample(3)], 5).unwrap();
    if !T::SEVERAL_WRITERS {
        assert!(matches!(Store::open(folder.url(), Limits::default()), Err(StoreError::InUse { .. })));
        return;
    }
    let mut second = folder.open(Limits::default());
    assert_eq!(second.commit(&[sample(1), sample(2)], 6).unwrap().duplicates, 1);
    assert_eq!(first.commit(&[sample(2), sample(4)], 7).unwrap().duplicates, 1);
    for writer in [&first, &second] {
        assert_eq!(writer.progress(&testing::name("gw"), 1).unwrap().unwrap().up_to(), 4);
    }
    assert_eq!(folder.handle().message_counts().unwrap(), [0, 4, 0]);
}

pub fn progress_survives_a_restart_with_its_gaps<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let batch = [1, 2, 5].map(|number| received("gw", &update(9, number)));
    store.commit(&batch, 5).unwrap();
    drop(store);
    let store = folder.open(Limits::default());
    let progress = store.progress(&testing::name("gw"), 9).unwrap().unwrap();
    assert_eq!(progress.up_to(), 2);
    assert!(progress.contains(5) && !progress.contains(3));
    assert_eq!(store.progress(&testing::name("gw"), 8).unwrap(), None);
}

pub fn the_least_recently_used_run_is_forgotten_beyond_the_limit<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    for run in 1..=80 {
        store.commit(&[received("gw", &update(run, 1))], run).unwrap();
    }
    assert!(store.progress(&testing::name("gw"), 16).unwrap().is_none());
    assert!(store.progress(&testing::name("gw"), 17).unwrap().is_some());
    assert_eq!(store.handle().unwrap().counter(Counter::RunsForgotten).unwrap(), 16);
    drop(store);
    assert!(folder.open(Limits::default()).progress(&testing::name("gw"), 80).unwrap().is_some());
}

pub fn the_oldest_samples_are_dropped_and_counted_beyond_the_limit<T: TestStore>() {
    let folder = T::new();
    let limits = Limits { sample_rows: 100, ..Limits::default() };
    let mut store = folder.open(limits);
    for number in 1..=150 {
        store.commit(&[received("gw", &samples(1, number, &[(number, false)]))], 5).unwrap();
    }
    let handle = store.handle().unwrap();
    let (kept, _) = times(&handle);
    assert!((98..=100).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last(), Some(&150));
    let dropped = handle.counter(Counter::SampleRowsDropped).unwrap();
    assert_eq!(dropped + kept.len() as u64, 150);
    let again = store.commit(&[received("gw", &samples(1, 1, &[(1, false)]))], 5).unwrap();
    assert_eq!((again.stored, again.duplicates), (0, 1), "dropped rows stay acknowledged");
}

pub fn sample_bytes_alerts_updates_and_agents_are_limited<T: TestStore>() {
    let folder = T::new();
    let size = received("gw", &samples(1, 1, &[(1, false)])).payload.len() as u64;
    let limits = Limits { sample_bytes: 10 * size, sample_rows: 1000, alerts: 10, updates: 10, agents: 1, age_s: None };
    let mut store = folder.open(limits);
    for number in 0..20 {
        let open = AlertState::Opened;
        let batch = [
            received("gw", &samples(1, 3 * number + 1, &[(1, false)])),
            received("gw", &alert(1, 3 * number + 2, number, open, (1, 2))),
            received("gw", &update(1, 3 * number + 3)),
            received("stranger", &update(1, number + 1)),
        ];
        assert_eq!(store.commit(&batch, 5).unwrap().refused, 1);
    }
    let handle = store.handle().unwrap();
    let stored = handle.message_counts().unwrap();
    assert!(stored.iter().all(|count| (8..=10).contains(count)), "{stored:?}");
    assert_eq!(handle.counter(Counter::AgentsRefused).unwrap(), 20);
    assert_eq!(handle.agents().unwrap().len(), 1);
    assert!(store.progress(&testing::name("stranger"), 1).unwrap().is_none());
}

pub fn rows_of_an_episode_are_kept_out_until_an_operator_calls_it_benign<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let batch = [
        received("gw", &samples(1, 1, &[(1000, false), (1010, true), (9000, true)])),
        received("gw", &alert(1, 2, 77, AlertState::Opened, (1000, 1001))),
        received("gw", &alert(1, 3, 77, AlertState::Closed, (1000, 1020))),
        received("other", &samples(1, 1, &[(1010, true)])),
    ];
    store.commit(&batch, 5).unwrap();
    let handle = store.handle().unwrap();
    let (kept, summary) = times(&handle);
    assert_eq!((kept, summary.in_episode), (vec![1000], 3));
    let unlabelled = handle.unlabelled().unwrap();
    assert_eq!((unlabelled.episodes, unlabelled.limit_nats), (1, 30.0), "two messages, one episode");
    handle.label("gw", 77, Label::Benign, "operator", 6).unwrap();
    assert_eq!(handle.unlabelled().unwrap().episodes, 0);
    let (kept, summary) = times(&handle);
    assert_eq!(kept, [1000, 1010], "without the row outside episodes and the other agent's row");
    assert_eq!((summary.labelled_benign, summary.in_episode, summary.rows), (1, 2, 2));
    assert_eq!(summary.per_agent.values().copied().collect::<Vec<_>>(), [2]);
    handle.label("gw", 77, Label::Attack, "operator", 7).unwrap();
    assert_eq!(times(&handle).0, [1000]);
}

pub fn marked_rows_without_an_alert_are_returned_as_suspect<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let batch = [
        received("gw", &samples(1, 1, &[(1000, false), (1010, true), (9000, true)])),
        received("gw", &samples(1, 2, &[(9000 + 3_599, true), (9000 + 3_600, false)])),
        received("gw", &alert(1, 3, 77, AlertState::Closed, (1000, 1020))),
        received("silent", &samples(1, 1, &[(1010, true)])),
    ];
    store.commit(&batch, 5).unwrap();
    let handle = store.handle().unwrap();
    let mut rows = handle.training_rows(&SCHEMA).unwrap();
    let returned: Vec<_> = rows.by_ref().map(|row| row.map(|row| (row.at.as_secs(), row.suspect)).unwrap()).collect();
    assert_eq!(returned, [(1000, false), (9000, true), (12_600, false)], "in an episode, or less than an hour old");
    let summary = rows.summary();
    assert_eq!((summary.rows, summary.suspect, summary.in_episode, summary.labelled_benign), (3, 1, 3, 0));
}

pub fn a_row_in_two_episodes_needs_both_labelled_benign<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let batch = [
        received("gw", &samples(1, 1, &[(1010, true)])),
        received("gw", &alert(1, 2, 1, AlertState::Closed, (1000, 1020))),
        received("gw", &alert(1, 3, 2, AlertState::Closed, (1005, 1015))),
    ];
    store.commit(&batch, 5).unwrap();
    let handle = store.handle().unwrap();
    handle.label("gw", 1, Label::Benign, "operator", 6).unwrap();
    assert!(times(&handle).0.is_empty());
    handle.label("gw", 2, Label::Benign, "operator", 6).unwrap();
    assert_eq!(times(&handle).0, [1010]);
}

pub fn rows_of_another_schema_are_excluded_and_counted<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    store.commit(&[received("gw", &samples(1, 1, &[(1, false), (2, false)]))], 5).unwrap();
    let handle = store.handle().unwrap();
    let mut rows = handle.training_rows(&[8; 32]).unwrap();
    assert!(rows.next().is_none());
    assert_eq!((rows.summary().rows, rows.summary().other_schema), (0, 2));
}

pub fn batches_are_paged_in_order_of_arrival_and_other_schemas_counted<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let batches = [("gw-2", 1), ("gw-1", 1), ("gw-2", 2)];
    let messages = batches.map(|(agent, number)| (agent, samples(1, number, &[(number, false), (9, true)])));
    let received = messages.each_ref().map(|(agent, message)| received(agent, message));
    store.commit(&received, 5).unwrap();
    let handle = store.handle().unwrap();
    let newest = handle.newest_batch().unwrap();
    let mut found = handle.sample_batches(&SCHEMA, 0, newest, 2).unwrap();
    assert_eq!(found.len(), 2);
    found.extend(handle.sample_batches(&SCHEMA, found[1].arrival, newest, 2).unwrap());
    let found: Vec<_> = found.iter().map(|batch| (batch.agent.as_str(), batch.payload.clone())).collect();
    let expected: Vec<_> = messages.iter().map(|(agent, message)| (*agent, testing::bytes(message))).collect();
    assert_eq!(found, expected);
    assert_eq!(handle.sample_batches(&SCHEMA, 0, newest - 1, 9).unwrap().len(), 2);
    assert_eq!(handle.rows_of_other_schemas(&SCHEMA).unwrap(), 0);
    assert_eq!(handle.rows_of_other_schemas(&[1; 32]).unwrap(), 6);
    assert!(handle.sample_batches(&[1; 32], 0, newest, 9).unwrap().is_empty());
}
