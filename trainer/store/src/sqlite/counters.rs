//! Named counters ↔ the `counters` table, so that they survive a restart.

use crate::counter::Counter;
use rusqlite::Connection;

/// Adds to a counter; zero writes nothing.
pub(super) fn add(connection: &Connection, counter: Counter, more: u64) -> rusqlite::Result<()> {
    if more == 0 {
        return Ok(());
    }
    let text = "INSERT INTO counters (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = value + ?2";
    connection.prepare_cached(text)?.execute((counter.name(), more.cast_signed())).map(drop)
}

pub(super) fn read(connection: &Connection, counter: Counter) -> rusqlite::Result<u64> {
    let text = "SELECT coalesce((SELECT value FROM counters WHERE name = ?1), 0)";
    connection.prepare_cached(text)?.query_row([counter.name()], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
}

pub(super) fn set(connection: &Connection, counter: Counter, value: u64) -> rusqlite::Result<()> {
    let text = "INSERT INTO counters (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
    connection.prepare_cached(text)?.execute((counter.name(), value.cast_signed())).map(drop)
}

/// Number that identifies the store; the first call draws it.
pub(super) fn store_id(connection: &Connection) -> rusqlite::Result<u64> {
    let text = "INSERT OR IGNORE INTO counters (name, value) VALUES ('store-id', abs(random() >> 1))";
    connection.execute(text, [])?;
    let text = "SELECT value FROM counters WHERE name = 'store-id'";
    connection.query_row(text, [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
}

/// Replaces the number that identifies the store.
pub(super) fn set_store_id(connection: &Connection, id: u64) -> rusqlite::Result<()> {
    let text = "INSERT INTO counters (name, value) VALUES ('store-id', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1";
    connection.execute(text, [id.cast_signed()]).map(drop)
}
