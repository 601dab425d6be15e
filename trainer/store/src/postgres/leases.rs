//! Leases ↔ advisory locks of the session: the server ends them with the connection.

use super::PostgresHandle;
use super::schema::LOCKS;
use crate::error::StoreError;
use crate::traits::{Lease, Leases};

/// First second key of the advisory locks of leases; smaller ones are locks of transactions.
const FIRST_LEASE: i32 = 1_000;

impl Leases for PostgresHandle {
    fn try_lease(&self, lease: Lease) -> Result<bool, StoreError> {
        let key = FIRST_LEASE + lease as i32;
        self.read(|session| {
            // A session may take a lock several times, and would then have to release it as often.
            let text = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() \
                        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                        AND classid = $1::int::oid AND objid = $2::int::oid AND objsubid = 2)";
            if session.query_one(text, &[&LOCKS, &key])?.try_get(0)? {
                return Ok(true);
            }
            Ok(session.query_one("SELECT pg_try_advisory_lock($1, $2)", &[&LOCKS, &key])?.try_get(0)?)
        })
    }

    fn release_lease(&self, lease: Lease) -> Result<(), StoreError> {
        let key = FIRST_LEASE + lease as i32;
        self.read(|session| session.query("SELECT pg_advisory_unlock($1, $2)", &[&LOCKS, &key]).map(drop))
    }
}
