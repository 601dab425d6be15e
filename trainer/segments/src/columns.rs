//! Rows ↔ the columns of a Parquet file: their names, types, order and encoding, and the metadata of the file.

use crate::row::Row;
use lapwing_shared::features::FEATURES;
use lapwing_shared::features::schema::{SCHEMA, schema_id};
use lapwing_shared::messages::{AgentName, RowHosts};
use lapwing_shared::release::digest::Hex;
use lapwing_shared::units::Timestamp;
use parquet::basic::{Compression, Encoding, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, FloatType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::RowGroupReader;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type, TypePtr};
use std::sync::Arc;

/// Version of the format; higher ones are rejected.
pub const FORMAT: u32 = 1;
/// Rows of a row group, at most: about 5 MiB in memory.
pub const ROW_GROUP_ROWS: usize = 16_384;

/// Keys of the file's metadata.
pub(crate) const FORMAT_KEY: &str = "lapwing.format";
pub(crate) const SCHEMA_KEY: &str = "lapwing.schema";
pub(crate) const GROUP_KEY: &str = "lapwing.group";

/// Columns before the features.
pub(crate) const AGENT: usize = 0;
pub(crate) const AT: usize = 1;
const LEADING: [(&str, Kind); 13] = [
    ("agent", Kind::Text),
    ("at_ns", Kind::U64),
    ("arrival", Kind::U64),
    ("run", Kind::U64),
    ("number", Kind::U64),
    ("row", Kind::U32),
    ("batch_rows", Kind::U32),
    ("flows_seen", Kind::U32),
    ("sent_s", Kind::U64),
    ("score", Kind::OptionalU32),
    ("in_episode", Kind::Bool),
    ("source_host", Kind::U32),
    ("target_host", Kind::U32),
];

#[derive(Clone, Copy)]
enum Kind {
    Text,
    U64,
    U32,
    OptionalU32,
    Bool,
    F32,
}

fn columns() -> impl Iterator<Item = (&'static str, Kind)> {
    LEADING.into_iter().chain(SCHEMA.iter().map(|feature| (feature.name, Kind::F32)))
}

/// The Parquet schema: columns in the order of [`LEADING`], then the features in schema order.
pub(crate) fn file_schema() -> Result<Type, ParquetError> {
    let field = |(name, kind): (&str, Kind)| -> Result<TypePtr, ParquetError> {
        let (physical, logical) = match kind {
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::U64 => (Physical::INT64, Some(LogicalType::integer(64, false))),
            Kind::U32 | Kind::OptionalU32 => (Physical::INT32, Some(LogicalType::integer(32, false))),
            Kind::Bool => (Physical::BOOLEAN, None),
            Kind::F32 => (Physical::FLOAT, None),
        };
        let repetition = if matches!(kind, Kind::OptionalU32) { Repetition::OPTIONAL } else { Repetition::REQUIRED };
        let builder = Type::primitive_type_builder(name, physical).with_logical_type(logical);
        builder.with_repetition(repetition).build().map(Arc::new)
    };
    let fields = columns().map(field).collect::<Result<_, _>>()?;
    Type::group_type_builder("rows").with_fields(fields).build()
}

fn properties(group: &str) -> WriterProperties {
    let entry = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
    let metadata = vec![
        entry(FORMAT_KEY, FORMAT.to_string()),
        entry(SCHEMA_KEY, Hex(&schema_id()).to_string()),
        entry(GROUP_KEY, group.to_owned()),
    ];
    let sorted = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: false };
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(format!("lapwing {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(metadata))
        .set_sorting_columns(Some(vec![sorted(AGENT as i32), sorted(AT as i32)]))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        // Whole values: readers skip row groups by the first and last agent.
        .set_statistics_truncate_length(None);
    for feature in &SCHEMA {
        // Used where a dictionary would be too large: the bytes of one weight together compress better.
        builder = builder.set_column_encoding(ColumnPath::from(feature.name), Encoding::BYTE_STREAM_SPLIT);
    }
    builder.build()
}

/// Encodes sorted rows of agents of a group.
pub(crate) fn encode(rows: &[Row], group: &str) -> Result<Vec<u8>, ParquetError> {
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(file_schema()?), Arc::new(properties(group)))?;
    for rows in rows.chunks(ROW_GROUP_ROWS) {
        let mut group = writer.next_row_group()?;
        encode_leading(&mut group, rows)?;
        for feature in 0..FEATURES {
            let values: Vec<f32> = rows.iter().map(|row| row.features[feature]).collect();
            put::<FloatType>(&mut group, &values, None)?;
        }
        group.close()?;
    }
    writer.into_inner()
}

