//! Rows that move from the journal into segments: nothing that training and classification see changes.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use crate::testing::{self, Folder, alert, own_samples, received, status};
use crate::{
    Compaction, Compactor, EpisodeSpan, Limits, REMOVED_FILES_KEPT_S, Received, RowSummary, Step, Store, StoreHandle,
    TrainingRow,
};
use lapwing_segments::{Filter, Limits as SegmentLimits, Place, Row, Sample};
use lapwing_shared::features::FeatureVector;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::messages::AlertState;
use lapwing_shared::units::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Time of the first pass; the age of rows is reached [`AGE_S`] later.
pub(super) const START_S: u64 = 1_000_000;
pub(super) const AGE_S: u64 = 300;

/// Few rows, so that there are several segments.
pub(super) fn small(rows: usize) -> SegmentLimits {
    SegmentLimits { bytes: (rows * size_of::<Row>()) as u64, age_s: AGE_S }
}

/// A store and a folder for its segments.
pub(super) struct Stage<T> {
    pub(super) store: T,
    pub(super) folder: Folder,
}

impl<T: TestStore> Stage<T> {
    pub(super) fn new() -> Self {
        Self { store: T::new(), folder: Folder::new() }
    }

    pub(super) fn place(&self) -> Arc<dyn Place> {
        Arc::new(lapwing_segments::Folder::existing(&self.folder.path().join("rows")))
    }

    pub(super) fn handle(&self) -> StoreHandle {
        self.store.handle().with_place(self.place())
    }

    pub(super) fn compactor(&self, limits: SegmentLimits) -> Compactor {
        Compactor::new(self.handle(), limits, "home")
    }

    /// Writes every row of this program's schema to segments.
    pub(super) fn compact(&self, limits: SegmentLimits, now_s: u64) -> Compaction {
        let mut compactor = self.compactor(limits);
        let first = compactor.pass(now_s, &mut |_| true).unwrap();
        let second = compactor.pass(now_s + AGE_S, &mut |_| true).unwrap();
        Compaction { segments: first.segments + second.segments, rows: first.rows + second.rows, ..second }
    }

    pub(super) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join("rows")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".parquet")).collect()
    }
}

/// Rows, in order, and their summary.
pub(super) fn training(handle: &StoreHandle) -> (Vec<TrainingRow>, RowSummary) {
    let mut rows = handle.training_rows(&schema_id()).unwrap();
    let read = rows.by_ref().map(Result::unwrap).collect();
    (read, rows.summary().clone())
}

fn in_journal(handle: &StoreHandle) -> u64 {
    handle.journal(&schema_id()).unwrap().iter().map(|part| part.rows).sum()
}

/// Messages of three agents: marked rows within and outside of episodes, equal times, and a group of its own for one agent.
pub(super) fn messages() -> Vec<Received> {
    let mut all = vec![received("gw-1", &status(1))];
    for number in 1..=40 {
        let at = 10_000 + 60 * number;
        all.push(received("gw-1", &own_samples(1, number, &[(at, number % 4 == 0), (at, false), (at - 90, true)])));
        all.push(received("gw-2", &own_samples(1, number, &[(20_000 - at, false), (at, number > 30)])));
        if number % 3 == 0 {
            all.push(received("gw-3", &own_samples(9, number, &[(50_000, false), (50_000, true)])));
        }
    }
    // An hour later, it is certain that no alert followed the marked rows.
    all.push(received("gw-1", &own_samples(1, 41, &[(30_000, false)])));
    all.push(received("gw-1", &alert(1, 100, 7, AlertState::Opened, (10_500, 11_400))));
    all.push(received("gw-1", &alert(1, 101, 7, AlertState::Closed, (10_500, 11_500))));
    all.push(received("gw-2", &alert(1, 102, 8, AlertState::Opened, (11_900, 12_000))));
    all
}

fn classified(handle: &StoreHandle) -> Vec<(EpisodeSpan, Vec<FeatureVector>)> {
    let spans = handle.unclassified_episodes(9).unwrap();
    let rows = |span: EpisodeSpan| (span.clone(), handle.episode_rows(&span, &schema_id()).unwrap());
    spans.into_iter().map(rows).collect()
}

