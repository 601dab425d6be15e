//! Stored sample batches and extents of episodes → training and classification.

use super::{PostgresHandle, arrivals};
use crate::error::StoreError;
use crate::fields::{self, Fields};
use crate::rows::{EpisodeExtent, EpisodeSpan, StoredBatch, Unlabelled};
use crate::statements::{
    AGENT_NAMES, BATCHES, DISTRUSTED, EXTENTS, NEWEST_BATCHES, OVERLAPPING, PAYLOADS_OF_EPISODE, ROWS_OF_OTHER_SCHEMAS,
    UNLABELLED_BY_AGENT,
};
use crate::traits::Samples;
use lapwing_shared::features::SchemaId;
use std::collections::BTreeMap;

impl Samples for PostgresHandle {
    fn newest_batch(&self) -> Result<u64, StoreError> {
        self.read(arrivals::newest_settled).map(i64::cast_unsigned)
    }

    fn sample_batches(
        &self,
        schema: &SchemaId,
        after: u64,
        up_to: u64,
        limit: u32,
    ) -> Result<Vec<StoredBatch>, StoreError> {
        let (after, up_to, limit) = (after.cast_signed(), up_to.cast_signed(), i64::from(limit));
        self.read(|session| session.rows(&BATCHES, &[&schema.as_slice(), &after, &up_to, &limit], fields::batch))
    }

    fn newest_batches(&self, up_to: u64) -> Result<Vec<StoredBatch>, StoreError> {
        self.read(|session| session.rows(&NEWEST_BATCHES, &[&up_to.cast_signed()], fields::batch))
    }

    fn rows_of_other_schemas(&self, schema: &SchemaId) -> Result<u64, StoreError> {
        let values = schema.as_slice();
        let rows = self.read(|session| session.row(&ROWS_OF_OTHER_SCHEMAS, &[&values], |row| row.unsigned(0)))?;
        Ok(rows.unwrap_or(0))
    }

    fn distrusted(&self) -> Result<BTreeMap<i64, u64>, StoreError> {
        let positions = self.read(|session| session.rows(&DISTRUSTED, &[], fields::numbers))?;
        Ok(positions.into_iter().map(|(agent, up_to)| (agent, up_to.cast_unsigned())).collect())
    }

    fn agent_names(&self) -> Result<BTreeMap<i64, String>, StoreError> {
        let names = self.read(|session| session.rows(&AGENT_NAMES, &[], fields::pair))?;
        Ok(names.into_iter().collect())
    }

    fn episode_extents(&self) -> Result<Vec<EpisodeExtent>, StoreError> {
        self.read(|session| session.rows(&EXTENTS, &[], fields::extent))
    }

    fn unlabelled_of(&self, agents: Option<&[String]>) -> Result<Unlabelled, StoreError> {
        let lines = self.read(|session| session.rows(&UNLABELLED_BY_AGENT, &[], fields::unlabelled))?;
        Ok(Unlabelled::of(agents, lines))
    }

    fn alert_payloads(&self, span: &EpisodeSpan, limit: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        let (episode, limit) = (span.episode.cast_signed(), i64::from(limit));
        self.read(|session| session.rows(&PAYLOADS_OF_EPISODE, &[&span.agent, &episode, &limit], |row| row.bytes(0)))
    }

    fn overlapping_batches(
        &self,
        span: &EpisodeSpan,
        schema: &SchemaId,
        limit: u32,
    ) -> Result<Vec<StoredBatch>, StoreError> {
        let (schema, limit) = (schema.as_slice(), i64::from(limit));
        self.read(|session| {
            let values = (&span.agent, &schema, &span.first_ns, &span.last_ns, &limit);
            session.rows(&OVERLAPPING, &[values.0, values.1, values.2, values.3, values.4], fields::batch)
        })
    }
}
