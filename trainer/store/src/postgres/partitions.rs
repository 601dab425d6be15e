//! The time of a commit → the partitions that its messages need; empty partitions of the past → removed.

use super::connection::Connection;
use super::schema::Lock;
use super::session::{Queried, QueryError, Session};
use crate::error::StoreError;
use std::collections::BTreeSet;

const DAY_S: i64 = 86_400;
/// Tables of messages, the letter before the number of a period, and its length in seconds.
const TABLES: [(&str, char, i64); 3] =
    [("alerts", 'w', 7 * DAY_S), ("updates", 'w', 7 * DAY_S), ("samples", 'd', DAY_S)];
/// Latest time with a partition, so that a wrong clock overflows nothing: year 9999.
const LATEST_S: i64 = 253_402_300_799;
/// Partitions of a table that a copy creates, at most: a query locks all of them.
const MAX_PERIODS: i64 = 1_000;
/// Partitions of a table that one pass looks at, at most.
const MAX_LOOKED_AT: i64 = 64;

/// The time of receipt to store.
pub(super) fn received_s(now_s: u64) -> i64 {
    i64::try_from(now_s).unwrap_or(LATEST_S).min(LATEST_S)
}

/// Days since the epoch of the partitions that exist, as far as this writer knows.
#[derive(Default)]
pub(super) struct Partitions {
    day: Option<i64>,
}

impl Partitions {
    /// Creates the partitions of a time and the ones after them, unless this writer has seen them.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(super) fn ensure(&mut self, connection: &mut Connection, now_s: i64) -> Result<(), StoreError> {
        let day = now_s / DAY_S;
        if self.day != Some(day) {
            connection.write(|session| create(session, now_s))?;
            self.day = Some(day);
        }
        Ok(())
    }

    /// Looks again before the next commit.
    pub(super) fn forget(&mut self) {
        self.day = None;
    }
}

fn create(session: &mut Session, now_s: i64) -> Queried<()> {
    session.lock(Lock::Partitions)?;
    for (table, letter, length_s) in TABLES {
        // The next period's, too, so that no commit waits for it when the period begins.
        for period in [now_s / length_s, now_s / length_s + 1] {
            create_one(session, (table, letter, length_s), period)?;
        }
    }
    Ok(())
}

/// Creates a partition if it is missing; true if it was.
fn create_one(session: &mut Session, (table, letter, length_s): (&str, char, i64), period: i64) -> Queried<bool> {
    let name = format!("{table}_{letter}{period}");
    let exists: bool = session.query_one("SELECT to_regclass($1) IS NOT NULL", &[&name])?.try_get(0)?;
    if !exists {
        let (from, to) = (period * length_s, (period + 1) * length_s);
        // Attaching a table, other than creating a partition, does not wait for readers.
        session.batch(&format!(
            "CREATE TABLE {name} (LIKE {table} INCLUDING ALL); \
             ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({to})"
        ))?;
    }
    Ok(!exists)
}

/// True for a time of receipt that the trainer can have stored.
pub(super) fn is_time(received_s: i64) -> bool {
    (0..=LATEST_S).contains(&received_s)
}

/// Creates the partitions of a table for these times of receipt.
pub(super) fn create_for(session: &mut Session, table: &str, times: &[i64]) -> Queried<()> {
    let Some(of) = TABLES.iter().find(|(name, ..)| *name == table) else { return Ok(()) };
    session.lock(Lock::Partitions)?;
    let periods: BTreeSet<i64> = times.iter().map(|at_s| at_s / of.2).collect();
    let mut is_new = false;
    for period in periods {
        is_new |= create_one(session, *of, period)?;
    }
    let count = "SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass($1)";
    if is_new && session.query_one(count, &[&table])?.try_get::<_, i64>(0)? > MAX_PERIODS {
        return Err(QueryError::Invalid("messages of more than 1000 weeks, or samples of more than 1000 days"));
    }
    Ok(())
}

/// Drops partitions of the past that retention has emptied. Does nothing to a table that a reader uses: the next pass tries
/// again.
pub(super) fn drop_empty(connection: &mut Connection, now_s: i64) -> Result<(), StoreError> {
    for (table, letter, length_s) in TABLES {
        let current = format!("{letter}{:0>12}", now_s / length_s);
        let names = connection.read(|session| past(session, table, &current))?;
        for name in names {
            connection.write(|session| drop_if_empty(session, table, &name))?;
        }
    }
    Ok(())
}

/// Names of the partitions before the current one, oldest first.
fn past(session: &mut Session, table: &str, current: &str) -> Queried<Vec<String>> {
    // Names are compared with their numbers padded.
    let text = "SELECT name FROM (SELECT c.relname::text AS name, split_part(c.relname, '_', 2) AS period \
                FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid \
                WHERE i.inhparent = to_regclass($1)) AS p \
                WHERE left(period, 1) || lpad(substr(period, 2), 12, '0') < $2 ORDER BY length(period), period LIMIT $3";
    let rows = session.query(text, &[&table, &current, &MAX_LOOKED_AT])?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

fn drop_if_empty(session: &mut Session, table: &str, name: &str) -> Queried<()> {
    let has_rows = |session: &mut Session| -> Queried<bool> {
        // Not prepared: the text is different for each partition.
        session.query_once(&format!("SELECT EXISTS (SELECT 1 FROM {name})"))
    };
    if has_rows(session)? {
        return Ok(());
    }
    session.batch("SET LOCAL lock_timeout = '200ms'; SAVEPOINT locks")?;
    let locked = session.batch(&format!("LOCK TABLE {table}, {name} IN ACCESS EXCLUSIVE MODE"));
    if locked.is_err() {
        return session.batch("ROLLBACK TO SAVEPOINT locks");
    }
    if has_rows(session)? { Ok(()) } else { session.batch(&format!("DROP TABLE {name}")) }
}
