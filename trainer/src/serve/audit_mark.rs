//! The hash of the newest entry of the audit log → this process's log, each day.
//!
//! Whoever can write the store can remove the whole audit log, or write another one. `audit verify --hash`
//! detects that with a line of a log that has left this machine.

use lapwing_shared::release::digest::Hex;
use lapwing_store::{AuditFilter, StoreError, StoreHandle};
use std::time::{Duration, Instant};

/// Interval between two lines.
const INTERVAL: Duration = Duration::from_secs(86_400);

/// When the last line was written.
#[derive(Default)]
pub(super) struct AuditMark(Option<Instant>);

impl AuditMark {
    /// Logs the hash, if a day has passed; returns it.
    pub(super) fn pass(&mut self, handle: &StoreHandle, now: Instant) -> Result<Option<String>, StoreError> {
        if self.0.is_some_and(|at| now.saturating_duration_since(at) < INTERVAL) {
            return Ok(None);
        }
        let page = handle.audit(&AuditFilter { limit: 1, ..AuditFilter::default() })?;
        self.0 = Some(now);
        let Some(newest) = page.records.first() else { return Ok(None) };
        let hash = Hex(&newest.sha256()).to_string();
        tracing::info!(number = newest.number, sha256 = hash, "newest entry of the audit log");
        Ok(Some(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_common::clock;
    use lapwing_store::testing::Folder;
    use lapwing_store::{Limits, Store};

    #[test]
    fn the_hash_that_is_logged_each_day_finds_its_entry_until_the_log_is_written_anew() {
        let (folder, other) = (Folder::new(), Folder::new());
        let handle = |folder: &Folder| Store::open(folder.store(), Limits::default()).unwrap().handle().unwrap();
        let (store, foreign) = (handle(&folder), handle(&other));
        let (mut mark, began) = (AuditMark::default(), clock::monotonic());
        assert_eq!(mark.pass(&store, began).unwrap(), None, "no entries");
        store.request_retraining(None, "eve", 5).unwrap();
        foreign.request_retraining(None, "mallory", 5).unwrap();
        assert_eq!(mark.pass(&store, began + INTERVAL / 2).unwrap(), None);
        let hash = mark.pass(&store, began + INTERVAL).unwrap().unwrap();
        let sought = lapwing_shared::release::digest::parse_digest(&hash);
        assert!(store.check_audit(sought).unwrap().has_hash);
        assert!(!foreign.check_audit(sought).unwrap().has_hash);
    }
}
