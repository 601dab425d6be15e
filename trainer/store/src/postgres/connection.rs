//! The address of a database → an open connection, opened again after it was lost.

use super::schema::{LOCKS, Lock};
use super::session::{Queried, QueryError, Session, Values};
use super::tls::Tls;
use super::{address, audit, errors, schema};
use crate::error::StoreError;
use crate::traits::Handle;
use crate::url::StoreUrl;
use lapwing_fleet::AuditEntry;
use postgres::config::SslMode;
use postgres::{Config, NoTls};
use std::cell::{Cell, RefCell, RefMut};
use std::path::PathBuf;

/// Repetitions of a transaction that PostgreSQL ended because of other transactions, at most.
const MAX_REPEATED: u32 = 5;
/// Settings of every connection: a query or a lock that takes minutes means that something is broken.
/// Pages walk along an index; a bitmap of it would have to be sorted.
const READING: &str = "SET default_transaction_read_only = on; SET statement_timeout = '300s'; SET jit = off; \
     SET enable_bitmapscan = off";
/// The server notices only after a moment that a process has ended, and releases its locks then.
const SHORT_WAIT: &str = "SET lock_timeout = '3s'";
/// Acknowledged messages must be on disk, whatever the server's default is; a stronger setting stays.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') IN ('off', 'local'); \
     SET lock_timeout = '60s'; SET idle_in_transaction_session_timeout = '300s'; SET jit = off; \
     SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";
/// The statements of a writer select rows by their keys, which arrays of parameters carry, but the planner cannot know how
/// many there are.
const WRITING: &str = "SET enable_hashjoin = off; SET enable_mergejoin = off";
/// A copy reads tables in the order of their keys.
const COPYING: &str = "SET enable_bitmapscan = off";

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// Beside other writers.
    Write,
    /// Without any other writer.
    Copy,
}

/// A connection that is opened again after it was lost.
pub(super) struct Connection {
    url: StoreUrl,
    config: Config,
    /// Certificates to trust; without it, those of the system.
    authority: Option<PathBuf>,
    access: Access,
    session: Option<Session>,
    opened: u64,
}

