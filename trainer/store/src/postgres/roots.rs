//! Root documents.

use super::schema::Lock;
use super::{PostgresHandle, audit};
use crate::error::StoreError;
use crate::root_rows::{ADD_ROOT, NEWEST_ROOT, REMOVE_ROOTS, ROOTS, root};
use crate::traits::{RootDocuments, StoredRoot};
use lapwing_fleet::AuditEntry;

impl RootDocuments for PostgresHandle {
    fn add_root(&self, root: &StoredRoot, after: u64, detail: &str, who: &str, now_s: u64) -> Result<(), StoreError> {
        let entry = AuditEntry::published_root(root.version, detail, who, now_s);
        let [version, now_s, after_version] = [root.version, now_s, after].map(u64::cast_signed);
        let is_added = self.write(|session| {
            // Two documents that follow the same one would both be added otherwise.
            session.lock(Lock::Audit)?;
            if session.change(ADD_ROOT, &[&version, &root.bytes, &now_s, &entry.who, &after_version])? == 0 {
                return Ok(false);
            }
            audit::append(session, &entry).map(|()| true)
        })?;
        if is_added { Ok(()) } else { Err(StoreError::newer_root(after)) }
    }

    fn replace_roots(&self, root: &StoredRoot, detail: &str, who: &str, now_s: u64) -> Result<(), StoreError> {
        let entry = AuditEntry::replaced_roots(root.version, detail, who, now_s);
        let [version, now_s] = [root.version, now_s].map(u64::cast_signed);
        let is_replaced = self.write(|session| {
            session.lock(Lock::Audit)?;
            session.change(REMOVE_ROOTS, &[&version])?;
            if session.change(ADD_ROOT, &[&version, &root.bytes, &now_s, &entry.who, &0_i64])? == 0 {
                return Ok(false);
            }
            audit::append(session, &entry).map(|()| true)
        })?;
        if is_replaced { Ok(()) } else { Err(StoreError::newer_root(root.version.saturating_sub(1))) }
    }

    fn roots(&self, after: u64) -> Result<Vec<StoredRoot>, StoreError> {
        self.read(|session| session.rows(ROOTS, &[&after.cast_signed()], root))
    }

    fn newest_root(&self) -> Result<Option<StoredRoot>, StoreError> {
        self.read(|session| session.row(NEWEST_ROOT, &[], root))
    }
}
