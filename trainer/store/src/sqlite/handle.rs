//! The file, from any process beside the collecting one → its handle.

use super::{audit, copying, counters, schema};
use crate::counter::Counter;
use crate::error::StoreError;
use crate::traits::{Counters, Handle, Leases};
use lapwing_fleet::AuditEntry;
use rusqlite::{Connection, OptionalExtension, Params, Row, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};

/// Reads the file, labels episodes and requests retraining.
pub(crate) struct SqliteHandle {
    pub(super) path: PathBuf,
    pub(crate) connection: Connection,
}

impl Handle for SqliteHandle {}

/// The lock file lets one process write messages; that one holds every lease.
impl Leases for SqliteHandle {
    fn try_lease(&self, _: &str) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn release_lease(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Counters for SqliteHandle {
    fn counter(&self, counter: Counter) -> Result<u64, StoreError> {
        counters::read(&self.connection, counter).map_err(self.sql())
    }

    fn set_counter(&self, counter: Counter, value: u64) -> Result<(), StoreError> {
        counters::set(&self.connection, counter, value).map_err(self.sql())
    }

    fn message_counts(&self) -> Result<[u64; 3], StoreError> {
        let text = "SELECT (SELECT count(*) FROM alerts), (SELECT count(*) FROM samples) \
             + coalesce((SELECT sum(batches) FROM segment_agents), 0), (SELECT count(*) FROM updates)";
        let read = |row: &rusqlite::Row<'_>| Ok([row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?]);
        self.connection.query_row(text, [], read).map(|counts| counts.map(i64::cast_unsigned)).map_err(self.sql())
    }
}

/// Rejects a file that [`crate::StoreCopy`] has not completed.
pub(super) fn reject_unfinished(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    match copying::is_unfinished(connection) {
        Ok(false) => Ok(()),
        Ok(true) => Err(StoreError::Unfinished { store: path.display().to_string() }),
        Err(error) => Err(StoreError::from_sql(path, error)),
    }
}

impl SqliteHandle {
    /// Opens an existing file and migrates it if needed.
    ///
    /// # Errors
    /// When the file does not exist, or as for [`super::SqliteWriter::open`].
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open_existing(path)?;
        reject_unfinished(path, &connection)?;
        Ok(Self { path: path.to_path_buf(), connection })
    }

    /// Opens an existing file of the current version read-only.
    ///
    /// # Errors
    /// When the file does not exist, or as for [`super::SqliteWriter::open`].
    pub(crate) fn open_reading(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open_reading(path)?;
        reject_unfinished(path, &connection)?;
        Ok(Self { path: path.to_path_buf(), connection })
    }

    /// All rows of a statement.
    pub(super) fn rows<T>(
        &self,
        text: &str,
        values: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.connection.prepare_cached(text)?.query_map(values, read)?.collect()
    }

    /// The only row of a statement, or none.
    pub(super) fn row<T>(
        &self,
        text: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.connection.prepare_cached(text)?.query_row(values, read).optional()
    }

    /// Runs a statement; returns the number of changed rows.
    pub(super) fn execute(&self, text: &str, values: impl Params) -> rusqlite::Result<usize> {
        self.connection.prepare_cached(text)?.execute(values)
    }

    /// Runs statements in one transaction, which is a writer from its beginning: what it reads stays until it ends.
    pub(super) fn write<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let run = || {
            let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit().map(|()| done)
        };
        run().map_err(self.sql())
    }

    /// Runs a statement that changes the one row that `entry` describes, and appends the entry; false, without any change, if
    /// there is no such row.
    pub(super) fn change_and_record(
        &self,
        text: &str,
        values: impl Params,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        self.write(|connection| {
            if connection.prepare_cached(text)?.execute(values)? == 0 {
                return Ok(false);
            }
            audit::append(connection, entry).map(|()| true)
        })
    }

    /// Converts an SQLite error into a [`StoreError`].
    pub(super) fn sql(&self) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let path = self.path.clone();
        move |error| StoreError::from_sql(&path, error)
    }
}
