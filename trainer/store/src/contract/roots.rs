//! Root documents.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use crate::traits::StoredRoot;
use crate::{AuditFilter, Limits, Store};

fn root(version: u64) -> StoredRoot {
    StoredRoot { version, bytes: vec![version as u8, 0, 255] }
}

pub fn a_root_document_follows_the_newest_one_and_none_is_lost<T: TestStore>() {
    let folder = T::new();
    let _writer: Store = folder.open(Limits::default());
    let (first, second) = (folder.handle(), folder.handle());
    assert_eq!((first.newest_root().unwrap(), first.roots(0).unwrap()), (None, vec![]));
    first.add_root(&root(1), 0, "version 1: site-1", "ann", 5).unwrap();
    first.add_root(&root(4), 1, "version 4: site-2", "bob", 6).unwrap();
    // The other operator's document was signed before.
    let error = second.add_root(&root(5), 1, "", "eve", 7).unwrap_err().to_string();
    assert!(error.contains("root document 1") && error.contains("keys root show"), "{error}");
    assert!(second.add_root(&root(9), 0, "", "eve", 7).is_err());
    assert_eq!(second.newest_root().unwrap(), Some(root(4)));
    assert_eq!(second.roots(0).unwrap(), [root(1), root(4)]);
    assert_eq!(second.roots(1).unwrap(), [root(4)]);
    let page = first.audit(&AuditFilter { limit: 9, ..AuditFilter::default() }).unwrap();
    let entries: Vec<_> = page.records.iter().map(|entry| (entry.action.as_str(), entry.who.as_str())).collect();
    assert_eq!(entries, [("publish-root", "bob"), ("publish-root", "ann")]);
    assert_eq!(
        (page.records[0].object.as_str(), page.records[0].detail.as_str()),
        ("root document 4", "version 4: site-2")
    );
}

pub fn a_root_document_of_other_root_keys_replaces_all_others<T: TestStore>() {
    let folder = T::new();
    let _writer: Store = folder.open(Limits::default());
    let handle = folder.handle();
    handle.add_root(&root(1), 0, "version 1: site-1", "ann", 5).unwrap();
    handle.add_root(&root(4), 1, "version 4: site-1", "ann", 6).unwrap();
    assert!(handle.replace_roots(&root(4), "", "eve", 7).is_err(), "not a higher version");
    assert_eq!(handle.roots(0).unwrap(), [root(1), root(4)]);
    handle.replace_roots(&root(5), "version 5: site-2", "bob", 8).unwrap();
    assert_eq!(handle.roots(0).unwrap(), [root(5)]);
    let page = handle.audit(&AuditFilter { limit: 9, ..AuditFilter::default() }).unwrap();
    let newest = &page.records[0];
    assert_eq!((newest.action.as_str(), newest.who.as_str(), page.records.len()), ("publish-root", "bob", 3));
    assert!(newest.detail.contains("replaces all others"), "{}", newest.detail);
}
