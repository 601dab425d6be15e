//! Attempts to sign in → whether another one is allowed, and whether a failure is recorded.

use crate::addresses::network;
use lapwing_people::Throttle;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Failures that the audit log gets in a window, of all names and addresses: it has a limited number of entries.
const RECORDED: u32 = 50;

/// Counts attempts by name and by address. Each process counts its own.
pub(crate) struct Attempts {
    tables: Mutex<Tables>,
}

struct Tables {
    names: Throttle<String>,
    addresses: Throttle<IpAddr>,
    recorded: Throttle<()>,
}

impl Default for Attempts {
    fn default() -> Self {
        let (names, addresses, recorded) = (Throttle::default(), Throttle::default(), Throttle::with_limit(RECORDED));
        Self { tables: Mutex::new(Tables { names, addresses, recorded }) }
    }
}

impl Attempts {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an attempt before it is made.
    ///
    /// # Errors
    /// Seconds to wait.
    pub(crate) fn attempt(&self, name: &str, address: IpAddr, now_s: u64) -> Result<(), u64> {
        let mut tables = self.tables();
        tables.addresses.attempt(&network(address), now_s)?;
        tables.names.attempt(&name.to_owned(), now_s)
    }

    /// Forgets the attempts of a name whose password was right, and takes back the one of the address. Its failures stay:
    /// whoever has one password could try others.
    pub(crate) fn succeeded(&self, name: &str, address: IpAddr) {
        let mut tables = self.tables();
        tables.addresses.give_back(&network(address));
        tables.names.clear(&name.to_owned());
    }

    /// Forgets the attempts of a name, whose password was replaced.
    pub(crate) fn forget(&self, name: &str) {
        self.tables().names.clear(&name.to_owned());
    }

    /// Whether the audit log gets another failure.
    pub(crate) fn is_recorded(&self, now_s: u64) -> bool {
        self.tables().recorded.attempt(&(), now_s).is_ok()
    }
}
