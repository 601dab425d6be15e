//! Shared statements → typed rows.

use super::fields::dollars;
use super::session::{Queried, Session, Values};
use postgres::Row;

impl Session {
    /// All rows of a shared statement.
    pub(super) fn rows<T>(
        &mut self,
        text: &str,
        values: Values<'_>,
        read: impl Fn(&Row) -> Queried<T>,
    ) -> Queried<Vec<T>> {
        self.query(&dollars(text), values)?.iter().map(read).collect()
    }

    /// The only row of a shared statement, or none.
    pub(super) fn row<T>(
        &mut self,
        text: &str,
        values: Values<'_>,
        read: impl Fn(&Row) -> Queried<T>,
    ) -> Queried<Option<T>> {
        self.query_opt(&dollars(text), values)?.as_ref().map(read).transpose()
    }

    /// Runs a shared statement; returns the number of changed rows.
    pub(super) fn change(&mut self, text: &str, values: Values<'_>) -> Queried<u64> {
        self.execute(&dollars(text), values)
    }
}
