//! Descriptions of segments ↔ their tables.

use super::SqliteHandle;
use super::counters;
use crate::counter::Counter;
use crate::error::StoreError;
use crate::received::stored_ns;
use crate::rows::EpisodeSpan;
use crate::segment_fields;
use crate::segment_rows::{BatchKey, JournalPart, NewSegment, NewestRow, PLACE, SegmentTotals, StoredSegment};
use crate::statements::{
    ADD_SEGMENT, DELETE_SETTING, FORGET_REMOVED_SEGMENT, JOURNAL, NEWEST_IN_SEGMENTS, OVERLAPPING_SEGMENTS,
    REMOVED_SEGMENTS, SEGMENT_TOTALS, SEGMENTS, SEGMENTS_OF_SCHEMA, SET_SETTING, SETTING,
};
use crate::traits::Segments;
use lapwing_shared::features::SchemaId;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, Transaction, TransactionBehavior};

/// Segments by a query, with their agents.
fn read(connection: &Connection, text: &str, values: &[&dyn ToSql]) -> rusqlite::Result<Vec<StoredSegment>> {
    let mut statement = connection.prepare_cached(text)?;
    let rows = statement.query_map(values, |row| segment_fields::segment(row))?;
    let mut found: Vec<StoredSegment> = rows.collect::<rusqlite::Result<_>>()?;
    let mut parts = connection.prepare_cached("SELECT agent, rows FROM segment_agents WHERE segment = ?1")?;
    for segment in &mut found {
        for part in parts.query_map([segment.id], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))? {
            let (agent, rows) = part?;
            segment.agents.push(agent);
            segment.counted_rows += rows.cast_unsigned();
        }
    }
    Ok(found)
}

/// Counts a change of the list and returns its number.
fn count_change(connection: &Connection) -> rusqlite::Result<i64> {
    counters::add(connection, Counter::SegmentChanges, 1)?;
    counters::read(connection, Counter::SegmentChanges).map(u64::cast_signed)
}

fn insert(connection: &Connection, new: &NewSegment, is_rewritten: bool) -> rusqlite::Result<()> {
    let (id, file) = (count_change(connection)?, &new.segment);
    connection.prepare_cached(&ADD_SEGMENT)?.execute(rusqlite::params![
        id,
        file.file,
        file.group,
        file.schema,
        file.bytes.cast_signed(),
        file.sha256,
        file.rows.cast_signed(),
        file.batches.cast_signed(),
        stored_ns(file.first),
        stored_ns(file.last),
        new.first_arrival.cast_signed(),
        file.last_arrival.cast_signed(),
        file.written_s.cast_signed(),
        is_rewritten,
    ])?;
    insert_parts(connection, id, new)?;
    connection.execute(&FORGET_REMOVED_SEGMENT, [&file.file])?;
    let newest = counters::read(connection, Counter::SegmentArrivals)?.max(file.last_arrival);
    counters::set(connection, Counter::SegmentArrivals, newest)
}

/// Adds the agents of a segment.
fn insert_parts(connection: &Connection, id: i64, new: &NewSegment) -> rusqlite::Result<()> {
    let text = "INSERT INTO segment_agents (segment, agent, rows, batches, bytes, last_arrival, newest_ns, \
                suspect_first_ns, suspect_last_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    for (agent, extent) in &new.agents {
        let (first, last) = extent.suspects.map(|(first, last)| (stored_ns(first), stored_ns(last))).unzip();
        connection.prepare_cached(text)?.execute(rusqlite::params![
            id,
            agent,
            extent.rows.cast_signed(),
            extent.batches.cast_signed(),
            new.bytes_of(extent),
            extent.last_arrival.cast_signed(),
            stored_ns(extent.newest),
            first,
            last,
        ])?;
    }
    Ok(())
}

/// Deletes a segment and its parts; its file is deleted later.
fn remove(connection: &Connection, id: i64, now_s: u64) -> rusqlite::Result<()> {
    let text = "INSERT INTO removed_segments (file, removed_s) SELECT file, ?2 FROM segments WHERE id = ?1 \
                ON CONFLICT (file) DO UPDATE SET removed_s = ?2";
    connection.prepare_cached(text)?.execute((id, now_s.cast_signed()))?;
    connection.prepare_cached("DELETE FROM segment_agents WHERE segment = ?1")?.execute([id])?;
    connection.prepare_cached("DELETE FROM segments WHERE id = ?1")?.execute([id]).map(drop)
}

impl SqliteHandle {
    fn transaction(&self) -> rusqlite::Result<Transaction<'_>> {
        Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
    }
}

impl Segments for SqliteHandle {
    fn segments(&self, schema: Option<&SchemaId>) -> Result<Vec<StoredSegment>, StoreError> {
        let read = || match schema {
            Some(schema) => read(&self.connection, &SEGMENTS_OF_SCHEMA, &[schema]),
            None => read(&self.connection, &SEGMENTS, &[]),
        };
        read().map_err(self.sql())
    }

    fn segment_changes(&self) -> Result<u64, StoreError> {
        counters::read(&self.connection, Counter::SegmentChanges).map_err(self.sql())
    }

