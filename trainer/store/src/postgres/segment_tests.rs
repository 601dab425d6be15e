//! Segments while several writers commit.

use crate::contract::TestStore;
use crate::testing::postgres::Database;
use crate::testing::{Folder, own_samples, problems, received};
use crate::{Compactor, Counter, Limits, Received, Step, StoreHandle};
use lapwing_segments::{Filter, Limits as SegmentLimits, Place, Row};
use lapwing_shared::features::schema::schema_id;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Time of the first pass, seconds.
const START_S: u64 = 1_000_000;
/// Age at which rows are written to a segment, seconds.
const AGE_S: u64 = 300;
/// Queries until a test stops waiting for another connection.
const MAX_POLLS: u32 = 20_000;

/// A database and a folder for its segments; `None` without a server, which is listed as skipped.
fn stage() -> Option<(Database, Folder)> {
    Database::is_available().then(|| (Database::new(), Folder::new()))
}

fn handle(database: &Database, folder: &Folder) -> StoreHandle {
    let place: Arc<dyn Place> = Arc::new(lapwing_segments::Folder::existing(&folder.path().join("rows")));
    database.handle().with_place(place)
}

fn compactor(database: &Database, folder: &Folder) -> Compactor {
    let limits = SegmentLimits { bytes: (50 * size_of::<Row>()) as u64, age_s: AGE_S };
    Compactor::new(handle(database, folder), limits, "home")
}

fn batch(agent: &str, number: u64) -> Received {
    received(agent, &own_samples(1, number, &[(number, false), (number, true)]))
}

/// Agent, number and index of every row after a position, sorted, and the position of the newest one.
fn rows_after(handle: &StoreHandle, position: u64) -> (Vec<(String, u64, u32)>, u64) {
    let mut stored = handle.stored_rows(&schema_id(), Filter::default(), position).unwrap();
    let newest = stored.newest_batch();
    let key = |(_, row): (i64, Row)| (row.agent.to_string(), row.number, row.row);
    let mut rows: Vec<_> = stored.by_ref().map(|row| key(row.unwrap())).collect();
    rows.sort();
    (rows, newest)
}

fn is_each_once(rows: &[(String, u64, u32)]) -> bool {
    rows.windows(2).all(|pair| pair[0] != pair[1])
}

