//! Drift of the newest release, measured beside the collector: one measurement at a time, on a thread of lower
//! priority, asked for by whoever looks, at most once an hour for each release.

use crate::drift::DriftError;
use crate::drift::measure::{Threshold, measure};
use crate::drift::page::{foremost, summary};
use crate::drift::rows::{Scorer, read_store};
use crate::serve::work::lower_priority;
use crate::store::{Desk, ReleaseLine};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use utoipa::ToSchema;

/// A measurement is good for so long, seconds.
const FRESH_S: u64 = 3_600;
/// Rows of a side: enough for a distance of a tenth, and little memory.
const ROWS: usize = 20_000;
/// Columns that are told, besides the score.
const TOLD: usize = 5;

/// Whether the networks still behave as they did when the newest release was made.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DriftView {
    /// Group of the release that it is measured against.
    pub group: String,
    /// Its version.
    pub version: u64,
    /// When it was measured, seconds since the epoch.
    pub measured_s: u64,
    /// True when a column moved over the threshold; nothing where it could not be told.
    pub drift: Option<bool>,
    /// The result in a sentence, or why there is none.
    pub summary: String,
    /// Ratio from which it is drift.
    pub threshold: Option<f64>,
    /// The columns that moved most, and the score.
    pub columns: Vec<DriftColumn>,
}

/// How far one column moved.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DriftColumn {
    /// Feature, or `score`.
    pub name: String,
    /// Distance in multiples of what is usual.
    pub ratio: f64,
    /// Median when the release was made.
    pub reference_median: f64,
    /// Median since.
    pub present_median: f64,
}

#[derive(Default)]
struct State {
    found: Option<DriftView>,
    running: bool,
}

/// Measures when asked.
pub(super) struct DriftWatch {
    store: PathBuf,
    state: Mutex<State>,
}

/// Why there is no result, for people who look at a fleet and give no files.
pub(super) fn why(error: &DriftError) -> String {
    match error {
        DriftError::FewRows { side, rows, expected } => {
            let from = if *side == "reference" { "before" } else { "since" };
            format!(
                "{rows} rows were collected {from} the release was made, by the agents' clocks; {expected} are needed"
            )
        }
        other => other.to_string(),
    }
}

impl DriftWatch {
    pub(super) fn new(store: &Path) -> Arc<Self> {
        Arc::new(Self { store: store.to_owned(), state: Mutex::default() })
    }

    /// What is known; where that is of another release or old, a measurement is begun.
    pub(super) fn look(self: &Arc<Self>, newest: Option<&ReleaseLine>, now_s: u64) -> Option<DriftView> {
        let release = newest?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |found: &DriftView| {
            found.version == release.version
                && found.group == release.group
                && now_s.saturating_sub(found.measured_s) < FRESH_S
        };
        if !state.running && !state.found.as_ref().is_some_and(fresh) {
            let (watch, release) = (Arc::clone(self), release.clone());
            let run = move || {
                lower_priority();
                let found = watch.measured(&release, now_s);
                let mut state = watch.state.lock().unwrap_or_else(PoisonError::into_inner);
                *state = State { found: Some(found), running: false };
            };
            // Without a thread the next look tries again.
            state.running = std::thread::Builder::new().name("drift".into()).spawn(run).is_ok();
        }
        state.found.clone().filter(|found| found.version == release.version && found.group == release.group)
    }

    fn measured(&self, release: &ReleaseLine, now_s: u64) -> DriftView {
        let nothing = DriftView {
            group: release.group.clone(),
            version: release.version,
            measured_s: now_s,
            drift: None,
            summary: String::new(),
            threshold: None,
            columns: Vec::new(),
        };
        match self.measure(release) {
            Ok((drift, summary, threshold, columns)) => {
                DriftView { drift: Some(drift), summary, threshold: Some(threshold), columns, ..nothing }
            }
            Err(error) => DriftView { summary: format!("it cannot be told: {}", why(&error)), ..nothing },
        }
    }

    fn measure(&self, release: &ReleaseLine) -> Result<(bool, String, f64, Vec<DriftColumn>), DriftError> {
        let scorer = Scorer::load(&release.file)?;
        let desk = Desk::open_reading(&self.store)?;
        let [reference, present] = read_store(&desk, &scorer, scorer.created, ROWS)?;
        let found = measure(&reference, &present, Threshold::Margin(1.0))?;
        let column = |moved: &crate::drift::measure::Moved| DriftColumn {
            name: moved.name.into(),
            ratio: moved.ratio,
            reference_median: moved.reference_median,
            present_median: moved.present_median,
        };
        let columns = foremost(&found, TOLD).map(column).collect();
        Ok((found.drift, summary(&found), found.threshold, columns))
    }
}
