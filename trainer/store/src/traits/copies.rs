//! Rows of whole tables, to copy a store.

use super::Handle;
use crate::cell::Cell;
use crate::copied_tables::Table;
use crate::error::StoreError;

/// How far a store is a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CopyState {
    /// Number of the store that it was copied from.
    pub(crate) source: u64,
    pub(crate) is_complete: bool,
}

/// A store that is copied, or that becomes a copy, by a process that no other one disturbs. Rows have the columns of
/// [`Table::all_columns`].
pub(crate) trait CopyEnd: Handle {
    /// At most [`crate::copied_tables::PAGE_ROWS`] rows after a key, or the first ones, in the order of the key.
    ///
    /// # Errors
    /// When the store cannot be read, or a value cannot be one of a store.
    fn rows_after(&self, table: &Table, key: Option<&[Cell]>) -> Result<Vec<Vec<Cell>>, StoreError>;

    /// Number of rows.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn row_count(&self, table: &Table) -> Result<u64, StoreError>;

    /// The highest key; `None` without rows.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn last_key(&self, table: &Table) -> Result<Option<Vec<Cell>>, StoreError>;

    /// Adds rows in one transaction.
    ///
    /// # Errors
    /// When the store cannot be written, or does not accept a value.
    fn add_rows(&self, table: &Table, rows: &[Vec<Cell>]) -> Result<(), StoreError>;

    /// Problems of the tables, without those of the server's settings.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn table_problems(&self) -> Result<Vec<String>, StoreError>;

    /// Of which store this is a copy; `None` for one that is no copy.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn copy_state(&self) -> Result<Option<CopyState>, StoreError>;

    /// Marks an empty store as an unfinished copy of another one, whose number it takes over.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn begin_copy(&self, source: u64) -> Result<(), StoreError>;

    /// Computes what depends on the copied rows; may be repeated.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn settle_copy(&self) -> Result<(), StoreError>;

    /// Removes the mark of [`Self::begin_copy`]: the store may be used.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn end_copy(&self) -> Result<(), StoreError>;
}
