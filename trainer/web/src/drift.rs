//! Newest release and stored rows → drift, measured when a page asks for it: at most once an hour for each release, one
//! measurement at a time, on a low-priority thread.

use lapwing_common::priority::lower_priority;
use lapwing_pipeline::drift::DriftError;
use lapwing_pipeline::drift::measure::{Moved, Threshold, measure};
use lapwing_pipeline::drift::page::{foremost, summary};
use lapwing_pipeline::drift::sampled_flows::{Scorer, read_store};
use lapwing_shared::features::schema::schema_id;
use lapwing_store::{Release, StoreError, StoreHandle, StoreUrl, TrainingRows};
use serde::Serialize;
use std::error::Error;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use utoipa::ToSchema;

/// Age from which a measurement is repeated, seconds.
const MAX_AGE_S: u64 = 3_600;
/// Most rows of each side: enough for a distance of a tenth, and little memory.
const ROWS: usize = 20_000;
/// Columns to show besides the score.
const COLUMNS: usize = 5;

/// Change of the traffic since the newest release was created.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct DriftView {
    /// Group of the release.
    pub(crate) group: String,
    /// Version of the release.
    pub(crate) version: u64,
    /// Time of the measurement, seconds since the epoch.
    pub(crate) measured_s: u64,
    /// Whether a column moved beyond the threshold; null if it could not be measured.
    pub(crate) drift: Option<bool>,
    /// The result as a sentence, or why it could not be measured.
    pub(crate) summary: String,
    /// Ratio above which a column has drifted.
    pub(crate) threshold: Option<f64>,
    /// The columns that moved most, and the score.
    pub(crate) columns: Vec<DriftColumn>,
}

/// Change of one column.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct DriftColumn {
    /// Feature name, or `score`.
    pub(crate) name: String,
    /// Distance as a multiple of the usual distance.
    pub(crate) ratio: f64,
    /// Median before the release was created.
    pub(crate) reference_median: f64,
    /// Median since the release was created.
    pub(crate) present_median: f64,
}

#[derive(Default)]
struct State {
    latest: Option<DriftView>,
    running: bool,
}

pub(crate) struct DriftMonitor {
    store: StoreUrl,
    state: Mutex<State>,
}

/// What a `web` process needs that reads the store of another one.
const NO_ACCESS: &str =
    "this server needs the folder of releases and store.segments at the same paths, readable by its account";

/// Whether a file is missing here or may not be read.
fn lacks_file(error: &(dyn Error + 'static)) -> bool {
    let lacks = |error: &std::io::Error| matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound);
    let chain = std::iter::successors(Some(error), |&error| error.source());
    chain.filter_map(|error| error.downcast_ref::<std::io::Error>()).any(lacks)
}

/// The reason for a missing result, in the terms of the dashboard.
pub(crate) fn explain(error: &DriftError) -> String {
    match error {
        DriftError::FewRows { side, rows, expected } => {
            let from = if *side == "reference" { "before" } else { "since" };
            format!(
                "{rows} rows collected {from} the release was created, by the agents' clocks; at least {expected} are needed"
            )
        }
        other => {
            let text = other.to_string();
            if lacks_file(other) { format!("{text}; {NO_ACCESS}") } else { text }
        }
    }
}

/// Rows of a group, or of all agents if the trainer serves one group.
fn rows_of<'a>(handle: &'a StoreHandle, group: &str) -> Result<TrainingRows<'a>, StoreError> {
    if !handle.group_rows()?.contains_key(group) {
        return handle.training_rows(&schema_id());
    }
    handle.training_rows_of(&schema_id(), handle.agents_of_group(group)?.into_values())
}

impl DriftMonitor {
    pub(crate) fn new(store: &StoreUrl) -> Arc<Self> {
        Arc::new(Self { store: store.clone(), state: Mutex::default() })
    }

    /// The latest measurement of this release; starts a new one if it is missing or old.
    pub(crate) fn latest(self: &Arc<Self>, newest: Option<&Release>, now_s: u64) -> Option<DriftView> {
        let release = newest?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let of_release = |view: &DriftView| view.version == release.version && view.group == release.group;
        let is_fresh = |view: &DriftView| of_release(view) && now_s.saturating_sub(view.measured_s) < MAX_AGE_S;
        if !state.running && !state.latest.as_ref().is_some_and(is_fresh) {
            let (monitor, release) = (Arc::clone(self), release.clone());
            let run = move || {
                lower_priority();
                let view = monitor.view(&release, now_s);
                let mut state = monitor.state.lock().unwrap_or_else(PoisonError::into_inner);
                *state = State { latest: Some(view), running: false };
            };
            // If the thread cannot start, the next request retries.
            state.running = std::thread::Builder::new().name("drift".into()).spawn(run).is_ok();
        }
        state.latest.clone().filter(of_release)
    }

    fn view(&self, release: &Release, now_s: u64) -> DriftView {
        self.measure(release, now_s).unwrap_or_else(|error| DriftView {
            group: release.group.clone(),
            version: release.version,
            measured_s: now_s,
            drift: None,
            summary: format!("not measured: {}", explain(&error)),
            threshold: None,
            columns: Vec::new(),
        })
    }

    fn measure(&self, release: &Release, now_s: u64) -> Result<DriftView, DriftError> {
        let scorer = Scorer::load(&release.file)?;
        let handle = StoreHandle::open_reading(&self.store)?;
        let [reference, present] = read_store(rows_of(&handle, &release.group)?, &scorer, scorer.created, ROWS)?;
        let measured = measure(&reference, &present, Threshold::Margin(1.0))?;
        let column = |moved: &Moved| DriftColumn {
            name: moved.name.into(),
            ratio: moved.ratio,
            reference_median: moved.reference_median,
            present_median: moved.present_median,
        };
        Ok(DriftView {
            group: release.group.clone(),
            version: release.version,
            measured_s: now_s,
            drift: Some(measured.drift),
            summary: summary(&measured),
            threshold: Some(measured.threshold),
            columns: foremost(&measured, COLUMNS).map(column).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_this_server_cannot_read_is_explained() {
        let explained = |kind: ErrorKind| explain(&DriftError::Read { path: "home-3.lwr".into(), source: kind.into() });
        for kind in [ErrorKind::PermissionDenied, ErrorKind::NotFound] {
            let text = explained(kind);
            assert!(text.contains("home-3.lwr") && text.contains("readable by its account"), "{text}");
        }
        assert!(!explained(ErrorKind::InvalidData).contains("readable"));
    }
}
