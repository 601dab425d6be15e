//! Secrets of seals in PostgreSQL.

use super::schema::Lock;
use super::{PostgresHandle, audit};
use crate::error::StoreError;
use crate::fields::Fields;
use crate::seal_rows::{BEGIN, KEEP_PREVIOUS, PRESENT, PREVIOUS, SECRETS, secrets, text};
use crate::statements::SET_SETTING;
use crate::traits::Seals;
use lapwing_fleet::AuditEntry;
use lapwing_shared::messages::sealed::SealSecret;

impl Seals for PostgresHandle {
    fn seal_secrets(&self) -> Result<Vec<SealSecret>, StoreError> {
        let values = self.read(|session| session.rows(SECRETS, &[], |row| row.text(0)))?;
        Ok(secrets(&values))
    }

    fn begin_seals(&self, first: &SealSecret) -> Result<SealSecret, StoreError> {
        self.write(|session| session.change(BEGIN, &[&PRESENT, &text(first)]).map(drop))?;
        self.seal_secrets()?.first().copied().ok_or_else(StoreError::damaged_seals)
    }

    fn replace_seals(&self, secret: &SealSecret, who: &str, now_s: u64) -> Result<(), StoreError> {
        self.write(|session| {
            session.lock(Lock::Identities)?;
            session.change(KEEP_PREVIOUS, &[&PREVIOUS, &PRESENT])?;
            session.change(&SET_SETTING, &[&PRESENT, &text(secret)])?;
            audit::append(session, &AuditEntry::replaced_seals(who, now_s))
        })
    }
}
