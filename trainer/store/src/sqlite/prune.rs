//! Tables above their limits → deletes the oldest rows of the agents with the most rows, and counts them.
//!
//! Feature rows of segments are older than those in the journal, so they are deleted first, by whole parts of segments.
//! Alerts of labelled episodes are deleted only if nothing else is left.

use super::batch::Totals;
use super::counters;
use super::episode_rows::remove_empty;
use crate::Limits;
use crate::counter::Counter;
use crate::expiry::AT_ONCE;
use crate::shares::{kept, level};
use rusqlite::Transaction;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Nanoseconds in a second.
const NANOS: i64 = 1_000_000_000;

/// Deletes the rows received before ?1 among the ?2 oldest ones, so that no commit reads a whole table.
fn expired(table: &str) -> String {
    let oldest = format!("SELECT id, received_s FROM {table} ORDER BY id LIMIT ?2");
    format!("DELETE FROM {table} WHERE id IN (SELECT id FROM ({oldest}) WHERE received_s < ?1)")
}

/// Sizes of the tables within an open transaction.
pub(super) struct Pruner<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) totals: &'a mut Totals,
    /// Sizes by agent before the transaction.
    pub(super) committed: &'a HashMap<i64, Totals>,
    /// Sizes by agent that the transaction has changed.
    pub(super) pending: &'a mut HashMap<i64, Totals>,
}

