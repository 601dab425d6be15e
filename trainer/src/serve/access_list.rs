//! Revoked identities in the store → the broker's access list, and a command that makes the broker read it.
//!
//! The list changes when an agent is revoked, and when the last certificate of a revoked one ends. The command runs at the
//! start and after each change, and again until it succeeds. The list is written although the command fails or hangs: the
//! broker may read it by other means.

use super::reload::Reload;
use crate::access::{acl, all_identities};
use crate::config::Config;
use crate::replaced_file::replace;
use lapwing_common::clock::{self, Moment};
use lapwing_fleet::IdentityState;
use lapwing_store::StoreHandle;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Interval between two looks at the store.
const INTERVAL: Duration = Duration::from_secs(2);
/// Pause of the command after a failure.
const RETRY: Duration = Duration::from_secs(30);
/// Mode of a new list: the broker's group may read it.
const MODE: u32 = 0o640;

/// The thread that keeps the list. Dropping it ends the thread.
pub(super) struct AccessList {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    problem: Arc<Mutex<Option<String>>>,
}

impl AccessList {
    /// Starts the thread; `None` without a file for the list.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(config: &Config, store: StoreHandle) -> io::Result<Option<Self>> {
        let section = &config.enrolment;
        let Some(path) = section.access_list.clone() else { return Ok(None) };
        let (stop, stopped) = sync_channel(0);
        let problem = Arc::default();
        let worker = Worker {
            path,
            reload: section.reload.clone(),
            trainer: section.broker_user.clone(),
            readers: config.broker.readers.clone(),
            store,
            must_reload: true,
            running: None,
            failure: None,
            problem: Arc::clone(&problem),
        };
        let thread = thread::Builder::new().name("access-list".into()).spawn(move || worker.run(&stopped))?;
        Ok(Some(Self { stop: Some(stop), thread: Some(thread), problem }))
    }

    /// Why the broker may not have the present list.
    pub(super) fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for AccessList {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has logged its problems.
            drop(thread.join());
        }
    }
}

struct Worker {
    path: PathBuf,
    reload: Vec<String>,
    trainer: String,
    readers: Vec<String>,
    store: StoreHandle,
    /// The broker may not have read the list.
    must_reload: bool,
    /// The command, if it runs.
    running: Option<Reload>,
    /// When and why it failed last, until it succeeds.
    failure: Option<(Instant, String)>,
    problem: Arc<Mutex<Option<String>>>,
}

