//! Columns of PostgreSQL's rows.

use super::session::QueryError;
use crate::fields::Fields;
use crate::query::{Query, Value};
use postgres::Row;
use postgres::types::{FromSql, ToSql, Type};
use std::error::Error;

/// A whole number or a truth value, of any size.
struct Integer(i64);

impl<'a> FromSql<'a> for Integer {
    fn from_sql(of: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(match *of {
            Type::BOOL => bool::from_sql(of, bytes)?.into(),
            Type::INT2 => i16::from_sql(of, bytes)?.into(),
            Type::INT4 => i32::from_sql(of, bytes)?.into(),
            _ => i64::from_sql(of, bytes)?,
        }))
    }

    fn accepts(of: &Type) -> bool {
        matches!(*of, Type::BOOL | Type::INT2 | Type::INT4 | Type::INT8)
    }
}

impl Fields for Row {
    type Error = QueryError;

    fn integer(&self, column: usize) -> Result<i64, QueryError> {
        Ok(self.try_get::<_, Integer>(column)?.0)
    }

    fn integer_or_null(&self, column: usize) -> Result<Option<i64>, QueryError> {
        Ok(self.try_get::<_, Option<Integer>>(column)?.map(|number| number.0))
    }

    fn real(&self, column: usize) -> Result<f64, QueryError> {
        Ok(self.try_get(column)?)
    }

    fn real_or_null(&self, column: usize) -> Result<Option<f64>, QueryError> {
        Ok(self.try_get(column)?)
    }

    fn text_or_null(&self, column: usize) -> Result<Option<String>, QueryError> {
        Ok(self.try_get(column)?)
    }

    fn bytes_or_null(&self, column: usize) -> Result<Option<Vec<u8>>, QueryError> {
        Ok(self.try_get(column)?)
    }

    fn invalid(_column: usize, expected: &'static str) -> QueryError {
        QueryError::Invalid(expected)
    }
}

impl Query {
    /// Values of its parameters.
    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(parameter).collect()
    }
}

fn parameter(value: &Value) -> &(dyn ToSql + Sync) {
    match value {
        Value::Integer(number) => number,
        Value::Text(text) => text,
    }
}

/// A statement of [`crate::statements`] in PostgreSQL's form.
pub(super) fn dollars(text: &str) -> String {
    text.replace('?', "$")
}

/// A text to look for. PostgreSQL rejects NUL, which no stored text contains.
pub(super) fn searched(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
