//! Named counters, each the sum of its shards.

use super::PostgresHandle;
use crate::counter::Counter;
use crate::error::StoreError;
use crate::fields::Fields;
use crate::traits::Counters;

impl Counters for PostgresHandle {
    fn counter(&self, counter: Counter) -> Result<u64, StoreError> {
        let text = "SELECT CAST(coalesce(sum(value), 0) AS BIGINT) FROM counters WHERE name = ?1";
        let value = self.read(|session| session.row(text, &[&counter.name()], |row| row.unsigned(0)))?;
        Ok(value.unwrap_or(0))
    }

    fn set_counter(&self, counter: Counter, value: u64) -> Result<(), StoreError> {
        let value = value.cast_signed();
        self.write(|session| {
            session.change("DELETE FROM counters WHERE name = ?1 AND shard <> 0", &[&counter.name()])?;
            let text = "INSERT INTO counters (name, shard, value) VALUES (?1, 0, ?2) \
                        ON CONFLICT (name, shard) DO UPDATE SET value = excluded.value";
            session.change(text, &[&counter.name(), &value]).map(drop)
        })
    }

    fn message_counts(&self) -> Result<[u64; 3], StoreError> {
        let text = "SELECT (SELECT count(*) FROM alerts), (SELECT count(*) FROM samples) + CAST(coalesce((SELECT sum(batches) \
             FROM segment_agents), 0) AS BIGINT), (SELECT count(*) FROM updates)";
        let counts = self
            .read(|session| session.row(text, &[], |row| Ok([row.unsigned(0)?, row.unsigned(1)?, row.unsigned(2)?])))?;
        Ok(counts.unwrap_or_default())
    }
}
