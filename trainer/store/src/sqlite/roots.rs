//! Root documents.

use super::{SqliteHandle, audit};
use crate::error::StoreError;
use crate::root_rows::{ADD_ROOT, NEWEST_ROOT, REMOVE_ROOTS, ROOTS, root};
use crate::traits::{RootDocuments, StoredRoot};
use lapwing_fleet::AuditEntry;

impl RootDocuments for SqliteHandle {
    fn add_root(&self, root: &StoredRoot, after: u64, detail: &str, who: &str, now_s: u64) -> Result<(), StoreError> {
        let entry = AuditEntry::published_root(root.version, detail, who, now_s);
        let numbers = [root.version, now_s, after].map(u64::cast_signed);
        let values = (numbers[0], &root.bytes, numbers[1], &entry.who, numbers[2]);
        match self.change_and_record(ADD_ROOT, values, &entry)? {
            true => Ok(()),
            false => Err(StoreError::newer_root(after)),
        }
    }

    fn replace_roots(&self, root: &StoredRoot, detail: &str, who: &str, now_s: u64) -> Result<(), StoreError> {
        let entry = AuditEntry::replaced_roots(root.version, detail, who, now_s);
        let [version, now_s] = [root.version, now_s].map(u64::cast_signed);
        let is_replaced = self.write(|connection| {
            connection.prepare_cached(REMOVE_ROOTS)?.execute([version])?;
            let values = (version, &root.bytes, now_s, &entry.who, 0);
            if connection.prepare_cached(ADD_ROOT)?.execute(values)? == 0 {
                return Ok(false);
            }
            audit::append(connection, &entry).map(|()| true)
        })?;
        if is_replaced { Ok(()) } else { Err(StoreError::newer_root(root.version.saturating_sub(1))) }
    }

    fn roots(&self, after: u64) -> Result<Vec<StoredRoot>, StoreError> {
        self.rows(ROOTS, [after.cast_signed()], |row| root(row)).map_err(self.sql())
    }

    fn newest_root(&self) -> Result<Option<StoredRoot>, StoreError> {
        self.row(NEWEST_ROOT, [], |row| root(row)).map_err(self.sql())
    }
}
