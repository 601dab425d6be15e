//! Rows, descriptions and temporary folders for tests.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test fails by panicking; the names are the documentation")]

use crate::description::Segment;
use crate::filter::Filter;
use crate::place::Folder;
use crate::reader::SegmentReader;
use crate::row::Row;
use lapwing_shared::features::FEATURES;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::messages::{AgentName, RowHosts};
use lapwing_shared::units::Timestamp;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A temporary folder for one test, removed if the test passes.
pub struct TestFolder(PathBuf);

impl TestFolder {
    #[allow(clippy::new_without_default, reason = "creates a folder on disk")]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lapwing-segments-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
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
pub fn row(agent: &str, number: u64, at_s: u64) -> Row {
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
pub fn segment(file: &str) -> Segment {
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
pub fn read_all(folder: &Folder, segments: &[Segment]) -> Vec<Row> {
    let filter = Filter::default();
    let rows = |segment| SegmentReader::open(folder, segment, &filter).unwrap();
    segments.iter().flat_map(rows).collect::<Result<_, _>>().unwrap()
}

/// Sorts rows as a segment has them, and writes them as plain bytes for programs in other languages: `features.bin` (f32,
/// little-endian, 48 in each row), and `rows.csv` with the other columns.
pub fn write_plain(rows: &mut [Row], folder: &Path) {
    rows.sort_by(|one, other| one.order().cmp(&other.order()));
    let mut text = String::from(
        "agent,at_ns,arrival,run,number,row,batch_rows,flows_seen,sent_s,score,in_episode,source_host,target_host\n",
    );
    for row in &*rows {
        let score = row.score.map_or(String::new(), |score| score.to_string());
        let Row { agent, arrival, run, number, row: index, batch_rows, flows_seen, sent_s, in_episode, .. } = row;
        let (at, source, target) = (row.at.as_nanos(), row.hosts.source, row.hosts.target);
        writeln!(
            text,
            "{agent},{at},{arrival},{run},{number},{index},{batch_rows},{flows_seen},{sent_s},{score},{in_episode},{source},{target}"
        )
        .unwrap();
    }
    std::fs::write(folder.join("rows.csv"), text).unwrap();
    let features: Vec<u8> = rows.iter().flat_map(|row| row.features).flat_map(f32::to_le_bytes).collect();
    std::fs::write(folder.join("features.bin"), features).unwrap();
}
