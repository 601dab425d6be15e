//! Columns of SQLite's rows.

use crate::fields::Fields;
use crate::query::Value;
use rusqlite::types::{ToSqlOutput, Type};
use rusqlite::{Row, ToSql};

impl Fields for Row<'_> {
    type Error = rusqlite::Error;

    fn integer(&self, column: usize) -> rusqlite::Result<i64> {
        self.get(column)
    }

    fn integer_or_null(&self, column: usize) -> rusqlite::Result<Option<i64>> {
        self.get(column)
    }

    fn real(&self, column: usize) -> rusqlite::Result<f64> {
        self.get(column)
    }

    fn real_or_null(&self, column: usize) -> rusqlite::Result<Option<f64>> {
        self.get(column)
    }

    fn text_or_null(&self, column: usize) -> rusqlite::Result<Option<String>> {
        self.get(column)
    }

    fn bytes_or_null(&self, column: usize) -> rusqlite::Result<Option<Vec<u8>>> {
        self.get(column)
    }

    fn invalid(column: usize, expected: &'static str) -> rusqlite::Error {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Null, format!("expected {expected}").into())
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Integer(number) => number.to_sql(),
            Self::Text(text) => text.to_sql(),
        }
    }
}
