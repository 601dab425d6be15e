//! Which releases were made, and where their files lie.

use super::Desk;
use super::error::StoreError;
use serde::Serialize;
use std::path::PathBuf;

/// One release, as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReleaseLine {
    /// Group of agents that it is for.
    pub group: String,
    /// Version.
    pub version: u64,
    /// SHA-256 of the signed manifest.
    #[serde(skip)]
    pub manifest_sha256: [u8; 32],
    /// When it was made, seconds since the epoch.
    pub made_s: u64,
    /// Its file.
    pub file: PathBuf,
    /// Why it was made; nothing of releases from before that was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What [`release_line`] reads, in its order.
pub(super) const RELEASE_COLUMNS: &str = "group_name, version, manifest_sha256, made_s, file, reason";

pub(super) fn release_line(row: &rusqlite::Row<'_>) -> rusqlite::Result<ReleaseLine> {
    Ok(ReleaseLine {
        group: row.get(0)?,
        version: row.get::<_, i64>(1)?.cast_unsigned(),
        manifest_sha256: row.get(2)?,
        made_s: row.get::<_, i64>(3)?.cast_unsigned(),
        file: PathBuf::from(row.get::<_, String>(4)?),
        reason: row.get(5)?,
    })
}

impl Desk {
    /// Notes a release that was made.
    ///
    /// # Errors
    /// When the version exists already for the group, or the store cannot be written.
    pub fn add_release(&self, line: &ReleaseLine) -> Result<(), StoreError> {
        let text = "INSERT INTO releases (group_name, version, manifest_sha256, made_s, file, reason) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (version, made_s) = (line.version.cast_signed(), line.made_s.cast_signed());
        let file = line.file.to_string_lossy();
        let values = (&line.group, version, line.manifest_sha256, made_s, file, &line.reason);
        self.connection.execute(text, values).map(drop).map_err(self.sql())
    }

    /// Releases of a group, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn releases(&self, group: &str, limit: u32) -> Result<Vec<ReleaseLine>, StoreError> {
        let text =
            format!("SELECT {RELEASE_COLUMNS} FROM releases WHERE group_name = ?1 ORDER BY version DESC LIMIT ?2");
        let mut statement = self.connection.prepare_cached(&text).map_err(self.sql())?;
        let lines = statement.query_map((group, limit), release_line).and_then(Iterator::collect);
        lines.map_err(self.sql())
    }
}
