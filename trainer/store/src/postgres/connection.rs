//! The address of a database → an open connection, opened again after it was lost.

use super::schema;
use super::session::{Queried, QueryError, Session};
use super::tls;
use crate::error::StoreError;
use crate::traits::Handle;
use crate::url::StoreUrl;
use postgres::Config;
use postgres::error::SqlState;
use std::cell::RefCell;
use std::time::Duration;

/// Repetitions of a transaction that PostgreSQL ended because of other transactions, at most.
const MAX_REPEATED: u32 = 5;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// A connection that is opened again after it was lost.
pub(super) struct Connection {
    url: StoreUrl,
    config: Config,
    access: Access,
    session: Option<Session>,
}

/// Reads the database, labels episodes and requests retraining.
pub(crate) struct PostgresHandle {
    connection: RefCell<Connection>,
}

impl Handle for PostgresHandle {}

impl PostgresHandle {
    /// Connects, and migrates the tables if needed.
    ///
    /// # Errors
    /// When the server cannot be reached, or the database is foreign, of a newer version or not writable.
    pub(crate) fn open(url: &StoreUrl) -> Result<Self, StoreError> {
        let mut connection = Connection::open(url, Access::Write)?;
        schema::migrate(&mut connection)?;
        Ok(Self { connection: RefCell::new(connection) })
    }

    /// Connects read-only.
    ///
    /// # Errors
    /// When the server cannot be reached, or the database is foreign or of a newer version.
    pub(crate) fn open_reading(url: &StoreUrl) -> Result<Self, StoreError> {
        let mut connection = Connection::open(url, Access::Read)?;
        schema::check(&mut connection)?;
        Ok(Self { connection: RefCell::new(connection) })
    }

    /// Runs queries, each of which sees the database as it is when the query begins. A lost connection is opened again and
    /// the queries are repeated once.
    pub(super) fn read<T>(&self, work: impl Fn(&mut Session) -> Queried<T>) -> Result<T, StoreError> {
        self.connection.borrow_mut().read(work)
    }

    /// Runs queries that all see one state of the database.
    pub(super) fn snapshot<T>(&self, work: impl Fn(&mut Session) -> Queried<T>) -> Result<T, StoreError> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        self.read(|session| session.transaction(begin, &work))
    }

    /// Runs a transaction that writes. It is repeated if PostgreSQL ended it because of another transaction.
    pub(super) fn write<T>(&self, work: impl Fn(&mut Session) -> Queried<T>) -> Result<T, StoreError> {
        self.connection.borrow_mut().write(work)
    }

    /// Where the store is.
    pub(super) fn url(&self) -> StoreUrl {
        self.connection.borrow().url.clone()
    }
}
