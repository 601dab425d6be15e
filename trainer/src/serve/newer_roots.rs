//! Root documents that a broker kept from before the store was restored → the store.
//!
//! A store that was restored from an older backup lacks the documents that were published since. A broker may still have
//! them. Replacing them by older ones would keep new agents from the withdrawal of a key.

use super::publish::Publisher;
use lapwing_common::clock::Moment;
use lapwing_shared::release::root::{ChainDocuments, RootDocument, RootError, SignedRoot, follow};
use lapwing_store::traits::StoredRoot;
use lapwing_store::{StoreError, StoreHandle};

/// Who adds them, in the audit log.
const WHO: &str = "serve";

/// Why a broker's documents are not added.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdoptError {
    #[error(transparent)]
    Root(#[from] RootError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Adds what the brokers returned to the store. The next pass publishes it at every broker.
pub(super) fn adopt_all(publisher: &mut Publisher, handle: &StoreHandle, now: Moment) {
    for (broker, chain) in publisher.newer_roots() {
        match adopt(handle, &chain, &broker, now.wall_s) {
            Ok(Some(version)) => tracing::warn!(
                broker,
                version,
                "the broker has newer root documents than the store, which may be of an older backup: added them"
            ),
            Ok(None) => {}
            Err(error) => tracing::error!(
                broker,
                %error,
                "the broker has newer root documents than the store, and they cannot be added; publish the newest file with `lapwing-trainer keys publish`"
            ),
        }
    }
}

/// Adds the documents of a chain that continues the newest one of the store; returns the version of the last. As for agents
/// and `keys publish`, the root keys before and in each document must have signed it.
fn adopt(handle: &StoreHandle, chain: &[u8], broker: &str, now_s: u64) -> Result<Option<u64>, AdoptError> {
    let Some(newest) = handle.newest_root()? else { return Ok(None) };
    let held = SignedRoot::decode(&newest.bytes)?.first_trusted()?;
    if follow(&held, chain)?.is_none() {
        return Ok(None);
    }
    let mut after = held.version;
    for bytes in ChainDocuments::new(chain)? {
        let bytes = bytes?;
        let document = RootDocument::decode(SignedRoot::decode(bytes)?.document)?;
        if document.version > after {
            let stored = StoredRoot { version: document.version, bytes: bytes.to_vec() };
            handle.add_root(&stored, after, &format!("{document}; retained at {broker}"), WHO, now_s)?;
            after = document.version;
        }
    }
    Ok(Some(after))
}

/// True if a chain continues a published one.
pub(super) fn is_newer(published: &[u8], found: &[u8]) -> bool {
    let newest = || -> Option<RootDocument> {
        let last = ChainDocuments::new(published).ok()?.last()?.ok()?;
        SignedRoot::decode(last).ok()?.first_trusted().ok()
    };
    newest().is_some_and(|held| matches!(follow(&held, found), Ok(Some(_))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::release::testing::{chain, root, signed_root};
    use lapwing_store::testing::Folder;
    use lapwing_store::{AuditFilter, Limits, Store};

    fn signed(version: u64) -> Vec<u8> {
        signed_root(&root(version), &[9])
    }

    #[test]
    fn a_restored_store_gets_the_documents_that_a_broker_has_and_no_forged_ones() {
        let folder = Folder::new();
        let handle = Store::open(folder.store(), Limits::default()).unwrap().handle().unwrap();
        let newer = chain(&[signed(1), signed(2), signed(4)]);
        assert_eq!(adopt(&handle, &newer, "mqtt://hub", 9).unwrap(), None, "a store without documents trusts no roots");
        handle.add_root(&StoredRoot { version: 2, bytes: signed(2) }, 0, "", "ann", 1).unwrap();
        let forged = chain(&[signed(2), signed_root(&root(3), &[8])]);
        assert!(matches!(adopt(&handle, &forged, "mqtt://hub", 9), Err(AdoptError::Root(RootError::Unsigned { .. }))));
        assert_eq!(adopt(&handle, &newer, "mqtt://hub", 9).unwrap(), Some(4));
        assert_eq!(handle.newest_root().unwrap().unwrap(), StoredRoot { version: 4, bytes: signed(4) });
        assert_eq!(adopt(&handle, &newer, "mqtt://hub", 9).unwrap(), None, "it has them");
        let records = handle.audit(&AuditFilter { limit: 9, ..AuditFilter::default() }).unwrap().records;
        assert!(records.iter().any(|record| record.detail.ends_with("; retained at mqtt://hub")), "{records:?}");
    }

    #[test]
    fn only_a_signed_continuation_is_newer() {
        let of = |versions: &[u64]| chain(&versions.iter().map(|version| signed(*version)).collect::<Vec<_>>());
        assert!(is_newer(&of(&[1, 2]), &of(&[1, 3])));
        for found in [of(&[1, 2]), of(&[1]), chain(&[signed(1), signed_root(&root(3), &[8])]), b"x".to_vec()] {
            assert!(!is_newer(&of(&[1, 2]), &found));
        }
    }
}
