//! Leases ↔ advisory locks of the session: the server ends them with the connection.

use super::PostgresHandle;
use super::schema::LOCKS;
use crate::error::StoreError;
use crate::traits::Leases;

/// First key of the advisory locks of leases; the second one is a hash of the name.
const LEASES: i32 = LOCKS + 1;

impl Leases for PostgresHandle {
    fn try_lease(&self, name: &str) -> Result<bool, StoreError> {
        self.read(|session| {
            // A session may take a lock several times, and would then have to release it as often.
            let text = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() \
                        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                        AND classid = $1::int::oid AND objid = hashtext($2)::oid AND objsubid = 2 AND granted)";
            if session.query_one(text, &[&LEASES, &name])?.try_get(0)? {
                return Ok(true);
            }
            Ok(session.query_one("SELECT pg_try_advisory_lock($1, hashtext($2))", &[&LEASES, &name])?.try_get(0)?)
        })
    }

    fn release_lease(&self, name: &str) -> Result<(), StoreError> {
        self.read(|session| session.query("SELECT pg_advisory_unlock($1, hashtext($2))", &[&LEASES, &name]).map(drop))
    }
}
