//! Labelled flow rows in columns: features as numbers or categories, the attack kind, and what is known of each row
//! besides, which is never a feature.
//!
//! Every per-row vector has [`Table::rows`] entries. Kind 0 is benign. Missing numbers are NaN; a missing category is
//! the category `-`. Nothing is silently lost: what reading dropped, repaired or left out stands in [`Counts`].

use crate::error::{TableError, listed};
use crate::keys;
use serde::Serialize;
use std::collections::BTreeMap;

/// Name of kind 0.
pub const BENIGN: &str = "benign";

/// A column of texts: each distinct one once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coded {
    /// Distinct texts, in order of first appearance.
    pub names: Vec<String>,
    /// Per row the index of its text.
    pub codes: Vec<u32>,
}

impl Coded {
    /// The text of a row; empty where there is no such row.
    pub fn of(&self, row: usize) -> &str {
        self.codes.get(row).and_then(|code| self.names.get(*code as usize)).map_or("", String::as_str)
    }
}

/// Values of a feature.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Numbers; NaN where missing.
    Numbers(Vec<f32>),
    /// Categories.
    Categories {
        /// Distinct values, in order of first appearance; at most 65,536.
        names: Vec<String>,
        /// Per row the index of its value.
        codes: Vec<u16>,
    },
}

impl Values {
    /// The numbers, nothing for categories.
    pub fn numbers(&self) -> Option<&[f32]> {
        match self {
            Self::Numbers(numbers) => Some(numbers),
            Self::Categories { .. } => None,
        }
    }
}

/// A feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Name, trimmed.
    pub name: String,
    /// One value a row.
    pub values: Values,
}

/// Values of one column that were not usable as they stood; infinities and missing values are NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repairs {
    /// Infinities, and numbers beyond ±3.4e38.
    pub infinite: u64,
    /// Empty, `-`, `NaN` and the like.
    pub missing: u64,
    /// Flags above 1, which became 1.
    pub stray: u64,
}

/// What reading did, besides keeping rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Rows that the files have, without headers and empty lines.
    pub rows_read: u64,
    /// Rows left out, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Values that were repaired, by column.
    pub repaired: BTreeMap<String, Repairs>,
    /// Rows whose label was changed by a rule, by rule.
    pub relabelled: BTreeMap<String, u64>,
    /// Columns that are no features, with the reason.
    pub left_out: BTreeMap<String, String>,
}

/// A file that the table was read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceFile {
    /// File name, without folders.
    pub name: String,
    /// SHA-256 of the file as it lies on disk, hexadecimal.
    pub sha256: String,
    /// Rows kept.
    pub rows: u64,
    /// Which of the given sets it belongs to: 0 for training files, 1 for test files.
    pub part: u8,
}

/// Labelled rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    pub(crate) columns: Vec<Column>,
    pub(crate) kinds: Vec<String>,
    pub(crate) kind: Vec<u16>,
    pub(crate) labelled: bool,
    pub(crate) details: Option<Coded>,
    pub(crate) keys: Vec<u64>,
    pub(crate) times: Option<Vec<f64>>,
    pub(crate) days: Option<Coded>,
    pub(crate) groups: Option<Coded>,
    pub(crate) sources: Option<Coded>,
    pub(crate) part: Vec<u8>,
    pub(crate) file: Vec<u16>,
    pub(crate) file_row: Vec<u32>,
    pub(crate) counts: Counts,
    pub(crate) files: Vec<SourceFile>,
}

