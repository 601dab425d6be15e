//! Captures, feature files, stores and segments → rows to train, calibrate and evaluate on, metered as agents do.

pub mod capture;
pub mod features_csv;
mod labels;
pub mod segments;
pub mod source;
pub mod stored;
mod table;

use lapwing_capture::CaptureError;
use lapwing_shared::features::FeatureVector;
use lapwing_shared::units::{Address, Timestamp};
use std::path::PathBuf;

/// The features of one flow, with their origin and labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Site, from 0: a capture, a feature file, or an agent of a store.
    pub site: u32,
    /// Time of the record, or its end if the file has only that.
    pub at: Timestamp,
    /// Initiator.
    pub source: Address,
    /// Responder.
    pub destination: Address,
    /// Responder's port.
    pub service_port: u16,
    /// Features, plain units.
    pub features: FeatureVector,
    /// Attack class by the labels; `None` is benign.
    pub attack: Option<String>,
    /// Its agent suspected one of its hosts: the row is excluded from training, but may be held out for thresholds.
    pub suspect: bool,
    /// Flow records that it represents: 1, or more if the agent sent a sample.
    pub weight: f32,
    /// Its agent had a release at that time and scored it.
    pub under_release: bool,
}

/// Rows of several files, in the files' order.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Dataset {
    pub rows: Vec<Row>,
    /// Problems with the input, e.g. truncated captures or rejected packets.
    pub warnings: Vec<String>,
}

impl Dataset {
    /// Appends another dataset, whose sites are renumbered from `sites`.
    pub fn append(&mut self, more: Self, sites: u32) {
        self.rows.extend(more.rows.into_iter().map(|row| Row { site: row.site + sites, ..row }));
        self.warnings.extend(more.warnings);
    }
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum DatasetError {
    /// A capture cannot be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// A file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// A line is invalid.
    #[error("{}, line {line}{}: {found}, expected {expected}", path.display(), in_column(column))]
    Line {
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column name; empty for the whole line.
        column: String,
        found: String,
        expected: String,
    },
}

fn in_column(column: &str) -> String {
    if column.is_empty() { String::new() } else { format!(", column {column}") }
}
