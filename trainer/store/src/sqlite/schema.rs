//! A store file of any earlier schema version → the current tables.
//!
//! `PRAGMA application_id` identifies a Lapwing store, `PRAGMA user_version` is the number of applied migrations.
//! Unsigned 64-bit numbers are stored as SQLite's signed numbers, bit for bit. Times are nanoseconds (`_ns`) or seconds
//! (`_s`) since the epoch.

use crate::error::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// First bytes of a SQLite file (SQLite file format, section 1.2).
const SQLITE: &[u8] = b"SQLite format 3\0";

/// Whether a file is an SQLite file, by its first bytes.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn is_sqlite(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(SQLITE.len() as u64).read_to_end(&mut head)?;
    Ok(head == SQLITE)
}

/// `Lapw` in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x4c61_7077;

/// One script per version; a file of version n needs the scripts from index n on.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_messages.sql"),
    include_str!("../../migrations/sqlite/0002_attack_classes.sql"),
    include_str!("../../migrations/sqlite/0003_dashboard.sql"),
    include_str!("../../migrations/sqlite/0004_held_releases.sql"),
    include_str!("../../migrations/sqlite/0005_episodes.sql"),
    include_str!("../../migrations/sqlite/0006_segments.sql"),
    include_str!("../../migrations/sqlite/0007_groups.sql"),
    include_str!("../../migrations/sqlite/0008_pages.sql"),
    include_str!("../../migrations/sqlite/0009_audit.sql"),
    include_str!("../../migrations/sqlite/0010_identities.sql"),
    include_str!("../../migrations/sqlite/0011_identity_revisions.sql"),
    include_str!("../../migrations/sqlite/0012_distrusted_rows.sql"),
    include_str!("../../migrations/sqlite/0013_renewals.sql"),
    include_str!("../../migrations/sqlite/0014_root_documents.sql"),
    include_str!("../../migrations/sqlite/0015_address_forms.sql"),
    include_str!("../../migrations/sqlite/0016_campaigns.sql"),
    include_str!("../../migrations/sqlite/0017_assignments.sql"),
    include_str!("../../migrations/sqlite/0018_people.sql"),
    include_str!("../../migrations/sqlite/0019_incidents.sql"),
];

/// Size of the write-ahead log, in pages, that triggers a checkpoint: 16 MiB.
const CHECKPOINT_PAGES: i32 = 4096;

/// An index of earlier versions, which cost each commit a page for each of its agents.
const DROP_OLD_INDEX: &str = "DROP INDEX IF EXISTS samples_by_agent;";

/// Newest schema version.
pub(crate) const VERSION: u32 = MIGRATIONS.len() as u32;

/// Opens or creates the file and migrates it to [`VERSION`].
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
    // Zeros what is deleted in pages that are written anyway, so that a forgotten host leaves no copies there.
    connection.pragma_update(None, "secure_delete", "FAST").map_err(sql)?;
    migrate(&mut connection).map_err(sql)?;
    connection.execute_batch(DROP_OLD_INDEX).map_err(sql)?;
    Ok(connection)
}

/// Opens an existing file to read, label and request retraining, beside a running `serve`; migrates it if needed.
pub(crate) fn open_existing(path: &Path) -> Result<Connection, StoreError> {
    let sql = |source| StoreError::from_sql(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(absent(path))?;
    connection.busy_timeout(Duration::from_secs(10)).map_err(sql)?;
    check(path, &connection)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(sql)?;
    migrate(&mut connection).map_err(sql)?;
    Ok(connection)
}

/// Opens an existing file of the current version read-only. Only a writer migrates.
pub(crate) fn open_reading(path: &Path) -> Result<Connection, StoreError> {
    let sql = |source| StoreError::from_sql(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(absent(path))?;
    connection.busy_timeout(Duration::from_secs(2)).map_err(sql)?;
    check(path, &connection)?;
    connection.pragma_update(None, "query_only", true).map_err(sql)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// SQLite's error when a file cannot be opened → whether there is one.
fn absent(path: &Path) -> impl FnOnce(rusqlite::Error) -> StoreError {
    move |source| match path.try_exists() {
        Ok(false) => StoreError::Absent { path: path.to_path_buf() },
        _ => StoreError::from_sql(path, source),
    }
}

/// Rejects damaged, foreign and newer files.
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

/// Schema version of a file.
pub(crate) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Runs the missing scripts in one transaction.
fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let version = version(connection)?;
    if version == VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    for script in MIGRATIONS.iter().skip(version as usize) {
        transaction.execute_batch(script)?;
    }
    super::agent_states::fill(&transaction)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}
