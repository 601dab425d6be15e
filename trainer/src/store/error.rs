//! What can go wrong with the store, each with the operator's next step.

use rusqlite::ErrorCode;
use std::path::{Path, PathBuf};

/// Why the store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened or made.
    #[error("cannot open the store {}: {reason}; check that its folder exists and may be written", path.display())]
    Open {
        /// The store's file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is not SQLite, or its pages are damaged.
    #[error(
        "the store {} is damaged: {reason}; restore a copy, or move the file and its -wal and -shm files away and start \
         again: agents send again what was never acknowledged",
        path.display()
    )]
    Damaged {
        /// The store's file.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// An SQLite file that another program made.
    #[error("{} is an SQLite file, but no Lapwing store; give another path", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer trainer wrote it.
    #[error(
        "the store {} has schema version {found}, this trainer knows versions up to {known}; use the newer trainer, or \
         another path",
        path.display()
    )]
    NewerVersion {
        /// The store's file.
        path: PathBuf,
        /// Version in the file.
        found: u32,
        /// Newest version known.
        known: u32,
    },
    /// Another process writes to it.
    #[error("the store {} is in use by another trainer; stop that one, or give another path", path.display())]
    InUse {
        /// The store's file.
        path: PathBuf,
    },
    /// No space, or the device refuses; nothing of the batch was stored.
    #[error("the store {} cannot be written: {reason}; free some space on its disk, writing is tried again", path.display())]
    NoSpace {
        /// The store's file.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// Something asked for does not exist.
    #[error("the store has no {what}; `lapwing-trainer {list}` lists what there is")]
    Missing {
        /// What was asked for.
        what: String,
        /// Subcommand that lists such things.
        list: &'static str,
    },
    /// Any other answer of SQLite.
    #[error("the store {} answered: {source}", path.display())]
    Sql {
        /// The store's file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// Sorts an SQLite error by what the operator can do about it.
    pub(crate) fn from_sql(path: &Path, source: rusqlite::Error) -> Self {
        let (path, reason) = (path.to_path_buf(), source.to_string());
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged { path, reason },
            Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => Self::NoSpace { path, reason },
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::Open { path, reason }
            }
            _ => Self::Sql { path, source },
        }
    }

    /// True when the same call may succeed later without anybody changing the request.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NoSpace { .. } => true,
            Self::Sql { source, .. } => {
                matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
            }
            _ => false,
        }
    }
}