pub fn rows_classes_and_counts_are_the_same_before_and_after_compaction<T: TestStore>() {
    let stage = Stage::<T>::new();
    let mut store = stage.store.open(Limits::default());
    store.commit(&messages(), 5).unwrap();
    let handle = stage.handle();
    let before = (training(&handle), classified(&handle), handle.message_counts().unwrap());
    assert!(before.1.iter().any(|(_, rows)| rows.len() > 10), "an episode with rows in samples");
    assert!(before.0.1.suspect > 0 && before.0.1.in_episode > 0);
    let done = stage.compact(small(40), START_S);
    assert!(done.segments >= 6, "{done:?}");
    assert_eq!(in_journal(&handle), 0);
    let listed = handle.segments(None).unwrap();
    let groups: BTreeSet<&str> = listed.iter().map(|segment| segment.segment.group.as_str()).collect();
    assert_eq!(groups, ["home"].into());
    let handle = stage.handle();
    assert_eq!((training(&handle), classified(&handle), handle.message_counts().unwrap()), before);
    // The same with rows in both.
    let more = [received("gw-1", &own_samples(1, 200, &[(10_000 + 60 * 40, false), (90_000, true)]))];
    store.commit(&more, 6).unwrap();
    let reference = T::new();
    let mut store = reference.open(Limits::default());
    store.commit(&messages(), 5).unwrap();
    store.commit(&more, 6).unwrap();
    assert_eq!(training(&handle), training(&reference.handle()));
    assert_eq!(store.commit(&messages(), 7).unwrap().sample_rows, 0, "duplicates are still known");
}

pub fn a_filter_selects_the_same_rows_before_and_after_compaction<T: TestStore>() {
    let stage = Stage::<T>::new();
    stage.store.open(Limits::default()).commit(&messages(), 5).unwrap();
    let handle = stage.handle();
    let sample = Some(Sample::new(0.3, 5).unwrap());
    let agents = Some(BTreeSet::from(["gw-2".to_owned()]));
    let times = Timestamp::from_secs(11_000)..=Timestamp::from_secs(12_000);
    let filters = [
        Filter { sample, ..Filter::default() },
        Filter { agents: agents.clone(), ..Filter::default() },
        Filter { times: times.clone(), ..Filter::default() },
        Filter { sample, agents, times, ..Filter::default() },
    ];
    let select = |filter: &Filter| {
        let rows = handle.selected_training_rows(&schema_id(), filter.clone()).unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>()
    };
    let before: Vec<_> = filters.iter().map(select).collect();
    assert!(before.iter().all(|rows| !rows.is_empty() && rows.len() < training(&handle).0.len()));
    stage.compact(small(40), START_S);
    assert_eq!(in_journal(&handle), 0);
    assert_eq!(filters.iter().map(select).collect::<Vec<_>>(), before);
}

pub fn rows_that_move_while_they_are_read_are_read_once<T: TestStore>() {
    for moved_after in [0, 1, 300, 700, 1_100, 1_499] {
        let stage = Stage::<T>::new();
        let mut store = stage.store.open(Limits::default());
        // More than a page of batches, some of them in segments already.
        let batch = |number| received("gw-1", &own_samples(1, number, &[(number, false)]));
        let (first, rest): (Vec<_>, Vec<_>) = (1..=1_500).map(batch).partition(|message| message.number <= 400);
        store.commit(&first, 5).unwrap();
        stage.compact(small(150), START_S);
        store.commit(&rest, 6).unwrap();
        let handle = stage.handle();
        let mut reading = handle.training_rows(&schema_id()).unwrap();
        let mut read: Vec<u64> = reading.by_ref().take(moved_after).map(|row| row.unwrap().at.as_secs()).collect();
        // Some rows move, newer ones arrive, and move, too.
        stage.compact(small(130), 2 * START_S);
        store.commit(&[batch(1_501), batch(1_502)], 7).unwrap();
        stage.compact(small(150), 3 * START_S);
        read.extend(reading.map(|row| row.unwrap().at.as_secs()));
        assert_eq!(read.len(), 1_500, "moved after {moved_after} rows");
        assert_eq!(read.iter().copied().collect::<BTreeSet<_>>(), (1..=1_500).collect(), "moved after {moved_after}");
    }
}

pub fn an_interruption_after_any_step_loses_and_doubles_nothing<T: TestStore>() {
    let mut interrupted = 0;
    for stop_at in 0.. {
        let stage = Stage::<T>::new();
        stage.store.open(Limits::default()).commit(&messages(), 5).unwrap();
        let expected = training(&stage.handle());
        let (mut steps, mut stopped) = (0, false);
        let mut go_on = |_: Step| {
            steps += 1;
            stopped |= steps > stop_at;
            !stopped
        };
        let mut compactor = stage.compactor(small(60));
        let later_s = START_S + AGE_S;
        // Later passes merge what the first ones wrote.
        for now_s in [START_S, later_s, later_s + 200_000, later_s + 200_001, later_s + 300_000] {
            compactor.pass(now_s, &mut go_on).unwrap();
        }
        drop(compactor);
        assert_eq!(training(&stage.handle()), expected, "stopped after step {stop_at}");
        // After the next start, no file is left that nothing names.
        stage.compactor(small(60)).pass(later_s + 400_000, &mut |_| true).unwrap();
        assert_eq!(training(&stage.handle()), expected, "stopped after step {stop_at}");
        let mut named: Vec<String> =
            stage.handle().segments(None).unwrap().into_iter().map(|segment| segment.segment.file).collect();
        named.extend(stage.handle().removed_segments(u64::MAX).unwrap());
        let files = stage.files();
        assert!(files.iter().all(|file| named.contains(file)), "step {stop_at}: {files:?} and {named:?}");
        if !stopped {
            break;
        }
        interrupted += 1;
    }
    assert!(interrupted >= 8, "{interrupted} steps");
}

