//! Groups of agents, and their counts of feature rows.

use super::SqliteHandle;
use crate::error::StoreError;
use crate::fields;
use crate::rows::{AgentsOfGroup, GroupRows};
use crate::statements::{
    ADD_GROUP, AGENTS_BY_GROUP, AGENTS_OF_GROUP, ASSIGN_GROUP, COUNT_ROWS, GROUP_ROWS, SET_TRAINED,
};
use crate::traits::Groups;
use lapwing_fleet::AuditEntry;
use rusqlite::Connection;
use std::collections::BTreeMap;

impl Groups for SqliteHandle {
    fn add_groups(&self, groups: &[&str]) -> Result<(), StoreError> {
        groups.iter().try_for_each(|group| self.execute(&ADD_GROUP, [group]).map(drop)).map_err(self.sql())
    }

    fn group_rows(&self) -> Result<BTreeMap<String, GroupRows>, StoreError> {
        self.rows(&GROUP_ROWS, [], |row| fields::group_rows(row))
            .map(|rows| rows.into_iter().collect())
            .map_err(self.sql())
    }

    fn set_trained_rows(&self, group: &str, rows: u64) -> Result<(), StoreError> {
        self.execute(&SET_TRAINED, (rows.cast_signed(), group)).map(drop).map_err(self.sql())
    }

    fn agents_of_group(&self, group: &str) -> Result<BTreeMap<i64, String>, StoreError> {
        let agents = self.rows(&AGENTS_OF_GROUP, [group], |row| fields::pair(row));
        agents.map(|agents| agents.into_iter().collect()).map_err(self.sql())
    }

    fn agents_by_group(&self, limit: u32) -> Result<Vec<AgentsOfGroup>, StoreError> {
        self.rows(&AGENTS_BY_GROUP, [limit], |row| fields::agents_of_group(row)).map_err(self.sql())
    }

    fn assign_group(&self, agent: &str, group: Option<&str>, who: &str, now_s: u64) -> Result<(), StoreError> {
        let entry = AuditEntry::assigned(agent, group, who, now_s);
        match self.change_and_record(&ASSIGN_GROUP, (group, agent), &entry)? {
            true => Ok(()),
            false => Err(StoreError::no_agent(agent)),
        }
    }
}

/// Counts new feature rows of an agent for its group, if a trainer serves this group.
pub(super) fn count_rows(connection: &Connection, agent: i64, rows: u64) -> rusqlite::Result<()> {
    if rows == 0 {
        return Ok(());
    }
    connection.prepare_cached(&COUNT_ROWS)?.execute((rows.cast_signed(), agent)).map(drop)
}
