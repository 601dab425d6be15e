//! Groups of agents and their feature rows.

use crate::error::StoreError;
use crate::rows::{AgentsOfGroup, GroupRows};
use std::collections::BTreeMap;

/// Groups of agents. An agent's group is the one that an operator assigned, otherwise the one that its status reports.
pub trait Groups {
    /// Starts to count the feature rows of these groups, with those that their agents have sent so far. Groups that are
    /// counted keep their numbers.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn add_groups(&self, groups: &[&str]) -> Result<(), StoreError>;

    /// Feature rows of every group that is counted.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn group_rows(&self) -> Result<BTreeMap<String, GroupRows>, StoreError>;

    /// Sets [`GroupRows::trained`] of a group.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn set_trained_rows(&self, group: &str, rows: u64) -> Result<(), StoreError>;

    /// Numbers and names of a group's agents.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn agents_of_group(&self, group: &str) -> Result<BTreeMap<i64, String>, StoreError>;

    /// At most `limit` groups with agents, served or not, those with most agents first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn agents_by_group(&self, limit: u32) -> Result<Vec<AgentsOfGroup>, StoreError>;

    /// Assigns an agent to a group, whatever its status reports; `None` ends the assignment.
    ///
    /// # Errors
    /// When there is no such agent, or the store cannot be written.
    fn assign_group(&self, agent: &str, group: Option<&str>, who: &str, now_s: u64) -> Result<(), StoreError>;
}
