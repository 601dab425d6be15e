//! Tests of `store export` and `store import`.

use super::*;
use lapwing_shared::features::FEATURES;
use lapwing_shared::messages::RowHosts;
use lapwing_shared::units::Timestamp;
use lapwing_store::testing::{Folder as Temporary, alert, received, samples};
use lapwing_store::{Limits as StoreLimits, TrainingRow};
use std::path::Path;

/// A batch of the schema of this program, whose values differ from row to row.
fn batch(number: u64) -> Message {
    let mut message = samples(7, number, &[(1_000 - number, false), (5, number.is_multiple_of(2)), (number, false)]);
    if let Body::Samples(samples) = &mut message.body {
        samples.schema = schema_id();
        for (index, row) in samples.rows.iter_mut().enumerate() {
            row.hosts = RowHosts { source: number as u32, target: index as u32 };
            row.score = (index == 1).then_some(9);
            row.features[FEATURES - 1] = -0.0;
        }
    }
    message.sent_s = 77 + number;
    message
}

/// A store with the batches of two agents, an episode, and a batch of another schema.
fn filled(folder: &Temporary, numbers: std::ops::Range<u64>) {
    let mut store = Store::open(folder.store(), StoreLimits::default()).unwrap();
    for number in numbers {
        let messages = ["gw-2", "gw-1"].map(|agent| received(agent, &batch(number)));
        store.commit(&messages, 5).unwrap();
    }
    let other = received("gw-2", &samples(7, 9_000, &[(1, false)]));
    let opened = alert(7, 9_001, 1, lapwing_shared::messages::AlertState::Opened, (1, 2));
    store.commit(&[other, received("gw-2", &opened)], 5).unwrap();
}

fn store_at(path: PathBuf) -> StoreArgs {
    StoreArgs { config: None, store: Some(path.into()) }
}

fn export_args(folder: &Temporary, out: &Path) -> ExportArgs {
    ExportArgs { store: store_at(folder.store()), out: out.to_path_buf(), group: Some("home".into()) }
}

fn import_into(path: &Path, out: &Path) -> anyhow::Result<()> {
    import(&ImportArgs { folder: out.to_path_buf(), store: store_at(path.to_path_buf()) })
}

/// Batches by agent and payload, in order of arrival.
fn batches(path: &Path) -> Vec<(String, Vec<u8>)> {
    let handle = StoreHandle::open(path).unwrap();
    let found = handle.sample_batches(&schema_id(), 0, handle.newest_batch().unwrap(), 1_000).unwrap();
    found.into_iter().map(|batch| (batch.agent, batch.payload)).collect()
}

fn index(out: &Path) -> Index {
    Index::load(&Folder::existing(out)).unwrap().unwrap()
}

/// Few rows, so that there are several segments.
const SMALL: Limits = Limits { bytes: 9 * size_of::<Row>() as u64, age_s: 300 };

#[test]
fn an_exported_and_imported_store_has_the_same_batches_and_training_rows() {
    let folder = Temporary::new();
    filled(&folder, 1..20);
    let (out, copy) = (folder.path().join("rows"), folder.path().join("copy.sqlite"));
    export_within(&export_args(&folder, &out), SMALL).unwrap();
    let segments = index(&out).segments;
    assert_eq!(segments.iter().map(|segment| segment.rows).sum::<u64>(), 19 * 2 * 3);
    assert!(segments.len() > 10, "{}", segments.len());
    import_into(&copy, &out).unwrap();
    assert_eq!(batches(&copy), batches(&folder.store()));
    assert_eq!(batches(&copy).len(), 38);
    let plain = |path: &Path| {
        let handle = StoreHandle::open(path).unwrap();
        let rows = handle.training_rows(&schema_id()).unwrap();
        rows.map(Result::unwrap).filter(|row| !row.suspect).collect::<Vec<TrainingRow>>()
    };
    assert_eq!(plain(&copy), plain(&folder.store()));
    // Again: nothing is stored twice.
    import_into(&copy, &out).unwrap();
    assert_eq!(batches(&copy).len(), 38);
}

#[test]
fn an_export_and_an_import_have_the_rows_of_segments_as_well() {
    let folder = Temporary::new();
    filled(&folder, 1..20);
    let expected = batches(&folder.store());
    let compact = |now_s| {
        let handle = StoreHandle::open(folder.store()).unwrap();
        lapwing_store::Compactor::new(handle, SMALL, "home").pass(now_s, &mut |_| true).unwrap()
    };
    assert!(compact(5).segments > 5);
    let (out, copy) = (folder.path().join("rows"), folder.path().join("copy.sqlite"));
    export_within(&export_args(&folder, &out), SMALL).unwrap();
    // Rows that an export had read from the journal move to segments before the next one.
    filled(&folder, 20..25);
    export_within(&export_args(&folder, &out), SMALL).unwrap();
    assert!(compact(6).segments > 0);
    filled(&folder, 25..30);
    export_within(&export_args(&folder, &out), SMALL).unwrap();
    import_into(&copy, &out).unwrap();
    let copied = batches(&copy);
    assert_eq!((copied.len(), &copied[..expected.len()]), (29 * 2, expected.as_slice()));
}

