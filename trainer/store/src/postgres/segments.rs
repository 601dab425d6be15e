//! Descriptions of segments ↔ their tables; [`super::segment_changes`] changes the list.

use super::PostgresHandle;
use super::session::{Queried, Session, Values};
use super::{partitions, segment_changes};
use crate::counter::Counter;
use crate::error::StoreError;
use crate::fields::Fields;
use crate::rows::EpisodeSpan;
use crate::segment_fields;
use crate::segment_rows::{BatchKey, JournalPart, NewSegment, NewestRow, PLACE, SegmentTotals, StoredSegment};
use crate::statements::{
    DELETE_SETTING, FORGET_REMOVED_SEGMENT, JOURNAL, NEWEST_IN_SEGMENTS, OVERLAPPING_SEGMENTS, REMOVED_SEGMENTS,
    SEGMENT_TOTALS, SEGMENTS, SEGMENTS_OF_SCHEMA, SET_SETTING, SETTING,
};
use crate::traits::{Counters, Segments};
use lapwing_shared::features::SchemaId;
use std::collections::HashMap;

/// Segments by a query, with their agents.
fn read(session: &mut Session, text: &str, values: Values<'_>) -> Queried<Vec<StoredSegment>> {
    let mut found = session.rows(text, values, segment_fields::segment)?;
    let ids: Vec<i64> = found.iter().map(|segment| segment.id).collect();
    let places: HashMap<i64, usize> = ids.iter().zip(0..).map(|(id, place)| (*id, place)).collect();
    let text = "SELECT segment, agent, rows FROM segment_agents WHERE segment = ANY($1) ORDER BY segment, agent";
    for row in session.query(text, &[&ids])? {
        let place = places.get(&row.integer(0)?);
        if let Some(segment) = place.and_then(|place| found.get_mut(*place)) {
            segment.agents.push(row.integer(1)?);
            segment.counted_rows += row.unsigned(2)?;
        }
    }
    Ok(found)
}

/// A time in seconds for a column.
fn seconds(at_s: u64) -> i64 {
    i64::try_from(at_s).unwrap_or(i64::MAX)
}

impl Segments for PostgresHandle {
    fn segments(&self, schema: Option<&SchemaId>) -> Result<Vec<StoredSegment>, StoreError> {
        // One state of both tables: a segment without its agents would look unused.
        self.snapshot(|session| match schema {
            Some(schema) => read(session, &SEGMENTS_OF_SCHEMA, &[&schema.as_slice()]),
            None => read(session, &SEGMENTS, &[]),
        })
    }

    fn segment_changes(&self) -> Result<u64, StoreError> {
        self.counter(Counter::SegmentChanges)
    }

    fn segment_totals(&self) -> Result<SegmentTotals, StoreError> {
        let totals = self.read(|session| session.row(&SEGMENT_TOTALS, &[], segment_fields::segment_totals))?;
        Ok(totals.unwrap_or_default())
    }

    fn journal(&self, schema: &SchemaId) -> Result<Vec<JournalPart>, StoreError> {
        let schema = schema.as_slice();
        self.read(|session| session.rows(&JOURNAL, &[&schema], segment_fields::journal_part))
    }

    fn begin_compaction(&self) -> Result<(), StoreError> {
        self.compactor.set(Some(self.write(segment_changes::begin)?));
        Ok(())
    }

    fn add_segment(&self, new: &NewSegment, batches: &[BatchKey]) -> Result<bool, StoreError> {
        // The compactor empties partitions as retention does. First, because a failure after the commit would say that the
        // segment was not added.
        let now_s = partitions::received_s(new.segment.written_s);
        partitions::drop_empty(&mut self.connection(), now_s)?;
        self.write(|session| segment_changes::add(session, self.compactor.get(), new, batches))
    }

    fn replace_segments(
        &self,
        old: &[StoredSegment],
        new: Option<&NewSegment>,
        now_s: u64,
    ) -> Result<bool, StoreError> {
        self.write(|session| segment_changes::replace(session, self.compactor.get(), old, new, seconds(now_s)))
    }

    fn drop_segment(&self, file: &str, now_s: u64) -> Result<u64, StoreError> {
        let dropped = self.write(|session| segment_changes::drop_file(session, file, seconds(now_s)))?;
        dropped.ok_or_else(|| StoreError::Missing { what: format!("segment `{file}`"), list: "store check" })
    }

    fn removed_segments(&self, until_s: u64) -> Result<Vec<String>, StoreError> {
        self.read(|session| session.rows(&REMOVED_SEGMENTS, &[&seconds(until_s)], |row| row.text(0)))
    }

    fn forget_removed_segment(&self, file: &str) -> Result<(), StoreError> {
        self.write(|session| session.change(&FORGET_REMOVED_SEGMENT, &[&file]).map(drop))
    }

    fn newest_in_segments(&self) -> Result<Vec<NewestRow>, StoreError> {
        self.read(|session| session.rows(&NEWEST_IN_SEGMENTS, &[], segment_fields::newest_row))
    }

    fn overlapping_segments(
        &self,
        span: &EpisodeSpan,
        schema: &SchemaId,
        limit: u32,
    ) -> Result<Vec<StoredSegment>, StoreError> {
        let (schema, limit) = (schema.as_slice(), i64::from(limit));
        self.snapshot(|session| {
            let values: Values<'_> = &[&span.agent, &schema, &span.first_ns, &span.last_ns, &limit];
            read(session, &OVERLAPPING_SEGMENTS, values)
        })
    }

    fn segments_place(&self) -> Result<Option<String>, StoreError> {
        self.read(|session| session.row(&SETTING, &[&PLACE], |row| row.text(0)))
    }

    fn set_segments_place(&self, place: Option<&str>) -> Result<(), StoreError> {
        self.write(|session| match place {
            Some(place) => session.change(&SET_SETTING, &[&PLACE, &place]).map(drop),
            None => session.change(&DELETE_SETTING, &[&PLACE]).map(drop),
        })
    }
}
