//! CSV or JSON rows → a table with the model's features, or an error with row, column and expectation.

use super::model::Model;
use lapwing_tables::{
    ColumnType, Format, Others, ReadOptions, Row, Schema, Table, TableBuilder, TableError, Value, read,
};
use serde_json::{Map, Value as Json};
use std::path::Path;

/// Why rows cannot be scored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {row}, column {column}: found {found}, expected {expected}")]
#[expect(missing_docs, reason = "the messages document the fields")]
pub struct RowError {
    /// Row, from 1.
    pub row: u64,
    /// Column; empty if the whole row is invalid.
    pub column: String,
    pub found: String,
    pub expected: String,
}

/// Reads a CSV file whose header has the model's features in any order; other columns are ignored.
///
/// # Errors
/// A missing feature or an invalid value, with file, row and column.
pub fn csv_table(model: &Model, path: &Path) -> Result<Table, TableError> {
    let needs = model.encoder.needs();
    let of = |number: bool| {
        needs
            .iter()
            .filter(|(_, is_number)| *is_number == number)
            .map(|(name, _)| (*name).to_string())
            .collect::<Vec<_>>()
    };
    let schema = Schema { numbers: of(true), categories: of(false), others: Others::Ignore, ..Schema::default() };
    read(&[path.to_path_buf()], &[], &ReadOptions::new(Format::Table(Box::new(schema))), &mut |_| ())
}

/// Converts objects, each with a value for every feature, to a table; `null` means missing.
///
/// # Errors
/// The first value that is missing, of another type, or not finite.
pub fn json_table(model: &Model, rows: &[Map<String, Json>]) -> Result<Table, RowError> {
    let needs = model.encoder.needs();
    let columns =
        needs.iter().map(|(name, number)| (*name, if *number { ColumnType::Number } else { ColumnType::Category }));
    let broken = |error: TableError| RowError {
        row: 0,
        column: String::new(),
        found: error.to_string(),
        expected: "rows that a table can hold".into(),
    };
    let mut builder = TableBuilder::new(columns).map_err(broken)?;
    builder.unlabelled();
    builder.file("request", "", 0).map_err(broken)?;
    for (index, row) in rows.iter().enumerate() {
        let at = index as u64 + 1;
        let value = |(name, number): &(&str, bool)| {
            let invalid = |found| RowError { row: at, column: (*name).into(), found, expected: expected(*number) };
            value(row.get(*name), *number).map_err(invalid)
        };
        let values = needs.iter().map(value).collect::<Result<Vec<_>, _>>()?;
        if let Some(extra) = row.keys().find(|key| !needs.iter().any(|(name, _)| name == key)) {
            let near = lapwing_config::nearest(extra, needs.iter().map(|(name, _)| *name));
            let expected = format!("only the model's features, such as {}", near.unwrap_or("none"));
            return Err(RowError {
                row: at,
                column: extra.clone(),
                found: "a column that the model does not know".into(),
                expected,
            });
        }
        builder.push(&values, &Row { file_row: at, ..Row::default() }).map_err(broken)?;
    }
    builder.finish().map_err(broken)
}

/// A JSON value as a number or a category; the error is a description of the value.
fn value(value: Option<&Json>, number: bool) -> Result<Value<'_>, String> {
    Ok(match value {
        None => return Err("nothing".into()),
        Some(Json::Null) => Value::Missing,
        Some(Json::Number(value)) if number => Value::Number(value.as_f64().unwrap_or(f64::NAN) as f32),
        Some(Json::Bool(value)) if number => Value::Number(f32::from(u8::from(*value))),
        Some(Json::String(text)) if !number => Value::Category(text),
        Some(other) => return Err(shown(other)),
    })
}

fn expected(number: bool) -> String {
    if number { "a number, or null where it is missing" } else { "a text, or null where it is missing" }.into()
}

fn shown(value: &Json) -> String {
    let text: String = value.to_string().chars().take(60).collect();
    match value {
        Json::String(_) => format!("the text {text}"),
        Json::Number(_) => format!("the number {text}"),
        Json::Array(_) => "a list".into(),
        Json::Object(_) => "an object".into(),
        _ => text,
    }
}
