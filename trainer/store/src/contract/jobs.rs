//! Requests to retrain.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use crate::{JobState, Limits, StoreHandle};

pub fn waiting_jobs_finish_together<T: TestStore>() {
    let folder = T::new();
    let handle = folder.open(Limits::default()).handle().unwrap();
    let first = handle.request_retraining("operator", 1).unwrap();
    let second = handle.request_retraining("operator", 2).unwrap();
    let taken = handle.take_jobs().unwrap().unwrap();
    assert_eq!(taken.id, second);
    assert_eq!(handle.take_jobs().unwrap(), None);
    handle.requeue_jobs().unwrap();
    assert_eq!(handle.take_jobs().unwrap().map(|job| job.id), Some(second), "a job left running by a crashed serve");
    handle.finish_jobs(second, Err("too few rows"), 3).unwrap();
    assert_eq!(handle.job_state(first).unwrap(), (JobState::Failed, Some("too few rows".into())));
}

pub fn waiting_jobs_are_limited<T: TestStore>() {
    let folder = T::new();
    let handle = folder.open(Limits::default()).handle().unwrap();
    let ids: std::collections::BTreeSet<_> =
        (0..40).map(|second| handle.request_retraining("operator", second).unwrap()).collect();
    assert_eq!(ids.len(), 16);
}

pub fn a_job_is_claimed_by_one_server_only<T: TestStore>() {
    let folder = T::new();
    let _store = folder.open(Limits::default());
    let handle = folder.handle();
    for round in 0..5 {
        let job = handle.request_retraining("operator", round).unwrap();
        let claimed: Vec<_> = std::thread::scope(|scope| {
            let handles: Vec<StoreHandle> = (0..4).map(|_| folder.handle()).collect();
            let threads: Vec<_> =
                handles.into_iter().map(|handle| scope.spawn(move || handle.take_jobs().unwrap())).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).map(|job| job.id).collect()
        });
        assert_eq!(claimed, [job]);
        handle.finish_jobs(job, Ok("done"), round).unwrap();
    }
}
