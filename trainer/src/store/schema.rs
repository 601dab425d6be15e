//! The store's tables, and how an older file becomes a current one.
//!
//! `PRAGMA application_id` marks the file as ours, `PRAGMA user_version` counts the migrations that it has had.
//! Unsigned 64-bit numbers are stored bit for bit in SQLite's signed ones; times are nanoseconds or seconds since the
//! epoch, as the column's suffix says.

use super::error::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// `Lapw` in ASCII.
const APPLICATION_ID: i32 = 0x4c61_7077;

/// One script a version; a file of version n needs the scripts from n on.
const MIGRATIONS: &[&str] = &[VERSION_1, VERSION_2, VERSION_3];

/// Pages in the write-ahead log at which it is copied into the file: 16 MiB.
const CHECKPOINT_PAGES: i32 = 4096;

pub(super) const VERSION_1: &str = "
CREATE TABLE agents (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, run INTEGER NOT NULL, last_seen_s INTEGER NOT NULL,
    status BLOB, health BLOB, sample_rows INTEGER NOT NULL DEFAULT 0, alerts INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE progress (
    agent INTEGER NOT NULL, run INTEGER NOT NULL, up_to INTEGER NOT NULL, beyond BLOB NOT NULL, used INTEGER NOT NULL,
    PRIMARY KEY (agent, run)
) WITHOUT ROWID;
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY, agent INTEGER NOT NULL, run INTEGER NOT NULL, number INTEGER NOT NULL,
    episode INTEGER NOT NULL, state INTEGER NOT NULL, host BLOB NOT NULL, role INTEGER NOT NULL,
    since_ns INTEGER NOT NULL, at_ns INTEGER NOT NULL, peak_nats REAL NOT NULL, limit_nats REAL NOT NULL,
    flows INTEGER NOT NULL, odd_flows INTEGER NOT NULL, service_port INTEGER NOT NULL, resembles TEXT,
    release INTEGER NOT NULL, received_s INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE INDEX alerts_by_episode ON alerts (agent, episode);
CREATE TABLE labels (
    agent INTEGER NOT NULL, episode INTEGER NOT NULL, label TEXT NOT NULL CHECK (label IN ('benign', 'attack')),
    who TEXT NOT NULL, when_s INTEGER NOT NULL, PRIMARY KEY (agent, episode)
) WITHOUT ROWID;
CREATE TABLE schemas (id INTEGER PRIMARY KEY, sha256 BLOB NOT NULL UNIQUE);
CREATE TABLE samples (
    id INTEGER PRIMARY KEY, agent INTEGER NOT NULL, run INTEGER NOT NULL, number INTEGER NOT NULL,
    schema INTEGER NOT NULL, rows INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE TABLE updates (
    id INTEGER PRIMARY KEY, agent INTEGER NOT NULL, run INTEGER NOT NULL, number INTEGER NOT NULL,
    release INTEGER NOT NULL, step TEXT NOT NULL, reason TEXT, received_s INTEGER NOT NULL
);
CREATE TABLE releases (
    group_name TEXT NOT NULL, version INTEGER NOT NULL, manifest_sha256 BLOB NOT NULL, made_s INTEGER NOT NULL,
    file TEXT NOT NULL, PRIMARY KEY (group_name, version)
) WITHOUT ROWID;
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY, asked_s INTEGER NOT NULL, who TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')), ended_s INTEGER, result TEXT
);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
";

/// Kinds of alerts, and what finds the rows that they are named by: when the first and the last row of a batch was made
/// whose host was in an episode. Batches of older files have no such times, and name nothing.
const VERSION_2: &str = "
ALTER TABLE samples ADD COLUMN suspect_first_ns INTEGER;
ALTER TABLE samples ADD COLUMN suspect_last_ns INTEGER;
CREATE INDEX samples_by_suspects ON samples (agent, suspect_last_ns) WHERE suspect_last_ns IS NOT NULL;
CREATE INDEX alerts_by_time ON alerts (agent, at_ns);
CREATE TABLE kinds (
    agent INTEGER NOT NULL, episode INTEGER NOT NULL, kind TEXT NOT NULL, probability REAL, rows INTEGER NOT NULL,
    model TEXT NOT NULL, named_s INTEGER NOT NULL, PRIMARY KEY (agent, episode)
) WITHOUT ROWID;
";

/// What the dashboard asks for: rates want two health messages, releases their reason, and lists an index each, so that
/// no page reads a whole table.
const VERSION_3: &str = "
ALTER TABLE agents ADD COLUMN health_before BLOB;
ALTER TABLE releases ADD COLUMN reason TEXT;
CREATE INDEX alerts_by_agent ON alerts (agent);
CREATE INDEX alerts_opened ON alerts (since_ns, agent) WHERE state = 0;
CREATE INDEX updates_by_agent ON updates (agent);
";

/// Newest version known.
pub(crate) const VERSION: u32 = MIGRATIONS.len() as u32;

/// Opens or makes the file and brings it to [`VERSION`].
pub(crate) fn open(path: &Path) -> Result<Connection, StoreError> {
    let sql = |source| StoreError::from_sql(path, source);
    let mut connection = Connection::open(path).map_err(sql)?;
    connection.busy_timeout(Duration::from_secs(10)).map_err(sql)?;
    check(path, &connection)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(sql)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(sql)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES).map_err(sql)?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024).map_err(sql)?;
    connection.pragma_update(None, "cache_size", -16 * 1024).map_err(sql)?;
    migrate(&mut connection).map_err(sql)?;
    Ok(connection)
}

/// Opens an existing file for reading, labels and requests beside a running `serve`.
pub(crate) fn open_existing(path: &Path) -> Result<Connection, StoreError> {
    let sql = |source| StoreError::from_sql(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    connection.busy_timeout(Duration::from_secs(10)).map_err(sql)?;
    check(path, &connection)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(sql)?;
    migrate(&mut connection).map_err(sql)?;
    Ok(connection)
}

/// Opens an existing file of the current version to read it and nothing else; the one that writes brings it up.
pub(crate) fn open_reading(path: &Path) -> Result<Connection, StoreError> {
    let sql = |source| StoreError::from_sql(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    connection.busy_timeout(Duration::from_secs(2)).map_err(sql)?;
    check(path, &connection)?;
    connection.pragma_update(None, "query_only", true).map_err(sql)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Refuses damaged, foreign and newer files.
fn check(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let sql = |source| StoreError::from_sql(path, source);
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0)).map_err(sql);
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sql)?;
    if application != APPLICATION_ID && tables > 0 {
        return Err(StoreError::Foreign { path: path.to_path_buf() });
    }
    let found = u32::try_from(version).unwrap_or(u32::MAX);
    if found > VERSION {
        return Err(StoreError::NewerVersion { path: path.to_path_buf(), found, known: VERSION });
    }
    Ok(())
}

/// Runs the scripts that the file has not had, all in one transaction.
fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let have: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if have == VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    for script in MIGRATIONS.iter().skip(have as usize) {
        transaction.execute_batch(script)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}
