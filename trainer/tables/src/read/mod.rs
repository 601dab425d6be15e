//! Files and folders → one [`Table`], row by row: memory holds the columns and one row of text.
//!
//! Text (CSV with `,`, `;` or tab, Zeek logs, JSON lines), gzipped text and Parquet are recognized by their first
//! bytes, not by name. Handling of unusable values and rows:
//!
//! | found | result |
//! |---|---|
//! | infinity, `NaN`, empty, `-`, `?`, `NA`, `null` in a number | missing, counted by column |
//! | a flag above 1 in a column that the format defines as a flag | 1, counted by column |
//! | a row of empty fields, a repeated header | dropped, counted |
//! | text in a number, a wrong number of fields, an unknown label | error; with [`BadRows::Drop`] dropped and counted |

mod delimited;
mod fill;
mod input;
mod json;
mod parquet;
mod plan;

use crate::builder::TableBuilder;
use crate::error::TableError;
use crate::formats::{Format, Layout};
use crate::table::Table;
use delimited::Delimited;
use fill::{Fill, Report};
use input::{Content, Input};
use plan::Plan;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How to handle rows that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadRows {
    /// The first one is an error.
    #[default]
    Refuse,
    /// They are dropped and counted by reason.
    Drop,
}

/// Memory limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Maximum number of columns of a file.
    pub columns: usize,
    /// Maximum length of a row of a text file, bytes.
    pub row_bytes: usize,
    /// Maximum memory for the table, bytes.
    pub memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { columns: 4096, row_bytes: 1 << 20, memory_bytes: 4 << 30 }
    }
}

/// Format of the files, and what to do with bad rows and too many rows.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct ReadOptions {
    /// Format of the files.
    pub format: Format,
    /// Handling of rows that cannot be read.
    pub bad_rows: BadRows,
    pub limits: Limits,
}

impl ReadOptions {
    /// Options with this format and default limits; bad rows are errors.
    pub fn new(format: Format) -> Self {
        Self { format, bad_rows: BadRows::Refuse, limits: Limits::default() }
    }
}

/// Progress of reading.
#[derive(Clone, Copy, Debug)]
pub struct ReadProgress<'a> {
    /// The file being read.
    pub file: &'a Path,
    /// Size of all files on disk, bytes.
    pub bytes_total: u64,
    /// Bytes read so far.
    pub bytes_read: u64,
    /// Rows kept so far.
    pub rows: usize,
}

/// Reads training files, and test files for a given split, as one table. A folder means its files with a known ending,
/// in the order of their paths.
///
/// # Errors
/// The first unusable value or row that is an error (see the table in the module documentation), with its place.
pub fn read(
    training: &[PathBuf],
    test: &[PathBuf],
    options: &ReadOptions,
    progress: &mut dyn FnMut(ReadProgress<'_>),
) -> Result<Table, TableError> {
    let mut files = Vec::new();
    for (part, paths) in [(0, training), (1, test)] {
        for path in paths {
            files.extend(input::files(path)?.into_iter().map(|file| (part, file)));
        }
    }
    if files.is_empty() {
        return Err(TableError::Empty {
            path: PathBuf::new(),
            found: "no files given".into(),
            expected: "at least one".into(),
        });
    }
    let mut reader = Reader { options, layout: options.format.layout(), builder: None, progress };
    let sizes: Vec<u64> = files.iter().map(|(_, path)| path.metadata().map_or(0, |metadata| metadata.len())).collect();
    let (total, mut before) = (sizes.iter().sum(), 0);
    for ((part, path), size) in files.iter().zip(sizes) {
        reader.file(path, *part, Span { total, before, size })?;
        before += size;
    }
    reader.builder.map_or_else(|| Err(nothing(&files[0].1)), TableBuilder::finish)
}

fn nothing(path: &Path) -> TableError {
    TableError::Empty { path: path.into(), found: "no rows".into(), expected: "at least one".into() }
}

/// Position of a file in the bytes of all files.
#[derive(Clone, Copy)]
struct Span {
    total: u64,
    before: u64,
    size: u64,
}

struct Reader<'a> {
    options: &'a ReadOptions,
    layout: Box<dyn Layout>,
    builder: Option<TableBuilder>,
    progress: &'a mut dyn FnMut(ReadProgress<'_>),
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, part: u8, span: Span) -> Result<(), TableError> {
        let input = Input::open(path)?;
        let rows_before = self.builder.as_ref().map_or(0, |builder| builder.rows_read());
        let digest = match input.content {
            Content::Parquet => self.parquet(path, input, part, span)?,
            Content::Text if self.layout.json() && input.starts_with(b"{") => self.json(path, input, part, span)?,
            Content::Text => self.delimited(path, input, part, span)?,
        };
        let Some(builder) = &mut self.builder else { return Ok(()) };
        builder.file_digest(digest);
        (self.progress)(ReadProgress {
            file: path,
            bytes_total: span.total,
            bytes_read: span.before + span.size,
            rows: builder.rows(),
        });
        if builder.rows_read() == rows_before { Err(nothing(path)) } else { Ok(()) }
    }

    fn parquet(&mut self, path: &Path, input: Input, part: u8, span: Span) -> Result<String, TableError> {
        let digest = input.digest()?;
        let (names, row_count) = parquet::names(path, &self.options.limits)?;
        let mut fill = self.fill(path, &names, part, span)?;
        parquet::read(path, &mut |record, row| {
            fill.row(record, row, || span.before + (span.size as f64 * row as f64 / row_count.max(1) as f64) as u64)
        })?;
        self.builder = Some(fill.finish());
        Ok(digest)
    }

    fn json(&mut self, path: &Path, input: Input, part: u8, span: Span) -> Result<String, TableError> {
        let (limits, read) = (self.options.limits, input.counter());
        let names = self.layout.headerless(0).unwrap_or_default();
        let mut fill = self.fill(path, &names, part, span)?;
        let digest = json::read(path, input, &names, &limits, &mut |record, row| {
            fill.row(record, row, || span.before + read.get())
        })?;
        self.builder = Some(fill.finish());
        Ok(digest)
    }

    fn delimited(&mut self, path: &Path, input: Input, part: u8, span: Span) -> Result<String, TableError> {
        let read = input.counter();
        let mut text = Delimited::open(path, input, self.layout.as_ref(), &self.options.limits)?;
        let names = text.names().to_vec();
        let mut fill = self.fill(path, &names, part, span)?;
        while let Some((record, row)) = text.next()? {
            fill.row(&record, row, || span.before + read.get())?;
        }
        self.builder = Some(fill.finish());
        text.digest()
    }

    /// Starts the table with the columns of the first file, or maps the columns of this file to the table.
    fn fill<'b>(&'b mut self, path: &'b Path, names: &[String], part: u8, span: Span) -> Result<Fill<'b>, TableError> {
        let plan = Plan::new(path, names, self.layout.as_ref(), self.builder.as_ref())?;
        let mut builder = match self.builder.take() {
            Some(builder) => builder,
            None => TableBuilder::new(plan.features())?,
        };
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        builder.file(&name, "", part)?;
        plan.record(&mut builder);
        let report = Report { progress: self.progress, bytes_total: span.total };
        Ok(Fill::new(path, self.options, self.layout.as_ref(), plan, builder, report))
    }
}

#[cfg(test)]
pub(crate) mod tests;
