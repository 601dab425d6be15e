//! Records → rows of the table, by a plan: parses a whole record, then keeps or drops it.

use super::plan::Plan;
use super::{BadRows, ReadOptions, ReadProgress};
use crate::builder::{ColumnType, Row, TableBuilder, Value};
use crate::error::{TableError, shown};
use crate::formats::{Label, Layout};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

/// Rows between two progress reports and memory checks.
const EVERY: u64 = 1 << 14;
/// Maximum number of cached labels.
const LABELS: usize = 4096;

/// One field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell<'a> {
    Text(&'a [u8]),
    Number(f64),
    Missing,
}

/// Fields of one row.
pub(super) trait Record {
    fn len(&self) -> usize;
    fn cell(&self, index: usize) -> Cell<'_>;

    /// A field as text.
    fn text(&self, index: usize) -> Cow<'_, str> {
        match self.cell(index) {
            Cell::Text(text) => String::from_utf8_lossy(text),
            Cell::Number(number) => Cow::Owned(number.to_string()),
            Cell::Missing => Cow::Borrowed(""),
        }
    }
}

/// The reason to drop a row, and the error if bad rows are not dropped.
struct Bad {
    reason: &'static str,
    error: TableError,
}

/// The progress callback and the size of all files.
pub(super) struct Report<'a> {
    pub(super) progress: &'a mut dyn FnMut(ReadProgress<'_>),
    pub(super) bytes_total: u64,
}

pub(super) struct Fill<'a> {
    path: &'a Path,
    options: &'a ReadOptions,
    layout: &'a dyn Layout,
    plan: Plan,
    flags: Vec<bool>,
    builder: TableBuilder,
    report: Report<'a>,
    /// Numbers of the current record.
    numbers: Vec<Parsed>,
    labels: HashMap<(String, String), Label>,
    day: Option<String>,
    /// Whether a row had a label.
    labelled: bool,
    rows: u64,
}

impl<'a> Fill<'a> {
    pub(super) fn new(
        path: &'a Path,
        options: &'a ReadOptions,
        layout: &'a dyn Layout,
        plan: Plan,
        builder: TableBuilder,
        report: Report<'a>,
    ) -> Self {
        let flags = plan.features.iter().map(|(at, _)| layout.flag(&plan.names[*at])).collect();
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Self {
            path,
            options,
            layout,
            flags,
            builder,
            report,
            labelled: false,
            numbers: Vec::new(),
            labels: HashMap::new(),
            day: layout.day_of_file(&name),
            rows: 0,
            plan,
        }
    }

    /// Returns the table so far, as unlabelled if the label column is empty.
    pub(super) fn finish(mut self) -> TableBuilder {
        if !self.labelled {
            self.builder.unlabelled();
        }
        self.builder
    }

    /// Keeps a row, or drops and counts it.
    pub(super) fn row<R: Record + ?Sized>(
        &mut self,
        record: &R,
        row: u64,
        bytes_read: impl FnOnce() -> u64,
    ) -> Result<(), TableError> {
        self.rows += 1;
        self.builder.counts().rows_read += 1;
        if self.rows.is_multiple_of(EVERY) {
            self.check_memory(row)?;
            let rows = self.builder.rows();
            (self.report.progress)(ReadProgress {
                file: self.path,
                bytes_total: self.report.bytes_total,
                bytes_read: bytes_read(),
                rows,
            });
        }
        if (0..record.len()).all(|index| blank(record.cell(index))) {
            self.drop("blank");
            return Ok(());
        }
        match self.parse(record, row) {
            Ok(label) => self.push(record, row, label),
            Err(bad) if bad.reason == "text in a number" && self.is_header(record) => {
                self.drop("header once more");
                Ok(())
            }
            Err(bad) if self.options.bad_rows == BadRows::Drop => {
                self.drop(bad.reason);
                Ok(())
            }
            Err(bad) => Err(bad.error),
        }
    }

    fn drop(&mut self, reason: &str) {
        *self.builder.counts().dropped.entry(reason.to_owned()).or_default() += 1;
    }

    fn check_memory(&self, row: u64) -> Result<(), TableError> {
        let limit = self.options.limits.memory_bytes;
        if self.builder.bytes() <= limit {
            return Ok(());
        }
        Err(TableError::Limit {
            at: format!("{}, row {row}", self.path.display()),
            what: "the table's memory".into(),
            limit: format!("{} MiB", limit >> 20),
            advice: "raise the limit, read fewer files, or remove columns".into(),
        })
    }

    fn is_header<R: Record + ?Sized>(&self, record: &R) -> bool {
        let same = |index: usize| self.layout.name(&record.text(index)) == self.plan.names[index];
        record.len() == self.plan.names.len() && (0..record.len().min(3)).all(same)
    }

    /// Parses the numbers of a record into `numbers`; returns its label.
    fn parse<R: Record + ?Sized>(&mut self, record: &R, row: u64) -> Result<Label, Bad> {
        if record.len() != self.plan.names.len() {
            return Err(Bad {
                reason: "another number of fields",
                error: TableError::Row {
                    path: self.path.into(),
                    row,
                    found: format!("{} fields", record.len()),
                    expected: format!("{}, as in the header", self.plan.names.len()),
                },
            });
        }
        self.numbers.clear();
        for (at, kind) in &self.plan.features {
            if *kind == ColumnType::Number {
                let number = number(record.cell(*at), self.layout);
                let number = number.ok_or_else(|| self.bad_value(record, *at, row, "text in a number", "a number"))?;
                self.numbers.push(number);
            }
        }
        self.label(record, row)
    }

