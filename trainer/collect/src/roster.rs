//! The store's identities in memory, for brokers and collectors, which ask for each connection and message.
//!
//! A thread reads what has changed in the store each second, so a decision of any process is known to all within
//! [`REFRESH`]. While the store cannot be read, the roster keeps what it knows.

use crate::CollectError;
use crate::counts::Counts;
use lapwing_fleet::{Identity, IdentityState};
use lapwing_shared::messages::sealed::SealSecret;
use lapwing_shared::release::manifest::Digest;
use lapwing_store::{StoreError, StoreHandle};
use std::collections::HashMap;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::watch;

/// Interval between two readings of the store.
pub const REFRESH: Duration = Duration::from_secs(1);
/// Identities in memory, at most; about 150 bytes each. Further ones count as not enrolled, and are logged.
pub const IDENTITIES: usize = 200_000;
/// Rows of one query.
const PAGE_ROWS: u32 = 1_000;
/// Log every 60th failed reading.
const LOG_EVERY_FAILURES: u64 = 60;

/// An enrolled agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Number of its identity.
    pub id: u32,
    /// State.
    pub state: IdentityState,
    /// SHA-256 of its public key.
    pub fingerprint: Digest,
    /// Certificates issued.
    pub issued: u32,
    /// End of the present certificate, seconds since the epoch; 0 without one.
    pub until_s: u64,
}

/// Identities by name.
pub struct Roster {
    state: RwLock<State>,
    /// Wakes those who wait for a change.
    changed: watch::Sender<()>,
    /// Secrets of which the agents' seal keys are derived.
    secrets: RwLock<Arc<[SealSecret]>>,
}

#[derive(Default)]
struct State {
    by_name: HashMap<String, Enrolled>,
    /// Names by the number of the identity: an identity without a certificate can be renamed.
    names: HashMap<u32, String>,
    /// Revision of the newest change that was read.
    revision: u64,
}

impl Default for Roster {
    fn default() -> Self {
        Self { state: RwLock::default(), changed: watch::channel(()).0, secrets: RwLock::default() }
    }
}

