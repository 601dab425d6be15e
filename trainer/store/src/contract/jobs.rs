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
    let first = handle.request_retraining(Some("home"), "operator", 1).unwrap();
    let second = handle.request_retraining(Some("home"), "operator", 2).unwrap();
    let taken = handle.take_jobs("home").unwrap().unwrap();
    assert_eq!(taken.id, second);
    assert_eq!(handle.take_jobs("home").unwrap(), None);
    handle.requeue_jobs().unwrap();
    assert_eq!(
        handle.take_jobs("home").unwrap().map(|job| job.id),
        Some(second),
        "a job left running by a crashed serve"
    );
    handle.finish_jobs("home", second, Err("too few rows"), 3).unwrap();
    assert_eq!(handle.job_state(first).unwrap(), (JobState::Failed, Some("too few rows".into())));
}

pub fn waiting_jobs_are_limited<T: TestStore>() {
    let folder = T::new();
    let handle = folder.open(Limits::default()).handle().unwrap();
    let ids: std::collections::BTreeSet<_> =
        (0..40).map(|second| handle.request_retraining(None, "operator", second).unwrap()).collect();
    assert_eq!(ids.len(), 16);
}

pub fn a_job_is_claimed_by_one_server_only<T: TestStore>() {
    let folder = T::new();
    let _store = folder.open(Limits::default());
    let handle = folder.handle();
    for round in 0..5 {
        let job = handle.request_retraining(Some("home"), "operator", round).unwrap();
        let claimed: Vec<_> = std::thread::scope(|scope| {
            let handles: Vec<StoreHandle> = (0..4).map(|_| folder.handle()).collect();
            let threads: Vec<_> =
                handles.into_iter().map(|handle| scope.spawn(move || handle.take_jobs("home").unwrap())).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).map(|job| job.id).collect()
        });
        assert_eq!(claimed, [job]);
        handle.finish_jobs("home", job, Ok("done"), round).unwrap();
    }
}

pub fn a_job_is_for_one_group_or_for_each<T: TestStore>() {
    let folder = T::new();
    let handle = folder.open(Limits::default()).handle().unwrap();
    let every = handle.request_retraining(None, "ann", 1).unwrap();
    let shop = handle.request_retraining(Some("shop"), "bob", 2).unwrap();
    let lost = handle.request_retraining(Some("hmoe"), "bob", 3).unwrap();
    assert_eq!(handle.take_jobs("home").unwrap(), None, "not assigned yet");
    handle.assign_jobs(&["home", "shop"], 4).unwrap();
    let result = handle.job_state(lost).unwrap();
    assert_eq!(result, (JobState::Failed, Some("this trainer has no group `hmoe`; it has home, shop".into())));
    assert_eq!(handle.take_jobs("home").unwrap().map(|job| (job.id, job.who)), Some((every, "ann".into())));
    let of_shop = handle.take_jobs("shop").unwrap().unwrap().id;
    assert!(of_shop > shop, "the job for each group came as a new one");
    handle.finish_jobs("shop", of_shop, Ok("release 1"), 5).unwrap();
    assert_eq!(handle.job_state(shop).unwrap(), (JobState::Done, Some("release 1".into())));
    assert_eq!(handle.job_state(every).unwrap().0, JobState::Running, "of the other group");
    handle.assign_jobs(&["home", "shop"], 6).unwrap();
    assert_eq!(handle.take_jobs("home").unwrap(), None, "once");
}
