//! Delimited text → records of fields, each with its first line number.
//!
//! Handles a UTF-8 BOM, CRLF, quotes and Zeek's `#fields` header. A record never takes more memory than
//! [`Limits::row_bytes`], even with an unclosed quote.

use super::Limits;
use super::fill::{Cell, Record};
use super::input::Input;
use crate::error::{TableError, shown};
use crate::formats::Layout;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use std::io::BufRead;
use std::path::{Path, PathBuf};

/// Separator of the last fields of IoT-23's labelled logs; the other fields are separated by tabs.
const THREE_SPACES: &[u8] = b"   ";

pub(super) struct Delimited<'a> {
    path: &'a Path,
    input: Input,
    parser: Reader,
    limits: Limits,
    names: Vec<String>,
    bytes: Vec<u8>,
    field_ends: Vec<usize>,
    fields: Vec<(usize, usize)>,
    split_last: bool,
    pending: bool,
    row: u64,
    lines_before: u64,
}

/// Fields of one record.
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    fields: &'a [(usize, usize)],
}

impl Record for Fields<'_> {
    fn len(&self) -> usize {
        self.fields.len()
    }

    fn cell(&self, index: usize) -> Cell<'_> {
        self.fields.get(index).map_or(Cell::Missing, |(from, to)| Cell::Text(&self.bytes[*from..*to]))
    }
}

impl<'a> Delimited<'a> {
    pub(super) fn open(
        path: &'a Path,
        mut input: Input,
        layout: &dyn Layout,
        limits: &Limits,
    ) -> Result<Self, TableError> {
        let zeek = input.starts_with(b"#");
        let zeek_header = if zeek && layout.zeek() { Some(zeek_header(path, &mut input, limits)?) } else { None };
        let delimiter = if zeek_header.is_some() { b'\t' } else { detect_delimiter(input.head(), layout) };
        let mut builder = ReaderBuilder::new();
        builder.delimiter(delimiter);
        if zeek_header.is_some() {
            builder.quoting(false).comment(Some(b'#'));
        }
        let (lines_before, fields) = zeek_header.unwrap_or_default();
        let mut this = Self {
            path,
            input,
            parser: builder.build(),
            limits: *limits,
            names: Vec::new(),
            bytes: vec![0; limits.row_bytes.min(1 << 14)],
            field_ends: vec![0; limits.columns + 1],
            fields: Vec::new(),
            split_last: fields.len() > 1,
            pending: false,
            row: 0,
            lines_before,
        };
        this.split_last &= fields.iter().any(|name| name == "label");
        this.names = if fields.is_empty() { this.header(layout)? } else { fields };
        Ok(this)
    }

