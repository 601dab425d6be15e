//! Errors of databases and files → store errors that name the operator's next step.

use crate::people_rows::PersonError;
use lapwing_fleet::Identity;
use lapwing_segments::SegmentError;
use rusqlite::ErrorCode;
use std::path::{Path, PathBuf};

/// Why an operation on the store failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum StoreError {
    /// The file cannot be opened or created.
    #[error("cannot open the store {}: {reason}; check that its folder exists and is writable", path.display())]
    Open {
        /// The store's file.
        path: PathBuf,
        /// The system's error.
        reason: String,
    },
    /// There is no such file.
    #[error("there is no store {}; `lapwing-trainer serve` creates it at its first start", path.display())]
    Absent {
        /// The store's file.
        path: PathBuf,
    },
    /// Other accounts can read a file of the store, and this one may not change that.
    #[error(
        "cannot make {} private to its owner: {reason}; give it to the account that runs the trainer (chown)",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: String,
    },
    /// The file is not SQLite, or its pages are damaged.
    #[error(
        "the store {} is damaged: {reason}; restore a backup, or move the file, its -wal and -shm files and its .segments folder \
         away and restart: agents resend every message that was not acknowledged",
        path.display()
    )]
    Damaged { path: PathBuf, reason: String },
    /// Too many agents have an assignment.
    #[error(
        "{limit} agents have an assignment, which is the limit; end one with `lapwing-trainer agents assign NAME --clear`"
    )]
    Assignments {
        /// The limit.
        limit: i64,
    },
    /// An SQLite file of another program.
    #[error("{} is an SQLite file but not a Lapwing store; choose another path", path.display())]
    Foreign { path: PathBuf },
    /// The file has a newer schema version than this trainer.
    #[error(
        "the store {} has schema version {found}, this trainer supports versions up to {known}; use a newer trainer or \
         choose another path",
        path.display()
    )]
    NewerVersion {
        path: PathBuf,
        /// Version in the file.
        found: u32,
        /// Newest supported version.
        known: u32,
    },
    /// A read-only handle on a store that must be migrated first.
    #[error(
        "the store {store} has schema version {found}, this trainer needs {known}; run `lapwing-trainer store migrate`"
    )]
    OlderVersion {
        /// Path or address, without a password.
        store: String,
        /// Version in the store.
        found: u32,
        /// Needed version.
        known: u32,
    },
    /// Another process writes to the store.
    #[error(
        "the store {} is in use by another trainer; stop that trainer or choose another path. An SQLite file allows one \
         process of the trainer: run all roles in it, without --roles, or use PostgreSQL", path.display()
    )]
    InUse { path: PathBuf },
    /// The disk is full or reports an I/O error; no message of the batch was stored.
    #[error("cannot write to the store {}: {reason}; free some space on its disk, the trainer retries", path.display())]
    NoSpace { path: PathBuf, reason: String },
    /// An identity cannot get another name.
    #[error(
        "`{name}` cannot become `{new}`, because brokers admit its certificates as `{name}` until they end; enrol the \
         gateway again as `{new}`, with a new folder for its identity, and revoke `{name}`"
    )]
    HasCertificate { name: String, new: String },
    /// The requested item does not exist.
    #[error("the store has no {what}; run `lapwing-trainer {list}` for a list")]
    Missing {
        what: String,
        /// Subcommand that lists such items.
        list: &'static str,
    },
    /// A change of people that the rules do not allow.
    #[error(transparent)]
    Person(#[from] PersonError),
    /// A campaign that cannot be read or written.
    #[error(
        "campaign {campaign} cannot be stored or read: {reason}; use the version of the trainer that started it, or restore \
         a backup"
    )]
    Campaign {
        /// Its number, or the group that it is for.
        campaign: String,
        reason: String,
    },
    /// A group's second campaign.
    #[error(
        "campaign {id} of the group {group} has not ended; wait for it, end it with `lapwing-trainer rollout abort`, or \
         replace it with `lapwing-trainer rollout start --supersede`"
    )]
    OpenCampaign { group: String, id: i64 },
    /// An incident cannot be changed so.
    #[error("incident {id}: {reason}")]
    Incident { id: i64, reason: String },
    /// The server of a database cannot be reached, or rejects the connection.
    #[error("cannot connect to the store {store}: {reason}; check that PostgreSQL runs there and admits this user")]
    Connect {
        /// Address, without a password.
        store: String,
        /// The server's or the system's error.
        reason: String,
        /// The same call may succeed later.
        is_temporary: bool,
    },
    /// An invalid `postgres://` address; the reason is not shown, because it may be a part of the password.
    #[error(
        "the address of the store {store} is invalid; expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special \
         characters as %40 and a socket's folder as %2Frun%2Fpostgresql; other parameters are in docs/operations.md"
    )]
    Address { store: String },
    /// A database of another program.
    #[error("the database {store} has tables of another program; create a database for Lapwing (createdb)")]
    ForeignDatabase { store: String },
    /// A database that cannot store every text.
    #[error(
        "the database {store} has the encoding {found}; create one with UTF8 (createdb --encoding UTF8 -T template0)"
    )]
    Encoding { store: String, found: String },
    /// A database without a store.
    #[error("the database {store} has no Lapwing store; start `serve`, or run `lapwing-trainer store migrate`")]
    NoTables { store: String },
    /// An operation on files, of a store in a database.
    #[error("the store {store} is a database: Lapwing does not {what} it; use {instead}")]
    NotAFile {
        /// Address, without a password.
        store: String,
        /// The operation.
        what: &'static str,
        /// The program for it.
        instead: &'static str,
    },
    /// A store of a kind that this program was built without.
    #[error("cannot open the store {store}: this program is built without PostgreSQL; use the path of an SQLite file")]
    NotBuilt { store: String },
    /// A segment cannot be read or written.
    #[error("segments of the store: {0}")]
    Segment(#[from] SegmentError),
    /// No place for segments is known.
    #[error(
        "the store {store} has no place for its segments; set store.segments, or --segments of a copy, to a folder"
    )]
    NoPlace {
        /// Path or address, without a password.
        store: String,
    },
    /// A place that this program was built without.
    #[error(
        "cannot open the segments at {place}: this program is built without object storage; set store.segments to a folder"
    )]
    PlaceNotBuilt {
        /// The place.
        place: String,
    },
    /// A copy that was interrupted.
    #[error(
        "the store {store} is an unfinished copy; repeat the `lapwing-trainer store copy` that was interrupted, or delete the \
         copy and start again"
    )]
    Unfinished { store: String },
    /// A copy would overwrite or mix data.
    #[error("the store {store} has {what}; copy to a new file or to a new database")]
    NotEmpty { store: String, what: String },
    /// A complete copy whose segments are elsewhere.
    #[error(
        "the store {store} is a complete copy with its segments in {place}; leave --segments out, or copy to a new store"
    )]
    CopiedElsewhere { store: String, place: String },
    /// Other processes have a database open that is copied.
    #[error(
        "the store {store} is in use; stop every `serve` and other command that uses it, then repeat the copy, which takes \
         the store for itself"
    )]
    Shared { store: String },
    /// A process copies the database.
    #[error("the store {store} is being copied; try again when `lapwing-trainer store copy` has ended")]
    BeingCopied { store: String },
    /// A store whose check failed.
    #[error("the store {store} has problems, the first of {count}: {first}; see `lapwing-trainer store check`")]
    Problems { store: String, count: usize, first: String },
    /// A value that the trainer cannot have written, or that the other database does not accept.
    #[error(
        "cannot copy the row ({row}) of the table {table} in {store}: the column {column} has {found}; the store is damaged or \
         was changed by another program"
    )]
    Value { store: String, table: &'static str, row: String, column: &'static str, found: String },
    /// A table that a copy cannot read or write.
    #[error("cannot copy the table {table}: {source}")]
    Table { table: &'static str, source: Box<Self> },
    /// A copy that is not equal.
    #[error(
        "the copy {store} differs from its source in the table {table} at the row ({row}): the source was used after the copy \
         began; delete the copy, stop every `serve`, and copy again"
    )]
    Differs { store: String, table: &'static str, row: String },
    /// A copy in the same place.
    #[error("source and copy have the same {what}, {place}; choose another one")]
    SamePlace { what: &'static str, place: String },
    /// Any other error of the database.
    #[error("query of the store {store} failed: {source}")]
    Sql {
        /// Path or address, without a password.
        store: String,
        source: Box<dyn std::error::Error + Send + Sync>,
        /// The same call may succeed later.
        is_temporary: bool,
    },
}

impl StoreError {
    /// An agent without this episode.
    pub(crate) fn no_episode(agent: &str, episode: u64) -> Self {
        Self::Missing { what: format!("alert episode {episode} of agent `{agent}`"), list: "alerts" }
    }

    /// No agent with this name.
    pub(crate) fn no_agent(name: &str) -> Self {
        Self::Missing { what: format!("agent `{name}`"), list: "agents" }
    }

    /// No release that an operator could decide on.
    pub(crate) fn none_waits(group: &str, version: u64) -> Self {
        let what = format!("release {version} of group `{group}` that waits for approval");
        Self::Missing { what, list: "approve" }
    }

    /// No job with this number.
    pub(crate) fn no_job(id: i64) -> Self {
        Self::Missing { what: format!("job {id}"), list: "retrain" }
    }

    /// The table in which copying failed.
    pub(crate) fn in_table(self, table: &'static str) -> Self {
        match self {
            Self::Value { .. } | Self::Differs { .. } | Self::NoSpace { .. } => self,
            source => Self::Table { table, source: Box::new(source) },
        }
    }

    /// No token with this number that has not ended.
    pub(crate) fn no_token(id: u32) -> Self {
        Self::Missing { what: format!("token {id} that has not ended"), list: "enroll --list" }
    }

    /// Too many tokens that have not ended.
    pub(crate) fn too_many_tokens() -> Self {
        Self::Missing { what: "room for another token: too many have not ended".into(), list: "enroll --list" }
    }

    /// The secret of seals cannot be read.
    pub(crate) fn damaged_seals() -> Self {
        Self::Missing { what: "valid secret of seals; make another one".into(), list: "authority reseal" }
    }

    /// Another root document was published meanwhile.
    pub(crate) fn newer_root(after: u64) -> Self {
        let what = if after == 0 {
            "store without a root document".into()
        } else {
            format!("root document {after} as the newest")
        };
        Self::Missing { what, list: "keys root show" }
    }

    /// No identity with this name.
    pub(crate) fn no_identity(name: &str) -> Self {
        Self::Missing { what: format!("identity `{name}`"), list: "agents identities" }
    }

    /// An identity is not as a list showed it.
    pub(crate) fn identity_changed(name: &str) -> Self {
        Self::Missing { what: format!("identity `{name}` as it was, or it is revoked"), list: "agents identities" }
    }

    /// Why an identity did not get the name `new`.
    pub(crate) fn not_renamed(identity: &Identity, new: &str) -> Self {
        if identity.issued > 0 {
            return Self::HasCertificate { name: identity.name.clone(), new: new.to_owned() };
        }
        let name = new;
        if identity.name == new {
            return Self::Missing {
                what: format!("other name than `{name}`: it has this name"),
                list: "agents identities",
            };
        }
        Self::Missing { what: format!("free name `{name}`: another identity has it"), list: "agents identities" }
    }

    /// Groups SQLite errors by what the operator can do about them.
    pub(crate) fn from_sql(path: &Path, source: rusqlite::Error) -> Self {
        let (path, reason) = (path.to_path_buf(), source.to_string());
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged { path, reason },
            Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => Self::NoSpace { path, reason },
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::Open { path, reason }
            }
            code => {
                let is_temporary = matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked));
                Self::Sql { store: path.display().to_string(), source: source.into(), is_temporary }
            }
        }
    }

    /// True if the same call may succeed later (disk full, store busy, database not reachable).
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::NoSpace { .. }
                | Self::BeingCopied { .. }
                | Self::Sql { is_temporary: true, .. }
                | Self::Connect { is_temporary: true, .. }
        )
    }
}
