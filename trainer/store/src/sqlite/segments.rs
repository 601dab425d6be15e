//! Descriptions of segments ↔ their tables.

use super::SqliteHandle;
use super::counters;
use crate::counter::Counter;
use crate::error::StoreError;
use crate::received::stored_ns;
use crate::rows::EpisodeSpan;
use crate::segment_rows::{BatchKey, JournalPart, NewSegment, NewestRow, SegmentTotals, StoredSegment};
use crate::traits::Segments;
use lapwing_segments::Segment;
use lapwing_shared::features::SchemaId;
use lapwing_shared::units::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, Transaction, TransactionBehavior};

/// Columns that [`segment`] reads, and their tables.
const SEGMENT: &str = "segments.id, file, group_name, schemas.sha256, segments.bytes, segments.sha256, segments.rows, \
     segments.batches, first_ns, last_ns, first_arrival, segments.last_arrival, made_s, is_rewritten, has_forgotten \
     FROM segments JOIN schemas ON schemas.id = segments.schema";
/// Name of the setting that says where the segments are.
const PLACE: &str = "segments";

fn segment(row: &Row<'_>) -> rusqlite::Result<StoredSegment> {
    let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
    let last = number(9)?;
    let segment = Segment {
        file: row.get(1)?,
        group: row.get(2)?,
        schema: row.get(3)?,
        bytes: number(4)?,
        sha256: row.get(5)?,
        rows: number(6)?,
        batches: number(7)?,
        first: Timestamp::from_nanos(number(8)?),
        last: if last == i64::MAX.cast_unsigned() { Timestamp::MAX } else { Timestamp::from_nanos(last) },
        last_arrival: number(11)?,
        written_s: number(12)?,
    };
    Ok(StoredSegment {
        id: row.get(0)?,
        segment,
        first_arrival: number(10)?,
        is_rewritten: row.get(13)?,
        has_forgotten: row.get(14)?,
        agents: Vec::new(),
        counted_rows: 0,
    })
}

