//! The audit log: entries that the transactions of what they describe append, pages, and the check.

use super::SqliteHandle;
use crate::Limits;
use crate::audit::{AuditFilter, AuditPage, CHECKED_AT_ONCE, LIMITS, check, forgotten};
use crate::error::StoreError;
use crate::fields;
use crate::statements::{
    ADD_AUDIT, AUDIT_AFTER, AUDIT_BEFORE, AUDIT_HEAD, FORGET_AUDIT, NEWEST_AUDIT, SET_AUDIT_HEAD, SET_SETTING, SETTING,
};
use crate::traits::Audit;
use lapwing_fleet::{AuditCheck, AuditEntry, AuditHead, AuditRecord};
use rusqlite::{Connection, OptionalExtension};

/// Appends an entry. The transaction must have begun as a writer: it reads the newest entry first.
pub(super) fn append(connection: &Connection, entry: &AuditEntry) -> rusqlite::Result<()> {
    let head = connection.prepare_cached(&AUDIT_HEAD)?.query_row([], |row| fields::audit_head(row)).optional()?;
    let newest = connection.prepare_cached(&NEWEST_AUDIT)?.query_row([], |row| fields::audit_record(row)).optional()?;
    let record = AuditHead::of(head, newest.as_ref()).next(entry);
    let (number, at_s) = (record.number.cast_signed(), record.at_s.cast_signed());
    let values = (number, at_s, &record.who, &record.action, &record.object, &record.detail, record.previous);
    connection.prepare_cached(&ADD_AUDIT)?.execute(values)?;
    connection.prepare_cached(&SET_AUDIT_HEAD)?.execute((number, record.sha256()))?;
    connection.prepare_cached(&FORGET_AUDIT)?.execute([forgotten(&record)]).map(drop)
}

/// Checks the log in one state of the file.
pub(super) fn check_log(connection: &Connection, sought: Option<[u8; 32]>) -> rusqlite::Result<AuditCheck> {
    // A copy of the store has begun one.
    let _snapshot = connection.is_autocommit().then(|| connection.unchecked_transaction()).transpose()?;
    let head = connection.prepare_cached(&AUDIT_HEAD)?.query_row([], |row| fields::audit_head(row)).optional()?;
    check(sought, head, |after| {
        let mut statement = connection.prepare_cached(&AUDIT_AFTER)?;
        statement.query_map((after, CHECKED_AT_ONCE), |row| fields::audit_record(row))?.collect()
    })
}

impl Audit for SqliteHandle {
    fn audit(&self, filter: &AuditFilter) -> Result<AuditPage, StoreError> {
        let values = rusqlite::params_from_iter(filter.values());
        let records = self.rows(&AUDIT_BEFORE, values, |row| fields::audit_record(row));
        records.map(|records| filter.page(records)).map_err(self.sql())
    }

    fn audit_after(&self, number: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let after = i64::try_from(number).unwrap_or(i64::MAX);
        self.rows(&AUDIT_AFTER, (after, limit), |row| fields::audit_record(row)).map_err(self.sql())
    }

    fn check_audit(&self, sought: Option<[u8; 32]>) -> Result<AuditCheck, StoreError> {
        check_log(&self.connection, sought).map_err(self.sql())
    }

    fn record_limits(&self, limits: &Limits, who: &str, now_s: u64) -> Result<bool, StoreError> {
        let now = limits.to_string();
        self.write(|connection| {
            let before: Option<String> = connection.query_row(&SETTING, [LIMITS], |row| row.get(0)).optional()?;
            if before.as_ref() == Some(&now) {
                return Ok(false);
            }
            connection.execute(&SET_SETTING, (LIMITS, &now))?;
            let Some(before) = before else { return Ok(false) };
            append(connection, &AuditEntry::limited(&before, &now, who, now_s)).map(|()| true)
        })
    }
}
