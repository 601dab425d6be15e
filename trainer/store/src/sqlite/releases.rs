//! Releases ↔ the table of their versions, reasons and file paths.

use super::{SqliteHandle, audit};
use crate::error::StoreError;
use crate::fields;
use crate::statements::{ADD_RELEASE, ALL_RELEASES, ONE_RELEASE, PUBLISH_HELD, RELEASES};
use crate::traits::Releases;
use lapwing_fleet::{AuditEntry, Release};
use rusqlite::OptionalExtension;

impl Releases for SqliteHandle {
    fn add_release(&self, line: &Release, who: &str, now_s: u64) -> Result<(), StoreError> {
        let Release { group, version, manifest_sha256, made_s, file, reason } = line;
        let (number, made_s, file) = (version.cast_signed(), made_s.cast_signed(), file.to_string_lossy());
        self.write(|connection| {
            let read = |row: &rusqlite::Row<'_>| fields::release(row);
            let present = connection.query_row(&ONE_RELEASE, (group, number), read).optional()?;
            if present.is_some_and(|present| present.manifest_sha256 == *manifest_sha256) {
                return Ok(());
            }
            connection.execute(&ADD_RELEASE, (group, number, manifest_sha256, made_s, file, reason))?;
            connection.execute(&PUBLISH_HELD, (group, number))?;
            audit::append(connection, &AuditEntry::released(group, *version, reason.as_deref(), who, now_s))
        })
    }

    fn releases(&self, group: &str, limit: u32) -> Result<Vec<Release>, StoreError> {
        self.rows(&RELEASES, (group, limit), |row| fields::release(row)).map_err(self.sql())
    }

    fn all_releases(&self, limit: u32) -> Result<Vec<Release>, StoreError> {
        self.rows(&ALL_RELEASES, [limit], |row| fields::release(row)).map_err(self.sql())
    }

    fn release(&self, group: &str, version: u64) -> Result<Option<Release>, StoreError> {
        self.row(&ONE_RELEASE, (group, version.cast_signed()), |row| fields::release(row)).map_err(self.sql())
    }
}
