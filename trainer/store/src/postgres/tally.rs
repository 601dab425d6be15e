//! Changes of a transaction to the table of counters, written by its last statement.
//!
//! A counter is the sum of its shards. A connection adds to one shard, so that two writers seldom wait for each other, and
//! in the order of names, so that they cannot deadlock.

use super::session::{Queried, Session};
use crate::counter::Counter;
use std::collections::BTreeMap;

/// Sizes of the tables, of all agents.
pub(super) const STORED_SAMPLE_BYTES: &str = "stored-sample-bytes";
pub(super) const STORED_SAMPLE_ROWS: &str = "stored-sample-rows";
pub(super) const STORED_SAMPLE_BATCHES: &str = "stored-sample-batches";
pub(super) const STORED_ALERTS: &str = "stored-alerts";
pub(super) const STORED_UPDATES: &str = "stored-updates";

/// Sizes of the tables that have a limit, of all agents or of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) sample_bytes: i64,
    pub(super) sample_rows: i64,
    pub(super) sample_batches: i64,
    pub(super) alerts: i64,
    pub(super) updates: i64,
}

impl Sizes {
    pub(super) fn add(&mut self, more: &Self) {
        self.sample_bytes += more.sample_bytes;
        self.sample_rows += more.sample_rows;
        self.sample_batches += more.sample_batches;
        self.alerts += more.alerts;
        self.updates += more.updates;
    }

    pub(super) fn subtract(&mut self, less: &Self) {
        self.sample_bytes -= less.sample_bytes;
        self.sample_rows -= less.sample_rows;
        self.sample_batches -= less.sample_batches;
        self.alerts -= less.alerts;
        self.updates -= less.updates;
    }
}

/// Numbers to add to counters, by name.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<&'static str, i64>);

impl Tally {
    pub(super) fn add(&mut self, counter: Counter, more: u64) {
        self.add_named(counter.name(), more.cast_signed());
    }

    fn add_named(&mut self, name: &'static str, more: i64) {
        *self.0.entry(name).or_default() += more;
    }

    /// Adds to the sizes of the tables, or subtracts with `sign` -1.
    pub(super) fn add_sizes(&mut self, sizes: &Sizes, sign: i64) {
        self.add_named(STORED_SAMPLE_BYTES, sign * sizes.sample_bytes);
        self.add_named(STORED_SAMPLE_ROWS, sign * sizes.sample_rows);
        self.add_named(STORED_SAMPLE_BATCHES, sign * sizes.sample_batches);
        self.add_named(STORED_ALERTS, sign * sizes.alerts);
        self.add_named(STORED_UPDATES, sign * sizes.updates);
    }

    /// Writes the changes; must be the last statement of the transaction.
    pub(super) fn write(self, session: &mut Session) -> Queried<()> {
        let (names, values): (Vec<_>, Vec<_>) = self.0.into_iter().filter(|(_, more)| *more != 0).unzip();
        if names.is_empty() {
            return Ok(());
        }
        let text = "INSERT INTO counters AS c (name, shard, value) \
                    SELECT name, (pg_backend_pid() % 16)::smallint, value FROM unnest($1::text[], $2::bigint[]) AS t (name, value) \
                    ON CONFLICT (name, shard) DO UPDATE SET value = c.value + excluded.value";
        session.execute(text, &[&names, &values]).map(drop)
    }
}

/// Sizes of the tables, of all agents.
pub(super) fn sizes(session: &mut Session) -> Queried<Sizes> {
    let text = "SELECT name, sum(value)::bigint FROM counters WHERE name = ANY($1) GROUP BY name";
    let names =
        [STORED_SAMPLE_BYTES, STORED_SAMPLE_ROWS, STORED_SAMPLE_BATCHES, STORED_ALERTS, STORED_UPDATES].as_slice();
    let mut sizes = Sizes::default();
    for row in session.query(text, &[&names])? {
        let size = match row.try_get(0)? {
            STORED_SAMPLE_BYTES => &mut sizes.sample_bytes,
            STORED_SAMPLE_ROWS => &mut sizes.sample_rows,
            STORED_SAMPLE_BATCHES => &mut sizes.sample_batches,
            STORED_ALERTS => &mut sizes.alerts,
            _ => &mut sizes.updates,
        };
        *size = row.try_get(1)?;
    }
    Ok(sizes)
}
