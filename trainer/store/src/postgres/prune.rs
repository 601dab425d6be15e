//! Tables above their limits → deletes the oldest rows of the agents with the most rows, and counts them.
//!
//! The rule is SQLite's. It runs after a commit, in a transaction of its own that one writer runs at a time: the sizes of
//! all agents decide, and the transaction of a batch has locked only its own agents. Partitions that it leaves empty are
//! dropped, so that their space returns to the system without a vacuum.

use super::connection::Connection;
use super::episode_rows::write_days;
use super::partitions;
use super::schema::Lock;
use super::segment_changes::sizes_of_part;
use super::session::{Queried, Session};
use super::tally::{self, Sizes, Tally};
use crate::Limits;
use crate::counter::Counter;
use crate::error::StoreError;
use crate::expiry::AT_ONCE;
use crate::fields::day_of;
use crate::host_data::HostEpisodes;
use crate::shares::{kept, level};
use std::collections::{BTreeMap, BTreeSet};

/// Sample batches that one query reads to find those to delete.
const PAGE: i64 = 1_000;

/// Nanoseconds in a second.
const NANOS: i64 = 1_000_000_000;

/// What a limit counts: the column of `agents` with an agent's share, and the size of all.
type Share = (&'static str, fn(&Sizes) -> i64);
const SAMPLE_BYTES: Share = ("stored_sample_bytes", |sizes| sizes.sample_bytes);
const SAMPLE_ROWS: Share = ("stored_sample_rows", |sizes| sizes.sample_rows);
const ALERTS: Share = ("stored_alerts", |sizes| sizes.alerts);
const UPDATES: Share = ("stored_updates", |sizes| sizes.updates);

/// Whether a size is above a number of rows or bytes.
fn is_above(size: i64, limit: u64) -> bool {
    size > 0 && size.cast_unsigned() > limit
}

/// Whether any size is above its limit.
fn is_any_above(sizes: &Sizes, limits: &Limits) -> bool {
    is_above(sizes.sample_bytes, limits.sample_bytes)
        || is_above(sizes.sample_rows, limits.sample_rows)
        || is_above(sizes.alerts, limits.alerts)
        || is_above(sizes.updates, limits.updates)
}

/// Deletes rows of each table above its limit, unless another writer does.
///
/// # Errors
/// When the database cannot be read or written.
pub(super) fn prune(connection: &mut Connection, limits: &Limits, now_s: i64) -> Result<(), StoreError> {
    let sizes = connection.read(tally::sizes)?;
    if !is_any_above(&sizes, limits) {
        return Ok(());
    }
    let has_pruned = connection.write(|session| {
        if !session.try_lock(Lock::Retention)? {
            return Ok(false);
        }
        let sizes = tally::sizes(session)?;
        let mut pruning = Pruning { sizes, tally: Tally::default(), changed: BTreeMap::new() };
        pruning.prune(session, limits)?;
        pruning.finish(session)?;
        Ok(true)
    })?;
    if has_pruned { partitions::drop_empty(connection, now_s) } else { Ok(()) }
}

/// Deletes what is older than `before_s`, at most [`AT_ONCE`] rows of each table, unless another writer does; true if there
/// may be more. Partitions that it empties are dropped.
///
/// # Errors
/// When the database cannot be read or written.
pub(super) fn expire(connection: &mut Connection, before_s: i64, now_s: i64) -> Result<bool, StoreError> {
    let removed = connection.write(|session| {
        if !session.try_lock(Lock::Retention)? {
            return Ok(0);
        }
        let mut pruning = Pruning { sizes: tally::sizes(session)?, tally: Tally::default(), changed: BTreeMap::new() };
        let removed = pruning.expire(session, before_s)?;
        pruning.finish(session)?;
        Ok(removed)
    })?;
    if removed > 0 {
        partitions::drop_empty(connection, now_s)?;
    }
    Ok(removed == AT_ONCE.unsigned_abs())
}

/// Removes episodes of agents, which the transaction has locked, with their messages. Returns the number of messages and the
/// changes of the counters.
pub(super) fn remove_episodes(session: &mut Session, episodes: &HostEpisodes) -> Queried<(u64, Tally)> {
    let mut pruning = Pruning { sizes: Sizes::default(), tally: Tally::default(), changed: BTreeMap::new() };
    let mut messages = 0;
    for (agent, episodes) in episodes {
        let episodes: Vec<i64> = episodes.iter().copied().collect();
        let text = "DELETE FROM alerts WHERE agent = $1 AND episode = ANY($2)";
        let alerts = session.execute(text, &[agent, &episodes])?;
        pruning.removed(*agent, Sizes { alerts: alerts.cast_signed(), ..Sizes::default() });
        pruning.remove_empty(session, *agent, &episodes)?;
        messages += alerts;
    }
    pruning.write_sizes(session)?;
    Ok((messages, pruning.tally))
}

/// Sizes within the transaction, and what it has deleted.
struct Pruning {
    sizes: Sizes,
    tally: Tally,
    /// Rows deleted and episodes closed by agent.
    changed: BTreeMap<i64, (Sizes, i64)>,
}

impl Pruning {
    fn prune(&mut self, session: &mut Session, limits: &Limits) -> Queried<()> {
        if is_above(self.sizes.sample_bytes, limits.sample_bytes) {
            self.prune_samples(session, SAMPLE_BYTES, kept(limits.sample_bytes))?;
        }
        if is_above(self.sizes.sample_rows, limits.sample_rows) {
            self.prune_samples(session, SAMPLE_ROWS, kept(limits.sample_rows))?;
        }
        if is_above(self.sizes.alerts, limits.alerts) {
            self.prune_alerts(session, kept(limits.alerts))?;
        }
        if is_above(self.sizes.updates, limits.updates) {
            self.prune_updates(session, kept(limits.updates))?;
        }
        Ok(())
    }

    /// Returns the largest number of rows deleted from one table.
    fn expire(&mut self, session: &mut Session, before_s: i64) -> Queried<u64> {
        let agents = expiring_agents(session, before_s)?;
        // All at once, in the order in which batches lock theirs.
        session.lock_agents(&agents)?;
        let alerts = self.expire_alerts(session, before_s, &agents)?;
        let updates = self.expire_updates(session, before_s, &agents)?;
        Ok(alerts.max(updates).max(self.expire_segments(session, before_s, &agents)?))
    }

    /// Labelled episodes, too: the limit is there so that nothing remains.
    fn expire_alerts(&mut self, session: &mut Session, before_s: i64, agents: &[i64]) -> Queried<u64> {
        let query = expired("alerts") + " RETURNING alerts.agent, alerts.episode";
        let mut episodes: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
        let rows = session.query(&query, &[&before_s, &AT_ONCE, &agents])?;
        for row in &rows {
            let agent = row.try_get(0)?;
            episodes.entry(agent).or_default().insert(row.try_get(1)?);
            self.removed(agent, Sizes { alerts: 1, ..Sizes::default() });
        }
        self.tally.add(Counter::AlertsDropped, rows.len() as u64);
        for (agent, episodes) in episodes {
            self.remove_empty(session, agent, &episodes.into_iter().collect::<Vec<_>>())?;
        }
        Ok(rows.len() as u64)
    }

    fn expire_updates(&mut self, session: &mut Session, before_s: i64, agents: &[i64]) -> Queried<u64> {
        let rows =
            session.query(&(expired("updates") + " RETURNING updates.agent"), &[&before_s, &AT_ONCE, &agents])?;
        for row in &rows {
            self.removed(row.try_get(0)?, Sizes { updates: 1, ..Sizes::default() });
        }
        self.tally.add(Counter::UpdatesDropped, rows.len() as u64);
        Ok(rows.len() as u64)
    }

    /// An agent's part of a segment counts no more when its newest row is too old, or the file was written before.
    fn expire_segments(&mut self, session: &mut Session, before_s: i64, agents: &[i64]) -> Queried<u64> {
        let query = format!(
            "DELETE FROM segment_agents USING ({EXPIRED_PARTS} AND agent = ANY($4) LIMIT $3) AS o \
             WHERE segment_agents.segment = o.segment AND segment_agents.agent = o.agent \
             RETURNING segment_agents.rows, segment_agents.bytes, segment_agents.batches, segment_agents.agent"
        );
        let rows = session.query(&query, &[&before_s.saturating_mul(NANOS), &before_s, &AT_ONCE, &agents])?;
        for row in &rows {
            self.removed_samples(row.try_get(3)?, sizes_of_part(row)?);
        }
        Ok(rows.len() as u64)
    }

    /// Locks the agents above the level that leaves `keep` in total, and returns them with their excess.
    fn heaviest(&self, session: &mut Session, (column, size): Share, keep: u64) -> Queried<Vec<(i64, i64)>> {
        let rows = session.query(&format!("SELECT id, {column} FROM agents WHERE {column} > 0"), &[])?;
        let mut shares = Vec::new();
        for row in &rows {
            let (agent, stored): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let less = self.changed.get(&agent).map_or(0, |(less, _)| size(less));
            shares.push((agent, stored.saturating_sub(less).max(0)));
        }
        let excess = size(&self.sizes).max(0).cast_unsigned().saturating_sub(keep);
        let level = level(shares.iter().map(|(_, share)| share.cast_unsigned()).collect(), excess).cast_signed();
        shares.retain(|(_, share)| *share > level);
        session.lock_agents(&shares.iter().map(|(agent, _)| *agent).collect::<Vec<_>>())?;
        Ok(shares.into_iter().map(|(agent, share)| (agent, share - level)).collect())
    }

    fn removed(&mut self, agent: i64, less: Sizes) {
        self.sizes.subtract(&less);
        self.tally.add_sizes(&less, -1);
        self.changed.entry(agent).or_default().0.add(&less);
    }

    fn prune_samples(&mut self, session: &mut Session, share: Share, keep: u64) -> Queried<()> {
        for (agent, excess) in self.heaviest(session, share, keep)? {
            let excess = excess - self.prune_segments(session, agent, share, excess)?;
            let Some(last) = last_to_delete(session, agent, share.1, excess)? else { continue };
            let query = "WITH removed AS (DELETE FROM samples WHERE agent = $1 AND id <= $2 \
                         RETURNING rows, octet_length(payload) AS bytes) SELECT coalesce(sum(bytes), 0)::bigint, \
                         coalesce(sum(rows), 0)::bigint, count(*) FROM removed";
            let row = session.query_one(query, &[&agent, &last])?;
            let (sample_bytes, sample_rows, sample_batches) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            self.removed_samples(agent, Sizes { sample_bytes, sample_rows, sample_batches, ..Sizes::default() });
        }
        Ok(())
    }

    fn removed_samples(&mut self, agent: i64, less: Sizes) {
        self.tally.add(Counter::SampleRowsDropped, less.sample_rows.cast_unsigned());
        self.tally.add(Counter::SampleBatchesDropped, less.sample_batches.cast_unsigned());
        self.removed(agent, less);
    }

    /// Removes an agent's parts of the oldest segments, whole ones, until `excess` is reached; returns the size of what was
    /// removed. The compactor deletes segments without parts, and writes files again whose other parts still count.
    fn prune_segments(&mut self, session: &mut Session, agent: i64, share: Share, excess: i64) -> Queried<i64> {
        let column = if share.0 == SAMPLE_BYTES.0 { "bytes" } else { "rows" };
        let query = format!(
            "DELETE FROM segment_agents WHERE agent = $1 AND segment IN (SELECT segment FROM \
             (SELECT segment, sum({column}) OVER (ORDER BY last_arrival, segment) - {column} AS older \
              FROM segment_agents WHERE agent = $1) AS parts WHERE older < $2::bigint) RETURNING rows, bytes, batches"
        );
        let mut less = Sizes::default();
        for row in session.query(&query, &[&agent, &excess])? {
            less.add(&sizes_of_part(&row)?);
        }
        self.removed_samples(agent, less);
        Ok(share.1(&less))
    }

    /// Deletes alerts of labelled episodes only if nothing else is left.
    fn prune_alerts(&mut self, session: &mut Session, keep: u64) -> Queried<()> {
        let unlabelled = "AND NOT EXISTS (SELECT 1 FROM episodes WHERE episodes.agent = a.agent \
                          AND episodes.episode = a.episode AND label IS NOT NULL)";
        for condition in [unlabelled, ""] {
            if !is_above(self.sizes.alerts, keep) {
                break;
            }
            let query = format!(
                "DELETE FROM alerts USING (SELECT id, received_s FROM alerts AS a WHERE agent = $1 {condition} \
                 ORDER BY id LIMIT $2) AS o WHERE alerts.id = o.id AND alerts.received_s = o.received_s \
                 RETURNING alerts.episode"
            );
            for (agent, excess) in self.heaviest(session, ALERTS, keep)? {
                let rows = session.query(&query, &[&agent, &excess])?;
                let episodes = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Queried<BTreeSet<i64>>>()?;
                let alerts = i64::try_from(rows.len()).unwrap_or(i64::MAX);
                self.removed(agent, Sizes { alerts, ..Sizes::default() });
                self.tally.add(Counter::AlertsDropped, alerts.cast_unsigned());
                self.remove_empty(session, agent, &episodes.into_iter().collect::<Vec<_>>())?;
            }
        }
        Ok(())
    }

    fn prune_updates(&mut self, session: &mut Session, keep: u64) -> Queried<()> {
        let query = "DELETE FROM updates USING (SELECT id, received_s FROM updates WHERE agent = $1 ORDER BY id LIMIT $2) \
                     AS o WHERE updates.id = o.id AND updates.received_s = o.received_s";
        for (agent, excess) in self.heaviest(session, UPDATES, keep)? {
            let updates = session.execute(query, &[&agent, &excess])?.cast_signed();
            self.removed(agent, Sizes { updates, ..Sizes::default() });
            self.tally.add(Counter::UpdatesDropped, updates.cast_unsigned());
        }
        Ok(())
    }

    /// Removes the episodes of an agent among `episodes` that have no message left, with their counts. Of the others, shows
    /// the newest message that is left.
    fn remove_empty(&mut self, session: &mut Session, agent: i64, episodes: &[i64]) -> Queried<()> {
        let query = "DELETE FROM episodes WHERE agent = $1 AND episode = ANY($2) AND NOT EXISTS \
                     (SELECT 1 FROM alerts WHERE alerts.agent = $1 AND alerts.episode = episodes.episode) \
                     RETURNING since_ns, is_open";
        let mut days = BTreeMap::new();
        for row in session.query(query, &[&agent, &episodes])? {
            *days.entry((day_of(row.try_get(0)?), agent)).or_default() -= 1;
            self.changed.entry(agent).or_default().1 += i64::from(row.try_get::<_, bool>(1)?);
        }
        write_days(session, &days)?;
        let query = "UPDATE episodes SET (message, message_s) = (SELECT id, received_s FROM alerts WHERE agent = $1 \
                     AND episode = episodes.episode ORDER BY run DESC, number DESC, id DESC LIMIT 1) \
                     WHERE agent = $1 AND episode = ANY($2) AND NOT EXISTS (SELECT 1 FROM alerts \
                     WHERE alerts.id = episodes.message AND alerts.received_s = episodes.message_s)";
        session.execute(query, &[&agent, &episodes]).map(drop)
    }

    /// Writes the sizes by agent and the counters.
    fn finish(self, session: &mut Session) -> Queried<()> {
        self.write_sizes(session)?;
        self.tally.write(session)
    }

    fn write_sizes(&self, session: &mut Session) -> Queried<()> {
        let column = |of: fn(&(Sizes, i64)) -> i64| self.changed.values().map(of).collect::<Vec<_>>();
        let agents: Vec<i64> = self.changed.keys().copied().collect();
        let query = "UPDATE agents SET stored_sample_bytes = stored_sample_bytes - m.bytes, \
                     stored_sample_rows = stored_sample_rows - m.rows, stored_alerts = stored_alerts - m.alerts, \
                     stored_updates = stored_updates - m.updates, open_episodes = agents.open_episodes - m.open FROM \
                     unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) \
                     AS m (id, bytes, rows, alerts, updates, open) WHERE agents.id = m.id";
        session.execute(
            query,
            &[
                &agents,
                &column(|(less, _)| less.sample_bytes),
                &column(|(less, _)| less.sample_rows),
                &column(|(less, _)| less.alerts),
                &column(|(less, _)| less.updates),
                &column(|(_, open)| *open),
            ],
        )?;
        Ok(())
    }
}

/// Parts of segments that are older than $1, in nanoseconds, or in files written before $2, in seconds.
const EXPIRED_PARTS: &str = "SELECT segment, agent FROM segment_agents JOIN segments ON segments.id = segment \
                             WHERE (newest_ns < $1 OR made_s < $2)";

/// Agents with rows that are older than a time.
fn expiring_agents(session: &mut Session, before_s: i64) -> Queried<Vec<i64>> {
    let oldest = |table: &str| format!("(SELECT agent FROM {table} WHERE received_s < $2 ORDER BY id LIMIT $3)");
    let (alerts, updates) = (oldest("alerts"), oldest("updates"));
    let query =
        format!("{alerts} UNION {updates} UNION (SELECT agent FROM ({EXPIRED_PARTS} LIMIT $3) AS parts) ORDER BY 1");
    let rows = session.query(&query, &[&before_s.saturating_mul(NANOS), &before_s, &AT_ONCE])?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Deletes the $2 oldest rows received before $1 of the agents $3.
fn expired(table: &str) -> String {
    format!(
        "DELETE FROM {table} USING (SELECT id, received_s FROM {table} WHERE received_s < $1 AND agent = ANY($3) \
         ORDER BY id LIMIT $2) AS o WHERE {table}.id = o.id AND {table}.received_s = o.received_s"
    )
}

/// The last of an agent's oldest sample batches that together reach `excess`.
fn last_to_delete(session: &mut Session, agent: i64, size: fn(&Sizes) -> i64, excess: i64) -> Queried<Option<i64>> {
    let query = "SELECT id, rows, octet_length(payload)::bigint FROM samples WHERE agent = $1 AND id > $2 \
                 ORDER BY id LIMIT $3";
    let (mut last, mut found) = (None, Sizes::default());
    loop {
        let rows = session.query(query, &[&agent, &last.unwrap_or(i64::MIN), &PAGE])?;
        for row in &rows {
            if size(&found) >= excess {
                return Ok(last);
            }
            let (sample_rows, sample_bytes) = (row.try_get(1)?, row.try_get(2)?);
            found.add(&Sizes { sample_rows, sample_bytes, ..Sizes::default() });
            last = Some(row.try_get(0)?);
        }
        if rows.is_empty() || size(&found) >= excess {
            return Ok(last);
        }
    }
}
