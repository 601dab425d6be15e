//! Why files give no table, a table no split, or rows no encoder. Rows are counted from 1, as an editor shows them.

use std::path::PathBuf;

/// What went wrong, where, what stood there, and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A file or folder cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file or folder holds nothing to read.
    #[error("{}: {found}, expected {expected}", path.display())]
    Empty {
        /// The file or folder.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// A file is not what its kind says.
    #[error("{}: {found}, expected {expected}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// A column is not there.
    #[error("{}: no column `{column}`; the file has {found}", path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The missing column.
        column: String,
        /// What the file has, shortened.
        found: String,
    },
    /// A row is wrong as a whole.
    #[error("{}, row {row}: {found}, expected {expected}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Row of the file, from 1.
        row: u64,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
    /// A single value is wrong.
    #[error("{}, row {row}, column {column}: found `{found}`, expected {expected}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Row of the file, from 1.
        row: u64,
        /// Column's name.
        column: String,
        /// What stands there, shortened.
        found: String,
        /// What should.
        expected: String,
    },
    /// A limit that keeps memory bounded was reached.
    #[error("{at}: {what} over the limit of {limit}; {advice}")]
    Limit {
        /// File, and row or column where there is one.
        at: String,
        /// What there is too much of.
        what: String,
        /// The limit, with its unit.
        limit: String,
        /// What a person can do.
        advice: String,
    },
    /// A name that no column, kind, day or group of the table has.
    #[error("no {what} `{name}` in this table; it has {found}")]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// The name.
        name: String,
        /// What there is, shortened.
        found: String,
    },
    /// The table lacks what a split or encoder needs.
    #[error("{needs}, but {found}; {advice}")]
    Unfit {
        /// What is needed by whom.
        needs: String,
        /// What there is.
        found: String,
        /// What a person can do.
        advice: String,
    },
    /// Identical feature rows on both sides of a split.
    #[error(
        "this split leaks: {rows} of {of} {side} rows have the same features as a training row (first: {first}); \
         split by group, or set the repeats aside"
    )]
    Leak {
        /// `validation` or `test`.
        side: &'static str,
        /// Rows seen in training.
        rows: usize,
        /// Rows of that side.
        of: usize,
        /// One such pair, as file and row.
        first: String,
    },
    /// Rows of an attack kind that is left out, where something is learned or chosen from.
    #[error(
        "{rows} {side} rows show an attack kind that is left out, by its name or by the features of a tested row (first: \
         {first}); take them out of {side}"
    )]
    LeftOut {
        /// `training` or `validation`.
        side: &'static str,
        /// Rows of that side.
        rows: usize,
        /// The first, as file and row.
        first: String,
    },
    /// Row numbers that the table does not have, or that stand on two sides.
    #[error("row {row} {problem}")]
    Index {
        /// Row of the table, from 0.
        row: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// A value as messages show it: at most 60 characters, nothing that would break a line.
pub(crate) fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut short: String = text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

/// Names as messages show them: the first eight, and how many more.
pub(crate) fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let first: Vec<String> = names.iter().take(8).map(|name| shown(name.as_ref().as_bytes())).collect();
    match names.len() {
        0 => "none".into(),
        1..=8 => first.join(", "),
        more => format!("{} and {} more", first.join(", "), more - 8),
    }
}
