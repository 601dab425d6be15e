//! Whole tables of the file ↔ rows of a copy.

use super::handle::SqliteHandle;
use super::write::{create_private, lock, make_private};
use super::{counters, schema};
use crate::cell::{Cell, VALUE_BYTES, key_text};
use crate::copied_tables::{COPIED_FROM, PAGE_ROWS, Table, UNFINISHED};
use crate::error::StoreError;
use crate::statements::{DELETE_SETTING, SET_SETTING, SETTING};
use crate::traits::{CopyEnd, CopyState, Maintenance};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params_from_iter};
use std::fs::File;
use std::path::Path;

/// Bytes of a page, about; a page ends with the row that exceeds it.
const PAGE_BYTES: usize = 16 << 20;

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// The value of a column, or what is wrong with it.
fn cell(value: ValueRef<'_>) -> Result<Cell, String> {
    if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = value
        && bytes.len() > VALUE_BYTES
    {
        return Err(format!("{} bytes, more than {VALUE_BYTES}", bytes.len()));
    }
    Ok(match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Integer(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(bytes) => Cell::text(std::str::from_utf8(bytes).map_err(|_| "a text that is not UTF-8")?),
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
    })
}

/// True for an unfinished copy; false for a file of a version without settings.
pub(super) fn is_unfinished(connection: &Connection) -> rusqlite::Result<bool> {
    let text = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'settings')";
    let has_settings = connection.query_row(text, [], |row| row.get(0))?;
    Ok(has_settings && setting(connection, UNFINISHED)?.is_some())
}

fn setting(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row(&SETTING, [name], |row| row.get(0)).optional()
}

impl SqliteHandle {
    /// Opens an existing file of the current version, and keeps every other process from writing it until the handle is
    /// dropped.
    ///
    /// # Errors
    /// When it is in use, of another version, or an unfinished copy, and as [`Self::open`].
    pub(crate) fn open_source(path: &Path) -> Result<(Self, File), StoreError> {
        let (found, known) = (Self::open_reading(path)?.version()?, schema::VERSION);
        if found < known {
            return Err(StoreError::OlderVersion { store: path.display().to_string(), found, known });
        }
        let lock = lock(path)?;
        let handle = Self::open(path)?;
        // Draws the number of a store that has none, in a transaction of its own.
        handle.id()?;
        handle.connection.execute_batch("BEGIN IMMEDIATE").map_err(handle.sql())?;
        Ok((handle, lock))
    }

    /// Opens or creates a file that becomes a copy, or is an unfinished one.
    ///
    /// # Errors
    /// As [`super::SqliteWriter::open`].
    pub(crate) fn open_copy(path: &Path) -> Result<(Self, File), StoreError> {
        let lock = lock(path)?;
        create_private(path)?;
        let connection = schema::open(path)?;
        make_private(path)?;
        Ok((Self { path: path.to_path_buf(), connection }, lock))
    }

    /// A row of `count` columns.
    fn cells(&self, table: &Table, row: &Row<'_>, count: usize) -> Result<Vec<Cell>, StoreError> {
        let mut cells: Vec<Cell> = Vec::with_capacity(count);
        for place in 0..count {
            let value = cell(row.get_ref(place).map_err(self.sql())?).map_err(|found| StoreError::Value {
                store: self.path.display().to_string(),
                table: table.name,
                row: key_text(cells.split_at_checked(table.key).map_or(&cells, |(key, _)| key)),
                column: table.column(place),
                found,
            })?;
            cells.push(value);
        }
        Ok(cells)
    }
}

impl CopyEnd for SqliteHandle {
    fn rows_after(&self, table: &Table, key: Option<&[Cell]>) -> Result<Vec<Vec<Cell>>, StoreError> {
        let text = table.select_sqlite(key.is_some());
        let mut statement = self.connection.prepare_cached(&text).map_err(self.sql())?;
        let mut rows = statement.query(params_from_iter(key.unwrap_or_default())).map_err(self.sql())?;
        let (count, mut page, mut bytes) = (table.all_columns().len(), Vec::new(), 0);
        while let Some(row) = rows.next().map_err(self.sql())? {
            let cells = self.cells(table, row, count)?;
            bytes += cells.iter().map(Cell::bytes).sum::<usize>();
            page.push(cells);
            if bytes > PAGE_BYTES || page.len() == PAGE_ROWS {
                break;
            }
        }
        Ok(page)
    }

    fn row_count(&self, table: &Table) -> Result<u64, StoreError> {
        let text = format!("SELECT count(*) FROM {}", table.sqlite());
        self.connection.query_row(&text, [], |row| row.get(0)).map(i64::cast_unsigned).map_err(self.sql())
    }

    fn last_key(&self, table: &Table) -> Result<Option<Vec<Cell>>, StoreError> {
        let text = table.last_key(table.sqlite());
        let mut statement = self.connection.prepare_cached(&text).map_err(self.sql())?;
        let mut rows = statement.query([]).map_err(self.sql())?;
        let row = rows.next().map_err(self.sql())?;
        row.map(|row| self.cells(table, row, table.key)).transpose()
    }

