//! A load on a thread of its own, for a test that meanwhile kills what the load depends on.

use super::agent::Shared;
use super::{LoadOptions, Report, run_shared};
use crate::stage::PATIENCE;
use anyhow::{Context, bail};
use lapwing_common::clock;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Longest time between two looks at the acknowledgements after sending has ended.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// A running load.
pub struct Running {
    shared: Arc<Shared>,
    /// Wakes the test while the load sends; disconnected when it has ended.
    progress: Receiver<()>,
    thread: JoinHandle<anyhow::Result<Report>>,
}

impl Running {
    /// Starts it; it sends for as long as its options say, or until [`Running::end`].
    pub fn start(options: &LoadOptions) -> Self {
        let shared = Arc::new(Shared::new(options));
        let (sender, progress) = sync_channel(1);
        let driven = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            run_shared(&driven, &mut || {
                // A full channel wakes the test as well.
                let _ = sender.try_send(());
            })
        });
        Self { shared, progress, thread }
    }

    /// Waits until the trainer has acknowledged this number of messages more than now.
    ///
    /// # Errors
    /// After [`PATIENCE`], or when the load ends before.
    pub fn wait_for_acknowledgements(&self, count: u64) -> anyhow::Result<()> {
        let acknowledged = || self.shared.tally.acknowledged.load(Ordering::Relaxed);
        let (before, deadline) = (acknowledged(), clock::after(PATIENCE));
        while acknowledged() < before + count {
            let wait = LONGEST_WAIT.min(deadline.saturating_duration_since(clock::monotonic()));
            if wait.is_zero() {
                bail!("{} of {count} messages acknowledged within {} s", acknowledged() - before, PATIENCE.as_secs());
            }
            let has_ended = self.progress.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected);
            if has_ended && acknowledged() < before + count {
                bail!("the load ended after {} of {count} acknowledgements", acknowledged() - before);
            }
        }
        Ok(())
    }

    /// True if the load fails, or ends because it has sent for as long as its options say, within this time.
    pub fn ends_within(&self, time: Duration) -> bool {
        let deadline = clock::after(time);
        loop {
            match self.progress.recv_timeout(deadline.saturating_duration_since(clock::monotonic())) {
                Ok(()) => {}
                Err(error) => return error == RecvTimeoutError::Disconnected,
            }
        }
    }

    /// Ends sending, and waits for the last acknowledgements.
    ///
    /// # Errors
    /// As [`super::run`].
    pub fn end(self) -> anyhow::Result<Report> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.join().ok().context("the load panicked")?
    }

    /// Ends sending without waiting for acknowledgements.
    ///
    /// # Errors
    /// As [`super::run`].
    pub fn give_up(self) -> anyhow::Result<Report> {
        self.shared.gave_up.store(true, Ordering::Relaxed);
        self.end()
    }
}
