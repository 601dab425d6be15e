//! A database of any earlier schema version → the current tables.

use super::connection::Connection;
use super::session::{Queried, Session};
use crate::copied_tables::UNFINISHED;
use crate::error::StoreError;
use crate::fields::Fields;
use crate::statements::SETTING;
use std::path::PathBuf;

/// One script per version; a database of version n needs the scripts from index n on.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/postgres/0001_store.sql"),
    include_str!("../../migrations/postgres/0002_groups_and_pages.sql"),
    include_str!("../../migrations/postgres/0003_segments.sql"),
    include_str!("../../migrations/postgres/0004_audit.sql"),
    include_str!("../../migrations/postgres/0005_identities.sql"),
    include_str!("../../migrations/postgres/0006_identity_revisions.sql"),
    include_str!("../../migrations/postgres/0007_distrusted_rows.sql"),
    include_str!("../../migrations/postgres/0008_renewals.sql"),
    include_str!("../../migrations/postgres/0009_root_documents.sql"),
    include_str!("../../migrations/postgres/0010_address_forms.sql"),
    include_str!("../../migrations/postgres/0011_campaigns.sql"),
    include_str!("../../migrations/postgres/0012_assignments.sql"),
    include_str!("../../migrations/postgres/0013_people.sql"),
    include_str!("../../migrations/postgres/0014_incidents.sql"),
];

/// Newest schema version.
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

/// First key of every advisory lock of Lapwing: `Lapw` in ASCII. Other programs may use the same database.
pub(super) const LOCKS: i32 = 0x4c61_7077;

/// Second keys of the advisory locks that a transaction takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lock {
    Migration = 1,
    /// New agents and feature schemas, whose number is limited.
    Registration = 2,
    Partitions = 3,
    Retention = 4,
    /// The list of segments, which are numbered in the order of their commits.
    Segments = 5,
    /// Entries of the audit log, which are numbered in the order of their commits.
    Audit = 6,
    /// Shared by every connection that writes, and exclusive for a process that copies the store.
    Use = 7,
    /// Claims on tokens and names, which are decided one after the other.
    Identities = 8,
    /// Changes of campaigns, and rollouts and assignments, whose serials increase. Taken before that of the audit log.
    Campaigns = 9,
    /// Changes of people, sessions and tokens. Taken before that of the audit log.
    People = 10,
    /// Joins and changes of incidents. Taken before those of agents and of the audit log.
    Incidents = 11,
}

/// What a database contains.
struct Found {
    encoding: String,
    /// 0 without a store.
    version: u32,
    /// Tables with the names of ours, but without versions.
    is_foreign: bool,
}

fn find(session: &mut Session) -> Queried<Found> {
    let text = "SELECT current_setting('server_encoding'), to_regclass('schema_versions') IS NOT NULL, \
                to_regclass('agents') IS NOT NULL OR to_regclass('alerts') IS NOT NULL";
    let row = session.query_one(text, &[])?;
    let (has_versions, has_tables): (bool, bool) = (row.try_get(1)?, row.try_get(2)?);
    let version = if has_versions { version(session)? } else { 0 };
    Ok(Found { encoding: row.try_get(0)?, version, is_foreign: !has_versions && has_tables })
}

/// Schema version of a store.
pub(super) fn version(session: &mut Session) -> Queried<u32> {
    let row = session.query_one("SELECT coalesce(max(version), 0) FROM schema_versions", &[])?;
    Ok(u32::try_from(row.try_get::<_, i32>(0)?).unwrap_or(0))
}

/// Schema version of a database; 0 without a store.
///
/// # Errors
/// When the database is foreign, of a newer version, or has another encoding than UTF-8.
pub(super) fn check(connection: &mut Connection) -> Result<u32, StoreError> {
    let Found { encoding, version, is_foreign } = connection.read(find)?;
    let store = connection.url().to_string();
    if is_foreign {
        return Err(StoreError::ForeignDatabase { store });
    }
    if encoding != "UTF8" {
        return Err(StoreError::Encoding { store, found: encoding });
    }
    if version > VERSION {
        return Err(StoreError::NewerVersion { path: PathBuf::from(store), found: version, known: VERSION });
    }
    Ok(version)
}

/// Rejects a store that [`crate::StoreCopy`] has not completed.
pub(super) fn reject_unfinished(connection: &mut Connection) -> Result<(), StoreError> {
    let is_unfinished = connection.read(|session| {
        let has_settings: bool = session.query_one("SELECT to_regclass('settings') IS NOT NULL", &[])?.try_get(0)?;
        Ok(has_settings && session.row(&SETTING, &[&UNFINISHED], |row| row.text(0))?.is_some())
    })?;
    let store = || connection.url().to_string();
    if is_unfinished { Err(StoreError::Unfinished { store: store() }) } else { Ok(()) }
}

/// Runs the missing scripts in one transaction; several processes may do so at once.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    if check(connection)? == VERSION {
        return Ok(());
    }
    connection.write(|session| {
        session.lock(Lock::Migration)?;
        let create = "CREATE TABLE IF NOT EXISTS schema_versions \
                      (version INTEGER PRIMARY KEY, migrated TIMESTAMPTZ NOT NULL DEFAULT now())";
        session.batch(create)?;
        let before = version(session)?;
        for (number, script) in (1..).zip(MIGRATIONS).filter(|(number, _)| *number > before) {
            session.batch(script)?;
            session.batch(&format!("INSERT INTO schema_versions (version) VALUES ({number})"))?;
        }
        Ok(())
    })
}
