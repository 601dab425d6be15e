//! Releases ↔ the table of their versions, reasons and file paths.

use super::SqliteHandle;
use crate::error::StoreError;
use crate::fields;
use crate::statements::{ADD_RELEASE, ALL_RELEASES, ONE_RELEASE, RELEASES};
use crate::traits::Releases;
use lapwing_fleet::Release;

impl Releases for SqliteHandle {
    fn add_release(&self, line: &Release) -> Result<(), StoreError> {
        let (version, made_s) = (line.version.cast_signed(), line.made_s.cast_signed());
        let file = line.file.to_string_lossy();
        let values = (&line.group, version, line.manifest_sha256, made_s, file, &line.reason);
        self.execute(&ADD_RELEASE, values).map(drop).map_err(self.sql())
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
