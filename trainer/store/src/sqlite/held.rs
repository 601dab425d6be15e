//! Releases that the gate holds back ↔ the operator's decision.

use super::SqliteHandle;
use crate::error::StoreError;
use crate::traits::HeldReleases;
use lapwing_fleet::{HeldRelease, HeldState};
use rusqlite::OptionalExtension;
use std::path::PathBuf;

/// Releases of a group to remember; older ones are deleted.
const KEPT: u32 = 100;

const COLUMNS: &str = "group_name, version, made_s, file, reason, findings, state, who";

fn held_line(row: &rusqlite::Row<'_>) -> rusqlite::Result<HeldRelease> {
    let state: String = row.get(6)?;
    Ok(HeldRelease {
        group: row.get(0)?,
        version: row.get::<_, i64>(1)?.cast_unsigned(),
        made_s: row.get::<_, i64>(2)?.cast_unsigned(),
        file: PathBuf::from(row.get::<_, String>(3)?),
        reason: row.get(4)?,
        findings: row.get(5)?,
        state: HeldState::parse(&state).unwrap_or(HeldState::Superseded),
        who: row.get(7)?,
    })
}

impl HeldReleases for SqliteHandle {
    fn hold_release(&self, held: &HeldRelease) -> Result<(), StoreError> {
        self.supersede_held(&held.group)?;
        let text = "INSERT INTO held_releases (group_name, version, made_s, file, reason, findings, state) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'waiting')";
        let file = held.file.to_string_lossy();
        let (version, made_s) = (held.version.cast_signed(), held.made_s.cast_signed());
        let values = (&held.group, version, made_s, file, &held.reason, &held.findings);
        self.connection.execute(text, values).map_err(self.sql())?;
        let text = "DELETE FROM held_releases WHERE group_name = ?1 AND version NOT IN \
                    (SELECT version FROM held_releases WHERE group_name = ?1 ORDER BY version DESC LIMIT ?2)";
        self.connection.execute(text, (&held.group, KEPT)).map(drop).map_err(self.sql())
    }

    fn supersede_held(&self, group: &str) -> Result<(), StoreError> {
        let text = "UPDATE held_releases SET state = 'superseded' WHERE group_name = ?1 \
                    AND state IN ('waiting', 'approved')";
        self.connection.execute(text, [group]).map(drop).map_err(self.sql())
    }

    fn held_releases(&self, group: &str, limit: u32) -> Result<Vec<HeldRelease>, StoreError> {
        let text = format!("SELECT {COLUMNS} FROM held_releases WHERE group_name = ?1 ORDER BY version DESC LIMIT ?2");
        let mut statement = self.connection.prepare_cached(&text).map_err(self.sql())?;
        let lines = statement.query_map((group, limit), held_line).and_then(Iterator::collect);
        lines.map_err(self.sql())
    }

    fn waiting_releases(&self, limit: u32) -> Result<Vec<HeldRelease>, StoreError> {
        let text = format!("SELECT {COLUMNS} FROM held_releases WHERE state = 'waiting' ORDER BY made_s DESC LIMIT ?1");
        let mut statement = self.connection.prepare_cached(&text).map_err(self.sql())?;
        let lines = statement.query_map([limit], held_line).and_then(Iterator::collect);
        lines.map_err(self.sql())
    }

    fn decide_held(&self, group: &str, version: u64, approve: bool, who: &str, now_s: u64) -> Result<(), StoreError> {
        let state = if approve { HeldState::Approved } else { HeldState::Rejected };
        let text = "UPDATE held_releases SET state = ?3, who = ?4, when_s = ?5 \
                    WHERE group_name = ?1 AND version = ?2 AND state = 'waiting'";
        let values = (group, version.cast_signed(), state.as_str(), who, now_s.cast_signed());
        if self.connection.execute(text, values).map_err(self.sql())? == 0 {
            let what = format!("release {version} of group `{group}` that waits for approval");
            return Err(StoreError::Missing { what, list: "approve" });
        }
        Ok(())
    }

    fn approved_release(&self, group: &str) -> Result<Option<HeldRelease>, StoreError> {
        let text = format!(
            "SELECT {COLUMNS} FROM held_releases WHERE group_name = ?1 AND state = 'approved' \
             ORDER BY version DESC LIMIT 1"
        );
        let mut statement = self.connection.prepare_cached(&text).map_err(self.sql())?;
        statement.query_row([group], held_line).optional().map_err(self.sql())
    }

    fn set_held_state(&self, group: &str, version: u64, state: HeldState) -> Result<(), StoreError> {
        let text = "UPDATE held_releases SET state = ?3 WHERE group_name = ?1 AND version = ?2 AND state = ?4";
        for before in HeldState::ALL.into_iter().filter(|before| before.may_become(state)) {
            let values = (group, version.cast_signed(), state.as_str(), before.as_str());
            if self.connection.execute(text, values).map_err(self.sql())? > 0 {
                break;
            }
        }
        Ok(())
    }
}
