//! Sample batches of one group → segments, each closed when it reaches a size or an age.

use crate::columns::encode;
use crate::description::Segment;
use crate::error::SegmentError;
use crate::place::{Place, name_of};
use crate::row::Row;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::release::digest::{Hex, sha256};
use std::collections::BTreeSet;

/// Size of the rows in memory at which a segment is closed, by default: 64 MiB. The file is smaller.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Rows of a segment, at most, whatever their size in memory; a reader rejects more.
pub const SEGMENT_ROWS: usize = 1 << 18;
/// Age of the first row in memory at which a segment is closed, by default, seconds.
pub const SEGMENT_AGE_S: u64 = 300;

/// When to close a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of rows in memory, at most [`SEGMENT_BYTES`]: higher values count as that.
    pub bytes: u64,
    /// Seconds since the first row was added.
    pub age_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: SEGMENT_BYTES, age_s: SEGMENT_AGE_S }
    }
}

impl Limits {
    /// Rows of a segment, at most.
    pub fn rows(&self) -> u64 {
        (self.bytes.min(SEGMENT_BYTES) / size_of::<Row>() as u64).clamp(1, SEGMENT_ROWS as u64)
    }
}

/// Collects rows in memory, at most [`Limits::bytes`], and writes them as segments.
pub struct SegmentWriter<'a> {
    place: &'a dyn Place,
    group: String,
    limits: Limits,
    rows: Vec<Row>,
    /// When the first of the rows was added, seconds.
    since_s: u64,
}

impl<'a> SegmentWriter<'a> {
    /// A writer without rows, for agents of a group.
    pub fn new(place: &'a dyn Place, group: &str, limits: Limits) -> Self {
        Self { place, group: group.to_owned(), limits, rows: Vec::new(), since_s: 0 }
    }

    /// Adds the rows of a batch. If they would exceed the size of a segment, writes the earlier ones first: a batch is in
    /// one segment.
    ///
    /// # Errors
    /// When the earlier rows cannot be written; they stay in memory and the batch is not added.
    pub fn push(&mut self, batch: &[Row], now_s: u64) -> Result<Option<Segment>, SegmentError> {
        let is_full = (self.rows.len() + batch.len()) as u64 > self.limits.rows();
        let closed = if is_full { self.close(now_s)? } else { None };
        if self.rows.is_empty() {
            self.since_s = now_s;
        }
        self.rows.extend_from_slice(batch);
        Ok(closed)
    }

    /// Writes the rows if the first one has reached the age limit.
    ///
    /// # Errors
    /// When they cannot be written; they stay in memory.
    pub fn tick(&mut self, now_s: u64) -> Result<Option<Segment>, SegmentError> {
        if now_s.saturating_sub(self.since_s) < self.limits.age_s {
            return Ok(None);
        }
        self.close(now_s)
    }

    /// Writes the rows; `None` without rows. When this returns, the segment is durable.
    ///
    /// # Errors
    /// When they cannot be written; they stay in memory.
    pub fn close(&mut self, now_s: u64) -> Result<Option<Segment>, SegmentError> {
        let segment = write_segment(self.place, &self.group, &mut self.rows, now_s)?;
        self.rows.clear();
        Ok(segment)
    }
}

