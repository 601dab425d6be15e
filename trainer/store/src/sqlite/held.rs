//! Releases that the gate holds back ↔ the operator's decision.

use super::SqliteHandle;
use crate::error::StoreError;
use crate::fields;
use crate::statements::{
    APPROVED, CHANGE_HELD, DECIDE, FORGET_HELD, HELD_KEPT, HELD_OF_GROUP, HOLD, SUPERSEDE, WAITING,
};
use crate::traits::HeldReleases;
use lapwing_fleet::{AuditEntry, HeldRelease, HeldState};

impl HeldReleases for SqliteHandle {
    fn hold_release(&self, held: &HeldRelease) -> Result<(), StoreError> {
        let file = held.file.to_string_lossy();
        let (version, made_s) = (held.version.cast_signed(), held.made_s.cast_signed());
        let values = (&held.group, version, made_s, file, &held.reason, &held.findings);
        self.write(|connection| {
            connection.execute(&SUPERSEDE, [&held.group])?;
            connection.execute(&HOLD, values)?;
            connection.execute(&FORGET_HELD, (&held.group, HELD_KEPT)).map(drop)
        })
    }

    fn supersede_held(&self, group: &str) -> Result<(), StoreError> {
        self.execute(&SUPERSEDE, [group]).map(drop).map_err(self.sql())
    }

    fn held_releases(&self, group: &str, limit: u32) -> Result<Vec<HeldRelease>, StoreError> {
        self.rows(&HELD_OF_GROUP, (group, limit), |row| fields::held_release(row)).map_err(self.sql())
    }

    fn waiting_releases(&self, limit: u32) -> Result<Vec<HeldRelease>, StoreError> {
        self.rows(&WAITING, [limit], |row| fields::held_release(row)).map_err(self.sql())
    }

    fn decide_held(&self, group: &str, version: u64, approve: bool, who: &str, now_s: u64) -> Result<(), StoreError> {
        let state = if approve { HeldState::Approved } else { HeldState::Rejected };
        let values = (state.as_str(), who, now_s.cast_signed(), group, version.cast_signed());
        let entry = AuditEntry::decided(group, version, approve, who, now_s);
        match self.change_and_record(&DECIDE, values, &entry)? {
            true => Ok(()),
            false => Err(StoreError::none_waits(group, version)),
        }
    }

    fn approved_release(&self, group: &str) -> Result<Option<HeldRelease>, StoreError> {
        self.row(&APPROVED, [group], |row| fields::held_release(row)).map_err(self.sql())
    }

    fn set_held_state(&self, group: &str, version: u64, state: HeldState) -> Result<(), StoreError> {
        for before in HeldState::ALL.into_iter().filter(|before| before.may_become(state)) {
            let values = (state.as_str(), group, version.cast_signed(), before.as_str());
            if self.execute(&CHANGE_HELD, values).map_err(self.sql())? > 0 {
                break;
            }
        }
        Ok(())
    }
}