    fn bad_value<R: Record + ?Sized>(
        &self,
        record: &R,
        at: usize,
        row: u64,
        reason: &'static str,
        expected: &str,
    ) -> Bad {
        let error = TableError::Value {
            path: self.path.into(),
            row,
            column: self.plan.names[at].clone(),
            found: shown(record.text(at).as_bytes()),
            expected: expected.into(),
        };
        Bad { reason, error }
    }

    fn label<R: Record + ?Sized>(&mut self, record: &R, row: u64) -> Result<Label, Bad> {
        let Some(at) = self.plan.label else { return Ok(Label::benign()) };
        let detail = self.plan.detail.map(|at| record.text(at).into_owned()).unwrap_or_default();
        let key = (record.text(at).into_owned(), detail);
        self.labelled |= !missing(key.0.trim());
        if let Some(label) = self.labels.get(&key) {
            return Ok(label.clone());
        }
        let label = self.layout.label(key.0.trim(), key.1.trim());
        let label = label.map_err(|expected| self.bad_value(record, at, row, "unknown label", &expected))?;
        if self.labels.len() < LABELS {
            self.labels.insert(key, label.clone());
        }
        Ok(label)
    }

    fn push<R: Record + ?Sized>(&mut self, record: &R, row: u64, label: Label) -> Result<(), TableError> {
        if let Some(reason) = &label.drop {
            self.drop(reason);
            return Ok(());
        }
        if let Some(rule) = &label.relabelled {
            *self.builder.counts().relabelled.entry(rule.clone()).or_default() += 1;
        }
        let time = match self.time(record, row) {
            Ok(time) => time,
            Err(bad) if self.options.bad_rows == BadRows::Refuse => return Err(bad.error),
            Err(bad) => {
                self.drop(bad.reason);
                return Ok(());
            }
        };
        self.push_features(record, row)?;
        let text = |at: Option<usize>| at.map(|at| record.text(at));
        let day = text(self.plan.day).map(Cow::into_owned);
        let day = day.or_else(|| time.and_then(|time| self.layout.day_of_time(time)));
        self.builder.end_row(&Row {
            attack: label.kind.as_deref(),
            detail: label.detail.as_deref(),
            time,
            day: day.as_deref().or(self.day.as_deref()),
            group: text(self.plan.group).as_deref(),
            source: text(self.plan.source).as_deref(),
            file_row: row,
        })
    }

    /// Parses the time of a row; `None` if it has none. Invalid text is an error.
    fn time<R: Record + ?Sized>(&self, record: &R, row: u64) -> Result<Option<f64>, Bad> {
        let Some(at) = self.plan.time else { return Ok(None) };
        let text = record.text(at);
        let time = self.layout.time(text.trim());
        if time.is_none() && !missing(text.trim()) {
            return Err(self.bad_value(record, at, row, "no time", self.layout.time_format()));
        }
        Ok(time)
    }

    fn push_features<R: Record + ?Sized>(&mut self, record: &R, row: u64) -> Result<(), TableError> {
        let mut numbers = self.numbers.iter();
        for (index, (at, kind)) in self.plan.features.iter().enumerate() {
            match kind {
                ColumnType::Number => {
                    let number = numbers.next().copied().unwrap_or(Parsed::MISSING);
                    if number.is_rounded() {
                        self.builder.push_exact(index, number.exact);
                    }
                    self.builder.push_number(index, number.value, self.flags[index]);
                }
                ColumnType::Category => {
                    let text = record.text(*at);
                    let text = self.layout.category(text.trim());
                    let value = if text.is_empty() { Value::Missing } else { Value::Category(&text) };
                    self.builder.push_value(index, value, row)?;
                }
            }
        }
        Ok(())
    }
}

fn blank(cell: Cell<'_>) -> bool {
    match cell {
        Cell::Text(text) => text.trim_ascii().is_empty(),
        Cell::Number(_) => false,
        Cell::Missing => true,
    }
}

/// Whether a text means a missing value.
pub(crate) fn missing(text: &str) -> bool {
    const WORDS: [&str; 9] = ["", "-", "?", "na", "n/a", "nan", "null", "none", "(empty)"];
    text.len() <= 7 && WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// A number of a file.
#[derive(Clone, Copy)]
struct Parsed {
    value: f32,
    /// The same; differs from `value` only if that is at least [`EXACT_FROM`].
    exact: f64,
}

/// From here on, `f32` does not contain every whole number.
const EXACT_FROM: f32 = 16_777_216.0;

impl Parsed {
    const MISSING: Self = Self { value: f32::NAN, exact: f64::NAN };

    fn is_rounded(self) -> bool {
        self.value.is_finite() && self.value.abs() >= EXACT_FROM && f64::from(self.value) != self.exact
    }
}

/// A field as a number: NaN if missing, `None` if it is text.
fn number(cell: Cell<'_>, layout: &dyn Layout) -> Option<Parsed> {
    match cell {
        Cell::Missing => Some(Parsed::MISSING),
        Cell::Number(exact) => Some(Parsed { value: exact as f32, exact }),
        Cell::Text(text) => {
            let text = std::str::from_utf8(text.trim_ascii()).ok()?;
            match text.parse::<f32>() {
                Ok(value) if value.abs() >= EXACT_FROM => Some(Parsed { value, exact: text.parse().ok()? }),
                Ok(value) => Some(Parsed { value, exact: f64::from(value) }),
                Err(_) => (missing(text) || layout.missing(text)).then_some(Parsed::MISSING),
            }
        }
    }
}