type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

fn encode_leading(group: &mut Group<'_>, rows: &[Row]) -> Result<(), ParquetError> {
    let agents: Vec<ByteArray> = rows.iter().map(|row| ByteArray::from(row.agent.as_str())).collect();
    put::<ByteArrayType>(group, &agents, None)?;
    let mut integers = |of: fn(&Row) -> u64| {
        let values: Vec<i64> = rows.iter().map(|row| of(row).cast_signed()).collect();
        put::<Int64Type>(group, &values, None)
    };
    integers(|row| row.at.as_nanos())?;
    integers(|row| row.arrival)?;
    integers(|row| row.run)?;
    integers(|row| row.number)?;
    let halves = |group: &mut Group<'_>, of: fn(&Row) -> u32| {
        let values: Vec<i32> = rows.iter().map(|row| of(row).cast_signed()).collect();
        put::<Int32Type>(group, &values, None)
    };
    halves(group, |row| row.row)?;
    halves(group, |row| row.batch_rows)?;
    halves(group, |row| row.flows_seen)?;
    let sent: Vec<i64> = rows.iter().map(|row| row.sent_s.cast_signed()).collect();
    put::<Int64Type>(group, &sent, None)?;
    let scores: Vec<i32> = rows.iter().filter_map(|row| row.score).map(u32::cast_signed).collect();
    let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.score.is_some())).collect();
    put::<Int32Type>(group, &scores, Some(&levels))?;
    let marks: Vec<bool> = rows.iter().map(|row| row.in_episode).collect();
    put::<BoolType>(group, &marks, None)?;
    halves(group, |row| row.hosts.source)?;
    halves(group, |row| row.hosts.target)
}

fn put<T: DataType>(group: &mut Group<'_>, values: &[T::T], levels: Option<&[i16]>) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.ok_or_else(|| ParquetError::General("too many columns".into()))?;
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

/// Decodes a row group of a file with the columns of [`file_schema`].
pub(crate) fn decode(group: &dyn RowGroupReader) -> Result<Vec<Row>, ParquetError> {
    let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(usize::MAX);
    let mut columns = Columns { group, next: 0, rows };
    let agents = columns.agents()?;
    let [at, arrival, run, number] =
        [columns.integers()?, columns.integers()?, columns.integers()?, columns.integers()?];
    let [row, batch_rows, flows_seen] = [columns.halves()?, columns.halves()?, columns.halves()?];
    let sent_s = columns.integers()?;
    let score = columns.scores()?;
    let in_episode = columns.marks()?;
    let [source, target] = [columns.halves()?, columns.halves()?];
    let mut out = Vec::with_capacity(rows);
    for (index, agent) in agents.into_iter().enumerate() {
        out.push(Row {
            agent,
            at: Timestamp::from_nanos(at[index].cast_unsigned()),
            arrival: arrival[index].cast_unsigned(),
            run: run[index].cast_unsigned(),
            number: number[index].cast_unsigned(),
            row: row[index].cast_unsigned(),
            batch_rows: batch_rows[index].cast_unsigned(),
            flows_seen: flows_seen[index].cast_unsigned(),
            sent_s: sent_s[index].cast_unsigned(),
            score: score[index],
            in_episode: in_episode[index],
            hosts: RowHosts { source: source[index].cast_unsigned(), target: target[index].cast_unsigned() },
            features: [0.0; FEATURES],
        });
    }
    for feature in 0..FEATURES {
        for (row, value) in out.iter_mut().zip(columns.floats()?) {
            row.features[feature] = value;
        }
    }
    Ok(out)
}

/// Reads the columns of a row group one after the other, each with exactly `rows` values.
struct Columns<'a> {
    group: &'a dyn RowGroupReader,
    next: usize,
    rows: usize,
}