impl Worker {
    fn run(mut self, stopped: &Receiver<()>) {
        loop {
            let result = self.pass(clock::moment());
            self.show(result.err());
            match stopped.recv_timeout(INTERVAL) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Logs a problem when it changes.
    fn show(&self, problem: Option<String>) {
        let mut shown = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        match &problem {
            Some(problem) if shown.as_ref() != Some(problem) => {
                tracing::error!(problem, "the broker's access list is not up to date; retrying");
            }
            None if shown.is_some() => tracing::info!("the broker's access list is up to date again"),
            _ => {}
        }
        *shown = problem;
    }

    fn pass(&mut self, now: Moment) -> Result<(), String> {
        self.write(now.wall_s)?;
        self.reload(now.monotonic);
        self.failure.as_ref().map_or(Ok(()), |(_, problem)| Err(problem.clone()))
    }

    /// Writes the list if it has changed.
    fn write(&mut self, now_s: u64) -> Result<(), String> {
        let revoked = all_identities(&self.store, Some(IdentityState::Revoked))
            .map_err(|error| format!("cannot read the store: {error}"))?;
        let list = acl(&revoked, (&self.trainer, &self.readers), now_s);
        if fs::read(&self.path).ok().as_deref() != Some(list.as_bytes()) {
            replace(&self.path, list.as_bytes(), MODE)
                .map_err(|error| format!("cannot write {}: {error}", self.path.display()))?;
            tracing::info!(file = %self.path.display(), revoked = revoked.len(), "access list written");
            self.must_reload = true;
        }
        Ok(())
    }

    /// Starts the command if it is due, and takes its result; a slow one runs on.
    fn reload(&mut self, now: Instant) {
        let is_pausing = self.failure.as_ref().is_some_and(|(at, _)| now < *at + RETRY);
        let command = self.reload.split_first().filter(|_| self.must_reload && self.running.is_none() && !is_pausing);
        if let Some((program, arguments)) = command {
            match Reload::start(program, arguments, now) {
                Ok(started) => (self.running, self.must_reload) = (Some(started), false),
                Err(problem) => self.failure = Some((now, problem)),
            }
        }
        match self.running.as_mut().and_then(|running| running.result(INTERVAL)) {
            None => return,
            Some(Ok(())) => self.failure = None,
            Some(Err(problem)) => (self.failure, self.must_reload) = (Some((now, problem)), true),
        }
        self.running = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_fleet::{Claim, TokenTerms};
    use lapwing_shared::release::name::parse_name;
    use lapwing_store::testing::Folder;
    use lapwing_store::{Limits, Store};
    use std::os::unix::fs::PermissionsExt;

    const NOW_S: u64 = 1_000;

    /// This long after the start.
    fn at(start: Instant, seconds: u64) -> Moment {
        Moment { wall_s: NOW_S + seconds, monotonic: start + Duration::from_secs(seconds) }
    }

    fn worker(folder: &Folder, reload: &[&str]) -> Worker {
        Worker {
            path: folder.path().join("list"),
            reload: reload.iter().map(|part| (*part).to_owned()).collect(),
            trainer: "_trainer".into(),
            readers: Vec::new(),
            store: Store::open(folder.store(), Limits::default()).unwrap().handle().unwrap(),
            must_reload: true,
            running: None,
            failure: None,
            problem: Arc::default(),
        }
    }

    fn enrol(store: &StoreHandle, name: &str) {
        let terms = TokenTerms {
            group: "home".into(),
            name: None,
            uses: 1,
            until_s: NOW_S + 60,
            must_be_accepted: false,
            replaces: false,
            who: "eve".into(),
        };
        let token = store.add_token(&[1; 16], &terms, NOW_S).unwrap();
        let claim = Claim { token: Some(token), name: parse_name(name).unwrap(), fingerprint: [1; 32] };
        store.enrol(&claim, 600, NOW_S).unwrap();
    }

    #[test]
    fn the_list_follows_revocations_and_the_ends_of_certificates_with_one_reload_each() {
        let folder = Folder::new();
        let log = folder.path().join("reloads");
        let command = format!("echo x >> {}", log.display());
        let mut worker = worker(&folder, &["sh", "-c", &command]);
        let start = clock::monotonic();
        let state = |worker: &Worker| {
            let list = fs::read_to_string(&worker.path).unwrap();
            (list.contains("user attic\ntopic deny #"), fs::read_to_string(&log).unwrap().lines().count())
        };
        worker.pass(at(start, 0)).unwrap();
        assert_eq!(state(&worker), (false, 1), "also at the start");
        enrol(&worker.store, "attic");
        worker.pass(at(start, 0)).unwrap();
        assert_eq!(state(&worker), (false, 1));
        let attic = worker.store.identity("attic").unwrap();
        worker.store.set_identity_state(&attic, IdentityState::Revoked, "eve", NOW_S).unwrap();
        for _ in 0..2 {
            worker.pass(at(start, 0)).unwrap();
            assert_eq!(state(&worker), (true, 2));
        }
        worker.pass(at(start, 600)).unwrap();
        assert_eq!(state(&worker), (false, 3), "its last certificate has ended");
        assert_eq!(fs::metadata(&worker.path).unwrap().permissions().mode() & 0o777, MODE & !0o022);
    }

    #[test]
    fn a_failed_reload_is_shown_and_repeated_after_30_s() {
        let folder = Folder::new();
        let (mut worker, start) = (worker(&folder, &["false"]), clock::monotonic());
        for _ in 0..2 {
            let error = worker.pass(at(start, 0)).unwrap_err();
            assert_eq!(error, "`false`: exit status: 1");
            worker.show(Some(error));
        }
        assert!(worker.problem.lock().unwrap().is_some());
        worker.reload = vec!["true".into()];
        assert!(worker.pass(at(start, 29)).is_err(), "not yet");
        worker.pass(at(start, 30)).unwrap();
        worker.show(None);
        assert_eq!(*worker.problem.lock().unwrap(), None);
        worker.reload = vec!["/nonexistent/program".into()];
        worker.must_reload = true;
        assert!(worker.pass(at(start, 30)).unwrap_err().contains("/nonexistent/program"));
        worker.path = "/nonexistent/list".into();
        assert!(worker.pass(at(start, 30)).unwrap_err().contains("cannot write /nonexistent/list"));
    }

    #[test]
    fn a_revocation_is_written_although_the_command_fails_or_runs() {
        for command in [&["false"][..], &["sleep", "60"]] {
            let folder = Folder::new();
            let (mut worker, start) = (worker(&folder, command), clock::monotonic());
            drop(worker.pass(at(start, 0)));
            enrol(&worker.store, "attic");
            let attic = worker.store.identity("attic").unwrap();
            worker.store.set_identity_state(&attic, IdentityState::Revoked, "eve", NOW_S).unwrap();
            drop(worker.pass(at(start, 2)));
            assert!(fs::read_to_string(&worker.path).unwrap().contains("user attic\ntopic deny #"), "{command:?}");
            assert!(worker.must_reload, "the command runs again");
        }
    }
}
