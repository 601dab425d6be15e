//! Stored sample batches and extents of episodes → training and classification.

use super::SqliteHandle;
use crate::counter::Counter;
use crate::error::StoreError;
use crate::rows::{EpisodeExtent, EpisodeSpan, StoredBatch, Unlabelled};
use crate::traits::Samples;
use lapwing_shared::features::SchemaId;
use rusqlite::{Connection, Row};
use std::collections::BTreeMap;

/// Columns that [`batch`] reads, and their tables.
const BATCH: &str = "samples.id, samples.agent, agents.name, samples.payload FROM samples \
     JOIN agents ON agents.id = samples.agent";

fn batch(row: &Row<'_>) -> rusqlite::Result<StoredBatch> {
    let arrival = row.get::<_, i64>(0)?.cast_unsigned();
    Ok(StoredBatch { arrival, agent_id: row.get(1)?, agent: row.get(2)?, payload: row.get(3)? })
}

/// Position of the newest batch that is in the journal or was ever in a segment; 0 without any.
pub(super) fn newest_batch(connection: &Connection) -> rusqlite::Result<i64> {
    let text = "SELECT max(coalesce((SELECT max(id) FROM samples), 0), \
                coalesce((SELECT value FROM counters WHERE name = ?1), 0))";
    connection.prepare_cached(text)?.query_row([Counter::SegmentArrivals.name()], |row| row.get(0))
}

impl Samples for SqliteHandle {
    fn newest_batch(&self) -> Result<u64, StoreError> {
        newest_batch(&self.connection).map(i64::cast_unsigned).map_err(self.sql())
    }

    fn sample_batches(
        &self,
        schema: &SchemaId,
        after: u64,
        up_to: u64,
        limit: u32,
    ) -> Result<Vec<StoredBatch>, StoreError> {
        let text = format!(
            "SELECT {BATCH} WHERE samples.schema = (SELECT id FROM schemas WHERE sha256 = ?1) \
             AND samples.id > ?2 AND samples.id <= ?3 ORDER BY samples.id LIMIT ?4"
        );
        let read = || {
            let values = (schema, after.cast_signed(), up_to.cast_signed(), limit);
            self.connection.prepare_cached(&text)?.query_map(values, batch)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    fn newest_batches(&self, up_to: u64) -> Result<Vec<StoredBatch>, StoreError> {
        let text =
            format!("SELECT {BATCH} WHERE samples.id IN (SELECT max(id) FROM samples WHERE id <= ?1 GROUP BY agent)");
        let read = || {
            self.connection.prepare(&text)?.query_map([up_to.cast_signed()], batch)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    fn rows_of_other_schemas(&self, schema: &SchemaId) -> Result<u64, StoreError> {
        let text = "SELECT coalesce((SELECT sum(rows) FROM samples WHERE schema NOT IN \
                    (SELECT id FROM schemas WHERE sha256 = ?1)), 0) \
                    + coalesce((SELECT sum(segment_agents.rows) FROM segments \
                    JOIN segment_agents ON segment_agents.segment = segments.id WHERE schema NOT IN \
                    (SELECT id FROM schemas WHERE sha256 = ?1)), 0)";
        let rows = self.connection.query_row(text, [schema], |row| row.get::<_, i64>(0));
        rows.map(i64::cast_unsigned).map_err(self.sql())
    }

    fn agent_names(&self) -> Result<BTreeMap<i64, String>, StoreError> {
        let read = || {
            let mut names = self.connection.prepare_cached("SELECT id, name FROM agents")?;
            names.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    fn episode_extents(&self) -> Result<Vec<EpisodeExtent>, StoreError> {
        let text = "SELECT agent, first_ns, last_ns, coalesce(label = 'benign', 0) FROM episodes";
        let extent = |row: &Row<'_>| {
            let (agent_id, first_ns, last_ns) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(EpisodeExtent { agent_id, first_ns, last_ns, benign: row.get(3)? })
        };
        let read = || self.connection.prepare_cached(text)?.query_map([], extent)?.collect::<rusqlite::Result<_>>();
        read().map_err(self.sql())
    }

    fn unlabelled_of(&self, agents: Option<&[String]>) -> Result<Unlabelled, StoreError> {
        let text = "SELECT agents.name, count(*), sum(limit_nats) FROM \
                    (SELECT agent, highest_limit_nats AS limit_nats FROM episodes \
                     WHERE label IS NULL AND highest_limit_nats > 0 ORDER BY agent, episode) AS open \
                    JOIN agents ON agents.id = open.agent GROUP BY agents.name";
        let mut statement = self.connection.prepare_cached(text).map_err(self.sql())?;
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let (mut episodes, mut nats) = (0, 0.0);
        for line in statement.query_map([], read).map_err(self.sql())? {
            let (name, count, sum): (String, i64, f64) = line.map_err(self.sql())?;
            if agents.is_none_or(|agents| agents.contains(&name)) {
                episodes += count.cast_unsigned();
                nats += sum;
            }
        }
        Ok(Unlabelled { episodes, limit_nats: (nats / episodes.max(1) as f64) as f32 })
    }

    fn alert_payloads(&self, span: &EpisodeSpan, limit: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        let text = "SELECT payload FROM alerts WHERE agent = ?1 AND episode = ?2 ORDER BY id DESC LIMIT ?3";
        let values = (span.agent, span.episode.cast_signed(), limit);
        let read = || {
            let mut statement = self.connection.prepare_cached(text)?;
            statement.query_map(values, |row| row.get(0))?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    fn overlapping_batches(
        &self,
        span: &EpisodeSpan,
        schema: &SchemaId,
        limit: u32,
    ) -> Result<Vec<StoredBatch>, StoreError> {
        let text = format!(
            "SELECT {BATCH} JOIN schemas ON schemas.id = samples.schema \
             WHERE samples.agent = ?1 AND schemas.sha256 = ?2 AND suspect_last_ns >= ?3 \
             AND suspect_first_ns <= ?4 ORDER BY suspect_last_ns, samples.id LIMIT ?5"
        );
        let values = (span.agent, schema, span.first_ns, span.last_ns, limit);
        let read = || self.connection.prepare_cached(&text)?.query_map(values, batch)?.collect::<rusqlite::Result<_>>();
        read().map_err(self.sql())
    }
}
