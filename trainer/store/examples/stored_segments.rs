//! Fills a store, moves its rows to segments as `serve` does, and writes the rows as plain bytes for
//! tests/python/segment_readers.py.
//!
//! `stored_segments FOLDER` writes `store.sqlite`, the segments in `store.sqlite.segments`, `features.bin` (f32,
//! little-endian, 48 in each row) and `rows.csv` with the other columns, sorted by agent, time, arrival and index.
#![allow(clippy::unwrap_used, reason = "a test program may stop with a panic")]

use lapwing_segments::testing::write_plain;
use lapwing_segments::{Filter, Limits as SegmentLimits, Row};
use lapwing_shared::features::schema::schema_id;
use lapwing_store::testing::{own_samples, received, status};
use lapwing_store::{Compactor, Limits, Store, StoreHandle};
use std::path::PathBuf;

/// Batches of each agent.
const BATCHES: u64 = 300;

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("usage: stored_segments FOLDER"));
    let path = folder.join("store.sqlite");
    let mut store = Store::open(&path, Limits::default()).unwrap();
    store.commit(&[received("gateway-1", &status(1))], 1).unwrap();
    for number in 1..=BATCHES {
        let rows: Vec<(u64, bool)> = (0..20).map(|row| (1_000_000 - 7 * number + row % 3, row == 4)).collect();
        let messages =
            ["gateway-2", "gateway-1", "gateway-3"].map(|agent| received(agent, &own_samples(1, number, &rows)));
        store.commit(&messages, 5).unwrap();
    }
    let handle = StoreHandle::open(&path).unwrap();
    let limits = SegmentLimits { bytes: 5_000 * size_of::<Row>() as u64, age_s: 300 };
    let done = Compactor::new(handle, limits, "home").pass(1_700_000_000, &mut |_| true).unwrap();
    assert_eq!(done.rows, 3 * 20 * BATCHES);
    let handle = StoreHandle::open(&path).unwrap();
    let stored = handle.stored_rows(&schema_id(), Filter::default(), 0).unwrap();
    let mut rows: Vec<Row> = stored.map(|row| row.unwrap().1).collect();
    write_plain(&mut rows, &folder);
}
