//! Statements → rows, on one connection.

use super::schema::{LOCKS, Lock};
use postgres::types::{ToSql, Type};
use postgres::{Client, CopyInWriter, Row, Statement};
use std::collections::HashMap;

/// Values of a statement's parameters.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    /// The server's or the connection's error.
    #[error(transparent)]
    Database(#[from] postgres::Error),
    /// The transaction did not begin, so nothing of it was done.
    #[error(transparent)]
    NotBegun(postgres::Error),
    /// A value that the trainer cannot have written.
    #[error("unexpected value in the database: {0}")]
    Invalid(&'static str),
}

/// Result of a query.
pub(super) type Queried<T> = Result<T, QueryError>;

/// An open connection with its prepared statements.
pub(super) struct Session {
    client: Client,
    /// Prepared statements by their text. The texts are constants of this module or built from few parts, so they are few.
    statements: HashMap<String, Statement>,
}

impl Session {
    pub(super) fn new(client: Client) -> Self {
        Self { client, statements: HashMap::new() }
    }

    /// True after the connection was lost.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    fn prepared(&mut self, text: &str) -> Queried<Statement> {
        if let Some(statement) = self.statements.get(text) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(text)?;
        self.statements.insert(text.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Types of the columns that a query returns.
    pub(super) fn column_types(&mut self, text: &str) -> Queried<Vec<Type>> {
        Ok(self.prepared(text)?.columns().iter().map(|column| column.type_().clone()).collect())
    }

    /// All rows of a query.
    pub(super) fn query(&mut self, text: &str, values: Values<'_>) -> Queried<Vec<Row>> {
        let statement = self.prepared(text)?;
        Ok(self.client.query(&statement, values)?)
    }

    /// The only row of a query.
    pub(super) fn query_one(&mut self, text: &str, values: Values<'_>) -> Queried<Row> {
        let statement = self.prepared(text)?;
        Ok(self.client.query_one(&statement, values)?)
    }

    /// The only row of a query, or none.
    pub(super) fn query_opt(&mut self, text: &str, values: Values<'_>) -> Queried<Option<Row>> {
        let statement = self.prepared(text)?;
        Ok(self.client.query_opt(&statement, values)?)
    }

    /// The boolean that a query returns, of a text that is not worth preparing.
    pub(super) fn query_once(&mut self, text: &str) -> Queried<bool> {
        Ok(self.client.query_one(text, &[])?.try_get(0)?)
    }

    /// Runs a statement; returns the number of changed rows.
    pub(super) fn execute(&mut self, text: &str, values: Values<'_>) -> Queried<u64> {
        let statement = self.prepared(text)?;
        Ok(self.client.execute(&statement, values)?)
    }

    /// Runs statements without parameters.
    pub(super) fn batch(&mut self, text: &str) -> Queried<()> {
        Ok(self.client.batch_execute(text)?)
    }

    /// Begins to copy rows into a table.
    pub(super) fn copy_in(&mut self, text: &str) -> Queried<CopyInWriter<'_>> {
        let statement = self.prepared(text)?;
        Ok(self.client.copy_in(&statement)?)
    }

    /// Runs `work` between `begin` and `COMMIT`, or `ROLLBACK` after an error.
    pub(super) fn transaction<T>(&mut self, begin: &str, work: impl FnOnce(&mut Self) -> Queried<T>) -> Queried<T> {
        self.client.batch_execute(begin).map_err(QueryError::NotBegun)?;
        match work(self) {
            Ok(done) => self.batch("COMMIT").map(|()| done),
            Err(error) => {
                // After a lost connection, the server rolls back on its own.
                let _ = self.batch("ROLLBACK");
                Err(error)
            }
        }
    }

    /// Waits for an advisory lock, and holds it until the end of the transaction.
    pub(super) fn lock(&mut self, lock: Lock) -> Queried<()> {
        self.query("SELECT pg_advisory_xact_lock($1, $2)", &[&LOCKS, &(lock as i32)]).map(drop)
    }

    /// Takes an advisory lock until the end of the transaction; false if it is taken.
    pub(super) fn try_lock(&mut self, lock: Lock) -> Queried<bool> {
        let row = self.query_one("SELECT pg_try_advisory_xact_lock($1, $2)", &[&LOCKS, &(lock as i32)])?;
        Ok(row.try_get(0)?)
    }

    /// Locks agents until the end of the transaction; see the module's rule.
    pub(super) fn lock_agents(&mut self, agents: &[i64]) -> Queried<()> {
        let text = "SELECT id FROM agents WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
        self.query(text, &[&agents]).map(drop)
    }
}

/// A stored number in its unsigned form.
pub(super) fn unsigned(row: &Row, column: usize) -> Queried<u64> {
    Ok(row.try_get::<_, i64>(column)?.cast_unsigned())
}
