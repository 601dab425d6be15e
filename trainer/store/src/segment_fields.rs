//! A row of either database → descriptions of segments.

use crate::fields::{Fields, time};
use crate::segment_rows::{JournalPart, NewestRow, SegmentTotals, StoredSegment};
use lapwing_segments::Segment;
use lapwing_shared::units::Timestamp;

/// Columns and tables that [`segment`] reads.
pub(crate) const SEGMENT: &str = "segments.id, file, segments.group_name, schemas.sha256, segments.bytes, segments.sha256, \
     segments.rows, segments.batches, first_ns, last_ns, first_arrival, segments.last_arrival, made_s, is_rewritten, \
     has_forgotten FROM segments JOIN schemas ON schemas.id = segments.schema";

/// A row of [`SEGMENT`], without its agents.
pub(crate) fn segment<R: Fields>(row: &R) -> Result<StoredSegment, R::Error> {
    let digest = |column| row.bytes(column)?.try_into().map_err(|_| R::invalid(column, "a digest of 32 bytes"));
    let last = row.integer(9)?;
    let segment = Segment {
        file: row.text(1)?,
        group: row.text(2)?,
        schema: digest(3)?,
        bytes: row.unsigned(4)?,
        sha256: digest(5)?,
        rows: row.unsigned(6)?,
        batches: row.unsigned(7)?,
        first: time(row.integer(8)?),
        last: if last == i64::MAX { Timestamp::MAX } else { time(last) },
        last_arrival: row.unsigned(11)?,
        written_s: row.unsigned(12)?,
    };
    Ok(StoredSegment {
        id: row.integer(0)?,
        segment,
        first_arrival: row.unsigned(10)?,
        is_rewritten: row.flag(13)?,
        has_forgotten: row.flag(14)?,
        agents: Vec::new(),
        counted_rows: 0,
    })
}

/// A row of an agent, its rows in the journal and its group.
pub(crate) fn journal_part<R: Fields>(row: &R) -> Result<JournalPart, R::Error> {
    Ok(JournalPart { agent_id: row.integer(0)?, rows: row.unsigned(1)?, group: row.text_or_null(2)? })
}

/// A row of an agent, its newest batch in a segment, and the time of the newest row there.
pub(crate) fn newest_row<R: Fields>(row: &R) -> Result<NewestRow, R::Error> {
    Ok(NewestRow { agent_id: row.integer(0)?, arrival: row.unsigned(1)?, at_ns: row.integer(2)? })
}

/// A row of the number of segments, their rows and bytes.
pub(crate) fn segment_totals<R: Fields>(row: &R) -> Result<SegmentTotals, R::Error> {
    Ok(SegmentTotals { segments: row.unsigned(0)?, rows: row.unsigned(1)?, bytes: row.unsigned(2)? })
}
