//! Captures, feature files and the store → rows to train, calibrate and evaluate on, through the very metering that agents run.

pub mod capture;
pub mod features_csv;
pub mod labels;
pub mod stored;
pub mod table;

use crate::train::rows::TrainingRow;
use lapwing_capture::CaptureError;
use lapwing_shared::features::FeatureVector;
use lapwing_shared::units::{Address, Timestamp};
use std::path::PathBuf;

/// One flow's row with what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Which of the given files it comes from, from 0.
    pub file: u32,
    /// When its record was made, or ended where that is all a file says.
    pub at: Timestamp,
    /// Initiator and responder.
    pub ends: (Address, Address),
    /// Responder's port.
    pub service_port: u16,
    /// Features, plain units.
    pub features: FeatureVector,
    /// Attack kind by the labels, nothing for benign.
    pub attack: Option<String>,
    /// Its agent was in doubt of one of its hosts: thresholds may come from it, but it is not learnt from.
    pub suspect: bool,
    /// Flow records that it stands for: 1, or more where an agent sent a sample of what it saw.
    pub stands_for: f32,
    /// Its agent had a release when it was made, and judged it.
    pub under_release: bool,
}

/// Rows of several files, in the files' order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    /// The rows.
    pub rows: Vec<Row>,
    /// What a person should know of the input: captures cut off, packets refused.
    pub warnings: Vec<String>,
}

impl Dataset {
    /// Takes in another one's rows, whose files are counted on from `files`.
    pub fn append(&mut self, more: Self, files: u32) {
        self.rows.extend(more.rows.into_iter().map(|row| Row { file: row.file + files, ..row }));
        self.warnings.extend(more.warnings);
    }
}

/// Benign rows, as training takes them; each file counts as one agent.
pub fn benign(rows: &[Row]) -> impl Iterator<Item = TrainingRow> {
    let benign = rows.iter().filter(|row| row.attack.is_none());
    benign.map(|row| TrainingRow { features: row.features, agent: row.file, suspect: row.suspect })
}

/// Why a file gives no rows.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A capture cannot be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// A file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is wrong.
    #[error("{}, line {line}{}: {found}, expected {expected}", path.display(), in_column(column))]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column name, empty for the whole line.
        column: String,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
}

fn in_column(column: &str) -> String {
    if column.is_empty() { String::new() } else { format!(", column {column}") }
}
