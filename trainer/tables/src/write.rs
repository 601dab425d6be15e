//! A table → CSV or Parquet with its features, label and metadata, and the schema that reads it back.
//!
//! Parquet: numbers as optional FLOAT, texts as UTF-8 BYTE_ARRAY, zstd, row groups of 131,072 rows; pandas, DuckDB and
//! Polars read it as it is. Numbers are written so that they read back to the same bits.

use crate::error::TableError;
use crate::formats::Schema;
use crate::table::{BENIGN, Coded, Table, Values};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

const GROUP: usize = 1 << 17;
/// Names of what is written besides features; a feature of the same name gets `_` put before it here.
const LABEL: &str = "label";
const METADATA: [&str; 5] = ["detail", "time", "day", "group", "source"];

/// One column to write.
enum Part<'a> {
    Numbers(&'a [f32]),
    Categories(&'a [String], &'a [u16]),
    Kinds(&'a [String], &'a [u16]),
    Texts(&'a Coded),
    Times(&'a [f64]),
}

fn parts(table: &Table) -> Vec<(String, Part<'_>)> {
    let mut parts: Vec<(String, Part<'_>)> = Vec::new();
    for column in &table.columns {
        let part = match &column.values {
            Values::Numbers(numbers) => Part::Numbers(numbers),
            Values::Categories { names, codes } => Part::Categories(names, codes),
        };
        parts.push((free(&column.name), part));
    }
    let texts = [&table.details, &None, &table.days, &table.groups, &table.sources];
    for (name, text) in METADATA.into_iter().zip(texts) {
        if let Some(coded) = text {
            parts.push((name.into(), Part::Texts(coded)));
        }
    }
    if let Some(times) = &table.times {
        parts.push(("time".into(), Part::Times(times)));
    }
    if table.labelled {
        parts.push((LABEL.into(), Part::Kinds(&table.kinds, &table.kind)));
    }
    parts
}

fn free(name: &str) -> String {
    if name == LABEL || METADATA.contains(&name) { format!("_{name}") } else { name.into() }
}

impl Table {
    /// The schema under which a written table is read back.
    pub fn written_schema(&self) -> Schema {
        let named = |there: bool, name: &str| there.then(|| name.to_owned());
        let features = |number: bool| {
            let columns = self.columns.iter().filter(|column| column.values.numbers().is_some() == number);
            columns.map(|column| free(&column.name)).collect()
        };
        Schema {
            label: named(self.labelled, LABEL),
            detail: named(self.labelled && self.details.is_some(), "detail"),
            ignore: named(!self.labelled && self.details.is_some(), "detail").into_iter().collect(),
            benign: vec![BENIGN.into()],
            kinds: self.kinds.iter().skip(1).cloned().collect(),
            numbers: features(true),
            categories: features(false),
            time: named(self.times.is_some(), "time"),
            day: named(self.days.is_some(), "day"),
            group: named(self.groups.is_some(), "group"),
            source: named(self.sources.is_some(), "source"),
            ..Schema::default()
        }
    }

    /// Writes `.parquet` or, with any other ending, CSV; and `FILE.schema.toml` beside it.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), TableError> {
        let failed = |reason: String| TableError::Write { path: path.into(), reason };
        let file = File::create(path).map_err(|error| failed(error.to_string()))?;
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet")) {
            write_parquet(self, file).map_err(|error| failed(error.to_string()))?;
        } else {
            write_csv(self, file).map_err(|error| failed(error.to_string()))?;
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(".schema.toml");
        let schema = toml::to_string(&self.written_schema()).map_err(|error| failed(error.to_string()))?;
        std::fs::write(&beside, schema)
            .map_err(|error| TableError::Write { path: beside.into(), reason: error.to_string() })
    }
}

fn write_csv(table: &Table, file: File) -> Result<(), csv::Error> {
    let parts = parts(table);
    let mut writer = csv::Writer::from_writer(BufWriter::with_capacity(1 << 18, file));
    writer.write_record(parts.iter().map(|(name, _)| name))?;
    let mut text = Vec::new();
    for row in 0..table.rows() {
        for (_, part) in &parts {
            text.clear();
            match part {
                Part::Numbers(numbers) if numbers[row].is_nan() => {}
                Part::Numbers(numbers) => write!(text, "{}", numbers[row])?,
                Part::Times(times) if times[row].is_nan() => {}
                Part::Times(times) => write!(text, "{}", times[row])?,
                Part::Categories(names, codes) | Part::Kinds(names, codes) => {
                    text.extend_from_slice(names[usize::from(codes[row])].as_bytes());
                }
                Part::Texts(coded) => text.extend_from_slice(coded.of(row).as_bytes()),
            }
            writer.write_field(&text)?;
        }
        writer.write_record(None::<&[u8]>)?;
    }
    writer.flush()?;
    Ok(())
}

fn write_parquet(table: &Table, file: File) -> Result<(), ParquetError> {
    let parts = parts(table);
    let field = |(name, part): &(String, Part<'_>)| {
        let builder = match part {
            Part::Numbers(_) => Type::primitive_type_builder(name, Physical::FLOAT),
            Part::Times(_) => Type::primitive_type_builder(name, Physical::DOUBLE),
            Part::Categories(..) | Part::Kinds(..) | Part::Texts(_) => {
                Type::primitive_type_builder(name, Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::String))
            }
        };
        builder.with_repetition(Repetition::OPTIONAL).build().map(Arc::new)
    };
    let fields = parts.iter().map(field).collect::<Result<Vec<_>, _>>()?;
    let schema = Type::group_type_builder("flows").with_fields(fields).build()?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
    for start in (0..table.rows()).step_by(GROUP) {
        let rows = start..(start + GROUP).min(table.rows());
        let mut group = writer.next_row_group()?;
        for (_, part) in &parts {
            write_column(&mut group, part, rows.clone())?;
        }
        group.close()?;
    }
    writer.close()?;
    Ok(())
}

fn write_column(
    group: &mut SerializedRowGroupWriter<'_, File>,
    part: &Part<'_>,
    rows: Range<usize>,
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else { return Ok(()) };
    match part {
        Part::Numbers(numbers) => {
            let there: Vec<f32> = numbers[rows.clone()].iter().copied().filter(|number| !number.is_nan()).collect();
            let levels: Vec<i16> = numbers[rows].iter().map(|number| i16::from(!number.is_nan())).collect();
            column.typed::<FloatType>().write_batch(&there, Some(&levels), None)?;
        }
        Part::Times(times) => {
            let there: Vec<f64> = times[rows.clone()].iter().copied().filter(|time| !time.is_nan()).collect();
            let levels: Vec<i16> = times[rows].iter().map(|time| i16::from(!time.is_nan())).collect();
            column.typed::<DoubleType>().write_batch(&there, Some(&levels), None)?;
        }
        Part::Categories(names, codes) | Part::Kinds(names, codes) => {
            let texts: Vec<ByteArray> = names.iter().map(|name| ByteArray::from(name.as_str())).collect();
            let values: Vec<ByteArray> = codes[rows].iter().map(|code| texts[usize::from(*code)].clone()).collect();
            let levels = vec![1; values.len()];
            column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
        }
        Part::Texts(coded) => {
            let values: Vec<ByteArray> = rows.map(|row| ByteArray::from(coded.of(row))).collect();
            let levels = vec![1; values.len()];
            column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
        }
    }
    column.close()
}
