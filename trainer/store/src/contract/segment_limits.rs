//! Segments beyond the limits, and rows of agents that an operator removed.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use super::segments::{AGE_S, START_S, Stage, small, training};
use crate::testing::{own_samples, problems, received};
use crate::{Counter, Limits, StoreHandle};
use lapwing_segments::Limits as SegmentLimits;
use lapwing_shared::features::schema::schema_id;

/// Rows by agent name.
fn rows_of(handle: &StoreHandle, agent: &str) -> usize {
    let (rows, summary) = training(handle);
    rows.iter().filter(|row| summary.agents.get(&row.agent).is_some_and(|name| name == agent)).count()
}

fn checked(handle: &StoreHandle) {
    assert_eq!(problems(handle), Vec::<String>::new());
}

pub fn a_flood_displaces_its_own_rows_in_segments_only<T: TestStore>() {
    let stage = Stage::<T>::new();
    let limits = Limits { sample_rows: 400, ..Limits::default() };
    let mut store = stage.store.open(limits);
    let quiet = |number| received("quiet", &own_samples(1, number, &[(number, false)]));
    let loud = |number| received("loud", &own_samples(1, number, &[(number, false), (number, false)]));
    let mut compactor = stage.compactor(small(64));
    let mut now_s = START_S;
    for number in 1..=600 {
        store.commit(&[loud(number)], 5).unwrap();
        if number % 60 == 0 {
            store.commit(&[quiet(number)], 5).unwrap();
            compactor.pass(now_s, &mut |_| true).unwrap();
            now_s += AGE_S;
            compactor.pass(now_s, &mut |_| true).unwrap();
        }
    }
    let handle = stage.handle();
    assert_eq!(rows_of(&handle, "quiet"), 10);
    let (stored, dropped) = (training(&handle).0.len() as u64, handle.counter(Counter::SampleRowsDropped).unwrap());
    assert!((250..=400).contains(&stored), "{stored}");
    assert_eq!(stored + dropped, 600 * 2 + 10);
    let batches = handle.message_counts().unwrap()[1];
    assert_eq!(batches + handle.counter(Counter::SampleBatchesDropped).unwrap(), 600 + 10);
    checked(&handle);
    // Files that nothing uses are deleted, and the others have few rows that do not count.
    for _ in 0..60 {
        now_s += 4_000;
        compactor.pass(now_s, &mut |_| true).unwrap();
    }
    let segments = handle.segments(None).unwrap();
    assert_eq!(stage.files().len(), segments.len());
    assert!(segments.iter().all(|segment| segment.counted_rows * 4 >= segment.segment.rows * 3), "{segments:?}");
    assert_eq!((rows_of(&handle, "quiet"), training(&stage.handle()).0.len() as u64), (10, stored));
}

pub fn limits_count_rows_of_segments_after_a_restart<T: TestStore>() {
    let stage = Stage::<T>::new();
    let limits = Limits { sample_rows: 100, ..Limits::default() };
    let batch = |number| received("gw", &own_samples(1, number, &[(number, false)]));
    let mut store = stage.store.open(limits);
    for number in 1..=90 {
        store.commit(&[batch(number)], 5).unwrap();
    }
    stage.compact(small(10), START_S);
    store.close().unwrap();
    let mut store = stage.store.open(limits);
    for number in 91..=150 {
        store.commit(&[batch(number)], 5).unwrap();
    }
    let times: Vec<_> = training(&stage.handle()).0.iter().map(|row| row.at.as_secs()).collect();
    assert!((85..=100).contains(&times.len()), "{times:?}");
    assert!(times.iter().is_sorted() && times.last() == Some(&150), "{times:?}");
    let bytes = Limits { sample_bytes: 1, ..Limits::default() };
    store.close().unwrap();
    stage.store.open(bytes).commit(&[batch(151)], 5).unwrap();
    assert_eq!(training(&stage.handle()).0.len(), 0, "the size of files counts");
}

pub fn rows_of_a_forgotten_agent_leave_the_segments<T: TestStore>() {
    let stage = Stage::<T>::new();
    let mut store = stage.store.open(Limits::default());
    let batch = |agent: &str, number| received(agent, &own_samples(1, number, &[(number, false)]));
    let all: Vec<_> = (1..=20).flat_map(|number| [batch("gw-1", number), batch("gw-2", number)]).collect();
    store.commit(&all, 5).unwrap();
    stage.compact(SegmentLimits::default(), START_S);
    let handle = stage.handle();
    handle.forget_agent("gw-1", "ann", 9).unwrap();
    assert_eq!((rows_of(&handle, "gw-1"), rows_of(&handle, "gw-2")), (0, 20), "at once");
    // The agent returns under the same name, with the same numbers.
    let done = store.commit(&[batch("gw-1", 1)], 6).unwrap();
    assert_eq!(done.stored, 1);
    assert_eq!(rows_of(&handle, "gw-1"), 1);
    let before = stage.files();
    let mut compactor = stage.compactor(SegmentLimits::default());
    assert_eq!(compactor.pass(2 * START_S, &mut |_| true).unwrap().replaced, 1);
    compactor.pass(2 * START_S + 4_000, &mut |_| true).unwrap();
    assert!(before.iter().all(|file| !stage.files().contains(file)), "the rows are gone from the disk");
    let handle = stage.handle();
    assert_eq!((rows_of(&handle, "gw-1"), rows_of(&handle, "gw-2")), (1, 20));
    let segments = handle.segments(None).unwrap();
    assert!(segments.iter().all(|segment| segment.counted_rows == segment.segment.rows && !segment.has_forgotten));
    checked(&handle);
}

pub fn a_dropped_segment_counts_its_rows<T: TestStore>() {
    let stage = Stage::<T>::new();
    let batch = |number| received("gw", &own_samples(1, number, &[(number, false), (number, false)]));
    let mut store = stage.store.open(Limits::default());
    store.commit(&(1..=20).map(batch).collect::<Vec<_>>(), 5).unwrap();
    stage.compact(small(20), START_S);
    let handle = stage.handle();
    let file = handle.segments(None).unwrap()[0].segment.file.clone();
    // Damage inside a page.
    let path = stage.folder.path().join("rows").join(&file);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = handle.training_rows(&schema_id()).unwrap().find_map(Result::err).unwrap().to_string();
    assert!(error.contains(&file) && error.contains("damaged"), "{error}");
    assert_eq!(handle.drop_segment(&file, START_S).unwrap(), 20);
    assert_eq!(training(&handle).0.len(), 20);
    assert_eq!(handle.counter(Counter::SampleRowsDropped).unwrap(), 20);
    assert!(handle.drop_segment(&file, START_S).unwrap_err().to_string().contains(&file));
    store.commit(&[batch(21)], 6).unwrap();
    checked(&handle);
}

pub fn the_place_of_the_segments_is_remembered<T: TestStore>() {
    let stage = Stage::<T>::new();
    drop(stage.store.open(Limits::default()));
    let handle = stage.store.handle();
    let default = handle.segments_folder().unwrap();
    assert_eq!(handle.segments_place().unwrap(), None);
    for place in ["/mnt/rows", "/mnt/other"] {
        handle.set_segments_place(Some(place)).unwrap();
        assert_eq!(stage.store.handle().segments_folder().unwrap(), Some(place.into()));
    }
    handle.set_segments_place(None).unwrap();
    assert_eq!(stage.store.handle().segments_folder().unwrap(), default);
}
