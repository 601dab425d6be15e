//! A table → CSV or Parquet with features, label and metadata, and the schema to read it back.
//!
//! Parquet: numbers as optional FLOAT, texts as UTF-8 BYTE_ARRAY, zstd, row groups of 131,072 rows; pandas, DuckDB and
//! Polars can read it. Numbers read back to the same bits. Numbers beyond 2²⁴, such as times in microseconds, are
//! written as they were read, up to 2⁵³; a Parquet column that has such numbers is DOUBLE.

use crate::column::Values;
use crate::error::TableError;
use crate::formats::Schema;
use crate::table::{BENIGN, Coded, Table};
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

/// Rows per Parquet row group.
const GROUP: usize = 1 << 17;
/// Column names of label and metadata; features with these names are written with a leading `_`.
const LABEL: &str = "label";
const METADATA: [&str; 5] = ["detail", "time", "day", "group", "source"];

/// One column to write.
enum Part<'a> {
    /// Numbers, and the exact values of some rows.
    Numbers(&'a [f32], &'a [(u32, f64)]),
    Categories(&'a [String], &'a [u16]),
    Kinds(&'a [String], &'a [u16]),
    Texts(&'a Coded),
    Times(&'a [f64]),
}

fn parts(table: &Table) -> Vec<(String, Part<'_>)> {
    let mut parts: Vec<(String, Part<'_>)> = Vec::new();
    for column in &table.columns {
        let part = match &column.values {
            Values::Numbers(numbers) => {
                Part::Numbers(numbers, table.exact.get(&column.name).map_or(&[], Vec::as_slice))
            }
            Values::Categories { names, codes } => Part::Categories(names, codes),
        };
        parts.push((unreserved(&column.name), part));
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

fn unreserved(name: &str) -> String {
    if name == LABEL || METADATA.contains(&name) { format!("_{name}") } else { name.into() }
}

/// The exact value of a row, if its number is rounded.
fn exact_at(exact: &[(u32, f64)], row: usize) -> Option<f64> {
    let index = exact.binary_search_by_key(&(row as u64), |(row, _)| u64::from(*row)).ok()?;
    exact.get(index).map(|(_, value)| *value)
}

impl Table {
    /// The schema to read a written table back.
    fn written_schema(&self) -> Schema {
        let named = |present: bool, name: &str| present.then(|| name.to_owned());
        let features = |number: bool| {
            let columns = self.columns.iter().filter(|column| column.values.numbers().is_some() == number);
            columns.map(|column| unreserved(&column.name)).collect()
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

    /// Writes Parquet if the path ends in `.parquet`, else CSV, and a `FILE.schema.toml` next to it.
    ///
    /// # Errors
    /// The file cannot be written.
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
                Part::Numbers(numbers, _) if numbers[row].is_nan() => {}
                Part::Numbers(numbers, exact) => match exact_at(exact, row) {
                    Some(value) => write!(text, "{value}")?,
                    None => write!(text, "{}", numbers[row])?,
                },
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
            Part::Numbers(_, []) => Type::primitive_type_builder(name, Physical::FLOAT),
            Part::Numbers(..) | Part::Times(_) => Type::primitive_type_builder(name, Physical::DOUBLE),
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
        Part::Numbers(numbers, exact @ [_, ..]) => {
            let value = |row: usize| exact_at(exact, row).unwrap_or_else(|| f64::from(numbers[row]));
            let present: Vec<f64> = rows.clone().map(value).filter(|number| !number.is_nan()).collect();
            let levels: Vec<i16> = numbers[rows].iter().map(|number| i16::from(!number.is_nan())).collect();
            column.typed::<DoubleType>().write_batch(&present, Some(&levels), None)?;
        }
        Part::Numbers(numbers, []) => {
            let present: Vec<f32> = numbers[rows.clone()].iter().copied().filter(|number| !number.is_nan()).collect();
            let levels: Vec<i16> = numbers[rows].iter().map(|number| i16::from(!number.is_nan())).collect();
            column.typed::<FloatType>().write_batch(&present, Some(&levels), None)?;
        }
        Part::Times(times) => {
            let present: Vec<f64> = times[rows.clone()].iter().copied().filter(|time| !time.is_nan()).collect();
            let levels: Vec<i16> = times[rows].iter().map(|time| i16::from(!time.is_nan())).collect();
            column.typed::<DoubleType>().write_batch(&present, Some(&levels), None)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::Format;
    use crate::read::tests::Folder;
    use crate::read::{ReadOptions, read};

    #[test]
    fn whole_numbers_beyond_2_to_the_24_are_written_as_they_were_read() {
        let folder = Folder::new("exact");
        let text = "duration,packets,label\n119999999,5,benign\n,6,benign\n16777217,7,flood\n-16777219,8,flood\n\
                    0.25,9,flood\n1499072158.25,9,flood\n9007199254740991,1,flood\n";
        let schema = "label = \"label\"\nnumbers = [\"duration\", \"packets\"]\n";
        let load = |path: &Path, schema: &Path| {
            let format = Format::Table(Box::new(Schema::load(schema).unwrap()));
            read(&[path.to_owned()], &[], &ReadOptions::new(format), &mut |_| {}).unwrap()
        };
        let table = load(&folder.file("in.csv", text), &folder.file("in.toml", schema));
        assert_eq!(table.columns()[0].values.numbers().unwrap()[2], 16_777_216.0, "computations use f32");
        for name in ["out.parquet", "out.csv"] {
            table.write(&folder.path(name)).unwrap();
            let back = load(&folder.path(name), &folder.path(&format!("{name}.schema.toml")));
            back.write(&folder.path("again.csv")).unwrap();
            assert_eq!(std::fs::read_to_string(folder.path("again.csv")).unwrap(), text, "{name}");
            assert_eq!(back.keys(), table.keys());
        }
    }
}
