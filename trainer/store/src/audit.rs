//! Queries of the audit log that both databases share.

use crate::Limits;
use crate::cell::Cell;
use lapwing_fleet::{AUDIT_ENTRIES, AuditChain, AuditCheck, AuditHead, AuditRecord};
use std::fmt;

/// Entries that a check reads at a time.
pub(crate) const CHECKED_AT_ONCE: i64 = 1_000;
/// Seconds in a day.
const DAY_S: u64 = 86_400;
/// The setting with the limits of the last process.
pub(crate) const LIMITS: &str = "limits";

/// Which entries of the audit log to read, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Earliest time, seconds since the epoch; `None`: any.
    pub since_s: Option<u64>,
    /// Only entries with a lower number; `None`: begin with the newest.
    pub before: Option<u64>,
    /// Only entries of this person, whatever the way ([`lapwing_fleet::acting`]), or of this process; `None`: of all.
    pub who: Option<String>,
    /// Only entries with this name of an action; `None`: all.
    pub action: Option<String>,
    /// Maximum number of entries.
    pub limit: u32,
}

/// A page of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// Entries, newest first.
    pub records: Vec<AuditRecord>,
    /// [`AuditFilter::before`] of the next page; `None` on the last page.
    pub next: Option<u64>,
}

impl AuditFilter {
    /// Values of the query that reads a page: number, time, one entry more than a page has, person and action, which are
    /// empty if they do not matter.
    pub(crate) fn values(&self) -> [Cell; 5] {
        let signed = |value: u64| Cell::Integer(i64::try_from(value).unwrap_or(i64::MAX));
        let text = |text: &Option<String>| Cell::text(text.as_deref().unwrap_or_default());
        [
            signed(self.before.unwrap_or(u64::MAX)),
            signed(self.since_s.unwrap_or(0)),
            Cell::Integer(i64::from(self.limit) + 1),
            text(&self.who),
            text(&self.action),
        ]
    }

    /// The page of the entries that the query returned.
    pub(crate) fn page(&self, mut records: Vec<AuditRecord>) -> AuditPage {
        let has_more = records.len() > self.limit as usize;
        records.truncate(self.limit as usize);
        AuditPage { next: records.last().map(|record| record.number).filter(|_| has_more), records }
    }
}

/// The number up to which entries are deleted when this one is added.
pub(crate) fn forgotten(newest: &AuditRecord) -> i64 {
    newest.number.saturating_sub(AUDIT_ENTRIES).cast_signed()
}

/// Checks the log. `read` returns at most [`CHECKED_AT_ONCE`] entries after a number.
pub(crate) fn check<E>(
    sought: Option<[u8; 32]>,
    head: Option<AuditHead>,
    mut read: impl FnMut(i64) -> Result<Vec<AuditRecord>, E>,
) -> Result<AuditCheck, E> {
    let (mut chain, mut after) = (AuditChain::new(sought), i64::MIN);
    loop {
        let records = read(after)?;
        let Some(last) = records.last() else { return Ok(chain.finish(head)) };
        after = last.number.cast_signed();
        records.iter().for_each(|record| chain.add(record));
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sample_bytes, sample_rows, alerts, updates, agents, age_s } = self;
        let mib = sample_bytes >> 20;
        write!(f, "sample-mib {mib}, sample-rows {sample_rows}, alerts {alerts}, updates {updates}, agents {agents}")?;
        age_s.map_or(Ok(()), |age_s| write!(f, ", max-age-days {}", age_s / DAY_S))
    }
}