    fn add_rows(&self, table: &Table, rows: &[Vec<Cell>]) -> Result<(), StoreError> {
        let places: Vec<String> = (1..=table.columns.len()).map(|place| format!("?{place}")).collect();
        let text = format!("INSERT INTO {} ({}) VALUES ({})", table.name, table.columns.join(", "), places.join(", "));
        self.write(|connection| {
            let mut statement = connection.prepare_cached(&text)?;
            for row in rows {
                statement.execute(params_from_iter(row.iter().take(table.columns.len())))?;
            }
            Ok(())
        })
    }

    fn table_problems(&self) -> Result<Vec<String>, StoreError> {
        self.check()
    }

    fn copy_state(&self) -> Result<Option<CopyState>, StoreError> {
        let source = setting(&self.connection, COPIED_FROM).map_err(self.sql())?;
        let is_complete = !is_unfinished(&self.connection).map_err(self.sql())?;
        Ok(source.and_then(|source| source.parse().ok()).map(|source| CopyState { source, is_complete }))
    }

    fn begin_copy(&self, source: u64) -> Result<(), StoreError> {
        self.write(|connection| {
            counters::set_store_id(connection, source)?;
            connection.execute(&SET_SETTING, (COPIED_FROM, source.to_string()))?;
            connection.execute(&SET_SETTING, (UNFINISHED, "1")).map(drop)
        })
    }

    fn settle_copy(&self) -> Result<(), StoreError> {
        // Triggers have counted the agents; sizes are not stored.
        Ok(())
    }

    fn end_copy(&self) -> Result<(), StoreError> {
        self.write(|connection| connection.execute(&DELETE_SETTING, [UNFINISHED]).map(drop))?;
        self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").map_err(self.sql())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copied_tables::{OTHER_COLUMNS, OTHER_TABLES, TABLES};
    use crate::old_store::{OLD_VERSIONS, write_old_store};
    use crate::testing::{Folder, alert, received};
    use crate::{Limits, Store, StoreCopy};
    use lapwing_shared::messages::AlertState;
    use std::collections::BTreeSet;

    #[test]
    fn every_table_and_column_of_the_schema_is_copied_or_listed_as_not_copied() {
        let folder = Folder::new();
        let (handle, _lock) = SqliteHandle::open_copy(&folder.store()).unwrap();
        // Columns with `hidden` are generated.
        let text = "SELECT t.name, c.name FROM sqlite_schema AS t, pragma_table_xinfo(t.name) AS c \
                    WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND c.hidden = 0";
        let found = handle.rows(text, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let is_other = |(table, column): &(String, String)| {
            OTHER_TABLES.iter().any(|(name, _)| name == table)
                || OTHER_COLUMNS.iter().any(|(name, of, _)| name == table && of == column)
        };
        let found: BTreeSet<(String, String)> = found.into_iter().filter(|one| !is_other(one)).collect();
        let columns = |table: &Table| table.columns.iter().map(|column| (table.name.into(), (*column).into()));
        let copied: BTreeSet<(String, String)> = TABLES.iter().flat_map(columns).collect();
        assert_eq!(found, copied, "add new tables and columns to copied_tables.rs");
    }

    fn refusal(from: &Path, to: &Path) -> String {
        let copy = StoreCopy::open(&from.into(), &to.into(), None);
        copy.and_then(|copy| copy.run(&mut |_| true)).map(|done| format!("{done:?}")).unwrap_err().to_string()
    }

    #[test]
    fn values_that_no_trainer_writes_are_named_and_not_copied() {
        for (change, expected) in [
            ("UPDATE agents SET status = zeroblob(2000000)", "(1) of the table agents in "),
            ("UPDATE agents SET status = zeroblob(2000000)", "the column status has 2000000 bytes, more than 1048576"),
            ("UPDATE alerts SET resembles = CAST(x'ff' AS TEXT)", "the column resembles has a text that is not UTF-8"),
            ("UPDATE episodes SET is_open = 0", "has problems, the first of"),
        ] {
            let (folder, copy) = (Folder::new(), Folder::new());
            let message = alert(1, 1, 5, AlertState::Opened, (1, 2));
            Store::open(folder.store(), Limits::default()).unwrap().commit(&[received("gw", &message)], 5).unwrap();
            Connection::open(folder.store()).unwrap().execute(change, []).unwrap();
            let error = refusal(&folder.store(), &copy.store());
            assert!(error.contains(expected), "{change}: {error}");
        }
    }

    #[test]
    fn files_that_are_no_store_of_this_version_are_not_copied_or_changed() {
        let folder = Folder::new();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("garbage"), b"no database, but longer than the head of one".repeat(9)).unwrap();
        let foreign = Connection::open(path("foreign")).unwrap();
        foreign.execute_batch("CREATE TABLE agents (id INTEGER)").unwrap();
        write_old_store(&path("old"), *OLD_VERSIONS.end(), &[], 5, &[], [0, 0]);
        for (name, expected) in [
            ("garbage", "is damaged"),
            ("foreign", "not a Lapwing store"),
            ("old", "run `lapwing-trainer store migrate`"),
            ("missing", "there is no store"),
        ] {
            let error = refusal(&path(name), &path("copy"));
            assert!(error.contains(expected), "{name}: {error}");
        }
        assert!(!path("missing").exists() && !path("copy").exists());
        let version = SqliteHandle::open_reading(&path("old")).unwrap().version().unwrap();
        assert_eq!(version as usize, *OLD_VERSIONS.end());
    }
}