pub fn batches_that_were_removed_meanwhile_are_in_no_segment<T: TestStore>() {
    let stage = Stage::<T>::new();
    let mut store = stage.store.open(Limits::default());
    store.commit(&messages(), 5).unwrap();
    let mut compactor = stage.compactor(SegmentLimits::default());
    compactor.pass(START_S, &mut |_| true).unwrap();
    let handle = stage.handle();
    let mut forget = true;
    let done = compactor.pass(START_S + AGE_S, &mut |step| {
        if step == Step::Written && std::mem::take(&mut forget) {
            handle.forget_agent("gw-1", "ann", 9).unwrap();
        }
        true
    });
    assert_eq!(done.unwrap().conflicts, 1);
    assert!(stage.files().is_empty(), "{:?}", stage.files());
    let expected = training(&handle);
    stage.compact(SegmentLimits::default(), 2 * START_S);
    assert_eq!(training(&stage.handle()), expected);
    assert_eq!(handle.segment_totals().unwrap().rows, 40 * 2 + 13 * 2);
}

pub fn positions_increase_when_the_journal_is_empty<T: TestStore>() {
    let stage = Stage::<T>::new();
    let send = |store: &mut Store, number| {
        store.commit(&[received("gw-1", &own_samples(1, number, &[(number, false)]))], 5).unwrap();
    };
    let mut store = stage.store.open(Limits::default());
    (1..=9).for_each(|number| send(&mut store, number));
    let newest = stage.handle().newest_batch().unwrap();
    stage.compact(SegmentLimits::default(), START_S);
    assert_eq!(stage.handle().newest_batch().unwrap(), newest);
    store.close().unwrap();
    let mut store = stage.store.open(Limits::default());
    send(&mut store, 10);
    assert!(stage.handle().newest_batch().unwrap() > newest);
    let times: Vec<_> = training(&stage.handle()).0.iter().map(|row| row.at.as_secs()).collect();
    assert_eq!(times, (1..=10).collect::<Vec<_>>());
}

pub fn small_segments_of_earlier_days_are_merged_and_their_files_deleted_later<T: TestStore>() {
    let stage = Stage::<T>::new();
    let mut store = stage.store.open(Limits::default());
    for number in 1..=6 {
        let rows = [(number, false), (number + 1, false)];
        store.commit(&[received("gw-1", &own_samples(1, number, &rows))], 5).unwrap();
        stage.compact(small(100), START_S + 1_000 * number);
    }
    let handle = stage.handle();
    let expected = training(&handle);
    assert_eq!((handle.segments(None).unwrap().len(), stage.files().len()), (6, 6));
    let mut reading = handle.training_rows(&schema_id()).unwrap();
    let first = reading.next().unwrap().unwrap();
    let merged_s = START_S + 200_000;
    let mut compactor = stage.compactor(small(100));
    assert_eq!(compactor.pass(merged_s, &mut |_| true).unwrap().replaced, 6);
    assert_eq!(handle.segments(None).unwrap().len(), 1);
    let rest: Vec<_> = reading.map(Result::unwrap).collect();
    assert_eq!([vec![first], rest].concat(), expected.0, "a reader that had begun");
    assert_eq!(training(&handle), expected);
    assert_eq!(stage.files().len(), 7);
    compactor.pass(merged_s + REMOVED_FILES_KEPT_S, &mut |_| true).unwrap();
    assert_eq!(stage.files().len(), 1);
    assert_eq!(training(&stage.handle()), expected);
}

pub fn a_segment_is_not_written_again_within_the_hour_after_it_was_made<T: TestStore>() {
    let stage = Stage::<T>::new();
    stage.store.open(Limits::default()).commit(&messages(), 5).unwrap();
    let mut compactor = stage.compactor(SegmentLimits::default());
    compactor.pass(START_S, &mut |_| true).unwrap();
    let made_s = START_S + AGE_S;
    assert_eq!(compactor.pass(made_s, &mut |_| true).unwrap().segments, 1);
    stage.handle().forget_agent("gw-1", "ann", 5).unwrap();
    let expected = training(&stage.handle());
    let until = made_s + REMOVED_FILES_KEPT_S;
    for (now_s, replaced) in [(made_s, 0), (until - 1, 0), (until, 1), (until + 1, 0)] {
        assert_eq!(compactor.pass(now_s, &mut |_| true).unwrap().replaced, replaced, "at {now_s}");
    }
    assert_eq!(training(&stage.handle()), expected);
}

