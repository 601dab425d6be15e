//! Errors of the server and of the connection → store errors that name the operator's next step.

use super::session::QueryError;
use crate::error::StoreError;
use crate::url::StoreUrl;
use postgres::Error;
use postgres::error::SqlState;
use std::error::Error as _;
use std::path::PathBuf;

/// The message of an error without the library's preface, and with the server's hint.
fn reason(error: &Error) -> String {
    match error.as_db_error() {
        Some(error) => match error.hint() {
            Some(hint) => format!("{} ({hint})", error.message()),
            None => error.message().to_owned(),
        },
        None => error.source().map_or_else(|| error.to_string(), ToString::to_string),
    }
}

/// An error while connecting.
pub(super) fn connecting(url: &StoreUrl, error: &Error) -> StoreError {
    // The server rejects the user, or the database does not exist. Everything else may pass.
    let is_permanent = error.code().is_some_and(|code| matches!(class(code), "28" | "3D" | "42"));
    StoreError::Connect { store: url.to_string(), reason: reason(error), is_temporary: !is_permanent }
}

/// An error of a query, after which the connection may be lost.
pub(super) fn querying(url: &StoreUrl, error: QueryError, is_lost: bool) -> StoreError {
    let store = url.to_string();
    let is_conflict = is_conflict(&error);
    let source = match error {
        QueryError::Database(source) | QueryError::NotBegun(source) => source,
        QueryError::Invalid(_) => return StoreError::Sql { store, source: error.into(), is_temporary: false },
    };
    match source.code() {
        Some(&SqlState::DISK_FULL) => StoreError::NoSpace { path: PathBuf::from(store), reason: reason(&source) },
        Some(&SqlState::UNDEFINED_TABLE) => StoreError::NoTables { store },
        code => {
            let is_temporary = is_lost || is_conflict || code.is_some_and(is_temporary);
            StoreError::Sql { store, source: reason(&source).into(), is_temporary }
        }
    }
}

/// The first two characters of an error code.
fn class(code: &SqlState) -> &str {
    code.code().get(..2).unwrap_or_default()
}

/// True if the same call may succeed later: lack of resources, a server that stops or starts, I/O errors, and a server that
/// accepts no writes, because another one took its place.
fn is_temporary(code: &SqlState) -> bool {
    matches!(class(code), "08" | "40" | "53" | "55" | "57" | "58") || *code == SqlState::READ_ONLY_SQL_TRANSACTION
}

/// True if the connection was lost or is about to be.
pub(super) fn is_lost(error: &QueryError) -> bool {
    let (QueryError::Database(error) | QueryError::NotBegun(error)) = error else { return false };
    match error.code() {
        Some(code) => {
            let ends = [
                SqlState::ADMIN_SHUTDOWN,
                SqlState::CRASH_SHUTDOWN,
                SqlState::CANNOT_CONNECT_NOW,
                SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                SqlState::READ_ONLY_SQL_TRANSACTION,
            ];
            ends.contains(code) || class(code) == "08"
        }
        // Not an answer of the server, or one that is cut off. Errors of values have another source.
        None => error.is_closed() || error.source().is_none_or(|source| source.is::<std::io::Error>()),
    }
}

/// True if PostgreSQL ended the transaction because of another one, so that it can be repeated at once.
pub(super) fn is_conflict(error: &QueryError) -> bool {
    let QueryError::Database(error) = error else { return false };
    let conflicts = [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE];
    error.code().is_some_and(|code| conflicts.contains(code))
}

/// True if another transaction or connection kept a lock for too long.
pub(super) fn is_lock_timeout(error: &QueryError) -> bool {
    let QueryError::Database(error) = error else { return false };
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// True if the row belongs to no partition: retention of another process has dropped it.
pub(super) fn lacks_partition(error: &QueryError) -> bool {
    let QueryError::Database(error) = error else { return false };
    error.code() == Some(&SqlState::CHECK_VIOLATION)
        && error.as_db_error().is_some_and(|error| error.constraint().is_none())
}