impl Columns<'_> {
    fn next(&mut self) -> Result<ColumnReader, ParquetError> {
        self.next += 1;
        self.group.get_column_reader(self.next - 1)
    }

    fn wrong_type(&self) -> ParquetError {
        ParquetError::General(format!("column {} has another type than in the schema", self.next - 1))
    }

    /// Values and definition levels of a column.
    fn read<T: DataType>(
        &self,
        reader: &mut ColumnReaderImpl<T>,
        mut levels: Option<&mut Vec<i16>>,
    ) -> Result<Vec<T::T>, ParquetError> {
        let (mut values, mut rows) = (Vec::new(), 0);
        while rows < self.rows {
            let (records, ..) = reader.read_records(self.rows - rows, levels.as_deref_mut(), None, &mut values)?;
            if records == 0 {
                break;
            }
            rows += records;
        }
        let entries = levels.map_or(values.len(), |levels| levels.len());
        if rows != self.rows || entries != self.rows {
            let text = format!("column {} has {entries} values in {} rows", self.next - 1, self.rows);
            return Err(ParquetError::General(text));
        }
        Ok(values)
    }

    fn agents(&mut self) -> Result<Vec<AgentName>, ParquetError> {
        let ColumnReader::ByteArrayColumnReader(mut reader) = self.next()? else { return Err(self.wrong_type()) };
        let name = |bytes: ByteArray| {
            let text = str::from_utf8(bytes.data()).ok().and_then(|text| AgentName::try_from(text).ok());
            text.ok_or_else(|| ParquetError::General("an agent name is longer than 32 bytes or not UTF-8".into()))
        };
        self.read(&mut reader, None)?.into_iter().map(name).collect()
    }

    fn integers(&mut self) -> Result<Vec<i64>, ParquetError> {
        let ColumnReader::Int64ColumnReader(mut reader) = self.next()? else { return Err(self.wrong_type()) };
        self.read(&mut reader, None)
    }

    fn halves(&mut self) -> Result<Vec<i32>, ParquetError> {
        let ColumnReader::Int32ColumnReader(mut reader) = self.next()? else { return Err(self.wrong_type()) };
        self.read(&mut reader, None)
    }

    fn scores(&mut self) -> Result<Vec<Option<u32>>, ParquetError> {
        let ColumnReader::Int32ColumnReader(mut reader) = self.next()? else { return Err(self.wrong_type()) };
        let mut levels = Vec::new();
        let mut values = self.read(&mut reader, Some(&mut levels))?.into_iter();
        let missing = || ParquetError::General("fewer scores than rows that have one".into());
        let score = |level: i16| {
            if level == 0 {
                Ok(None)
            } else {
                values.next().map(|value| Some(value.cast_unsigned())).ok_or_else(missing)
            }
        };
        levels.into_iter().map(score).collect()
    }

    fn marks(&mut self) -> Result<Vec<bool>, ParquetError> {
        let ColumnReader::BoolColumnReader(mut reader) = self.next()? else { return Err(self.wrong_type()) };
        self.read(&mut reader, None)
    }

    fn floats(&mut self) -> Result<Vec<f32>, ParquetError> {
        let ColumnReader::FloatColumnReader(mut reader) = self.next()? else { return Err(self.wrong_type()) };
        self.read(&mut reader, None)
    }
}
