//! A segment → the rows that a filter selects, one row group in memory at a time.
//!
//! The decoder of Parquet may panic on damaged files, so its calls are guarded, and every file that has a description is
//! compared with its digest before it is decoded.

use crate::columns::{AGENT, AT, FORMAT, FORMAT_KEY, GROUP_KEY, ROW_GROUP_ROWS, SCHEMA_KEY, decode, file_schema};
use crate::description::Segment;
use crate::error::SegmentError;
use crate::filter::{Filter, Selector};
use crate::place::Place;
use crate::row::Row;
use crate::writer::SEGMENT_ROWS;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::release::digest::Hex;
use lapwing_shared::units::Timestamp;
use parquet::errors::ParquetError;
use parquet::file::metadata::{FileMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::statistics::Statistics;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Size of a file, at most: 128 MiB. A writer makes files of at most about half of that.
pub const FILE_BYTES: u64 = 128 * 1024 * 1024;

/// Iterator over the selected rows of a segment, in the order of the file: agent, time, arrival, index in the batch.
pub struct SegmentReader<'a> {
    file: String,
    reader: SerializedFileReader<File>,
    filter: &'a Filter,
    next_group: usize,
    page: std::vec::IntoIter<Row>,
    selector: Selector<'a>,
    group: String,
    groups_read: usize,
}

impl<'a> SegmentReader<'a> {
    /// Opens a segment and compares it with its description.
    ///
    /// # Errors
    /// When it cannot be read, differs from the description, or is foreign, damaged, newer or of another schema.
    pub fn open(place: &dyn Place, segment: &Segment, filter: &'a Filter) -> Result<Self, SegmentError> {
        Self::new(place, &segment.file, Some(&segment.sha256), filter)
    }

    /// Opens a segment without a description. Damage inside a page may then go unnoticed.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_undescribed(place: &dyn Place, file: &str, filter: &'a Filter) -> Result<Self, SegmentError> {
        Self::new(place, file, None, filter)
    }

    fn new(place: &dyn Place, name: &str, digest: Option<&[u8; 32]>, filter: &'a Filter) -> Result<Self, SegmentError> {
        let mut file = place.open(name)?;
        let read = |source| SegmentError::Read { file: name.into(), source };
        let found = file.metadata().map_err(read)?.len();
        if found > FILE_BYTES {
            return Err(SegmentError::TooLarge { file: name.into(), found, limit: FILE_BYTES, unit: "bytes" });
        }
        if let Some(expected) = digest {
            check_digest(name, &mut file, expected)?;
        }
        let parsed = guarded(|| SerializedFileReader::new(file));
        let reader = parsed.map_err(|reason| SegmentError::Foreign {
            file: name.into(),
            what: reason,
            expected: "a complete Parquet file".into(),
        })?;
        let group = check_metadata(name, reader.metadata().file_metadata())?;
        let rows = reader.metadata().file_metadata().num_rows();
        if !(0..=SEGMENT_ROWS as i64).contains(&rows) {
            let (found, limit) = (rows.cast_unsigned(), SEGMENT_ROWS as u64);
            return Err(SegmentError::TooLarge { file: name.into(), found, limit, unit: "rows" });
        }
        for (index, row_group) in reader.metadata().row_groups().iter().enumerate() {
            let rows = row_group.num_rows();
            if !(0..=ROW_GROUP_ROWS as i64).contains(&rows) {
                return Err(SegmentError::Damaged {
                    file: name.into(),
                    what: format!("row group {index} has {rows} rows"),
                    expected: format!("at most {ROW_GROUP_ROWS}"),
                });
            }
        }
        let page = Vec::new().into_iter();
        Ok(Self {
            file: name.into(),
            reader,
            filter,
            next_group: 0,
            page,
            selector: Selector::new(filter),
            group,
            groups_read: 0,
        })
    }

    /// Group of the agents, according to the file.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Row groups read so far; the others were skipped by their statistics.
    pub fn groups_read(&self) -> usize {
        self.groups_read
    }

    /// Reads the next row group that may have selected rows; false at the end.
    fn next_page(&mut self) -> Result<bool, SegmentError> {
        if self.filter.group.as_ref().is_some_and(|group| *group != self.group) {
            return Ok(false);
        }
        while self.next_group < self.reader.metadata().num_row_groups() {
            let index = self.next_group;
            self.next_group += 1;
            if !may_select(self.filter, self.reader.metadata().row_group(index)) {
                continue;
            }
            let decoded = guarded(|| decode(self.reader.get_row_group(index)?.as_ref()));
            let rows = decoded.map_err(|reason| SegmentError::Damaged {
                file: self.file.clone(),
                what: format!("row group {index}: {reason}"),
                expected: "columns as they were written".into(),
            })?;
            self.groups_read += 1;
            self.page = rows.into_iter();
            return Ok(true);
        }
        Ok(false)
    }
}