/// Segments by a condition, with their agents.
fn read(connection: &Connection, condition: &str, values: &[&dyn ToSql]) -> rusqlite::Result<Vec<StoredSegment>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {SEGMENT} {condition}"))?;
    let mut found: Vec<StoredSegment> = statement.query_map(values, segment)?.collect::<rusqlite::Result<_>>()?;
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
    let text = "INSERT INTO segments (id, file, group_name, schema, bytes, sha256, rows, batches, first_ns, last_ns, \
                first_arrival, last_arrival, made_s, is_rewritten) \
                SELECT ?1, ?2, ?3, schemas.id, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14 FROM schemas WHERE sha256 = ?4";
    connection.prepare_cached(text)?.execute(rusqlite::params![
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
    connection.execute("DELETE FROM removed_segments WHERE file = ?1", [&file.file])?;
    let newest = counters::read(connection, Counter::SegmentArrivals)?.max(file.last_arrival);
    counters::set(connection, Counter::SegmentArrivals, newest)
}

/// Adds the agents of a segment.
fn insert_parts(connection: &Connection, id: i64, new: &NewSegment) -> rusqlite::Result<()> {
    let text = "INSERT INTO segment_agents (segment, agent, rows, batches, bytes, last_arrival, newest_ns, \
                suspect_first_ns, suspect_last_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    for (agent, extent) in &new.agents {
        let (first, last) = extent.suspects.map(|(first, last)| (stored_ns(first), stored_ns(last))).unzip();
        let share = u128::from(new.segment.bytes) * u128::from(extent.rows) / u128::from(new.segment.rows.max(1));
        connection.prepare_cached(text)?.execute(rusqlite::params![
            id,
            agent,
            extent.rows.cast_signed(),
            extent.batches.cast_signed(),
            share as i64,
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
            Some(schema) => {
                let condition = "WHERE segments.schema = (SELECT id FROM schemas WHERE sha256 = ?1) \
                                 ORDER BY segments.last_arrival, segments.id";
                read(&self.connection, condition, &[schema])
            }
            None => read(&self.connection, "ORDER BY segments.last_arrival, segments.id", &[]),
        };
        read().map_err(self.sql())
    }

    fn segment_changes(&self) -> Result<u64, StoreError> {
        counters::read(&self.connection, Counter::SegmentChanges).map_err(self.sql())
    }

    fn segment_totals(&self) -> Result<SegmentTotals, StoreError> {
        let text = "SELECT (SELECT count(*) FROM segments), (SELECT coalesce(sum(rows), 0) FROM segment_agents), \
                    (SELECT coalesce(sum(bytes), 0) FROM segments)";
        let read = |row: &Row<'_>| Ok([row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?].map(i64::cast_unsigned));
        let [segments, rows, bytes] = self.connection.query_row(text, [], read).map_err(self.sql())?;
        Ok(SegmentTotals { segments, rows, bytes })
    }

    fn journal(&self, schema: &SchemaId) -> Result<Vec<JournalPart>, StoreError> {
        let text = "SELECT journal.agent, journal.rows, nullif(agents.group_name, '') FROM (SELECT agent, sum(rows) AS rows FROM samples \
                    WHERE schema = (SELECT id FROM schemas WHERE sha256 = ?1) GROUP BY agent) AS journal \
                    JOIN agents ON agents.id = journal.agent";
        let part = |row: &Row<'_>| {
            let rows = row.get::<_, i64>(1)?.cast_unsigned();
            Ok(JournalPart { agent_id: row.get(0)?, rows, group: row.get(2)? })
        };
        let read = || self.connection.prepare_cached(text)?.query_map([schema], part)?.collect::<rusqlite::Result<_>>();
        read().map_err(self.sql())
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
        let text = "SELECT file FROM removed_segments WHERE removed_s <= ?1";
        let until_s = until_s.min(i64::MAX.cast_unsigned()).cast_signed();
        let read = || {
            let mut statement = self.connection.prepare_cached(text)?;
            statement.query_map([until_s], |row| row.get(0))?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    fn forget_removed_segment(&self, file: &str) -> Result<(), StoreError> {
        let text = "DELETE FROM removed_segments WHERE file = ?1";
        self.connection.execute(text, [file]).map(drop).map_err(self.sql())
    }

    fn newest_in_segments(&self) -> Result<Vec<NewestRow>, StoreError> {
        let text = "SELECT part.agent, part.last_arrival, part.newest_ns FROM segment_agents AS part JOIN \
                    (SELECT agent, max(last_arrival) AS last_arrival FROM segment_agents GROUP BY agent) AS newest \
                    ON newest.agent = part.agent AND newest.last_arrival = part.last_arrival";
        let newest = |row: &Row<'_>| {
            let arrival = row.get::<_, i64>(1)?.cast_unsigned();
            Ok(NewestRow { agent_id: row.get(0)?, arrival, at_ns: row.get(2)? })
        };
        let read = || self.connection.prepare_cached(text)?.query_map([], newest)?.collect::<rusqlite::Result<_>>();
        read().map_err(self.sql())
    }

    fn overlapping_segments(
        &self,
        span: &EpisodeSpan,
        schema: &SchemaId,
        limit: u32,
    ) -> Result<Vec<StoredSegment>, StoreError> {
        let condition = "JOIN segment_agents ON segment_agents.segment = segments.id \
                         WHERE segment_agents.agent = ?1 AND schemas.sha256 = ?2 AND suspect_last_ns >= ?3 \
                         AND suspect_first_ns <= ?4 ORDER BY suspect_last_ns, segments.id LIMIT ?5";
        let values: [&dyn ToSql; 5] = [&span.agent, schema, &span.first_ns, &span.last_ns, &limit];
        read(&self.connection, condition, &values).map_err(self.sql())
    }

    fn segments_place(&self) -> Result<Option<String>, StoreError> {
        let text = "SELECT value FROM settings WHERE name = ?1";
        self.connection.query_row(text, [PLACE], |row| row.get(0)).optional().map_err(self.sql())
    }

    fn set_segments_place(&self, place: Option<&str>) -> Result<(), StoreError> {
        let changed = match place {
            Some(place) => {
                let text =
                    "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
                self.connection.execute(text, (PLACE, place))
            }
            None => self.connection.execute("DELETE FROM settings WHERE name = ?1", [PLACE]),
        };
        changed.map(drop).map_err(self.sql())
    }
}
