//! Rows, descriptions and temporary folders for tests.

use crate::description::Segment;
use crate::filter::Filter;
use crate::place::Folder;
use crate::reader::SegmentReader;
use crate::row::Row;
use lapwing_shared::features::FEATURES;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::messages::{AgentName, RowHosts};
use lapwing_shared::units::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A temporary folder for one test, removed if the test passes.
pub(crate) struct TestFolder(PathBuf);

impl TestFolder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lapwing-segments-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// The first row of a batch.
pub(crate) fn row(agent: &str, number: u64, at_s: u64) -> Row {
    Row {
        agent: AgentName::try_from(agent).unwrap(),
        at: Timestamp::from_secs(at_s),
        arrival: number,
        run: 3,
        number,
        row: 0,
        batch_rows: 1,
        flows_seen: 100,
        sent_s: at_s + 1,
        score: None,
        in_episode: false,
        hosts: RowHosts::default(),
        features: [at_s as f32; FEATURES],
    }
}

/// A description that fits no file.
pub(crate) fn segment(file: &str) -> Segment {
    Segment {
        file: file.into(),
        rows: 1,
        batches: 1,
        bytes: 1,
        sha256: [0xab; 32],
        group: "home".into(),
        first: Timestamp::from_nanos(1),
        last: Timestamp::from_nanos(2),
        last_arrival: 1,
        schema: schema_id(),
        written_s: 1,
    }
}

/// Every row of some segments.
pub(crate) fn read_all(folder: &Folder, segments: &[Segment]) -> Vec<Row> {
    let filter = Filter::default();
    let rows = |segment| SegmentReader::open(folder, segment, &filter).unwrap();
    segments.iter().flat_map(rows).collect::<Result<_, _>>().unwrap()
}
