//! Secrets of seals in SQLite.

use super::{SqliteHandle, audit};
use crate::error::StoreError;
use crate::seal_rows::{BEGIN, KEEP_PREVIOUS, PRESENT, PREVIOUS, SECRETS, secrets, text};
use crate::statements::SET_SETTING;
use crate::traits::Seals;
use lapwing_fleet::AuditEntry;
use lapwing_shared::messages::sealed::SealSecret;

impl Seals for SqliteHandle {
    fn seal_secrets(&self) -> Result<Vec<SealSecret>, StoreError> {
        let values: Vec<String> = self.rows(SECRETS, [], |row| row.get(0)).map_err(self.sql())?;
        Ok(secrets(&values))
    }

    fn begin_seals(&self, first: &SealSecret) -> Result<SealSecret, StoreError> {
        self.write(|connection| connection.execute(BEGIN, (PRESENT, text(first))).map(drop))?;
        self.seal_secrets()?.first().copied().ok_or_else(StoreError::damaged_seals)
    }

    fn replace_seals(&self, secret: &SealSecret, who: &str, now_s: u64) -> Result<(), StoreError> {
        self.write(|connection| {
            connection.execute(KEEP_PREVIOUS, (PREVIOUS, PRESENT))?;
            connection.execute(&SET_SETTING, (PRESENT, text(secret)))?;
            audit::append(connection, &AuditEntry::replaced_seals(who, now_s))
        })
    }
}
