//! The audit log.

use crate::Limits;
use crate::audit::{AuditFilter, AuditPage};
use crate::error::StoreError;
use lapwing_fleet::{AuditCheck, AuditRecord};

/// The audit log. Its entries are written by the transactions of what they describe: labels, decisions about releases,
/// requests to retrain, releases, removed and assigned agents. It has the newest [`lapwing_fleet::AUDIT_ENTRIES`].
pub trait Audit {
    /// One page of entries, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn audit(&self, filter: &AuditFilter) -> Result<AuditPage, StoreError>;

    /// At most `limit` entries after a number, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn audit_after(&self, number: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError>;

    /// Looks for changed and removed entries, and for one with the hash `sought`, which was noted earlier.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn check_audit(&self, sought: Option<[u8; 32]>) -> Result<AuditCheck, StoreError>;

    /// Remembers the limits with which a process runs. If the last one had others, adds an entry and returns true.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn record_limits(&self, limits: &Limits, who: &str, now_s: u64) -> Result<bool, StoreError>;
}
