//! Groups of agents, and their counts of feature rows.

use super::SqliteHandle;
use crate::error::StoreError;
use crate::received::reported_group;
use crate::rows::{AgentsOfGroup, GroupRows};
use crate::traits::Groups;
use rusqlite::{Connection, Row};
use std::collections::BTreeMap;

/// The group of an agent; must equal the expression of the index `agents_by_group`.
const GROUP: &str = "coalesce(assigned_group, reported_group)";

impl Groups for SqliteHandle {
    fn add_groups(&self, groups: &[&str]) -> Result<(), StoreError> {
        let text = format!(
            "INSERT INTO group_rows (group_name, stored, trained) \
             SELECT ?1, coalesce(sum(sample_rows), 0), 0 FROM agents WHERE {GROUP} = ?1 \
             ON CONFLICT (group_name) DO NOTHING"
        );
        let add = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare_cached(&text)?;
            groups.iter().try_for_each(|group| statement.execute([group]).map(drop))
        };
        add().map_err(self.sql())
    }

    fn group_rows(&self) -> Result<BTreeMap<String, GroupRows>, StoreError> {
        let rows = |row: &Row<'_>| {
            let (stored, trained) = (row.get::<_, i64>(1)?.cast_unsigned(), row.get::<_, i64>(2)?.cast_unsigned());
            Ok((row.get(0)?, GroupRows { stored, trained }))
        };
        let read = || {
            let mut statement = self.connection.prepare_cached("SELECT group_name, stored, trained FROM group_rows")?;
            statement.query_map([], rows)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    fn set_trained_rows(&self, group: &str, rows: u64) -> Result<(), StoreError> {
        let text = "UPDATE group_rows SET trained = ?2 WHERE group_name = ?1";
        self.connection.execute(text, (group, rows.cast_signed())).map(drop).map_err(self.sql())
    }

    fn agents_of_group(&self, group: &str) -> Result<BTreeMap<i64, String>, StoreError> {
        let text = format!("SELECT id, name FROM agents WHERE {GROUP} = ?1");
        let read = || {
            let mut names = self.connection.prepare_cached(&text)?;
            names.query_map([group], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    fn agents_by_group(&self, limit: u32) -> Result<Vec<AgentsOfGroup>, StoreError> {
        let text = format!(
            "SELECT {GROUP} AS g, count(*) AS n FROM agents WHERE {GROUP} IS NOT NULL GROUP BY g ORDER BY n DESC, g LIMIT ?1"
        );
        let line =
            |row: &Row<'_>| Ok(AgentsOfGroup { group: row.get(0)?, agents: row.get::<_, i64>(1)?.cast_unsigned() });
        let read = || {
            let mut statement = self.connection.prepare_cached(&text)?;
            statement.query_map([limit], line)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    fn assign_group(&self, agent: &str, group: Option<&str>) -> Result<(), StoreError> {
        let text = "UPDATE agents SET assigned_group = ?2 WHERE name = ?1";
        match self.connection.execute(text, (agent, group)).map_err(self.sql())? {
            0 => Err(StoreError::Missing { what: format!("agent `{agent}`"), list: "agents" }),
            _ => Ok(()),
        }
    }
}

/// Counts new feature rows of an agent for its group, if a trainer serves this group.
pub(super) fn count_rows(connection: &Connection, agent: i64, rows: u64) -> rusqlite::Result<()> {
    if rows == 0 {
        return Ok(());
    }
    let text = format!(
        "UPDATE group_rows SET stored = stored + ?2 WHERE group_name = (SELECT {GROUP} FROM agents WHERE id = ?1)"
    );
    connection.prepare_cached(&text)?.execute((agent, rows.cast_signed())).map(drop)
}

/// Sets the group of agents whose status was stored before it had a column.
pub(super) fn fill_reported(connection: &Connection) -> rusqlite::Result<()> {
    let text = "SELECT id, status FROM agents WHERE reported_group IS NULL AND status IS NOT NULL";
    let statuses: Vec<(i64, Vec<u8>)> = connection
        .prepare(text)?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut update = connection.prepare("UPDATE agents SET reported_group = ?2 WHERE id = ?1")?;
    for (agent, status) in statuses {
        if let Some(group) = reported_group(&status) {
            update.execute((agent, group))?;
        }
    }
    Ok(())
}