impl Iterator for SegmentReader<'_> {
    type Item = Result<Row, SegmentError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.page.by_ref().find(|row| self.selector.selects(row)) {
                return Some(Ok(row));
            }
            match self.next_page() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.next_group = usize::MAX;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// Compares a file with its description, whatever its feature schema.
///
/// # Errors
/// When it cannot be read or differs.
pub fn verify(place: &dyn Place, segment: &Segment) -> Result<(), SegmentError> {
    check_digest(&segment.file, &mut place.open(&segment.file)?, &segment.sha256)
}

/// Runs a call of the decoder; a panic is an error as well.
fn guarded<T>(call: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("the decoder failed: {}", text.unwrap_or("unknown reason")))
        }
    }
}

fn check_digest(name: &str, file: &mut File, expected: &[u8; 32]) -> Result<(), SegmentError> {
    let read = |source| SegmentError::Read { file: name.into(), source };
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => hash.update(&buffer[..bytes]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(read(error)),
        }
    }
    file.rewind().map_err(read)?;
    let found: [u8; 32] = hash.finalize().into();
    if found != *expected {
        let (found, expected) = (Hex(&found).to_string(), Hex(expected).to_string());
        return Err(SegmentError::Digest { file: name.into(), found, expected });
    }
    Ok(())
}

/// Checks format, feature schema and columns; returns the group.
fn check_metadata(name: &str, metadata: &FileMetaData) -> Result<String, SegmentError> {
    let foreign =
        |what: String, expected: &str| SegmentError::Foreign { file: name.into(), what, expected: expected.into() };
    let value = |key: &str| {
        let entries = metadata.key_value_metadata().into_iter().flatten();
        let found = entries.filter(|entry| entry.key == key).find_map(|entry| entry.value.clone());
        found.ok_or_else(|| foreign(format!("its metadata has no {key}"), "a file that Lapwing wrote"))
    };
    let text = value(FORMAT_KEY)?;
    let found: u32 = text.parse().map_err(|_| foreign(format!("{FORMAT_KEY} is `{text}`"), "a number"))?;
    if found == 0 {
        return Err(foreign(format!("{FORMAT_KEY} is 0"), "1 or more"));
    }
    if found > FORMAT {
        return Err(SegmentError::Newer { file: name.into(), found, known: FORMAT });
    }
    let (found, expected) = (value(SCHEMA_KEY)?, Hex(&schema_id()).to_string());
    if found != expected {
        return Err(SegmentError::OtherSchema { file: name.into(), found, expected });
    }
    let damaged = |what: String, expected: String| SegmentError::Damaged { file: name.into(), what, expected };
    let expected = file_schema().map_err(|error| SegmentError::Encode { reason: error.to_string() })?;
    let (found, expected) = (metadata.schema_descr().root_schema().get_fields(), expected.get_fields());
    if found.len() != expected.len() {
        return Err(damaged(format!("it has {} columns", found.len()), expected.len().to_string()));
    }
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let column = |of: &parquet::schema::types::Type| {
            let (info, physical) = (of.get_basic_info(), of.is_primitive().then(|| of.get_physical_type()));
            (
                of.name().to_owned(),
                physical,
                info.has_repetition().then(|| info.repetition()),
                info.logical_type_ref().cloned(),
            )
        };
        let (found, expected) = (column(found), column(expected));
        if found != expected {
            return Err(damaged(format!("column {index} is {found:?}"), format!("{expected:?}")));
        }
    }
    value(GROUP_KEY)
}

/// Whether a row group may have selected rows. True without statistics.
fn may_select(filter: &Filter, group: &RowGroupMetaData) -> bool {
    let times = match group.columns().get(AT).and_then(|column| column.statistics()) {
        Some(Statistics::Int64(values)) => values.min_opt().copied().zip(values.max_opt().copied()),
        _ => None,
    };
    let time = |value: i64| Timestamp::from_nanos(value.cast_unsigned());
    if times.is_some_and(|(first, last)| !filter.may_select_times(time(first), time(last))) {
        return false;
    }
    let agents = match group.columns().get(AGENT).and_then(|column| column.statistics()) {
        Some(Statistics::ByteArray(values)) => values.min_opt().zip(values.max_opt()),
        _ => None,
    };
    let text = agents.and_then(|(first, last)| Some((first.as_utf8().ok()?, last.as_utf8().ok()?)));
    text.is_none_or(|(first, last)| filter.may_select_agents(first, last))
}