#[test]
fn writers_and_a_compactor_at_once_lose_and_double_no_row() {
    let Some((database, folder)) = stage() else { return };
    drop(database.open(Limits::default()));
    let writing = AtomicUsize::new(2);
    let (segments, read) = std::thread::scope(|scope| {
        for writer in 0..2 {
            let (database, writing) = (&database, &writing);
            scope.spawn(move || {
                let mut store = database.open(Limits::default());
                for number in 1..=150 {
                    // Some agents are the writer's own, one sends its messages to both.
                    let own = |agent: u64| batch(&format!("gw-{writer}-{agent}"), number);
                    let all: Vec<_> = (0..3).map(own).chain([batch("both", 2 * number + writer)]).collect();
                    store.commit(&all, 5).unwrap();
                }
                writing.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let reader = scope.spawn(|| {
            let (handle, mut read, mut position) = (handle(&database, &folder), Vec::new(), 0);
            loop {
                let is_last = writing.load(Ordering::Relaxed) == 0;
                let (rows, newest) = rows_after(&handle, position);
                read.extend(rows);
                position = newest;
                if is_last {
                    return read;
                }
                assert!(is_each_once(&rows_after(&handle, 0).0), "read twice by one reader");
            }
        });
        let (mut compactor, mut now_s, mut segments) = (compactor(&database, &folder), START_S, 0);
        while writing.load(Ordering::Relaxed) > 0 {
            segments += compactor.pass(now_s, &mut |_| true).unwrap().segments;
            now_s += AGE_S;
        }
        (segments, reader.join().unwrap())
    });
    assert!(segments > 3, "{segments}");
    let of = |agent: &str, numbers: std::ops::RangeInclusive<u64>| {
        let agent = agent.to_owned();
        numbers.flat_map(move |number| [(agent.clone(), number, 0), (agent.clone(), number, 1)]).collect::<Vec<_>>()
    };
    let agents = (0..2).flat_map(|writer| (0..3).map(move |agent| format!("gw-{writer}-{agent}")));
    let mut expected: Vec<_> = agents.flat_map(|agent| of(&agent, 1..=150)).chain(of("both", 2..=301)).collect();
    expected.sort();
    let handle = handle(&database, &folder);
    assert_eq!(rows_after(&handle, 0).0, expected);
    // Reading on from a position while batches were committed out of order.
    let mut read = read;
    read.sort();
    assert_eq!(read, expected);
    assert_eq!(handle.message_counts().unwrap()[1], 2 * 150 * 4);
    assert_eq!(problems(&handle), Vec::<String>::new());
}

#[test]
fn a_batch_that_is_committed_after_a_later_one_is_read_once() {
    let Some((database, folder)) = stage() else { return };
    let mut store = database.open(Limits::default());
    store.commit(&[batch("slow", 1), batch("quick", 1)], 5).unwrap();
    let handle = handle(&database, &folder);
    let mut compactor = compactor(&database, &folder);
    compactor.pass(START_S, &mut |_| true).unwrap();
    assert_eq!(compactor.pass(START_S + AGE_S, &mut |_| true).unwrap().rows, 4);
    let mut client = database.client();
    let mut blocker = client.transaction().unwrap();
    // A writer changes this row after it has stored its samples.
    let text = "SELECT 1 FROM progress JOIN agents ON agents.id = agent WHERE name = 'slow' FOR UPDATE OF progress";
    blocker.execute(text, &[]).unwrap();
    let mut watcher = database.client();
    let (before, position) = std::thread::scope(|scope| {
        let slow = scope.spawn(|| database.open(Limits::default()).commit(&[batch("slow", 2)], 5).unwrap());
        let text =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let is_waiting = (0..MAX_POLLS).any(|_| {
            std::thread::yield_now();
            watcher.query_one(text, &[]).unwrap().get::<_, i64>(0) > 0
        });
        // The writer must not stay blocked, as the scope waits for it.
        if is_waiting {
            store.commit(&[batch("quick", 2)], 5).unwrap();
        }
        let compacted = [2, 3].map(|pass| compactor.pass(START_S + pass * AGE_S, &mut |_| true));
        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rows_after(&handle, 0)));
        blocker.commit().unwrap();
        slow.join().unwrap();
        assert!(is_waiting, "the writer does not wait for the row of progress");
        let rows = compacted.map(|done| done.unwrap().rows);
        assert_eq!(rows, [0, 0], "batches after the slow writer's stay in the journal");
        read.unwrap()
    });
    assert_eq!(before.len(), 4, "{before:?}");
    let rows = [4, 5].map(|pass| compactor.pass(START_S + pass * AGE_S, &mut |_| true).unwrap().rows);
    assert_eq!(rows.iter().sum::<u64>(), 4);
    let (after, _) = rows_after(&handle, position);
    assert_eq!(after.len(), 4, "{after:?}");
    let mut all = [before, after].concat();
    all.sort();
    assert_eq!(rows_after(&handle, 0).0, all);
    assert!(is_each_once(&all));
    assert_eq!(handle.counter(Counter::SampleRowsStored).unwrap(), 8);
    assert_eq!(problems(&handle), Vec::<String>::new());
}

#[test]
fn partitions_that_the_compactor_empties_are_dropped() {
    let Some((database, folder)) = stage() else { return };
    let mut store = database.open(Limits::default());
    let mut compactor = compactor(&database, &folder);
    for day in 1..=6 {
        store.commit(&[batch("gw", day)], day * 86_400).unwrap();
        compactor.pass(day * 86_400, &mut |_| true).unwrap();
        compactor.pass(day * 86_400 + AGE_S, &mut |_| true).unwrap();
    }
    let text = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'samples'::regclass";
    let partitions: i64 = database.client().query_one(text, &[]).unwrap().get(0);
    assert!((2..=3).contains(&partitions), "{partitions}");
    assert_eq!(rows_after(&handle(&database, &folder), 0).0.len(), 12);
}

#[test]
fn a_compactor_that_is_no_longer_the_newest_adds_nothing() {
    let Some((database, folder)) = stage() else { return };
    let mut store = database.open(Limits::default());
    store.commit(&[batch("gw", 1)], 5).unwrap();
    let [mut earlier, mut later] = [(); 2].map(|()| compactor(&database, &folder));
    earlier.pass(START_S, &mut |_| true).unwrap();
    let mut is_taken_over = false;
    let done = earlier.pass(START_S + AGE_S, &mut |step| {
        if step == Step::Written && !is_taken_over {
            is_taken_over = true;
            // Removes the file, which no list names.
            later.pass(START_S + AGE_S, &mut |_| true).unwrap();
        }
        true
    });
    let done = done.unwrap();
    assert_eq!((is_taken_over, done.segments, done.conflicts), (true, 0, 1));
    assert_eq!(later.pass(START_S + 2 * AGE_S, &mut |_| true).unwrap().segments, 1);
    assert_eq!(rows_after(&handle(&database, &folder), 0).0.len(), 2);
    assert_eq!(problems(&database.handle()), Vec::<String>::new());
}
