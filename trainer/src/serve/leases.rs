//! Work that one process of a fleet does at a time → which of it this process may do now.
//!
//! Each pass takes or keeps the leases. Their holder may change between two passes, so work begins anew with what is in the
//! store whenever a lease is gained, and is abandoned when it is lost.

use super::roles::{Role, Roles};
use lapwing_fleet::{GroupProblem, LeaseState, ProcessState};
use lapwing_store::{StoreError, StoreHandle};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Grants leases.
pub(crate) trait LeaseSource {
    /// Takes a lease, or keeps it; false while another process holds it.
    ///
    /// # Errors
    /// When the store cannot be asked; then no lease is held.
    fn try_lease(&mut self, name: &'static str) -> Result<bool, StoreError>;
}

/// A connection of its own, whose end ends the leases.
impl LeaseSource for StoreHandle {
    fn try_lease(&mut self, name: &'static str) -> Result<bool, StoreError> {
        (**self).try_lease(name)
    }
}

/// Change of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Gained,
    Held,
    Lost,
    /// Another process holds it.
    Elsewhere,
}

/// The roles of a process, and the leases that it holds; other threads read them.
pub(crate) struct Leases {
    source: Box<dyn LeaseSource>,
    state: Arc<Mutex<ProcessState>>,
    /// Leases for which the store could not be asked at the last attempt.
    failing: BTreeSet<&'static str>,
}

impl Leases {
    /// Of a process with these roles, which holds no lease yet.
    pub(crate) fn new(source: Box<dyn LeaseSource>, roles: &Roles) -> Self {
        let names = [Role::Train, Role::Publish].into_iter().filter(|role| roles.has(*role));
        let leases = names.map(|role| LeaseState { name: role.as_str(), is_held: false, failures: 0 }).collect();
        let roles = roles.iter().map(Role::as_str).collect();
        let state = ProcessState { roles, leases, problems: Vec::new() };
        Self { source, state: Arc::new(Mutex::new(state)), failing: BTreeSet::new() }
    }

    /// Replaces what keeps the process from its work.
    pub(super) fn set_problems(&self, problems: Vec<GroupProblem>) {
        self.locked().problems = problems;
    }

    fn locked(&self) -> MutexGuard<'_, ProcessState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For threads that show it.
    pub(crate) fn state(&self) -> Arc<Mutex<ProcessState>> {
        Arc::clone(&self.state)
    }

    /// True if the process has a role that needs a lease.
    pub(super) fn has(&self, role: Role) -> bool {
        self.lease(role).is_some()
    }

    /// True while it holds the lease of a role.
    pub(super) fn is_held(&self, role: Role) -> bool {
        self.lease(role).is_some_and(|lease| lease.is_held)
    }

    fn lease(&self, role: Role) -> Option<LeaseState> {
        self.locked().leases.iter().find(|lease| lease.name == role.as_str()).copied()
    }

    /// Takes or keeps the lease of a role.
    ///
    /// # Errors
    /// When the store cannot be asked for a reason that does not pass; otherwise, the lease counts as lost.
    pub(super) fn pass(&mut self, role: Role) -> Result<Change, StoreError> {
        let name = role.as_str();
        let (is_held, has_failed) = match self.source.try_lease(name) {
            Err(error) if error.is_temporary() => {
                if self.failing.insert(name) {
                    tracing::warn!(lease = name, %error, "cannot ask the store for a lease; retrying twice a second");
                }
                (false, true)
            }
            result => (result?, false),
        };
        if !has_failed && self.failing.remove(name) {
            tracing::info!(lease = name, "the store can be asked for leases again");
        }
        let mut state = self.locked();
        let Some(lease) = state.leases.iter_mut().find(|lease| lease.name == name) else {
            return Ok(Change::Elsewhere);
        };
        lease.failures += u64::from(has_failed);
        let was_held = std::mem::replace(&mut lease.is_held, is_held);
        Ok(match (was_held, is_held) {
            (false, true) => Change::Gained,
            (true, true) => Change::Held,
            (true, false) => Change::Lost,
            (false, false) => Change::Elsewhere,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Leases of several processes in memory: each has one holder, or none.
    #[derive(Clone, Default)]
    pub(crate) struct Shared(pub(crate) Arc<Mutex<BTreeMap<&'static str, u32>>>);

    /// One process.
    pub(crate) struct Process(pub(crate) Shared, pub(crate) u32);

    impl LeaseSource for Process {
        fn try_lease(&mut self, name: &'static str) -> Result<bool, StoreError> {
            Ok(*self.0.0.lock().unwrap().entry(name).or_insert(self.1) == self.1)
        }
    }

    #[test]
    fn a_lease_is_held_by_one_process_until_it_is_lost() {
        let shared = Shared::default();
        let roles = Roles::new(&[Role::Train]);
        let process = |number| Leases::new(Box::new(Process(shared.clone(), number)), &roles);
        let (mut first, mut second) = (process(1), process(2));
        assert_eq!(first.pass(Role::Train).unwrap(), Change::Gained);
        assert_eq!(second.pass(Role::Train).unwrap(), Change::Elsewhere);
        assert_eq!(first.pass(Role::Train).unwrap(), Change::Held);
        shared.0.lock().unwrap().insert("train", 2);
        assert_eq!(
            (first.pass(Role::Train).unwrap(), second.pass(Role::Train).unwrap()),
            (Change::Lost, Change::Gained)
        );
        let state = second.state().lock().unwrap().clone();
        assert_eq!(state.roles, ["train"]);
        assert_eq!(state.leases, [LeaseState { name: "train", is_held: true, failures: 0 }]);
    }

    /// A store that is away until it is not.
    struct Away(Arc<Mutex<bool>>);

    impl LeaseSource for Away {
        fn try_lease(&mut self, _: &'static str) -> Result<bool, StoreError> {
            let reason = "connection refused".into();
            let error = StoreError::Connect { store: "postgres://hub/fleet".into(), reason, is_temporary: true };
            if *self.0.lock().unwrap() { Err(error) } else { Ok(true) }
        }
    }

    #[test]
    fn failures_are_counted_and_only_the_first_is_logged() {
        let is_away = Arc::new(Mutex::new(false));
        let mut leases = Leases::new(Box::new(Away(Arc::clone(&is_away))), &Roles::new(&[Role::Train]));
        assert_eq!(leases.pass(Role::Train).unwrap(), Change::Gained);
        *is_away.lock().unwrap() = true;
        assert_eq!(leases.pass(Role::Train).unwrap(), Change::Lost);
        assert_eq!(leases.pass(Role::Train).unwrap(), Change::Elsewhere);
        assert_eq!(leases.failing, ["train"].into());
        *is_away.lock().unwrap() = false;
        assert_eq!(leases.pass(Role::Train).unwrap(), Change::Gained);
        assert_eq!(leases.failing, BTreeSet::new());
        assert_eq!(leases.state().lock().unwrap().leases[0].failures, 2);
    }
}