/// Sorts rows of agents of a group and writes them as one segment; `None` without rows. When this returns, the segment is
/// durable.
///
/// # Errors
/// When it cannot be encoded or written.
pub fn write_segment(
    place: &dyn Place,
    group: &str,
    rows: &mut [Row],
    now_s: u64,
) -> Result<Option<Segment>, SegmentError> {
    rows.sort_unstable_by(|one, other| one.order().cmp(&other.order()));
    let times = || rows.iter().map(|row| row.at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(None) };
    let failed = |error: parquet::errors::ParquetError| SegmentError::Encode { reason: error.to_string() };
    let bytes = encode(rows, group).map_err(failed)?;
    let digest = sha256(&bytes);
    let file = name_of(first.as_secs(), &Hex(&digest).to_string());
    place.put(&file, &bytes)?;
    let batches: BTreeSet<_> = rows.iter().map(|row| (row.arrival, &row.agent, row.run, row.number)).collect();
    Ok(Some(Segment {
        file,
        rows: rows.len() as u64,
        batches: batches.len() as u64,
        bytes: bytes.len() as u64,
        sha256: digest,
        group: group.to_owned(),
        first,
        last,
        last_arrival: rows.iter().map(|row| row.arrival).max().unwrap_or(0),
        schema: schema_id(),
        written_s: now_s,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Folder;
    use crate::testing::{TestFolder, read_all, row};

    fn batch(number: u64) -> Vec<Row> {
        (0..4).map(|index| Row { row: index, ..row("gw-1", number, 100 - number) }).collect()
    }

    #[test]
    fn a_segment_is_closed_before_a_batch_exceeds_its_size_and_batches_stay_whole() {
        let test = TestFolder::new();
        let folder = Folder::create(test.path()).unwrap();
        let limits = Limits { bytes: (10 * size_of::<Row>()) as u64, ..Limits::default() };
        let mut writer = SegmentWriter::new(&folder, "home", limits);
        assert_eq!(writer.push(&batch(1), 0).unwrap(), None);
        assert_eq!(writer.push(&batch(2), 0).unwrap(), None);
        let first = writer.push(&batch(3), 7).unwrap().unwrap();
        assert_eq!((first.rows, first.batches, first.last_arrival, first.written_s), (8, 2, 2, 7));
        assert_eq!((first.first.as_secs(), first.last.as_secs(), first.group.as_str()), (98, 99, "home"));
        let second = writer.close(8).unwrap().unwrap();
        assert_eq!((second.rows, second.batches, second.last_arrival), (4, 1, 3));
        assert_eq!(writer.close(9).unwrap(), None);
        assert_eq!(read_all(&folder, &[first, second]).len(), 12);
    }

    #[test]
    fn a_segment_is_closed_at_the_age_of_its_first_row() {
        let test = TestFolder::new();
        let folder = Folder::create(test.path()).unwrap();
        let mut writer = SegmentWriter::new(&folder, "home", Limits::default());
        assert_eq!(writer.tick(5_000).unwrap(), None, "no rows");
        writer.push(&batch(1), 5_000).unwrap();
        writer.push(&batch(2), 5_200).unwrap();
        assert_eq!(writer.tick(5_299).unwrap(), None);
        assert_eq!(writer.tick(5_300).unwrap().unwrap().rows, 8);
        writer.push(&batch(3), 5_310).unwrap();
        assert_eq!(writer.tick(5_600).unwrap(), None, "the age starts again");
    }

    #[test]
    fn rows_stay_in_memory_if_the_place_fails() {
        let test = TestFolder::new();
        let folder = Folder::existing(&test.path().join("missing"));
        let mut writer = SegmentWriter::new(&folder, "home", Limits::default());
        writer.push(&batch(1), 0).unwrap();
        assert!(matches!(writer.close(1), Err(SegmentError::Write { .. })));
        std::fs::create_dir(test.path().join("missing")).unwrap();
        assert_eq!(writer.close(2).unwrap().unwrap().rows, 4);
    }

    #[test]
    fn the_same_rows_have_the_same_file_in_whatever_order_they_are_added() {
        let test = TestFolder::new();
        let folder = Folder::create(test.path()).unwrap();
        let write = |numbers: [u64; 3]| {
            let mut writer = SegmentWriter::new(&folder, "home", Limits::default());
            for number in numbers {
                writer.push(&batch(number), 0).unwrap();
            }
            writer.close(0).unwrap().unwrap()
        };
        assert_eq!(write([1, 2, 3]), write([3, 1, 2]));
    }
}
