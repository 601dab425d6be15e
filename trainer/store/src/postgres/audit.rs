//! The audit log: entries that the transactions of what they describe append, pages, and the check.

use super::PostgresHandle;
use super::schema::Lock;
use super::session::{Queried, Session};
use crate::Limits;
use crate::audit::{AuditFilter, AuditPage, CHECKED_AT_ONCE, LIMITS, check, forgotten};
use crate::campaign_changes::Transaction;
use crate::error::StoreError;
use crate::fields::{self, Fields};
use crate::statements::{
    ADD_AUDIT, AUDIT_AFTER, AUDIT_BEFORE, AUDIT_HEAD, FORGET_AUDIT, NEWEST_AUDIT, SET_AUDIT_HEAD, SET_SETTING, SETTING,
};
use crate::traits::Audit;
use lapwing_fleet::{AuditCheck, AuditEntry, AuditHead, AuditRecord};

/// Appends an entry; call it last in a transaction, because others wait for its lock.
pub(super) fn append(session: &mut Session, entry: &AuditEntry) -> Queried<()> {
    session.lock(Lock::Audit)?;
    let head = session.row(&AUDIT_HEAD, &[], fields::audit_head)?;
    let newest = session.row(&NEWEST_AUDIT, &[], fields::audit_record)?;
    let record = AuditHead::of(head, newest.as_ref()).next(entry);
    let sha256 = record.sha256();
    let AuditRecord { number, at_s, who, action, object, detail, previous } = &record;
    let (number, at_s) = (number.cast_signed(), at_s.cast_signed());
    session.change(&ADD_AUDIT, &[&number, &at_s, who, action, object, detail, &previous.as_slice()])?;
    session.change(&SET_AUDIT_HEAD, &[&number, &sha256.as_slice()])?;
    session.change(&FORGET_AUDIT, &[&forgotten(&record)]).map(drop)
}

/// Checks the log, in a transaction that sees one state of the database.
pub(super) fn check_log(session: &mut Session, sought: Option<[u8; 32]>) -> Queried<AuditCheck> {
    let head = session.row(&AUDIT_HEAD, &[], fields::audit_head)?;
    check(sought, head, |after| session.rows(&AUDIT_AFTER, &[&after, &CHECKED_AT_ONCE], fields::audit_record))
}

impl Audit for PostgresHandle {
    fn audit(&self, filter: &AuditFilter) -> Result<AuditPage, StoreError> {
        let values = filter.values();
        let records = self.read(|session| session.all(&AUDIT_BEFORE, &values, fields::audit_record))?;
        Ok(filter.page(records))
    }

    fn audit_after(&self, number: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let (after, limit) = (i64::try_from(number).unwrap_or(i64::MAX), i64::from(limit));
        self.read(|session| session.rows(&AUDIT_AFTER, &[&after, &limit], fields::audit_record))
    }

    fn check_audit(&self, sought: Option<[u8; 32]>) -> Result<AuditCheck, StoreError> {
        self.snapshot(|session| check_log(session, sought))
    }

    fn record_limits(&self, limits: &Limits, who: &str, now_s: u64) -> Result<bool, StoreError> {
        let now = limits.to_string();
        let read = |session: &mut Session| session.row(&SETTING, &[&LIMITS], |row| row.text(0));
        // A look needs no lock: several processes start with the same limits.
        if self.read(read)?.as_ref() == Some(&now) {
            return Ok(false);
        }
        self.write(|session| {
            session.lock(Lock::Audit)?;
            let before = read(session)?;
            if before.as_ref() == Some(&now) {
                return Ok(false);
            }
            session.change(&SET_SETTING, &[&LIMITS, &now])?;
            let Some(before) = before else { return Ok(false) };
            append(session, &AuditEntry::limited(&before, &now, who, now_s)).map(|()| true)
        })
    }
}