impl Roster {
    /// The enrolled agent with this name; `None`: not enrolled, e.g. an agent with a password.
    pub fn enrolled(&self, name: &str) -> Option<Enrolled> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).by_name.get(name).copied()
    }

    /// True for an enrolled agent that was revoked.
    pub fn is_revoked(&self, name: &str) -> bool {
        self.enrolled(name).is_some_and(|agent| agent.state == IdentityState::Revoked)
    }

    /// Secrets of which the agents' seal keys are derived, the present one first.
    pub(crate) fn seal_secrets(&self) -> Arc<[SealSecret]> {
        Arc::clone(&self.secrets.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reports each refresh that found a change.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Number of agents that were enrolled.
    pub fn count(&self) -> usize {
        self.state.read().unwrap_or_else(PoisonError::into_inner).by_name.len()
    }

    /// Reads what has changed in the store since the last call.
    ///
    /// # Errors
    /// When the store cannot be read. What was read before the error is kept.
    pub fn refresh(&self, store: &StoreHandle) -> Result<(), StoreError> {
        // First, because an agent gets its certificate after the first secret is stored.
        let secrets = store.seal_secrets()?;
        if *secrets != *self.seal_secrets() {
            *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = secrets.into();
        }
        self.refresh_from(|revision| store.changed_identities(revision, PAGE_ROWS), IDENTITIES)
    }

    fn refresh_from(
        &self,
        mut read: impl FnMut(u64) -> Result<Vec<(u64, Identity)>, StoreError>,
        limit: usize,
    ) -> Result<(), StoreError> {
        let mut revision = self.state.read().unwrap_or_else(PoisonError::into_inner).revision;
        loop {
            let rows = read(revision)?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            revision = *last;
            let left_out = self.state.write().unwrap_or_else(PoisonError::into_inner).apply(rows, limit);
            if left_out > 0 {
                tracing::error!(
                    left_out,
                    limit,
                    "more identities than the roster can hold; these count as not enrolled"
                );
            }
            self.changed.send_replace(());
        }
    }
}

impl State {
    /// Takes changes over; returns the number of those without room.
    fn apply(&mut self, rows: Vec<(u64, Identity)>, limit: usize) -> usize {
        let mut left_out = 0;
        for (revision, identity) in rows {
            self.revision = self.revision.max(revision);
            let Identity { id, name, state, fingerprint, issued, until_s, .. } = identity;
            if let Some(earlier) = self.names.remove(&id)
                && self.by_name.get(&earlier).is_some_and(|agent| agent.id == id)
            {
                self.by_name.remove(&earlier);
            }
            if self.by_name.len() >= limit {
                left_out += 1;
                continue;
            }
            self.names.insert(id, name.clone());
            self.by_name.insert(name, Enrolled { id, state, fingerprint, issued, until_s });
        }
        left_out
    }
}

/// The thread that keeps a roster up to date; it ends when this is dropped.
pub struct RosterWatch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl RosterWatch {
    /// Reads all identities, then starts the thread.
    ///
    /// # Errors
    /// When the store cannot be read, or the thread cannot be started.
    pub fn start(roster: &Arc<Roster>, store: StoreHandle, counts: Arc<Counts>) -> Result<Self, CollectError> {
        roster.refresh(&store)?;
        let (stop, stopped) = channel();
        let roster = Arc::clone(roster);
        let mut failures = 0;
        let run = move || {
            while matches!(stopped.recv_timeout(REFRESH), Err(RecvTimeoutError::Timeout)) {
                let Err(error) = roster.refresh(&store) else {
                    failures = 0;
                    continue;
                };
                counts.roster_failures.add(1);
                if failures % LOG_EVERY_FAILURES == 0 {
                    tracing::warn!(%error, "cannot read the identities; the last known ones remain in use");
                }
                failures += 1;
            }
        };
        let thread = thread::Builder::new().name("roster".into()).spawn(run);
        thread.map(|thread| Self { stop: Some(stop), thread: Some(thread) }).map_err(|_| CollectError::Thread("roster"))
    }
}

impl Drop for RosterWatch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_common::clock;
    use lapwing_fleet::{Claim, TokenTerms};
    use lapwing_shared::release::name::parse_name;
    use lapwing_store::testing::Folder;
    use lapwing_store::{Limits, Store};

    fn identity(id: u32, name: &str, state: IdentityState) -> Identity {
        Identity {
            id,
            name: name.into(),
            fingerprint: [id as u8; 32],
            group: "home".into(),
            state,
            issued: 2,
            until_s: 9,
            enrolled_s: 1,
            who: "ann".into(),
        }
    }

    fn read(roster: &Roster, pages: Vec<Vec<(u64, Identity)>>, limit: usize) {
        let mut pages = pages.into_iter();
        roster.refresh_from(|_| Ok(pages.next().unwrap_or_default()), limit).unwrap();
    }

    #[test]
    fn a_change_replaces_what_was_known_and_a_renamed_agent_has_its_new_name_only() {
        let roster = Roster::default();
        let changes = roster.changes();
        let accepted = |id, name| identity(id, name, IdentityState::Accepted);
        read(&roster, vec![vec![(1, accepted(1, "a"))], vec![(2, accepted(2, "b"))]], 9);
        assert!(changes.has_changed().unwrap());
        assert_eq!((roster.count(), roster.enrolled("a").map(|agent| agent.issued)), (2, Some(2)));
        assert_eq!((roster.enrolled("c"), roster.is_revoked("c")), (None, false));
        // `a` becomes `c`, then `b` becomes `a`.
        read(&roster, vec![vec![(3, accepted(1, "c")), (4, identity(2, "a", IdentityState::Revoked))]], 9);
        assert!(roster.is_revoked("a") && !roster.is_revoked("c") && roster.enrolled("b").is_none());
        assert_eq!((roster.enrolled("c").map(|agent| agent.id), roster.count()), (Some(1), 2));
    }

    #[test]
    fn the_number_of_identities_is_limited_and_changes_of_known_ones_still_apply() {
        let roster = Roster::default();
        let rows = (1..=5).map(|id| (id.into(), identity(id, &id.to_string(), IdentityState::Accepted))).collect();
        read(&roster, vec![rows], 3);
        read(&roster, vec![vec![(6, identity(2, "2", IdentityState::Revoked))]], 3);
        assert_eq!((roster.count(), roster.is_revoked("2"), roster.enrolled("4")), (3, true, None));
    }

    #[test]
    fn a_revocation_in_the_store_reaches_the_roster_within_its_interval() {
        let folder = Folder::new();
        let store = Store::open(folder.store(), Limits::default()).unwrap();
        let handle = store.handle().unwrap();
        let terms = TokenTerms {
            group: "home".into(),
            name: None,
            uses: 1,
            until_s: 100,
            must_be_accepted: false,
            replaces: false,
            who: "ann".into(),
        };
        let token = handle.add_token(&[5; 16], &terms, 1).unwrap();
        let claim = Claim { token: Some(token), name: parse_name("attic").unwrap(), fingerprint: [7; 32] };
        handle.enrol(&claim, 50, 1).unwrap();
        let roster = Arc::new(Roster::default());
        let watch = RosterWatch::start(&roster, store.handle().unwrap(), Arc::default()).unwrap();
        let known = roster.enrolled("attic").unwrap();
        assert_eq!((known.state, known.until_s, known.fingerprint), (IdentityState::Accepted, 51, [7; 32]));
        handle.set_identity_state(&handle.identity("attic").unwrap(), IdentityState::Revoked, "ann", 2).unwrap();
        let deadline = clock::after(Duration::from_secs(20));
        while !roster.is_revoked("attic") {
            assert!(clock::monotonic() < deadline);
            thread::yield_now();
        }
        drop(watch);
    }
}
