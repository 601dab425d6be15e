//! Statements of root documents, and their rows.

use crate::fields::Fields;
use crate::traits::StoredRoot;

pub(crate) const ADD_ROOT: &str = "INSERT INTO root_documents (version, bytes, stored_s, who) SELECT ?1, ?2, ?3, ?4 \
    WHERE coalesce((SELECT max(version) FROM root_documents), 0) = ?5";
/// Removes the documents before a version, unless there is a newer one.
pub(crate) const REMOVE_ROOTS: &str =
    "DELETE FROM root_documents WHERE NOT EXISTS (SELECT 1 FROM root_documents WHERE version >= ?1)";
pub(crate) const ROOTS: &str = "SELECT version, bytes FROM root_documents WHERE version > ?1 ORDER BY version";
pub(crate) const NEWEST_ROOT: &str = "SELECT version, bytes FROM root_documents ORDER BY version DESC LIMIT 1";

/// A row of [`ROOTS`].
pub(crate) fn root<R: Fields>(row: &R) -> Result<StoredRoot, R::Error> {
    Ok(StoredRoot { version: row.unsigned(0)?, bytes: row.bytes(1)? })
}
