//! An order for a release → the release, made on a low-priority thread while collection continues.

use lapwing_common::priority::lower_priority;
use lapwing_pipeline::gate::labelled::labelled_attacks;
use lapwing_pipeline::order::{MadeRelease, MakeError, Order, ReleaseMaker, StageProgress};
use lapwing_store::{RowSummary, StoreHandle, StoreUrl};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

/// Capacity of the progress channel; training never waits, a slow reader misses reports.
const REPORTS: usize = 64;

/// A release and the rows behind it.
pub(super) struct Made {
    /// The release file and its card.
    pub(super) release: MadeRelease,
    /// Rows that it was trained on.
    pub(super) summary: RowSummary,
    /// Rows of agents that may not teach.
    pub(super) not_teaching: u64,
}

/// What to train, and why.
#[derive(Clone)]
pub(super) struct TrainingRequest {
    /// Release to make.
    pub(super) order: Order,
    /// Minimum number of rows.
    pub(super) min_rows: u64,
    /// Its group is one of several: only rows of the group's agents train.
    pub(super) only_group: bool,
    /// Agents whose rows train; `None`: all.
    pub(super) teach: Option<Vec<String>>,
    /// Why the release is made, for log and dashboard.
    pub(super) reason: String,
    /// Number of its group in the server.
    pub(super) group: usize,
    /// Newest of the jobs that requested it, if any.
    pub(super) job: Option<i64>,
    /// Feature rows ever stored at its start.
    pub(super) rows_seen: u64,
}

/// A training that has ended.
pub(super) struct Finished {
    pub(super) request: TrainingRequest,
    pub(super) made: Result<Made, MakeError>,
}

pub(super) struct TrainingJob {
    pub(super) reports: Receiver<StageProgress>,
    /// What it trains.
    pub(super) request: TrainingRequest,
    thread: JoinHandle<Result<Made, MakeError>>,
}

impl TrainingJob {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub(super) fn start(
        maker: Arc<dyn ReleaseMaker>,
        store: StoreUrl,
        request: TrainingRequest,
    ) -> Result<Self, MakeError> {
        let (sender, reports) = sync_channel(REPORTS);
        let ordered = request.clone();
        let run = move || {
            lower_priority();
            make(maker.as_ref(), &store, ordered, &mut |progress| drop(sender.try_send(progress)))
        };
        let thread = thread::Builder::new().name("training".into()).spawn(run);
        let thread = thread.map_err(|error| MakeError::Training(format!("cannot start a thread: {error}")))?;
        Ok(Self { reports, request, thread })
    }

    /// True when the thread has ended.
    pub(super) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end and returns the release.
    ///
    /// # Errors
    /// Why no release was made.
    pub(super) fn finish(self) -> Result<Made, MakeError> {
        let panicked = |_| MakeError::Training("training panicked; see the message above in the log".into());
        self.thread.join().map_err(panicked)?
    }
}

fn make(
    maker: &dyn ReleaseMaker,
    store: &StoreUrl,
    request: TrainingRequest,
    progress: &mut dyn FnMut(StageProgress),
) -> Result<Made, MakeError> {
    let handle = StoreHandle::open(store)?;
    let agents = request.only_group.then(|| handle.agents_of_group(&request.order.group)).transpose()?;
    let mut stored = match &agents {
        Some(agents) => handle.training_rows_of(&maker.schema(), agents.values().cloned())?,
        None => handle.training_rows(&maker.schema())?,
    };
    let mut rows = stored.by_ref().collect::<Result<Vec<_>, _>>()?;
    let summary = stored.summary().clone();
    let TrainingRequest { mut order, min_rows, teach, .. } = request;
    if let Some(teach) = &teach {
        let teaches = |agent: &i64| summary.agents.get(agent).is_some_and(|name| teach.contains(name));
        rows.retain(|row| teaches(&row.agent));
    }
    let taught = rows.len() as u64;
    if taught < min_rows {
        return Err(MakeError::TooFewRows { rows: taught, needed: min_rows });
    }
    let names = agents.map(|agents| agents.into_values().collect());
    order.guard.labelled = labelled_attacks(&handle, names.as_ref())?;
    let release = maker.make(&order, rows, progress)?;
    let not_teaching = summary.rows - taught;
    Ok(Made { release, summary, not_teaching })
}