impl Table {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.kind.len()
    }

    /// Features.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// A feature by its name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Names of the features.
    pub fn column_names(&self) -> Vec<&str> {
        self.columns.iter().map(|column| column.name.as_str()).collect()
    }

    /// Names of the attack kinds; the first is `benign`.
    pub fn kinds(&self) -> &[String] {
        &self.kinds
    }

    /// Per row the index of its kind; 0 is benign.
    pub fn kind(&self) -> &[u16] {
        &self.kind
    }

    /// Per row whether it is an attack.
    pub fn attacks(&self) -> Vec<bool> {
        self.kind.iter().map(|kind| *kind != 0).collect()
    }

    /// Whether the files had labels; without them every row counts as benign.
    pub fn labelled(&self) -> bool {
        self.labelled
    }

    /// Finer attack names, where the data has two levels (NSL-KDD: `neptune` of kind `dos`).
    pub fn details(&self) -> Option<&Coded> {
        self.details.as_ref()
    }

    /// Per row a hash of all features: equal for rows with equal features.
    pub fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// Per row the time in seconds since 1970, by the data's own clock; NaN where a row has none.
    pub fn times(&self) -> Option<&[f64]> {
        self.times.as_deref()
    }

    /// Per row the day.
    pub fn days(&self) -> Option<&Coded> {
        self.days.as_ref()
    }

    /// Per row the named group (device, capture), where the data has one.
    pub fn groups(&self) -> Option<&Coded> {
        self.groups.as_ref()
    }

    /// Per row the initiator's address or another name of where it comes from.
    pub fn sources(&self) -> Option<&Coded> {
        self.sources.as_ref()
    }

    /// Per row which given set its file belongs to: 0 training, 1 test.
    pub fn part(&self) -> &[u8] {
        &self.part
    }

    /// What reading dropped, repaired and left out.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The files, in the order of reading.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// Where a row stands: file name and row of that file, as messages show it.
    pub fn origin(&self, row: usize) -> String {
        let file = self.file.get(row).and_then(|file| self.files.get(usize::from(*file)));
        let name = file.map_or("table", |file| file.name.as_str());
        format!("{name}, row {}", self.file_row.get(row).copied().unwrap_or(0))
    }

    /// Hexadecimal SHA-256 over names and digests of all files: names the data of a run.
    pub fn digest(&self) -> String {
        keys::digest(&self.files)
    }

    /// Rows of each kind, in the order of [`Self::kinds`].
    pub fn kind_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.kinds.len()];
        for kind in &self.kind {
            counts[usize::from(*kind)] += 1;
        }
        counts
    }

    /// The kind with this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn kind_named(&self, name: &str) -> Result<u16, TableError> {
        let found = self.kinds.iter().position(|kind| kind.eq_ignore_ascii_case(name));
        found.map(|index| index as u16).ok_or_else(|| TableError::Unknown {
            what: "kind",
            name: name.into(),
            found: listed(&self.kinds),
        })
    }

    /// Takes features out, so that neither encoders nor keys see them. Do it before splitting: rows that differ only
    /// in what was taken out are then repeats.
    ///
    /// # Errors
    /// A name that no feature has, or when nothing would be left.
    pub fn without(&mut self, names: &[String]) -> Result<(), TableError> {
        self.known(names)?;
        self.keep_columns(|name| !names.iter().any(|out| out == name))
    }

    /// Keeps these features only, in the table's order; as [`Self::without`].
    ///
    /// # Errors
    /// A name that no feature has, or when nothing would be left.
    pub fn only(&mut self, names: &[String]) -> Result<(), TableError> {
        self.known(names)?;
        self.keep_columns(|name| names.iter().any(|kept| kept == name))
    }

    fn known(&self, names: &[String]) -> Result<(), TableError> {
        match names.iter().find(|name| self.column(name).is_none()) {
            None => Ok(()),
            Some(name) => {
                Err(TableError::Unknown { what: "column", name: name.clone(), found: listed(&self.column_names()) })
            }
        }
    }

    fn keep_columns(&mut self, keep: impl Fn(&str) -> bool) -> Result<(), TableError> {
        if !self.columns.iter().any(|column| keep(&column.name)) {
            return Err(TableError::Unfit {
                needs: "a table needs a feature".into(),
                found: "none would be left".into(),
                advice: "take fewer columns out".into(),
            });
        }
        let left_out = &mut self.counts.left_out;
        self.columns.retain(|column| {
            let kept = keep(&column.name);
            if !kept {
                left_out.insert(column.name.clone(), "taken out on request".into());
            }
            kept
        });
        self.keys = keys::row_keys(&self.columns, self.rows());
        Ok(())
    }
}
