//! The file, from any process beside the collecting one → its handle.

use super::counters;
use super::schema;
use crate::counter::Counter;
use crate::error::StoreError;
use crate::rows::StoredAgent;
use crate::traits::{Counters, Handle};
use lapwing_shared::messages::{Body, Health, Message, Status};
use rusqlite::Connection;
use std::path::{Path, PathBuf};

/// Reads the file, labels episodes and requests retraining.
pub(crate) struct SqliteHandle {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
}

impl Handle for SqliteHandle {}

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

impl SqliteHandle {
    /// Opens an existing file and migrates it if needed.
    ///
    /// # Errors
    /// When the file does not exist, or as for [`super::SqliteWriter::open`].
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open_existing(path)?;
        Ok(Self { path: path.to_path_buf(), connection })
    }

    /// Opens an existing file of the current version read-only.
    ///
    /// # Errors
    /// When the file does not exist, or as for [`super::SqliteWriter::open`].
    pub(crate) fn open_reading(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open_reading(path)?;
        Ok(Self { path: path.to_path_buf(), connection })
    }

    /// Converts an SQLite error into a [`StoreError`].
    pub(super) fn sql(&self) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let path = self.path.clone();
        move |error| StoreError::from_sql(&path, error)
    }
}

/// Columns that [`agent_line`] reads, in this order.
pub(super) const AGENT_COLUMNS: &str = "agents.name, run, last_seen_s, sample_rows, alerts, status, health";

pub(super) fn agent_line(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredAgent> {
    Ok(StoredAgent {
        name: row.get(0)?,
        run: row.get::<_, i64>(1)?.cast_unsigned(),
        last_seen_s: row.get::<_, i64>(2)?.cast_unsigned(),
        sample_rows: row.get::<_, i64>(3)?.cast_unsigned(),
        alerts: row.get::<_, i64>(4)?.cast_unsigned(),
        status: decode_status(row.get(5)?),
        health: decode_health(row.get(6)?),
    })
}

/// Decodes a stored status message; `None` without one, or if it no longer decodes.
pub(super) fn decode_status(payload: Option<Vec<u8>>) -> Option<Box<Status>> {
    match Message::decode(&payload?).ok()?.body {
        Body::Status(status) => Some(Box::new(status)),
        _ => None,
    }
}

/// Decodes a stored health message; `None` without one, or if it no longer decodes.
pub(super) fn decode_health(payload: Option<Vec<u8>>) -> Option<Box<Health>> {
    match Message::decode(&payload?).ok()?.body {
        Body::Health(health) => Some(Box::new(health)),
        _ => None,
    }
}