pub fn rows_of_segments_that_are_replaced_while_they_are_read_are_read_once<T: TestStore>() {
    // With deleted files, a reader that is slower than the time for which they are kept.
    for (replaced_after, are_files_deleted) in [(0, true), (1, false), (1, true), (70, true), (250, true), (350, true)]
    {
        let stage = Stage::<T>::new();
        let mut store = stage.store.open(Limits::default());
        let batch = |agent: &str, number| received(agent, &own_samples(1, number, &[(number, false)]));
        let both = |numbers: std::ops::RangeInclusive<u64>| {
            numbers.flat_map(|number| [batch("gw-1", number), batch("gw-2", number)]).collect::<Vec<_>>()
        };
        store.commit(&both(1..=100), 5).unwrap();
        stage.compact(small(50), START_S);
        store.commit(&both(101..=200), 5).unwrap();
        let (handle, remover) = (stage.handle(), stage.handle());
        let mut reading = handle.training_rows(&schema_id()).unwrap();
        let mut read: Vec<_> = reading.by_ref().take(replaced_after).map(Result::unwrap).collect();
        // The rest of the journal becomes segments; all are written again without the rows of an agent.
        let mut compactor = stage.compactor(small(50));
        let mut now_s = 2 * START_S;
        compactor.pass(now_s, &mut |_| true).unwrap();
        compactor.pass(now_s + AGE_S, &mut |_| true).unwrap();
        remover.forget_agent("gw-1", "ann", 5).unwrap();
        now_s += AGE_S + REMOVED_FILES_KEPT_S;
        while compactor.pass(now_s, &mut |_| true).unwrap().replaced > 0 {}
        if are_files_deleted {
            compactor.pass(now_s + REMOVED_FILES_KEPT_S, &mut |_| true).unwrap();
        }
        read.extend(reading.map(Result::unwrap));
        let place = |row: &TrainingRow| (row.agent, row.place);
        let places: BTreeSet<_> = read.iter().map(place).collect();
        assert_eq!(places.len(), read.len(), "read twice, replaced after {replaced_after} rows");
        let remaining = training(&stage.handle()).0;
        assert_eq!(remaining.len(), 200);
        let missing = remaining.iter().filter(|row| !places.contains(&place(row))).count();
        assert_eq!(missing, 0, "replaced after {replaced_after} rows");
    }
}

pub fn batches_of_other_schemas_stay_in_the_journal<T: TestStore>() {
    let stage = Stage::<T>::new();
    let other = [1, 2].map(|number| received("gw-1", &testing::samples(2, number, &[(number, false)])));
    let mut store = stage.store.open(Limits::default());
    store.commit(&messages(), 5).unwrap();
    store.commit(&other, 5).unwrap();
    stage.compact(SegmentLimits::default(), START_S);
    let handle = stage.handle();
    assert_eq!(handle.training_rows(&testing::SCHEMA).unwrap().count(), 2);
    assert_eq!(handle.rows_of_other_schemas(&schema_id()).unwrap(), 2);
    let own = handle.segment_totals().unwrap().rows;
    assert_eq!(handle.rows_of_other_schemas(&testing::SCHEMA).unwrap(), own);
    assert_eq!(own, 40 * 3 + 1 + 40 * 2 + 13 * 2);
}

pub fn a_place_that_fails_leaves_the_journal_as_it_is<T: TestStore>() {
    let stage = Stage::<T>::new();
    stage.store.open(Limits::default()).commit(&messages(), 5).unwrap();
    let expected = training(&stage.handle());
    let mut compactor = stage.compactor(SegmentLimits::default());
    compactor.pass(START_S, &mut |_| true).unwrap();
    let (rows, away) = (stage.folder.path().join("rows"), stage.folder.path().join("away"));
    std::fs::rename(&rows, &away).unwrap();
    assert!(compactor.pass(START_S + AGE_S, &mut |_| true).is_err());
    assert_eq!(training(&stage.handle()), expected);
    std::fs::rename(&away, &rows).unwrap();
    assert_eq!(compactor.pass(START_S + AGE_S + 1, &mut |_| true).unwrap().segments, 1);
    std::fs::rename(&rows, &away).unwrap();
    let error = stage.handle().training_rows(&schema_id()).unwrap().find_map(Result::err).unwrap().to_string();
    assert!(error.contains("segment-") && error.contains("No such file"), "{error}");
    let error = stage.compactor(SegmentLimits::default()).pass(START_S + 900, &mut |_| true).unwrap_err().to_string();
    assert!(error.contains("has no segments of this store"), "{error}");
}
