//! Groups of agents, and their counts of feature rows.

use super::PostgresHandle;
use super::fields::searched;
use crate::error::StoreError;
use crate::fields;
use crate::rows::{AgentsOfGroup, GroupRows};
use crate::statements::{ADD_GROUP, AGENTS_BY_GROUP, AGENTS_OF_GROUP, ASSIGN_GROUP, GROUP_ROWS, SET_TRAINED};
use crate::traits::Groups;
use lapwing_fleet::AuditEntry;
use std::collections::BTreeMap;

impl Groups for PostgresHandle {
    fn add_groups(&self, groups: &[&str]) -> Result<(), StoreError> {
        self.write(|session| groups.iter().try_for_each(|group| session.change(&ADD_GROUP, &[group]).map(drop)))
    }

    fn group_rows(&self) -> Result<BTreeMap<String, GroupRows>, StoreError> {
        let rows = self.read(|session| session.rows(&GROUP_ROWS, &[], fields::group_rows))?;
        Ok(rows.into_iter().collect())
    }

    fn set_trained_rows(&self, group: &str, rows: u64) -> Result<(), StoreError> {
        self.write(|session| session.change(&SET_TRAINED, &[&rows.cast_signed(), &group]).map(drop))
    }

    fn agents_of_group(&self, group: &str) -> Result<BTreeMap<i64, String>, StoreError> {
        let agents = self.read(|session| session.rows(&AGENTS_OF_GROUP, &[&searched(group)], fields::pair))?;
        Ok(agents.into_iter().collect())
    }

    fn agents_by_group(&self, limit: u32) -> Result<Vec<AgentsOfGroup>, StoreError> {
        self.read(|session| session.rows(&AGENTS_BY_GROUP, &[&i64::from(limit)], fields::agents_of_group))
    }

    fn assign_group(&self, agent: &str, group: Option<&str>, who: &str, now_s: u64) -> Result<(), StoreError> {
        let values = (group.map(searched), searched(agent));
        let entry = AuditEntry::assigned(agent, group, who, now_s);
        match self.change_and_record(&ASSIGN_GROUP, &[&values.0, &values.1], &entry)? {
            true => Ok(()),
            false => Err(StoreError::no_agent(agent)),
        }
    }
}
