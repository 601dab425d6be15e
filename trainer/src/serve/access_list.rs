//! Revoked identities in the store → the broker's access list, and a command that makes the broker read it.
//!
//! The list changes when an agent is revoked, and when the last certificate of a revoked one ends. The command runs at the
//! start and after each change, and again until it succeeds.

use crate::access::{acl, all_identities};
use crate::config::Config;
use crate::replaced_file::replace;
use lapwing_common::clock;
use lapwing_fleet::IdentityState;
use lapwing_store::StoreHandle;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Interval between two looks at the store.
const INTERVAL: Duration = Duration::from_secs(2);
/// Interval after a failure.
const RETRY: Duration = Duration::from_secs(30);
/// Time for the command.
const COMMAND_TIME: Duration = Duration::from_secs(30);
/// Interval between two looks whether the command has ended.
const COMMAND_LOOK: Duration = Duration::from_millis(20);
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
    problem: Arc<Mutex<Option<String>>>,
}

impl Worker {
    fn run(mut self, stopped: &Receiver<()>) {
        loop {
            let result = self.pass(clock::now_s());
            let failed = result.is_err();
            self.show(result.err());
            match stopped.recv_timeout(if failed { RETRY } else { INTERVAL }) {
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
                tracing::error!(problem, "the broker's access list is not up to date; retrying every 30 s");
            }
            None if shown.is_some() => tracing::info!("the broker's access list is up to date again"),
            _ => {}
        }
        *shown = problem;
    }

    fn pass(&mut self, now_s: u64) -> Result<(), String> {
        let revoked = all_identities(&self.store, Some(IdentityState::Revoked))
            .map_err(|error| format!("cannot read the store: {error}"))?;
        let list = acl(&revoked, (&self.trainer, &self.readers), now_s);
        if fs::read(&self.path).ok().as_deref() != Some(list.as_bytes()) {
            replace(&self.path, list.as_bytes(), MODE)
                .map_err(|error| format!("cannot write {}: {error}", self.path.display()))?;
            tracing::info!(file = %self.path.display(), revoked = revoked.len(), "access list written");
            self.must_reload = true;
        }
        if self.must_reload {
            reload(&self.reload)?;
            self.must_reload = false;
        }
        Ok(())
    }
}

/// Runs the command, without a shell.
fn reload(command: &[String]) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let failed = |reason: &dyn std::fmt::Display| format!("`{}`: {reason}", command.join(" "));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| failed(&error))?;
    let deadline = clock::after(COMMAND_TIME);
    while clock::monotonic() < deadline {
        match child.try_wait().map_err(|error| failed(&error))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(failed(&status)),
            None => thread::sleep(COMMAND_LOOK),
        }
    }
    drop(child.kill());
    drop(child.wait());
    Err(failed(&format_args!("no end within {} s", COMMAND_TIME.as_secs())))
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

    fn worker(folder: &Folder, reload: &[&str]) -> Worker {
        Worker {
            path: folder.path().join("list"),
            reload: reload.iter().map(|part| (*part).to_owned()).collect(),
            trainer: "_trainer".into(),
            readers: Vec::new(),
            store: Store::open(folder.store(), Limits::default()).unwrap().handle().unwrap(),
            must_reload: true,
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
        let state = |worker: &Worker| {
            let list = fs::read_to_string(&worker.path).unwrap();
            (list.contains("user attic\ntopic deny #"), fs::read_to_string(&log).unwrap().lines().count())
        };
        worker.pass(NOW_S).unwrap();
        assert_eq!(state(&worker), (false, 1), "also at the start");
        enrol(&worker.store, "attic");
        worker.pass(NOW_S).unwrap();
        assert_eq!(state(&worker), (false, 1));
        let attic = worker.store.identity("attic").unwrap();
        worker.store.set_identity_state(&attic, IdentityState::Revoked, "eve", NOW_S).unwrap();
        for _ in 0..2 {
            worker.pass(NOW_S).unwrap();
            assert_eq!(state(&worker), (true, 2));
        }
        worker.pass(NOW_S + 600).unwrap();
        assert_eq!(state(&worker), (false, 3), "its last certificate has ended");
        assert_eq!(fs::metadata(&worker.path).unwrap().permissions().mode() & 0o777, MODE & !0o022);
    }

    #[test]
    fn a_failed_reload_is_shown_and_repeated() {
        let folder = Folder::new();
        let mut worker = worker(&folder, &["false"]);
        for _ in 0..2 {
            let error = worker.pass(NOW_S).unwrap_err();
            assert_eq!(error, "`false`: exit status: 1");
            worker.show(Some(error));
        }
        assert!(worker.problem.lock().unwrap().is_some());
        worker.reload = vec!["true".into()];
        worker.pass(NOW_S).unwrap();
        worker.show(None);
        assert_eq!(*worker.problem.lock().unwrap(), None);
        worker.reload = vec!["/nonexistent/program".into()];
        worker.must_reload = true;
        assert!(worker.pass(NOW_S).unwrap_err().contains("/nonexistent/program"));
        worker.path = "/nonexistent/list".into();
        assert!(worker.pass(NOW_S).unwrap_err().contains("cannot write /nonexistent/list"));
    }
}
