//! A store in use → a consistent copy; a copy → a store that continues with unused release versions.

use super::SqliteHandle;
use super::audit::check_log;
use super::check::{check_derived, check_pages};
use super::{counters, schema};
use crate::counter::Counter;
use crate::error::StoreError;
use crate::people_rows::END_RESTORED;
use crate::rows::BACKUP_VERSIONS;
use crate::traits::Maintenance;
use lapwing_common::private_file;
use std::path::Path;

impl Maintenance for SqliteHandle {
    fn id(&self) -> Result<u64, StoreError> {
        counters::store_id(&self.connection).map_err(self.sql())
    }

    fn version(&self) -> Result<u32, StoreError> {
        schema::version(&self.connection).map_err(self.sql())
    }

    fn check(&self) -> Result<Vec<String>, StoreError> {
        let found = self.version()?;
        if found < schema::VERSION {
            return Err(StoreError::OlderVersion {
                store: self.path.display().to_string(),
                found,
                known: schema::VERSION,
            });
        }
        let check = || {
            Ok(match check_pages(&self.connection)? {
                Some(problem) => vec![problem],
                None => {
                    let mut problems = check_derived(&self.connection)?;
                    let of_audit = check_log(&self.connection, None)?.problems;
                    problems.extend(of_audit.into_iter().map(|problem| format!("audit log: {problem}")));
                    problems
                }
            })
        };
        check().map_err(self.sql())
    }

    fn backup_into(&self, copy: &Path) -> Result<(), StoreError> {
        let open = |error: std::io::Error| StoreError::Open { path: copy.to_path_buf(), reason: error.to_string() };
        // SQLite accepts an empty file, and keeps its mode.
        let file = private_file::create_new(copy).map_err(open)?;
        let written = self.connection.execute("VACUUM INTO ?1", [copy.to_string_lossy()]);
        if let Err(error) = written {
            let _ = std::fs::remove_file(copy);
            return Err(StoreError::from_sql(copy, error));
        }
        file.sync_all().map_err(open)
    }

    fn settle_restored(&self, newest: u64) -> Result<(), StoreError> {
        check_pages(&self.connection).map_err(self.sql()).and_then(|problem| match problem {
            None => Ok(()),
            Some(reason) => Err(StoreError::Damaged { path: self.path.clone(), reason }),
        })?;
        let floor = newest.saturating_add(BACKUP_VERSIONS);
        counters::set(&self.connection, Counter::ReleaseVersionFloor, floor).map_err(self.sql())?;
        for text in END_RESTORED {
            self.write(|connection| connection.execute(text, []))?;
        }
        let text = "PRAGMA wal_checkpoint(TRUNCATE)";
        self.connection.execute_batch(text).map_err(self.sql())
    }
}
