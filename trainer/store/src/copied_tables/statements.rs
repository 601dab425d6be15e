//! A copied table → the statements that read it.

use super::{PAGE_ROWS, Table};

impl Table {
    /// The columns by which rows are identified and ordered.
    pub(crate) fn key_columns(&self) -> &'static [&'static str] {
        self.columns.split_at_checked(self.key).map_or(self.columns, |(key, _)| key)
    }

    /// Every column, as PostgreSQL stores them.
    pub(crate) fn all_columns(&self) -> Vec<&'static str> {
        self.columns.iter().copied().chain(self.more.iter().map(|(name, _)| *name)).collect()
    }

    /// Name of a column of [`Self::all_columns`].
    pub(crate) fn column(&self, place: usize) -> &'static str {
        self.all_columns().get(place).copied().unwrap_or("?")
    }

    /// Rows of SQLite in the form of [`Self::all_columns`].
    pub(crate) fn select_sqlite(&self, is_continued: bool) -> String {
        let more = self.more.iter().map(|(_, value)| *value);
        let columns: Vec<&str> = self.columns.iter().copied().chain(more).collect();
        self.select(&columns, self.sqlite(), is_continued)
    }

    /// Rows of PostgreSQL in the form of [`Self::all_columns`].
    pub(crate) fn select_postgres(&self, is_continued: bool) -> String {
        self.select(&self.all_columns(), self.postgres(), is_continued)
    }

    /// What to read from in SQLite.
    pub(crate) fn sqlite(&self) -> &str {
        self.from_sqlite.map_or(self.name, |from| from.as_str())
    }

    /// What to read from in PostgreSQL.
    pub(crate) fn postgres(&self) -> &str {
        self.from_postgres.map_or(self.name, |from| from.as_str())
    }

    /// The highest key. Parameters are `?1`, `?2`, …
    pub(crate) fn last_key(&self, from: &str) -> String {
        let keys = self.key_columns();
        let order: Vec<String> = keys.iter().map(|key| format!("{key} DESC")).collect();
        format!("SELECT {} FROM {from} ORDER BY {} LIMIT 1", keys.join(", "), order.join(", "))
    }

    /// A page of rows in the order of the key: the first ones, or those after the key in the parameters.
    fn select(&self, columns: &[&str], from: &str, is_continued: bool) -> String {
        let keys = self.key_columns();
        let order = keys.join(", ");
        let places: Vec<String> = (1..=keys.len()).map(|place| format!("?{place}")).collect();
        let after = if is_continued { format!("WHERE ({order}) > ({}) ", places.join(", ")) } else { String::new() };
        format!("SELECT {} FROM {from} {after}ORDER BY {order} LIMIT {PAGE_ROWS}", columns.join(", "))
    }
}
