//! Assignments of agents.

use super::PostgresHandle;
use super::fields::searched;
use super::schema::Lock;
use crate::assignment_rows::{after_serial, assign, assigned, assignment, by_name};
use crate::error::StoreError;
use crate::traits::Assignments;
use lapwing_fleet::{AssignmentChange, StoredAssignment};

impl Assignments for PostgresHandle {
    fn assign(
        &self,
        name: &str,
        change: AssignmentChange,
        reported: u64,
        who: &str,
        now_s: u64,
    ) -> Result<Option<StoredAssignment>, StoreError> {
        let done = self.write(|session| {
            // So that readers find serials in the order of their commits.
            session.lock(Lock::Campaigns)?;
            assign(session, name, change, reported, (who, now_s))
        })?;
        assigned(done, name)
    }

    fn assignment(&self, name: &str) -> Result<Option<StoredAssignment>, StoreError> {
        self.read(|session| session.row(&by_name(), &[&searched(name)], assignment))
    }

    fn assignments(&self, after: u64, limit: u32) -> Result<Vec<StoredAssignment>, StoreError> {
        self.read(|session| session.rows(&after_serial(), &[&after.cast_signed(), &i64::from(limit)], assignment))
    }
}
