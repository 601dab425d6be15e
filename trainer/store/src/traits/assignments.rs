//! What single agents are assigned.

use crate::error::StoreError;
use lapwing_fleet::{AssignmentChange, StoredAssignment};

/// Assignments of agents, at most 10,000, with a record of each change in the audit log.
pub trait Assignments {
    /// Changes the assignment of an agent at `now_s`, which reports the serial `reported`; `None` if nothing changes.
    ///
    /// # Errors
    /// When no agent has this name, too many agents have an assignment, or the store cannot be written.
    fn assign(
        &self,
        name: &str,
        change: AssignmentChange,
        reported: u64,
        who: &str,
        now_s: u64,
    ) -> Result<Option<StoredAssignment>, StoreError>;

    /// The assignment of an agent.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn assignment(&self, name: &str) -> Result<Option<StoredAssignment>, StoreError>;

    /// At most `limit` assignments after a serial, ascending. A change has a higher serial than every one before it.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn assignments(&self, after: u64, limit: u32) -> Result<Vec<StoredAssignment>, StoreError>;
}
