//! Parquet files with flat columns → records, read in batches.

use super::Limits;
use super::fill::{Cell, Record};
use crate::error::TableError;
use parquet::basic::LogicalType;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use std::fs::File;
use std::path::Path;

/// Maximum number of rows in memory.
const BATCH: usize = 4096;
/// Maximum number of values in memory.
const BATCH_VALUES: usize = 1 << 18;

enum Value {
    Number(f64),
    Text(Vec<u8>),
    Missing,
}

/// One row of a batch of columns.
struct Row<'a> {
    columns: &'a [Vec<Value>],
    row: usize,
}

impl Record for Row<'_> {
    fn len(&self) -> usize {
        self.columns.len()
    }

    fn cell(&self, index: usize) -> Cell<'_> {
        match self.columns.get(index).and_then(|column| column.get(self.row)) {
            Some(Value::Number(number)) => Cell::Number(*number),
            Some(Value::Text(text)) => Cell::Text(text),
            Some(Value::Missing) | None => Cell::Missing,
        }
    }
}

fn open(path: &Path) -> Result<SerializedFileReader<File>, TableError> {
    let file = File::open(path).map_err(|source| TableError::Read { path: path.into(), source })?;
    SerializedFileReader::new(file).map_err(|error| broken(path, &error))
}

fn broken(path: &Path, error: &ParquetError) -> TableError {
    TableError::Format {
        path: path.into(),
        found: format!("Parquet that cannot be read ({error})"),
        expected: "a complete file with flat columns, uncompressed or compressed with snappy, gzip or zstd".into(),
    }
}

/// Column names and number of rows.
pub(super) fn names(path: &Path, limits: &Limits) -> Result<(Vec<String>, u64), TableError> {
    let reader = open(path)?;
    let metadata = reader.metadata().file_metadata();
    let schema = metadata.schema_descr();
    if schema.num_columns() > limits.columns {
        return Err(TableError::Limit {
            at: path.display().to_string(),
            what: format!("{} columns", schema.num_columns()),
            limit: format!("{} columns", limits.columns),
            advice: "check that this is the right file, or remove columns before reading".into(),
        });
    }
    if let Some(nested) = schema.columns().iter().find(|column| column.max_rep_level() > 0) {
        return Err(TableError::Format {
            path: path.into(),
            found: format!("column `{}` with lists", nested.path()),
            expected: "one value per row and column".into(),
        });
    }
    let names = schema.columns().iter().map(|column| column.path().string()).collect();
    Ok((names, u64::try_from(metadata.num_rows()).unwrap_or(0)))
}

/// Calls `row` with each row and its number, from 1.
pub(super) fn read(
    path: &Path,
    row: &mut dyn FnMut(&dyn Record, u64) -> Result<(), TableError>,
) -> Result<(), TableError> {
    let reader = open(path)?;
    let mut number = 0;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(|error| broken(path, &error))?;
        let mut columns = Columns::open(group.as_ref()).map_err(|error| broken(path, &error))?;
        loop {
            let rows = columns.next_batch().map_err(|error| broken(path, &error))?;
            if rows == 0 {
                break;
            }
            for at in 0..rows {
                number += 1;
                row(&Row { columns: &columns.batch, row: at }, number)?;
            }
        }
    }
    Ok(())
}

struct Columns {
    readers: Vec<(ColumnReader, Conversion)>,
    batch: Vec<Vec<Value>>,
    rows: usize,
}

/// How to convert the values of a column, in addition to their physical type.
#[derive(Clone, Copy)]
struct Conversion {
    /// Definition level of a value that is present; 0 if values cannot be missing.
    present: i16,
    /// Units per second, for timestamps.
    units: Option<f64>,
    /// Whether integers are unsigned.
    unsigned: bool,
}

