//! A running server moves feature rows to segments.

use super::tests::{TIMEOUT, config, serve};
use super::*;
use crate::config::StoreSection;
use lapwing_common::clock;
use lapwing_store::Store;
use lapwing_store::testing::{Folder, own_samples, received};

#[test]
fn rows_move_to_segments_while_the_server_runs() {
    let folder = Folder::new();
    let mut store = Store::open(folder.store(), lapwing_store::Limits::default()).unwrap();
    const BATCH: u64 = lapwing_shared::messages::SAMPLE_ROWS as u64;
    // More than a full segment, so that it is not a question of time.
    let full = lapwing_segments::Limits::default().rows();
    let rows: Vec<(u64, bool)> = (0..BATCH).map(|at_s| (at_s, false)).collect();
    let message = |number| received("gw-1", &own_samples(1, number, &rows));
    for numbers in (1..=full / BATCH + 1).collect::<Vec<_>>().chunks(100) {
        store.commit(&numbers.iter().map(|number| message(*number)).collect::<Vec<_>>(), 5).unwrap();
    }
    store.close().unwrap();
    let config =
        Config { store: StoreSection { segments: Some("rows".into()), ..config(&folder).store }, ..config(&folder) };
    let server = serve(config, Arc::default(), clock::moment()).unwrap();
    let value = |server: &Server, name| {
        server.segment_counts().named().into_iter().find(|count| count.name == name).unwrap().value
    };
    let deadline = clock::after(TIMEOUT);
    // Set after the other two.
    while value(&server, "segment_rows") < (full / BATCH + 1) * BATCH {
        assert!(clock::monotonic() < deadline, "no segment was written");
        std::thread::yield_now();
    }
    assert_eq!(value(&server, "segment_rows"), (full / BATCH + 1) * BATCH);
    let counts = ["segment_failures", "segments_written", "segments"].map(|name| value(&server, name));
    assert_eq!(counts, [0, 2, 2]);
    server.stop().unwrap();
    let handle = StoreHandle::open(folder.store()).unwrap();
    assert!(handle.journal(&lapwing_shared::features::schema::schema_id()).unwrap().is_empty());
    assert_eq!(handle.segments_folder().unwrap(), Some(folder.path().join("rows")));
}