#[test]
fn a_repeated_export_adds_newer_rows_and_removes_what_an_interrupted_one_left() {
    let folder = Temporary::new();
    filled(&folder, 1..4);
    let out = folder.path().join("rows");
    export_within(&export_args(&folder, &out), Limits::default()).unwrap();
    let first = index(&out);
    assert_eq!(first.segments.len(), 1);
    for left in ["segment-0000000001-0123456789abcdef.parquet", "segment-0000000001-0123456789abcdef.parquet.partial"] {
        std::fs::write(out.join(left), b"x").unwrap();
    }
    export_within(&export_args(&folder, &out), Limits::default()).unwrap();
    assert_eq!(index(&out), first, "no newer rows");
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 3, "the index, its lock and one segment");
    filled(&folder, 4..6);
    export_within(&export_args(&folder, &out), Limits::default()).unwrap();
    let rows: Vec<u64> = index(&out).segments.iter().map(|segment| segment.rows).collect();
    assert_eq!(rows, [18, 12]);
}

#[test]
fn an_export_does_not_continue_another_group_or_another_store() {
    let folder = Temporary::new();
    filled(&folder, 1..4);
    let out = folder.path().join("rows");
    export_within(&export_args(&folder, &out), Limits::default()).unwrap();
    let work = ExportArgs { group: Some("work".into()), ..export_args(&folder, &out) };
    let error = export_within(&work, Limits::default()).unwrap_err().to_string();
    assert!(error.contains("has rows of group `home`"), "{error}");
    let held = Folder::existing(&out).lock().unwrap();
    let error = export_within(&export_args(&folder, &out), Limits::default()).unwrap_err().to_string();
    assert!(error.contains("another export writes to"), "{error}");
    drop(held);
    let invalid = ExportArgs { group: Some("a b".into()), ..export_args(&folder, &out) };
    assert!(export_within(&invalid, Limits::default()).is_err());
    let newer = Temporary::new();
    filled(&newer, 1..2);
    let error = export_within(&export_args(&newer, &out), Limits::default()).unwrap_err().to_string();
    assert!(error.contains("export to another folder"), "{error}");
}

#[test]
fn an_import_rejects_damaged_and_incomplete_segments() {
    let folder = Temporary::new();
    filled(&folder, 1..4);
    let (out, copy) = (folder.path().join("rows"), folder.path().join("copy.sqlite"));
    let missing = import_into(&copy, &out).unwrap_err().to_string();
    assert!(missing.contains("has no segments.json"), "{missing}");
    export_within(&export_args(&folder, &out), Limits::default()).unwrap();
    let path = out.join(&index(&out).segments[0].file);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = import_into(&copy, &out).unwrap_err().to_string();
    assert!(error.contains("has SHA-256"), "{error}");
    assert!(batches(&copy).is_empty());

    // A segment with two of three rows of a batch.
    let part = folder.path().join("part");
    let to = Folder::create(&part).unwrap();
    let handle = StoreHandle::open(folder.store()).unwrap();
    let stored = handle.stored_rows(&schema_id(), Filter::default(), 0).unwrap();
    let rows: Vec<Row> = stored.take(2).map(|row| row.unwrap().1).collect();
    let mut writer = SegmentWriter::new(&to, "home", Limits::default());
    writer.push(&rows, 0).unwrap();
    Index { segments: vec![writer.close(0).unwrap().unwrap()] }.save(&to).unwrap();
    let error = import_into(&copy, &part).unwrap_err().to_string();
    assert!(error.contains("batch 1 of run 7 of agent `gw-2` is not complete"), "{error}");
}

#[test]
fn a_batch_of_the_longest_run_and_times_is_copied_bit_by_bit() {
    let folder = Temporary::new();
    let mut message = batch(2);
    (message.run, message.sent_s) = (u64::MAX, u64::MAX);
    if let Body::Samples(samples) = &mut message.body {
        samples.rows[0].at = Timestamp::MAX;
        samples.rows[1].features[0] = f32::MIN_POSITIVE / 2.0;
        samples.flows_seen = u32::MAX;
    }
    let mut store = Store::open(folder.store(), StoreLimits::default()).unwrap();
    store.commit(&[received("gw", &message)], 5).unwrap();
    let (out, copy) = (folder.path().join("rows"), folder.path().join("copy.sqlite"));
    export_within(&export_args(&folder, &out), Limits::default()).unwrap();
    import_into(&copy, &out).unwrap();
    assert_eq!(batches(&copy), [("gw".into(), lapwing_store::testing::bytes(&message))]);
}