    /// Column names, from the header or, without a header, from the layout.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    fn header(&mut self, layout: &dyn Layout) -> Result<Vec<String>, TableError> {
        if !self.record()? {
            let found = "only empty lines".to_owned();
            return Err(TableError::Empty { path: self.path.into(), found, expected: "rows".into() });
        }
        let first = self.current();
        let names: Vec<String> = (0..first.len()).map(|index| first.text(index).trim().to_owned()).collect();
        let expected = names.iter().filter(|name| layout.has_column(name)).count();
        if let Some(own) = layout.headerless(names.len())
            && expected * 2 < names.len()
        {
            self.pending = true;
            return Ok(own);
        }
        Ok(names)
    }

    /// The next record and its first line number, from 1.
    pub(super) fn next(&mut self) -> Result<Option<(Fields<'_>, u64)>, TableError> {
        if !std::mem::take(&mut self.pending) && !self.record()? {
            return Ok(None);
        }
        Ok(Some((self.current(), self.row)))
    }

    fn current(&self) -> Fields<'_> {
        Fields { bytes: &self.bytes, fields: &self.fields }
    }

    /// Reads one record into `bytes` and `fields`; false at the end of the file.
    fn record(&mut self) -> Result<bool, TableError> {
        let (mut used, mut ended) = (0, 0);
        self.row = 0;
        loop {
            let source = self.input.text();
            let chunk = source.fill_buf().map_err(|source| TableError::Read { path: self.path.into(), source })?;
            if self.row == 0 {
                let empty = chunk.iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
                let newlines = empty.filter(|byte| **byte == b'\n').count();
                self.row = self.lines_before + self.parser.line() + newlines as u64;
            }
            let (result, read, written, field_ends) =
                self.parser.read_record(chunk, &mut self.bytes[used..], &mut self.field_ends[ended..]);
            source.consume(read);
            (used, ended) = (used + written, ended + field_ends);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.bytes.len() < self.limits.row_bytes => {
                    let larger = (self.bytes.len() * 2).min(self.limits.row_bytes);
                    self.bytes.resize(larger, 0);
                }
                ReadRecordResult::OutputFull => return Err(self.too_long()),
                ReadRecordResult::OutputEndsFull => return Err(self.too_many()),
                ReadRecordResult::End => return Ok(false),
                ReadRecordResult::Record if ended > self.limits.columns => return Err(self.too_many()),
                ReadRecordResult::Record => break,
            }
        }
        self.fields.clear();
        let mut from = 0;
        for end in &self.field_ends[..ended] {
            self.fields.push((from, *end));
            from = *end;
        }
        if self.split_last {
            self.split_last_field();
        }
        Ok(true)
    }

    fn split_last_field(&mut self) {
        let Some((mut from, to)) = self.fields.pop() else { return };
        while let Some(at) = self.bytes[from..to].windows(3).position(|part| part == THREE_SPACES) {
            self.fields.push((from, from + at));
            from += at + 3;
        }
        self.fields.push((from, to));
    }

    fn too_long(&self) -> TableError {
        TableError::Limit {
            at: format!("{}, row {}", self.path.display(), self.row),
            what: "a row".into(),
            limit: format!("{} bytes", self.limits.row_bytes),
            advice: "check for an unclosed quote, or whether the file is a table".into(),
        }
    }

    fn too_many(&self) -> TableError {
        TableError::Limit {
            at: format!("{}, row {}", self.path.display(), self.row),
            what: "fields".into(),
            limit: format!("{} columns", self.limits.columns),
            advice: "check that this is the right file, or remove columns before reading".into(),
        }
    }

    /// SHA-256 of the file.
    pub(super) fn digest(self) -> Result<String, TableError> {
        self.input.digest()
    }
}

/// The most frequent separator of the first line; a comma by default.
fn detect_delimiter(head: &[u8], layout: &dyn Layout) -> u8 {
    if let Some(delimiter) = layout.delimiter() {
        return delimiter;
    }
    let (mut quoted, mut counts) = (false, [0; 3]);
    for byte in head.iter().skip_while(|byte| matches!(byte, b'\n' | b'\r')) {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            b',' if !quoted => counts[0] += 1,
            b';' if !quoted => counts[1] += 1,
            b'\t' if !quoted => counts[2] += 1,
            _ => {}
        }
    }
    let best = (0..3).rev().max_by_key(|index| counts[*index]).unwrap_or(0);
    b",;\t"[best]
}

/// Reads Zeek's `#` lines before the first row; returns their number and the names of `#fields`.
fn zeek_header(path: &Path, input: &mut Input, limits: &Limits) -> Result<(u64, Vec<String>), TableError> {
    let failed = |source| TableError::Read { path: PathBuf::from(path), source };
    let (mut lines, mut fields) = (0, Vec::new());
    loop {
        if input.text().fill_buf().map_err(failed)?.first() != Some(&b'#') {
            break;
        }
        let mut line = Vec::new();
        let mut bounded = std::io::Read::take(input.text(), limits.row_bytes as u64);
        bounded.read_until(b'\n', &mut line).map_err(failed)?;
        lines += 1;
        if let Some(names) = line.trim_ascii_end().strip_prefix(b"#fields\t") {
            let names = String::from_utf8_lossy(names).replace("   ", "\t");
            fields = names.split('\t').map(|name| name.trim().to_owned()).collect();
        } else if line.starts_with(b"#separator") && line.trim_ascii_end() != b"#separator \\x09" {
            return Err(TableError::Row {
                path: path.into(),
                row: lines,
                found: format!("`{}`", shown(line.trim_ascii_end())),
                expected: "`#separator \\x09` (tabs)".into(),
            });
        }
    }
    if fields.is_empty() || fields.len() > limits.columns {
        return Err(TableError::Format {
            path: path.into(),
            found: format!("{lines} lines starting with # that name {} columns", fields.len()),
            expected: format!("a `#fields` line with 1 to {} names", limits.columns),
        });
    }
    Ok((lines, fields))
}
