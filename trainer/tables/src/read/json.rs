//! JSON lines, one object per row, as Zeek writes them → records with the fields of the layout, in its order.

use super::Limits;
use super::fill::{Cell, Record};
use super::input::Input;
use crate::error::{TableError, shown};
use serde_json::{Map, Value};
use std::io::{BufRead, Read};
use std::path::Path;

/// Fields of one object.
struct Object {
    fields: Vec<Field>,
}

enum Field {
    Text(String),
    Number(f64),
    Missing,
}

impl Record for Object {
    fn len(&self) -> usize {
        self.fields.len()
    }

    fn cell(&self, index: usize) -> Cell<'_> {
        match self.fields.get(index) {
            Some(Field::Text(text)) => Cell::Text(text.as_bytes()),
            Some(Field::Number(number)) => Cell::Number(*number),
            Some(Field::Missing) | None => Cell::Missing,
        }
    }
}

/// Calls `row` with the object and the number of each line; returns the SHA-256 of the file.
pub(super) fn read(
    path: &Path,
    mut input: Input,
    names: &[String],
    limits: &Limits,
    row: &mut dyn FnMut(&dyn Record, u64) -> Result<(), TableError>,
) -> Result<String, TableError> {
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        let mut bounded = input.text().take(limits.row_bytes as u64 + 1);
        let read = bounded.read_until(b'\n', &mut line);
        if read.map_err(|source| TableError::Read { path: path.into(), source })? == 0 {
            return input.digest();
        }
        number += 1;
        if line.len() > limits.row_bytes {
            return Err(TableError::Limit {
                at: format!("{}, row {number}", path.display()),
                what: "a row".into(),
                limit: format!("{} bytes", limits.row_bytes),
                advice: "write one object per line".into(),
            });
        }
        let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line).trim_ascii();
        if text.is_empty() {
            continue;
        }
        let object: Map<String, Value> = serde_json::from_slice(text).map_err(|error| TableError::Row {
            path: path.into(),
            row: number,
            found: format!("`{}` ({error})", shown(text)),
            expected: "a JSON object on one line".into(),
        })?;
        let fields = names.iter().map(|name| object.get(name).map_or(Field::Missing, field)).collect();
        row(&Object { fields }, number)?;
    }
}

fn field(value: &Value) -> Field {
    match value {
        Value::Null => Field::Missing,
        Value::Bool(truth) => Field::Number(f64::from(u8::from(*truth))),
        Value::Number(number) => number.as_f64().map_or(Field::Missing, Field::Number),
        Value::String(text) => Field::Text(text.clone()),
        other => Field::Text(other.to_string()),
    }
}
