//! Root documents, which name the keys for releases.

use crate::error::StoreError;

/// A signed root document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRoot {
    /// Its version.
    pub version: u64,
    /// The signed document.
    pub bytes: Vec<u8>,
}

/// Root documents that were published. The caller checks signatures. Old ones stay, because agents that were away for long
/// follow them; only other root keys replace them.
pub trait RootDocuments {
    /// Adds the document after version `after`, 0 for the first one. `detail` describes it in the audit log.
    ///
    /// # Errors
    /// When `after` is not the newest version any more, or the store cannot be written.
    fn add_root(&self, root: &StoredRoot, after: u64, detail: &str, who: &str, now_s: u64) -> Result<(), StoreError>;

    /// Replaces all documents by one of other root keys, with a higher version.
    ///
    /// # Errors
    /// When there is one of this version or a higher one, or the store cannot be written.
    fn replace_roots(&self, root: &StoredRoot, detail: &str, who: &str, now_s: u64) -> Result<(), StoreError>;

    /// Documents after a version, ascending.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn roots(&self, after: u64) -> Result<Vec<StoredRoot>, StoreError>;

    /// The newest document.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn newest_root(&self) -> Result<Option<StoredRoot>, StoreError>;
}
