//! Invalid files, tables and splits → errors. Rows are numbered from 1, as in an editor.

use std::path::PathBuf;

/// What went wrong, where, what was found, and what was expected.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum TableError {
    /// Failed to open or read a file or folder.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// Failed to write a file.
    #[error("cannot write {}: {reason}", path.display())]
    Write { path: PathBuf, reason: String },
    /// A file or folder without anything to read.
    #[error("{}: {found}, expected {expected}", path.display())]
    Empty {
        /// The file or folder.
        path: PathBuf,
        found: String,
        expected: String,
    },
    /// A file that does not have the expected format.
    #[error("{}: {found}, expected {expected}", path.display())]
    Format { path: PathBuf, found: String, expected: String },
    /// A required column is missing.
    #[error("{}: no column `{column}`; the file has {found}", path.display())]
    MissingColumn {
        path: PathBuf,
        column: String,
        /// Columns of the file, shortened.
        found: String,
    },
    #[error("{}, row {row}: {found}, expected {expected}", path.display())]
    Row {
        path: PathBuf,
        /// Row of the file, from 1.
        row: u64,
        /// What the row contains.
        found: String,
        expected: String,
    },
    #[error("{}, row {row}, column {column}: found `{found}`, expected {expected}", path.display())]
    Value {
        path: PathBuf,
        /// Row of the file, from 1.
        row: u64,
        column: String,
        /// The value, shortened.
        found: String,
        expected: String,
    },
    /// A memory limit was reached.
    #[error("{at}: {what} exceeds the limit of {limit}; {advice}")]
    Limit {
        /// File, with row or column if known.
        at: String,
        /// What exceeds the limit.
        what: String,
        /// The limit, with its unit.
        limit: String,
        advice: String,
    },
    /// An unknown name of a column, kind, day or group.
    #[error("no {what} `{name}` in this table; it has {found}")]
    Unknown {
        what: &'static str,
        name: String,
        /// The known names, shortened.
        found: String,
    },
    /// The table lacks something that a split or encoder needs.
    #[error("{needs}, but {found}; {advice}")]
    Unfit {
        /// What is needed, and by what.
        needs: String,
        found: String,
        advice: String,
    },
    /// Validation or test rows with the same features as training rows.
    #[error(
        "this split leaks: {rows} of {of} {side} rows have the same features as a training row (first: {first}); \
         split by group, or remove the repeats"
    )]
    Leak {
        /// `validation` or `test`.
        side: &'static str,
        /// Number of rows with the features of a training row.
        rows: usize,
        /// Number of rows of the subset.
        of: usize,
        /// The first such pair, as file and row.
        first: String,
    },
    /// Training or validation rows of an attack class that is left out.
    #[error(
        "{rows} {side} rows belong to an attack class that is left out, by label or by the features of a test row \
         (first: {first}); remove them from {side}"
    )]
    LeftOut {
        /// `training` or `validation`.
        side: &'static str,
        /// Number of such rows.
        rows: usize,
        /// The first, as file and row.
        first: String,
    },
    /// A row number that is out of range or used twice.
    #[error("row {row} {problem}")]
    Index {
        /// Row of the table, from 0.
        row: usize,
        problem: &'static str,
    },
}

/// Formats a value for messages: at most 60 characters, without control characters.
pub(crate) fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut short: String = text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

/// Formats names for messages: the first eight, and the number of others.
pub(crate) fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let first: Vec<String> = names.iter().take(8).map(|name| shown(name.as_ref().as_bytes())).collect();
    match names.len() {
        0 => "none".into(),
        1..=8 => first.join(", "),
        more => format!("{} and {} more", first.join(", "), more - 8),
    }
}
