//! Writes a segment with every kind of value, and its rows as plain bytes for tests/python/segment_readers.py.
//!
//! `segment_rows FOLDER` writes the segment, `segments.json`, `features.bin` (f32, little-endian, 48 in each row) and
//! `rows.csv` with the other columns.
#![allow(clippy::unwrap_used, reason = "a test program may stop with a panic")]

use lapwing_segments::testing::write_plain;
use lapwing_segments::{Folder, Index, Limits, Row, SegmentWriter};
use lapwing_shared::messages::{AgentName, RowHosts};
use lapwing_shared::units::Timestamp;
use std::path::PathBuf;

/// More than a row group.
const ROWS: u64 = 20_000;
/// NaN, −0, subnormals, infinities and the largest number.
const SPECIAL: [u32; 8] =
    [0x7fc0_0000, 0x8000_0000, 0x0000_0001, 0x807f_ffff, 0x7f80_0000, 0xff80_0000, 0x7f7f_ffff, 0x3f80_0000];

fn row(index: u64, random: &mut fastrand::Rng) -> Row {
    let feature = |feature| match (index + feature as u64) % 16 {
        0 => f32::from_bits(SPECIAL[index as usize % SPECIAL.len()]),
        1..8 => random.f32() * 1e4,
        _ => (index % 3) as f32,
    };
    Row {
        agent: AgentName::try_from(format!("gateway-{}", index % 7).as_str()).unwrap(),
        at: Timestamp::from_nanos(1_700_000_000_123_456_789 + index * 1_000_000_007 % 86_400_000_000_000),
        arrival: index / 32 + 1,
        run: u64::MAX - index % 2,
        number: index / 32 + 1,
        row: (index % 32) as u32,
        batch_rows: 32,
        flows_seen: u32::MAX - index as u32,
        sent_s: 1_700_000_000 + index,
        score: (!index.is_multiple_of(3)).then_some(u32::MAX - index as u32),
        in_episode: index.is_multiple_of(5),
        hosts: RowHosts { source: index as u32, target: u32::MAX },
        features: std::array::from_fn(feature),
    }
}

fn main() {
    let path = PathBuf::from(std::env::args_os().nth(1).expect("usage: segment_rows FOLDER"));
    let folder = Folder::create(&path).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let mut rows: Vec<Row> = (0..ROWS).map(|index| row(index, &mut random)).collect();
    let mut writer = SegmentWriter::new(&folder, "home", Limits::default());
    writer.push(&rows, 0).unwrap();
    Index { segments: vec![writer.close(0).unwrap().unwrap()] }.save(&folder).unwrap();
    write_plain(&mut rows, &path);
}
