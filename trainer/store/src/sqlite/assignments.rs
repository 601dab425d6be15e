//! Assignments of agents.

use super::SqliteHandle;
use super::campaigns::Changes;
use crate::assignment_rows::{after_serial, assign, assigned, assignment, by_name};
use crate::error::StoreError;
use crate::traits::Assignments;
use lapwing_fleet::{AssignmentChange, StoredAssignment};

impl Assignments for SqliteHandle {
    fn assign(
        &self,
        name: &str,
        change: AssignmentChange,
        reported: u64,
        who: &str,
        now_s: u64,
    ) -> Result<Option<StoredAssignment>, StoreError> {
        let done = self.write(|connection| assign(&mut Changes(connection), name, change, reported, (who, now_s)))?;
        assigned(done, name)
    }

    fn assignment(&self, name: &str) -> Result<Option<StoredAssignment>, StoreError> {
        self.row(&by_name(), [name], |row| assignment(row)).map_err(self.sql())
    }

    fn assignments(&self, after: u64, limit: u32) -> Result<Vec<StoredAssignment>, StoreError> {
        self.rows(&after_serial(), (after.cast_signed(), limit), |row| assignment(row)).map_err(self.sql())
    }
}
