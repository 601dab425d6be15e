//! Limits of the tables: the oldest rows go, and are counted.

use super::Limits;
use super::counters::{self, Counter};
use super::known::Totals;
use rusqlite::Transaction;

/// A limit removes this share of its table at once: one in so many, so that it does not remove at every commit.
const PRUNE_SHARE: u64 = 64;

impl Totals {
    /// Removes the oldest of what exceeds a limit.
    pub(super) fn prune(&mut self, transaction: &Transaction<'_>, limits: Limits) -> rusqlite::Result<()> {
        let bytes = self.sample_bytes > limits.sample_bytes;
        let rows = self.sample_rows > limits.sample_rows;
        if bytes || rows {
            self.prune_samples(transaction, limits)?;
        }
        if self.alerts > limits.alerts {
            let excess = self.alerts - limits.alerts + limits.alerts / PRUNE_SHARE;
            let text = "DELETE FROM alerts WHERE id IN (SELECT id FROM alerts ORDER BY id LIMIT ?1)";
            let removed = transaction.prepare_cached(text)?.execute([excess.cast_signed()])? as u64;
            // What was said of an episode goes with its last message.
            for said in ["labels", "kinds"] {
                let text = format!(
                    "DELETE FROM {said} WHERE NOT EXISTS (SELECT 1 FROM alerts \
                     WHERE alerts.agent = {said}.agent AND alerts.episode = {said}.episode)"
                );
                transaction.prepare_cached(&text)?.execute([])?;
            }
            self.alerts -= removed;
            counters::add(transaction, Counter::AlertsDropped, removed)?;
        }
        if self.updates > limits.updates {
            let excess = self.updates - limits.updates + limits.updates / PRUNE_SHARE;
            let text = "DELETE FROM updates WHERE id IN (SELECT id FROM updates ORDER BY id LIMIT ?1)";
            let removed = transaction.prepare_cached(text)?.execute([excess.cast_signed()])? as u64;
            self.updates -= removed;
            counters::add(transaction, Counter::UpdatesDropped, removed)?;
        }
        Ok(())
    }

    fn prune_samples(&mut self, transaction: &Transaction<'_>, limits: Limits) -> rusqlite::Result<()> {
        let keep_bytes = limits.sample_bytes - limits.sample_bytes / PRUNE_SHARE;
        let keep_rows = limits.sample_rows - limits.sample_rows / PRUNE_SHARE;
        let (mut last, mut batches, mut dropped) = (None, 0, 0);
        let mut statement = transaction.prepare_cached("SELECT id, rows, length(payload) FROM samples ORDER BY id")?;
        let mut oldest = statement.query([])?;
        while self.sample_bytes > keep_bytes || self.sample_rows > keep_rows {
            let Some(row) = oldest.next()? else { break };
            let rows = row.get::<_, i64>(1)?.cast_unsigned();
            self.sample_bytes = self.sample_bytes.saturating_sub(row.get::<_, i64>(2)?.cast_unsigned());
            self.sample_rows = self.sample_rows.saturating_sub(rows);
            (last, batches, dropped) = (Some(row.get::<_, i64>(0)?), batches + 1, dropped + rows);
        }
        drop(oldest);
        if let Some(last) = last {
            transaction.prepare_cached("DELETE FROM samples WHERE id <= ?1")?.execute([last])?;
        }
        counters::add(transaction, Counter::SampleRowsDropped, dropped)?;
        counters::add(transaction, Counter::SampleBatchesDropped, batches)
    }
}
