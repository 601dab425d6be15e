//! Requests of running agents in the store → signed responses in the store.

use super::answer::Registrar;
use super::counts::{PortCounts, count};
use lapwing_common::clock;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval};

/// Interval between two looks for requests.
const INTERVAL: Duration = Duration::from_secs(1);
/// Requests to answer at a time.
const REQUESTS: u32 = 32;
/// Interval between two warnings.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Answers requests, without an end.
pub(super) async fn run(registrar: Arc<Mutex<Registrar>>, counts: Arc<PortCounts>) {
    let mut tick = interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut warned: Option<Instant> = None;
    loop {
        tick.tick().await;
        let registrar = Arc::clone(&registrar);
        let pass = move || registrar.lock().unwrap_or_else(PoisonError::into_inner).renew_all(REQUESTS, clock::now_s());
        let passed = tokio::task::spawn_blocking(pass).await;
        let (renewed, failure) = passed.unwrap_or_else(|error| (0, Some(error.to_string())));
        (0..renewed).for_each(|_| count(&counts.renewed));
        let Some(failure) = failure else { continue };
        count(&counts.renewals_failed);
        let now = clock::monotonic();
        if warned.is_none_or(|at| now.duration_since(at) >= WARNING_INTERVAL) {
            warned = Some(now);
            tracing::warn!(error = failure, "cannot renew certificates of running agents; retrying");
        }
    }
}
