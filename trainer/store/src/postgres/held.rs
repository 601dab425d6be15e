//! Releases that the gate holds back ↔ the operator's decision.

use super::PostgresHandle;
use super::fields::searched;
use super::session::{Queried, Session, Values};
use crate::error::StoreError;
use crate::fields;
use crate::statements::{
    APPROVED, CHANGE_HELD, DECIDE, FORGET_HELD, HELD_KEPT, HELD_OF_GROUP, HOLD, SUPERSEDE, WAITING,
};
use crate::traits::HeldReleases;
use lapwing_fleet::{AuditEntry, HeldRelease, HeldState};

impl HeldReleases for PostgresHandle {
    fn hold_release(&self, held: &HeldRelease) -> Result<(), StoreError> {
        let file = held.file.to_string_lossy();
        let (version, made_s) = (held.version.cast_signed(), held.made_s.cast_signed());
        self.write(|session| {
            session.change(&SUPERSEDE, &[&held.group])?;
            session.change(&HOLD, &[&held.group, &version, &made_s, &file, &held.reason, &held.findings])?;
            session.change(&FORGET_HELD, &[&held.group, &HELD_KEPT]).map(drop)
        })
    }

    fn supersede_held(&self, group: &str) -> Result<(), StoreError> {
        self.write(|session| session.change(&SUPERSEDE, &[&group]).map(drop))
    }

    fn held_releases(&self, group: &str, limit: u32) -> Result<Vec<HeldRelease>, StoreError> {
        self.read(|session| session.rows(&HELD_OF_GROUP, &[&searched(group), &i64::from(limit)], fields::held_release))
    }

    fn waiting_releases(&self, limit: u32) -> Result<Vec<HeldRelease>, StoreError> {
        self.read(|session| session.rows(&WAITING, &[&i64::from(limit)], fields::held_release))
    }

    fn decide_held(&self, group: &str, version: u64, approve: bool, who: &str, now_s: u64) -> Result<(), StoreError> {
        let state = if approve { HeldState::Approved } else { HeldState::Rejected };
        let entry = AuditEntry::decided(group, version, approve, who, now_s);
        let (number, now_s) = (version.cast_signed(), now_s.cast_signed());
        let values: Values<'_> = &[&state.as_str(), &searched(who), &now_s, &searched(group), &number];
        match self.change_and_record(&DECIDE, values, &entry)? {
            true => Ok(()),
            false => Err(StoreError::none_waits(group, version)),
        }
    }

    fn approved_release(&self, group: &str) -> Result<Option<HeldRelease>, StoreError> {
        self.read(|session| session.row(&APPROVED, &[&searched(group)], fields::held_release))
    }

    fn set_held_state(&self, group: &str, version: u64, state: HeldState) -> Result<(), StoreError> {
        self.write(|session| set_state(session, group, version.cast_signed(), state))
    }
}

fn set_state(session: &mut Session, group: &str, version: i64, state: HeldState) -> Queried<()> {
    for before in HeldState::ALL.into_iter().filter(|before| before.may_become(state)) {
        if session.change(&CHANGE_HELD, &[&state.as_str(), &group, &version, &before.as_str()])? > 0 {
            break;
        }
    }
    Ok(())
}
