//! Releases ↔ the table of their versions, reasons and file paths.

use super::SqliteHandle;
use crate::error::StoreError;
use crate::traits::Releases;
use lapwing_fleet::Release;
use rusqlite::OptionalExtension;
use std::path::PathBuf;

/// Columns that [`release_line`] reads, in this order.
pub(super) const RELEASE_COLUMNS: &str = "group_name, version, manifest_sha256, made_s, file, reason";

pub(super) fn release_line(row: &rusqlite::Row<'_>) -> rusqlite::Result<Release> {
    Ok(Release {
        group: row.get(0)?,
        version: row.get::<_, i64>(1)?.cast_unsigned(),
        manifest_sha256: row.get(2)?,
        made_s: row.get::<_, i64>(3)?.cast_unsigned(),
        file: PathBuf::from(row.get::<_, String>(4)?),
        reason: row.get(5)?,
    })
}

impl Releases for SqliteHandle {
    fn add_release(&self, line: &Release) -> Result<(), StoreError> {
        let text = "INSERT INTO releases (group_name, version, manifest_sha256, made_s, file, reason) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (version, made_s) = (line.version.cast_signed(), line.made_s.cast_signed());
        let file = line.file.to_string_lossy();
        let values = (&line.group, version, line.manifest_sha256, made_s, file, &line.reason);
        self.connection.execute(text, values).map(drop).map_err(self.sql())
    }

    fn releases(&self, group: &str, limit: u32) -> Result<Vec<Release>, StoreError> {
        let text =
            format!("SELECT {RELEASE_COLUMNS} FROM releases WHERE group_name = ?1 ORDER BY version DESC LIMIT ?2");
        let mut statement = self.connection.prepare_cached(&text).map_err(self.sql())?;
        let lines = statement.query_map((group, limit), release_line).and_then(Iterator::collect);
        lines.map_err(self.sql())
    }

    fn all_releases(&self, limit: u32) -> Result<Vec<Release>, StoreError> {
        let text = format!("SELECT {RELEASE_COLUMNS} FROM releases ORDER BY made_s DESC, version DESC LIMIT ?1");
        let read = || {
            self.connection.prepare_cached(&text)?.query_map([limit], release_line)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    fn release(&self, group: &str, version: u64) -> Result<Option<Release>, StoreError> {
        let text = format!("SELECT {RELEASE_COLUMNS} FROM releases WHERE group_name = ?1 AND version = ?2");
        let key = (group, version.cast_signed());
        let read = || self.connection.prepare_cached(&text)?.query_row(key, release_line).optional();
        read().map_err(self.sql())
    }
}
