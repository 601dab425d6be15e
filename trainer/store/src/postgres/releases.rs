//! Releases ↔ the table of their versions, reasons and file paths.

use super::fields::searched;
use super::{PostgresHandle, audit};
use crate::error::StoreError;
use crate::fields;
use crate::statements::{ADD_RELEASE, ALL_RELEASES, ONE_RELEASE, PUBLISH_HELD, RELEASES};
use crate::traits::Releases;
use lapwing_fleet::{AuditEntry, Release};

impl Releases for PostgresHandle {
    fn add_release(&self, line: &Release, who: &str, now_s: u64) -> Result<(), StoreError> {
        let Release { group, version, manifest_sha256, made_s, file, reason } = line;
        let (number, made_s, file) = (version.cast_signed(), made_s.cast_signed(), file.to_string_lossy());
        self.write(|session| {
            let present = session.row(&ONE_RELEASE, &[group, &number], fields::release)?;
            if present.is_some_and(|present| present.manifest_sha256 == *manifest_sha256) {
                return Ok(());
            }
            let digest = manifest_sha256.as_slice();
            session.change(&ADD_RELEASE, &[group, &number, &digest, &made_s, &file, reason])?;
            session.change(&PUBLISH_HELD, &[group, &number])?;
            audit::append(session, &AuditEntry::released(group, *version, reason.as_deref(), who, now_s))
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
