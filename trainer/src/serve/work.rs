//! One making of a release, on a thread of its own with lower priority, while collection goes on.

use super::make::{MadeRelease, MakeError, Order, Progress, ReleaseMaker};
use crate::store::{Desk, RowSummary};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

/// Progress reports under way; a slow reader misses some, the work never waits.
const REPORTS: usize = 64;
/// Priority of the training thread and those that it starts (`renice`): behind everything else, but not idle.
const NICENESS: &str = "10";

/// What came out.
pub(super) struct Made {
    /// The release file and its card.
    pub(super) release: MadeRelease,
    /// What it was trained on.
    pub(super) summary: RowSummary,
}

/// A release in the making.
pub(super) struct Work {
    /// Its progress.
    pub(super) reports: Receiver<Progress>,
    /// Why it is made: for the log, and the jobs that it answers.
    pub(super) reason: String,
    /// Newest job that it answers.
    pub(super) job: Option<i64>,
    /// Feature rows that the store had ever seen when it began.
    pub(super) rows_seen: u64,
    /// What it makes.
    pub(super) order: Order,
    thread: JoinHandle<Result<Made, MakeError>>,
}

impl Work {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(
        maker: Arc<dyn ReleaseMaker>,
        store: PathBuf,
        order: Order,
        min_rows: u64,
        reason: String,
        (job, rows_seen): (Option<i64>, u64),
    ) -> Result<Self, MakeError> {
        let (sender, reports) = sync_channel(REPORTS);
        let wanted = order.clone();
        let run = move || {
            lower_priority();
            make(maker.as_ref(), &store, &wanted, min_rows, &mut |progress| drop(sender.try_send(progress)))
        };
        let thread = thread::Builder::new().name("training".into()).spawn(run);
        let thread = thread.map_err(|error| MakeError::Training(format!("cannot start a thread: {error}")))?;
        Ok(Self { reports, reason, job, rows_seen, order, thread })
    }

    /// True when it has ended.
    pub(super) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// What came out; waits for the end.
    ///
    /// # Errors
    /// Why nothing came out.
    pub(super) fn finish(self) -> Result<Made, MakeError> {
        let panicked = |_| MakeError::Training("training panicked; its message stands above in the log".into());
        self.thread.join().map_err(panicked)?
    }
}

fn make(
    maker: &dyn ReleaseMaker,
    store: &std::path::Path,
    order: &Order,
    min_rows: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Made, MakeError> {
    let desk = Desk::open(store)?;
    let schema = maker.schema();
    let mut counted = desk.training_rows(&schema)?;
    for row in counted.by_ref() {
        row?;
    }
    let summary = counted.summary().clone();
    if summary.rows < min_rows {
        return Err(MakeError::TooFewRows { rows: summary.rows, needed: min_rows });
    }
    let mut rows = desk.training_rows(&schema)?;
    let release = maker.make(order, &mut rows, progress)?;
    Ok(Made { release, summary: rows.summary().clone() })
}

/// Puts the calling thread behind the others, where the system lets us; without it training is only less polite.
pub(crate) fn lower_priority() {
    let thread = std::fs::read_link("/proc/thread-self").ok();
    let number = thread.as_deref().and_then(|path| path.file_name()).and_then(|name| name.to_str());
    let Some(number) = number else { return };
    let mut run = Command::new("renice");
    run.args(["-n", NICENESS, "-p", number]).stdout(Stdio::null()).stderr(Stdio::null());
    if !run.status().is_ok_and(|status| status.success()) {
        tracing::debug!("training runs at the usual priority: renice is missing or refused");
    }
}
