//! Rows of flows → a table of columns: features (numbers or categories), the attack kind, and metadata of each row,
//! which is never a feature.
//!
//! Every per-row vector has [`Table::rows`] entries. Kind 0 is benign. Missing numbers are NaN; a missing category is
//! the category `-`. [`Counts`] reports everything that reading dropped, repaired or left out.

use crate::column::Column;
use crate::error::{TableError, listed};
use crate::keys;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Name of kind 0.
pub(crate) const BENIGN: &str = "benign";

/// A column of texts, each distinct text stored once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coded {
    /// Distinct texts, in order of first appearance.
    pub(crate) names: Vec<String>,
    /// Index of the text of each row.
    pub codes: Vec<u32>,
}

impl Coded {
    /// The text of a row; empty for an unknown row.
    pub fn of(&self, row: usize) -> &str {
        self.codes.get(row).and_then(|code| self.names.get(*code as usize)).map_or("", String::as_str)
    }
}

/// Number of unusable values of one column; infinities and missing values became NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repairs {
    /// Infinities, and numbers beyond ±3.4e38.
    pub infinite: u64,
    /// Empty, `-`, `NaN` and the like.
    pub missing: u64,
    /// Flags above 1, which became 1.
    pub stray: u64,
}

/// What reading changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Rows in the files, without headers and empty lines.
    pub rows_read: u64,
    /// Dropped rows, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Repaired values, by column.
    pub repaired: BTreeMap<String, Repairs>,
    /// Rows whose label was changed by a rule, by rule.
    pub relabelled: BTreeMap<String, u64>,
    /// Columns that are not features, with the reason.
    pub left_out: BTreeMap<String, String>,
}

/// A file that the table was read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceFile {
    /// File name, without folders.
    pub name: String,
    /// SHA-256 of the file on disk (still compressed), hexadecimal.
    pub sha256: String,
    /// Number of rows kept.
    pub rows: u64,
    /// 0 for training files, 1 for test files.
    pub(crate) part: u8,
}

/// Labelled rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    pub(crate) columns: Vec<Column>,
    /// By feature: row and value of each number that `f32` rounds, because it is beyond 2²⁴. Only for writing; every
    /// computation uses the rounded ones.
    pub(crate) exact: BTreeMap<String, Vec<(u32, f64)>>,
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

    /// The feature with this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Names of the features.
    pub(crate) fn column_names(&self) -> Vec<&str> {
        self.columns.iter().map(|column| column.name.as_str()).collect()
    }

    /// Names of the attack kinds; the first is `benign`.
    pub fn kinds(&self) -> &[String] {
        &self.kinds
    }

    /// Index of the kind of each row; 0 is benign.
    pub fn kind(&self) -> &[u16] {
        &self.kind
    }

    /// Whether each row is an attack.
    pub fn attacks(&self) -> Vec<bool> {
        self.kind.iter().map(|kind| *kind != 0).collect()
    }

    /// Whether the files have labels; without labels every row counts as benign.
    pub fn labelled(&self) -> bool {
        self.labelled
    }

    /// Specific attack names, if the data has two levels (NSL-KDD: `neptune` of kind `dos`).
    pub(crate) fn details(&self) -> Option<&Coded> {
        self.details.as_ref()
    }

    /// Hash of the features of each row; equal for rows with equal features.
    pub fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// Time of each row, seconds since 1970 by the clock of the data; NaN if missing.
    pub(crate) fn times(&self) -> Option<&[f64]> {
        self.times.as_deref()
    }

    /// Day of each row.
    pub fn days(&self) -> Option<&Coded> {
        self.days.as_ref()
    }

    /// Named group of each row (device, capture), if the data has groups.
    pub fn groups(&self) -> Option<&Coded> {
        self.groups.as_ref()
    }

    /// Source of each row: the initiator's address or another name.
    pub fn sources(&self) -> Option<&Coded> {
        self.sources.as_ref()
    }

    /// 0 for rows of training files, 1 for rows of test files.
    pub fn part(&self) -> &[u8] {
        &self.part
    }

    /// What reading dropped, repaired or left out.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The files, in reading order.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// Origin of a row for messages: file name and row of that file.
    pub fn origin(&self, row: usize) -> String {
        let file = self.file.get(row).and_then(|file| self.files.get(usize::from(*file)));
        let name = file.map_or("table", |file| file.name.as_str());
        format!("{name}, row {}", self.file_row.get(row).copied().unwrap_or(0))
    }

    /// SHA-256 over name, part (training or test) and digest of each file, hexadecimal: identifies the data of a run.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for file in &self.files {
            hash.update(format!("{}\n{}\n{}\n", file.name, file.part, file.sha256));
        }
        keys::hex(&hash.finalize())
    }

    /// Number of rows of each kind, in the order of [`Self::kinds`].
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
    /// An unknown name.
    pub fn kind_named(&self, name: &str) -> Result<u16, TableError> {
        let found = self.kinds.iter().position(|kind| kind.eq_ignore_ascii_case(name));
        found.map(|index| index as u16).ok_or_else(|| TableError::Unknown {
            what: "kind",
            name: name.into(),
            found: listed(&self.kinds),
        })
    }

    /// Removes features from the table and from its keys. Call it before splitting: rows that differed only in a
    /// removed feature become repeats.
    ///
    /// # Errors
    /// An unknown feature, or no feature left.
    pub fn without(&mut self, names: &[String]) -> Result<(), TableError> {
        self.check_columns(names)?;
        self.keep_columns(|name| !names.iter().any(|removed| removed == name))
    }

    fn check_columns(&self, names: &[String]) -> Result<(), TableError> {
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
                found: "none would remain".into(),
                advice: "remove fewer columns".into(),
            });
        }
        let left_out = &mut self.counts.left_out;
        self.columns.retain(|column| {
            let kept = keep(&column.name);
            if !kept {
                left_out.insert(column.name.clone(), "removed on request".into());
            }
            kept
        });
        self.keys = keys::row_keys(&self.columns, self.rows());
        Ok(())
    }
}