    fn segment_totals(&self) -> Result<SegmentTotals, StoreError> {
        self.connection.query_row(&SEGMENT_TOTALS, [], |row| segment_fields::segment_totals(row)).map_err(self.sql())
    }

    fn journal(&self, schema: &SchemaId) -> Result<Vec<JournalPart>, StoreError> {
        self.rows(&JOURNAL, [schema], |row| segment_fields::journal_part(row)).map_err(self.sql())
    }

    fn begin_compaction(&self) -> Result<(), StoreError> {
        // One process has the file, and one thread of it compacts.
        Ok(())
    }

    fn add_segment(&self, new: &NewSegment, batches: &[BatchKey]) -> Result<bool, StoreError> {
        let write = || {
            let transaction = self.transaction()?;
            let text = "DELETE FROM samples WHERE id = ?1 AND agent = ?2 AND run = ?3 AND number = ?4";
            for BatchKey { arrival, agent_id, run, number } in batches {
                let values = (arrival.cast_signed(), agent_id, run.cast_signed(), number.cast_signed());
                if transaction.prepare_cached(text)?.execute(values)? == 0 {
                    return Ok(false);
                }
            }
            insert(&transaction, new, false)?;
            transaction.commit().map(|()| true)
        };
        write().map_err(self.sql())
    }

    fn replace_segments(
        &self,
        old: &[StoredSegment],
        new: Option<&NewSegment>,
        now_s: u64,
    ) -> Result<bool, StoreError> {
        let write = || {
            let transaction = self.transaction()?;
            for segment in old {
                let text = "SELECT count(*) FROM segment_agents WHERE segment = ?1";
                let parts: i64 = transaction.prepare_cached(text)?.query_row([segment.id], |row| row.get(0))?;
                if parts.cast_unsigned() != segment.agents.len() as u64 {
                    return Ok(false);
                }
                remove(&transaction, segment.id, now_s)?;
            }
            match new {
                Some(new) => insert(&transaction, new, true)?,
                None => count_change(&transaction).map(drop)?,
            }
            transaction.commit().map(|()| true)
        };
        write().map_err(self.sql())
    }

    fn drop_segment(&self, file: &str, now_s: u64) -> Result<u64, StoreError> {
        let write = || {
            let transaction = self.transaction()?;
            let text = "SELECT id FROM segments WHERE file = ?1";
            let id: Option<i64> = transaction.query_row(text, [file], |row| row.get(0)).optional()?;
            let Some(id) = id else { return Ok(None) };
            let text =
                "SELECT coalesce(sum(rows), 0), coalesce(sum(batches), 0) FROM segment_agents WHERE segment = ?1";
            let number = |row: &Row<'_>, column| row.get::<_, i64>(column).map(i64::cast_unsigned);
            let [rows, batches] = transaction.query_row(text, [id], |row| Ok([number(row, 0)?, number(row, 1)?]))?;
            remove(&transaction, id, now_s)?;
            count_change(&transaction)?;
            counters::add(&transaction, Counter::SampleRowsDropped, rows)?;
            counters::add(&transaction, Counter::SampleBatchesDropped, batches)?;
            transaction.commit().map(|()| Some(rows))
        };
        let missing = || StoreError::Missing { what: format!("segment `{file}`"), list: "store check" };
        write().map_err(self.sql())?.ok_or_else(missing)
    }

    fn removed_segments(&self, until_s: u64) -> Result<Vec<String>, StoreError> {
        let until_s = until_s.min(i64::MAX.cast_unsigned()).cast_signed();
        self.rows(&REMOVED_SEGMENTS, [until_s], |row| row.get(0)).map_err(self.sql())
    }

    fn forget_removed_segment(&self, file: &str) -> Result<(), StoreError> {
        self.connection.execute(&FORGET_REMOVED_SEGMENT, [file]).map(drop).map_err(self.sql())
    }

    fn newest_in_segments(&self) -> Result<Vec<NewestRow>, StoreError> {
        self.rows(&NEWEST_IN_SEGMENTS, [], |row| segment_fields::newest_row(row)).map_err(self.sql())
    }

    fn overlapping_segments(
        &self,
        span: &EpisodeSpan,
        schema: &SchemaId,
        limit: u32,
    ) -> Result<Vec<StoredSegment>, StoreError> {
        let values: [&dyn ToSql; 5] = [&span.agent, schema, &span.first_ns, &span.last_ns, &limit];
        read(&self.connection, &OVERLAPPING_SEGMENTS, &values).map_err(self.sql())
    }

    fn segments_place(&self) -> Result<Option<String>, StoreError> {
        self.connection.query_row(&SETTING, [PLACE], |row| row.get(0)).optional().map_err(self.sql())
    }

    fn set_segments_place(&self, place: Option<&str>) -> Result<(), StoreError> {
        let changed = match place {
            Some(place) => self.connection.execute(&SET_SETTING, (PLACE, place)),
            None => self.connection.execute(&DELETE_SETTING, [PLACE]),
        };
        changed.map(drop).map_err(self.sql())
    }
}
