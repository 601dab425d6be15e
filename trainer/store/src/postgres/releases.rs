//! Releases ↔ the table of their versions, reasons and file paths.

use super::PostgresHandle;
use super::fields::searched;
use crate::error::StoreError;
use crate::fields;
use crate::statements::{ADD_RELEASE, ALL_RELEASES, ONE_RELEASE, RELEASES};
use crate::traits::Releases;
use lapwing_fleet::Release;

impl Releases for PostgresHandle {
    fn add_release(&self, line: &Release) -> Result<(), StoreError> {
        let (version, made_s) = (line.version.cast_signed(), line.made_s.cast_signed());
        let (file, digest) = (line.file.to_string_lossy(), line.manifest_sha256.as_slice());
        self.write(|session| {
            session.change(&ADD_RELEASE, &[&line.group, &version, &digest, &made_s, &file, &line.reason]).map(drop)
        })
    }

    fn releases(&self, group: &str, limit: u32) -> Result<Vec<Release>, StoreError> {
        self.read(|session| session.rows(&RELEASES, &[&searched(group), &i64::from(limit)], fields::release))
    }

    fn all_releases(&self, limit: u32) -> Result<Vec<Release>, StoreError> {
        self.read(|session| session.rows(&ALL_RELEASES, &[&i64::from(limit)], fields::release))
    }

    fn release(&self, group: &str, version: u64) -> Result<Option<Release>, StoreError> {
        self.read(|session| session.row(&ONE_RELEASE, &[&searched(group), &version.cast_signed()], fields::release))
    }
}