/// Reads the database, labels episodes and requests retraining.
pub(crate) struct PostgresHandle {
    connection: RefCell<Connection>,
    /// Number of this handle's compactor, if it has one.
    pub(super) compactor: Cell<Option<i64>>,
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
        schema::reject_unfinished(&mut connection)?;
        Ok(Self { connection: RefCell::new(connection), compactor: Cell::new(None) })
    }

    /// Connects read-only.
    ///
    /// # Errors
    /// When the server cannot be reached, or the database is foreign or of a newer version.
    pub(crate) fn open_reading(url: &StoreUrl) -> Result<Self, StoreError> {
        let mut connection = Connection::open(url, Access::Read)?;
        schema::check(&mut connection)?;
        schema::reject_unfinished(&mut connection)?;
        Ok(Self { connection: RefCell::new(connection), compactor: Cell::new(None) })
    }

    /// Connects as the only process that writes, to copy the database. A copy may be unfinished.
    ///
    /// # Errors
    /// When another process has it open to write it, and as [`Self::open`].
    pub(crate) fn open_copy(url: &StoreUrl) -> Result<Self, StoreError> {
        let mut connection = Connection::open(url, Access::Copy)?;
        schema::migrate(&mut connection)?;
        Ok(Self { connection: RefCell::new(connection), compactor: Cell::new(None) })
    }

    /// Connects as the only process that writes, to a complete store of the current version.
    ///
    /// # Errors
    /// As [`Self::open_copy`].
    pub(crate) fn open_source(url: &StoreUrl) -> Result<Self, StoreError> {
        let mut connection = Connection::open(url, Access::Copy)?;
        let found = schema::check(&mut connection)?;
        if found == 0 {
            return Err(StoreError::NoTables { store: url.to_string() });
        }
        if found < schema::VERSION {
            return Err(StoreError::OlderVersion { store: url.to_string(), found, known: schema::VERSION });
        }
        schema::reject_unfinished(&mut connection)?;
        Ok(Self { connection: RefCell::new(connection), compactor: Cell::new(None) })
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

    /// Runs a statement that changes the one row that `entry` describes, and appends the entry; false, without any change, if
    /// there is no such row.
    pub(super) fn change_and_record(
        &self,
        text: &str,
        values: Values<'_>,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        self.write(|session| {
            if session.change(text, values)? == 0 {
                return Ok(false);
            }
            audit::append(session, entry).map(|()| true)
        })
    }

    /// Its connection.
    pub(super) fn connection(&self) -> RefMut<'_, Connection> {
        self.connection.borrow_mut()
    }

    /// Where the store is.
    pub(super) fn url(&self) -> StoreUrl {
        self.connection.borrow().url.clone()
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When the address is invalid, or the server cannot be reached.
    pub(super) fn open(url: &StoreUrl, access: Access) -> Result<Self, StoreError> {
        let (config, authority) = address::parse(url)?;
        let mut connection = Self { url: url.clone(), config, authority, access, session: None, opened: 0 };
        connection.session()?;
        Ok(connection)
    }

    /// Where the store is.
    pub(super) fn url(&self) -> &StoreUrl {
        &self.url
    }

    /// How many times the connection was opened. What a process remembers of the database is void after that: the server may
    /// be another one, to which the first one's data had not been copied.
    pub(super) fn opened(&self) -> u64 {
        self.opened
    }

    /// The open connection.
    fn session(&mut self) -> Result<&mut Session, StoreError> {
        let session = match self.session.take() {
            Some(session) if !session.is_closed() => session,
            _ => {
                let session = self.connect()?;
                self.opened += 1;
                session
            }
        };
        Ok(self.session.insert(session))
    }

    fn connect(&self) -> Result<Session, StoreError> {
        let store = self.url.to_string();
        let client = if self.config.get_ssl_mode() == SslMode::Disable {
            self.config.connect(NoTls)
        } else {
            let tls = Tls::new(self.authority.as_deref());
            let tls = tls.map_err(|reason| StoreError::Connect { store, reason, is_temporary: false })?;
            self.config.connect(tls)
        };
        let mut session = Session::new(client.map_err(|error| errors::connecting(&self.url, &error))?);
        match self.prepare(&mut session) {
            Ok(true) => Ok(session),
            Ok(false) if self.access == Access::Copy => Err(StoreError::Shared { store: self.url.to_string() }),
            Ok(false) => Err(StoreError::BeingCopied { store: self.url.to_string() }),
            Err(error) => {
                let is_lost = errors::is_lost(&error) || session.is_closed();
                Err(errors::querying(&self.url, error, is_lost))
            }
        }
    }

    /// Sets the settings of a new connection; false if another process copies the store, or, for a copy, uses it. The lock
    /// belongs to the connection: the server releases it however a process ends.
    fn prepare(&self, session: &mut Session) -> Queried<bool> {
        let lock = match self.access {
            Access::Read => return session.batch(READING).map(|()| true),
            Access::Write => "SELECT pg_advisory_lock_shared($1, $2)",
            Access::Copy => "SELECT pg_advisory_lock($1, $2)",
        };
        session.batch(SHORT_WAIT)?;
        match session.query(lock, &[&LOCKS, &(Lock::Use as i32)]) {
            Ok(_) => {}
            Err(error) if errors::is_lock_timeout(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
        session.batch(DURABLE)?;
        session.batch(if self.access == Access::Copy { COPYING } else { WRITING }).map(|()| true)
    }

    /// Runs queries. A lost connection is opened again and the queries are repeated once.
    pub(super) fn read<T>(&mut self, work: impl Fn(&mut Session) -> Queried<T>) -> Result<T, StoreError> {
        let mut is_repeated = false;
        loop {
            let error = match work(self.session()?) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let is_lost = self.drop_if_lost(&error);
            if is_repeated || !is_lost {
                return Err(errors::querying(&self.url, error, is_lost));
            }
            is_repeated = true;
        }
    }

    /// Runs a transaction that writes. It is repeated if PostgreSQL ended it because of another transaction, and if the
    /// connection was lost before it began. If the connection is lost later, the transaction may be committed: the caller
    /// decides whether to repeat it.
    pub(super) fn write<T>(&mut self, work: impl Fn(&mut Session) -> Queried<T>) -> Result<T, StoreError> {
        let mut repeated = 0;
        loop {
            let error = match self.session()?.transaction("BEGIN", &work) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let is_lost = self.drop_if_lost(&error);
            let may_repeat =
                if is_lost { matches!(error, QueryError::NotBegun(_)) } else { errors::is_conflict(&error) };
            if !may_repeat || repeated == MAX_REPEATED {
                return Err(errors::querying(&self.url, error, is_lost));
            }
            repeated += 1;
        }
    }

    /// Forgets the connection if it was lost.
    fn drop_if_lost(&mut self, error: &QueryError) -> bool {
        let is_lost = errors::is_lost(error) || self.session.as_ref().is_none_or(Session::is_closed);
        if is_lost {
            self.session = None;
        }
        is_lost
    }
}
