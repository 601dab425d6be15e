//! What only a file can do: damage, foreign files, versions, a lock.

use super::SqliteWriter;
use super::schema;
use crate::testing::{Folder, SCHEMA, received, samples};
use crate::traits::Ingest;
use crate::*;
use std::fs;

fn open(folder: &Folder) -> Store {
    Store::open(folder.store(), Limits::default()).unwrap()
}

#[test]
fn a_file_that_is_not_a_database_is_reported_as_damaged_and_unchanged() {
    let folder = Folder::new();
    fs::write(folder.store(), "not a database, but long enough to look at".repeat(200)).unwrap();
    let before = fs::read(folder.store()).unwrap();
    let error = Store::open(folder.store(), Limits::default()).err().unwrap();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("restore a backup"), "{error}");
    assert_eq!(fs::read(folder.store()).unwrap(), before);
}

#[test]
fn overwritten_pages_are_reported_as_damaged() {
    let folder = Folder::new();
    let mut store = open(&folder);
    let batch: Vec<_> = (1..200).map(|number| received("gw", &samples(1, number, &[(1, false)]))).collect();
    store.commit(&batch, 5).unwrap();
    store.close().unwrap();
    let mut bytes = fs::read(folder.store()).unwrap();
    bytes[4096..].fill(0xa5);
    fs::write(folder.store(), bytes).unwrap();
    let error = Store::open(folder.store(), Limits::default()).err().unwrap();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn another_programs_database_is_rejected() {
    let folder = Folder::new();
    let other = rusqlite::Connection::open(folder.store()).unwrap();
    other.execute_batch("CREATE TABLE theirs (x)").unwrap();
    let error = Store::open(folder.store(), Limits::default()).err().unwrap();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
}

#[test]
fn a_newer_schema_version_is_rejected_with_the_next_step() {
    let folder = Folder::new();
    open(&folder).close().unwrap();
    let file = rusqlite::Connection::open(folder.store()).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    drop(file);
    let error = Store::open(folder.store(), Limits::default()).err().unwrap();
    let known = format!("schema version 99, this trainer supports versions up to {}", schema::VERSION);
    assert!(error.to_string().contains(&known), "{error}");
    assert!(error.to_string().contains("use a newer trainer"), "{error}");
}

#[test]
fn a_store_of_version_1_is_migrated_with_its_alerts_unclassified() {
    let folder = Folder::new();
    let old = rusqlite::Connection::open(folder.store()).unwrap();
    old.execute_batch(schema::MIGRATIONS[0]).unwrap();
    old.pragma_update(None, "application_id", 0x4c61_7077).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    old.execute_batch(
        "INSERT INTO agents (id, name, run, last_seen_s) VALUES (1, 'gw', 1, 5);
         INSERT INTO alerts VALUES (1, 1, 1, 1, 77, 0, zeroblob(16), 0, 1, 2, 40.0, 30.0, 12, 9, 23, NULL, 3, 5, x'');
         INSERT INTO samples VALUES (1, 1, 1, 2, 1, 8, x'');",
    )
    .unwrap();
    drop(old);
    let handle = StoreHandle::open(folder.store()).unwrap();
    let line = handle.alerts(&AlertFilter { limit: 9, ..AlertFilter::default() }).unwrap().remove(0);
    assert_eq!((line.number, line.class), (77, None));
    let episodes = handle.unclassified_episodes(9).unwrap();
    assert_eq!(episodes.len(), 1);
    assert!(handle.episode_rows(&episodes[0], &SCHEMA).unwrap().is_empty(), "its batches have no suspect times");
    assert_eq!(open(&folder).handle().unwrap().message_counts().unwrap(), [1, 1, 0]);
}

#[test]
fn a_missing_store_differs_from_one_that_cannot_be_created() {
    let folder = Folder::new();
    let path = folder.path().join("nowhere").join("store.sqlite");
    let error = Store::open(&path, Limits::default()).err().unwrap();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    assert!(matches!(StoreHandle::open(&path).err().unwrap(), StoreError::Absent { .. }));
    assert!(matches!(StoreHandle::open_reading(&path).err().unwrap(), StoreError::Absent { .. }));
}

#[test]
fn duplicates_are_found_in_the_file_whoever_stored_the_message() {
    let folder = Folder::new();
    let mut first = SqliteWriter::open(&folder.store(), Limits::default()).unwrap();
    let sample = |number| received("gw", &samples(1, number, &[(number, false)]));
    first.commit(&[sample(1), sample(3)], 5).unwrap();
    let mut second = SqliteWriter::open_beside(&folder.store(), Limits::default()).unwrap();
    assert_eq!(second.commit(&[sample(1), sample(2)], 6).unwrap().duplicates, 1);
    assert_eq!(first.commit(&[sample(2), sample(4)], 7).unwrap().duplicates, 1, "stored by the other one");
    let agent = testing::name("gw");
    for writer in [&first, &second] {
        assert_eq!(writer.progress(&agent, 1).unwrap().unwrap().up_to(), 4, "each acknowledges what both stored");
    }
    assert_eq!(StoreHandle::open(folder.store()).unwrap().message_counts().unwrap(), [0, 4, 0]);
}