impl Pruner<'_> {
    /// Deletes rows of each table above its limit.
    pub(super) fn prune(&mut self, limits: Limits) -> rusqlite::Result<()> {
        if self.totals.sample_bytes > limits.sample_bytes {
            self.prune_samples(kept(limits.sample_bytes), |usage| usage.sample_bytes)?;
        }
        if self.totals.sample_rows > limits.sample_rows {
            self.prune_samples(kept(limits.sample_rows), |usage| usage.sample_rows)?;
        }
        if self.totals.alerts > limits.alerts {
            self.prune_alerts(kept(limits.alerts))?;
        }
        if self.totals.updates > limits.updates {
            self.prune_updates(kept(limits.updates))?;
        }
        Ok(())
    }

    /// Deletes what is older than `before_s`, at most [`AT_ONCE`] rows of each table, oldest first; true if there may be more.
    pub(super) fn expire(&mut self, before_s: i64) -> rusqlite::Result<bool> {
        let alerts = self.expire_alerts(before_s)?;
        let updates = self.expire_updates(before_s)?;
        let parts = self.expire_segments(before_s)?;
        Ok([alerts, updates, parts].contains(&AT_ONCE.cast_unsigned()))
    }

    /// Labelled episodes, too: the limit is there so that nothing remains.
    fn expire_alerts(&mut self, before_s: i64) -> rusqlite::Result<u64> {
        let text = expired("alerts") + " RETURNING agent, episode";
        let mut statement = self.transaction.prepare_cached(&text)?;
        let removed = statement.query_map((before_s, AT_ONCE), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut episodes: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
        let mut all = 0;
        for row in removed {
            let (agent, episode) = row?;
            episodes.entry(agent).or_default().insert(episode);
            self.removed(agent, &Totals { alerts: 1, ..Totals::default() });
            all += 1;
        }
        for (agent, episodes) in episodes {
            remove_empty(self.transaction, agent, &episodes)?;
        }
        counters::add(self.transaction, Counter::AlertsDropped, all)?;
        Ok(all)
    }

    fn expire_updates(&mut self, before_s: i64) -> rusqlite::Result<u64> {
        let mut statement = self.transaction.prepare_cached(&(expired("updates") + " RETURNING agent"))?;
        let mut all = 0;
        for agent in statement.query_map((before_s, AT_ONCE), |row| row.get(0))? {
            self.removed(agent?, &Totals { updates: 1, ..Totals::default() });
            all += 1;
        }
        counters::add(self.transaction, Counter::UpdatesDropped, all)?;
        Ok(all)
    }

    /// An agent's part of a segment counts no more when its newest row is too old, or the file was written before.
    fn expire_segments(&mut self, before_s: i64) -> rusqlite::Result<u64> {
        let text = "DELETE FROM segment_agents WHERE (segment, agent) IN (SELECT segment, agent FROM segment_agents \
                    JOIN segments ON segments.id = segment WHERE newest_ns < ?1 OR made_s < ?2 LIMIT ?3) \
                    RETURNING agent, rows, bytes, batches";
        let mut statement = self.transaction.prepare_cached(text)?;
        let (mut parts, mut all, mut batches) = (0, 0, 0);
        let mut removed = statement.query((before_s.saturating_mul(NANOS), before_s, AT_ONCE))?;
        while let Some(row) = removed.next()? {
            let (sample_rows, sample_bytes) =
                (row.get::<_, i64>(1)?.cast_unsigned(), row.get::<_, i64>(2)?.cast_unsigned());
            self.removed(row.get(0)?, &Totals { sample_rows, sample_bytes, ..Totals::default() });
            all += sample_rows;
            batches += row.get::<_, i64>(3)?.cast_unsigned();
            parts += 1;
        }
        counters::add(self.transaction, Counter::SampleRowsDropped, all)?;
        counters::add(self.transaction, Counter::SampleBatchesDropped, batches)?;
        Ok(parts)
    }

    /// Agents above the level that leaves `keep` in total, with their excess.
    fn heaviest(&self, keep: u64, of: fn(&Totals) -> u64) -> Vec<(i64, u64)> {
        let unchanged = self.committed.iter().filter(|(agent, _)| !self.pending.contains_key(agent));
        let shares: Vec<(i64, u64)> =
            unchanged.chain(self.pending.iter()).map(|(agent, usage)| (*agent, of(usage))).collect();
        let excess = of(self.totals).saturating_sub(keep);
        let level = level(shares.iter().map(|(_, share)| *share).collect(), excess);
        let above = shares.into_iter().filter(|(_, share)| *share > level);
        above.map(|(agent, share)| (agent, share - level)).collect()
    }

    fn removed(&mut self, agent: i64, less: &Totals) {
        self.totals.subtract(less);
        let committed = || self.committed.get(&agent).copied().unwrap_or_default();
        self.pending.entry(agent).or_insert_with(committed).subtract(less);
    }

    fn prune_alerts(&mut self, keep: u64) -> rusqlite::Result<()> {
        let before = self.totals.alerts;
        let unlabelled = "AND NOT EXISTS (SELECT 1 FROM episodes WHERE episodes.agent = alerts.agent \
                          AND episodes.episode = alerts.episode AND label IS NOT NULL)";
        for condition in [unlabelled, ""] {
            if self.totals.alerts <= keep {
                break;
            }
            let text = format!(
                "DELETE FROM alerts WHERE id IN \
                 (SELECT id FROM alerts WHERE agent = ?1 {condition} ORDER BY id LIMIT ?2) RETURNING episode"
            );
            for (agent, excess) in self.heaviest(keep, |usage| usage.alerts) {
                let mut statement = self.transaction.prepare_cached(&text)?;
                let removed = statement.query_map((agent, excess.cast_signed()), |row| row.get(0))?;
                let removed: Vec<i64> = removed.collect::<rusqlite::Result<_>>()?;
                self.removed(agent, &Totals { alerts: removed.len() as u64, ..Totals::default() });
                // An episode is deleted with its last message.
                remove_empty(self.transaction, agent, &removed.into_iter().collect())?;
            }
        }
        counters::add(self.transaction, Counter::AlertsDropped, before - self.totals.alerts)
    }

    fn prune_updates(&mut self, keep: u64) -> rusqlite::Result<()> {
        let before = self.totals.updates;
        let text = "DELETE FROM updates WHERE id IN (SELECT id FROM updates WHERE agent = ?1 ORDER BY id LIMIT ?2)";
        let mut statement = self.transaction.prepare_cached(text)?;
        for (agent, excess) in self.heaviest(keep, |usage| usage.updates) {
            let updates = statement.execute((agent, excess.cast_signed()))? as u64;
            self.removed(agent, &Totals { updates, ..Totals::default() });
        }
        counters::add(self.transaction, Counter::UpdatesDropped, before - self.totals.updates)
    }

    fn prune_samples(&mut self, keep: u64, of: fn(&Totals) -> u64) -> rusqlite::Result<()> {
        let before = self.totals.sample_rows;
        let mut batches = 0;
        for (agent, excess) in self.heaviest(keep, of) {
            let (in_segments, more) = self.prune_segments(agent, excess, of)?;
            let excess = excess.saturating_sub(in_segments);
            batches += more;
            let mut less = Totals::default();
            let mut last = None;
            let text = "SELECT id, rows, length(payload) FROM samples WHERE agent = ?1 ORDER BY id";
            let mut statement = self.transaction.prepare_cached(text)?;
            let mut oldest = statement.query([agent])?;
            while of(&less) < excess {
                let Some(row) = oldest.next()? else { break };
                less.sample_rows += row.get::<_, i64>(1)?.cast_unsigned();
                less.sample_bytes += row.get::<_, i64>(2)?.cast_unsigned();
                last = Some(row.get::<_, i64>(0)?);
                batches += 1;
            }
            drop(oldest);
            if let Some(last) = last {
                let text = "DELETE FROM samples WHERE agent = ?1 AND id <= ?2";
                self.transaction.prepare_cached(text)?.execute((agent, last))?;
                self.removed(agent, &less);
            }
        }
        counters::add(self.transaction, Counter::SampleRowsDropped, before - self.totals.sample_rows)?;
        counters::add(self.transaction, Counter::SampleBatchesDropped, batches)
    }

    /// Removes an agent's parts of the oldest segments, whole ones, until the excess is removed; returns what was removed,
    /// and the batches. Segments without parts are deleted later, as are the rows in files whose other parts still count.
    fn prune_segments(&mut self, agent: i64, excess: u64, of: fn(&Totals) -> u64) -> rusqlite::Result<(u64, u64)> {
        let (mut less, mut batches, mut parts) = (Totals::default(), 0, Vec::new());
        let text = "SELECT segment, rows, bytes, batches FROM segment_agents WHERE agent = ?1 ORDER BY last_arrival";
        let mut statement = self.transaction.prepare_cached(text)?;
        let mut oldest = statement.query([agent])?;
        while of(&less) < excess {
            let Some(row) = oldest.next()? else { break };
            parts.push(row.get::<_, i64>(0)?);
            less.sample_rows += row.get::<_, i64>(1)?.cast_unsigned();
            less.sample_bytes += row.get::<_, i64>(2)?.cast_unsigned();
            batches += row.get::<_, i64>(3)?.cast_unsigned();
        }
        drop(oldest);
        let text = "DELETE FROM segment_agents WHERE segment = ?1 AND agent = ?2";
        for segment in parts {
            self.transaction.prepare_cached(text)?.execute((segment, agent))?;
        }
        self.removed(agent, &less);
        Ok((of(&less), batches))
    }
}