impl Columns {
    fn open(group: &dyn RowGroupReader) -> Result<Self, ParquetError> {
        let mut readers = Vec::new();
        for index in 0..group.num_columns() {
            let column = group.metadata().column(index).column_descr();
            let (mut units, mut unsigned) = (None, false);
            match column.logical_type_ref() {
                Some(LogicalType::Timestamp(time)) => units = Some(per_second(&time.unit)),
                Some(LogicalType::Integer(integer)) => unsigned = !integer.is_signed,
                _ => {}
            }
            let conversion = Conversion { present: column.max_def_level(), units, unsigned };
            readers.push((group.get_column_reader(index)?, conversion));
        }
        let rows = BATCH.min(BATCH_VALUES / readers.len().max(1)).max(16);
        let batch = readers.iter().map(|_| Vec::new()).collect();
        Ok(Self { readers, batch, rows })
    }

    fn next_batch(&mut self) -> Result<usize, ParquetError> {
        let mut rows = None;
        for ((reader, conversion), into) in self.readers.iter_mut().zip(&mut self.batch) {
            into.clear();
            read_column(reader, *conversion, self.rows, into)?;
            if *rows.get_or_insert(into.len()) != into.len() {
                return Err(ParquetError::General("columns of different lengths".into()));
            }
        }
        Ok(rows.unwrap_or(0))
    }
}

fn per_second(unit: &parquet::basic::TimeUnit) -> f64 {
    match unit {
        parquet::basic::TimeUnit::MILLIS => 1e3,
        parquet::basic::TimeUnit::MICROS => 1e6,
        parquet::basic::TimeUnit::NANOS => 1e9,
    }
}

fn read_column(
    reader: &mut ColumnReader,
    conversion: Conversion,
    rows: usize,
    into: &mut Vec<Value>,
) -> Result<(), ParquetError> {
    let scale = conversion.units.unwrap_or(1.0);
    match reader {
        ColumnReader::BoolColumnReader(reader) => {
            fetch(reader, conversion, rows, into, |value| Value::Number(f64::from(u8::from(value))))
        }
        ColumnReader::Int32ColumnReader(reader) => fetch(reader, conversion, rows, into, |value| {
            Value::Number(if conversion.unsigned { f64::from(value as u32) } else { f64::from(value) })
        }),
        ColumnReader::Int64ColumnReader(reader) => fetch(reader, conversion, rows, into, |value| {
            Value::Number(if conversion.unsigned { value as u64 as f64 } else { value as f64 } / scale)
        }),
        ColumnReader::Int96ColumnReader(reader) => {
            fetch(reader, conversion, rows, into, |value| Value::Number(value.to_millis() as f64 / 1e3))
        }
        ColumnReader::FloatColumnReader(reader) => {
            fetch(reader, conversion, rows, into, |value| Value::Number(f64::from(value)))
        }
        ColumnReader::DoubleColumnReader(reader) => fetch(reader, conversion, rows, into, Value::Number),
        ColumnReader::ByteArrayColumnReader(reader) => {
            fetch(reader, conversion, rows, into, |value| Value::Text(value.data().to_vec()))
        }
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            fetch(reader, conversion, rows, into, |value| Value::Text(value.data().to_vec()))
        }
    }
}

/// Reads up to `rows` values; a lower definition level means a missing value.
fn fetch<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    conversion: Conversion,
    rows: usize,
    into: &mut Vec<Value>,
    of: impl Fn(T::T) -> Value,
) -> Result<(), ParquetError> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    while into.len() < rows {
        values.clear();
        levels.clear();
        let count = rows - into.len();
        let optional = conversion.present > 0;
        let (records, ..) = reader.read_records(count, optional.then_some(&mut levels), None, &mut values)?;
        if records == 0 {
            break;
        }
        let mut values = values.drain(..).map(&of);
        if optional {
            let value = |level: &i16| if *level == conversion.present { values.next() } else { None };
            into.extend(levels.iter().map(value).map(|value| value.unwrap_or(Value::Missing)));
        } else {
            into.extend(values);
        }
    }
    Ok(())
}
