//! Stored sample batches and extents of episodes → training and classification.

use super::SqliteHandle;
use crate::counter::Counter;
use crate::error::StoreError;
use crate::fields;
use crate::rows::{EpisodeExtent, EpisodeSpan, StoredBatch, Unlabelled};
use crate::statements::{
    AGENT_NAMES, BATCHES, DISTRUSTED, EXTENTS, NEWEST_BATCHES, OVERLAPPING, PAYLOADS_OF_EPISODE, ROWS_OF_OTHER_SCHEMAS,
    UNLABELLED_BY_AGENT,
};
use crate::traits::Samples;
use lapwing_shared::features::SchemaId;
use rusqlite::Connection;
use std::collections::BTreeMap;

/// Position of the newest batch that is in the journal or was ever in a segment; 0 without any.
pub(super) fn newest_batch(connection: &Connection) -> rusqlite::Result<i64> {
    let text = "SELECT coalesce(max(position), 0) FROM (SELECT max(id) AS position FROM samples \
                UNION ALL SELECT max(value) FROM counters WHERE name = ?1) AS newest";
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
        let values = (schema, after.cast_signed(), up_to.cast_signed(), limit);
        self.rows(&BATCHES, values, |row| fields::batch(row)).map_err(self.sql())
    }

    fn newest_batches(&self, up_to: u64) -> Result<Vec<StoredBatch>, StoreError> {
        self.rows(&NEWEST_BATCHES, [up_to.cast_signed()], |row| fields::batch(row)).map_err(self.sql())
    }

    fn rows_of_other_schemas(&self, schema: &SchemaId) -> Result<u64, StoreError> {
        let rows = self.connection.query_row(&ROWS_OF_OTHER_SCHEMAS, [schema], |row| row.get::<_, i64>(0));
        rows.map(i64::cast_unsigned).map_err(self.sql())
    }

    fn distrusted(&self) -> Result<BTreeMap<i64, u64>, StoreError> {
        let positions = self.rows(&DISTRUSTED, [], |row| fields::numbers(row)).map_err(self.sql())?;
        Ok(positions.into_iter().map(|(agent, up_to)| (agent, up_to.cast_unsigned())).collect())
    }

    fn agent_names(&self) -> Result<BTreeMap<i64, String>, StoreError> {
        self.rows(&AGENT_NAMES, [], |row| fields::pair(row))
            .map(|names| names.into_iter().collect())
            .map_err(self.sql())
    }

    fn episode_extents(&self) -> Result<Vec<EpisodeExtent>, StoreError> {
        self.rows(&EXTENTS, [], |row| fields::extent(row)).map_err(self.sql())
    }

    fn unlabelled_of(&self, agents: Option<&[String]>) -> Result<Unlabelled, StoreError> {
        let lines = self.rows(&UNLABELLED_BY_AGENT, [], |row| fields::unlabelled(row)).map_err(self.sql())?;
        Ok(Unlabelled::of(agents, lines))
    }

    fn alert_payloads(&self, span: &EpisodeSpan, limit: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        let values = (span.agent, span.episode.cast_signed(), limit);
        self.rows(&PAYLOADS_OF_EPISODE, values, |row| row.get(0)).map_err(self.sql())
    }

    fn overlapping_batches(
        &self,
        span: &EpisodeSpan,
        schema: &SchemaId,
        limit: u32,
    ) -> Result<Vec<StoredBatch>, StoreError> {
        let values = (span.agent, schema, span.first_ns, span.last_ns, limit);
        self.rows(&OVERLAPPING, values, |row| fields::batch(row)).map_err(self.sql())
    }
}
