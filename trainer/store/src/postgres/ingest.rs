//! Batches of messages → rows, each batch in one transaction of about a dozen statements.
//!
//! The transaction first locks the batch's agents, in the order of their ids. Whatever it reads of them afterwards (the
//! numbers of stored messages, their episodes) cannot change until it ends, so several writers store no message twice.

use super::batch::{Changes, Known, possible_duplicates, runs_of};
use super::connection::{Access, Connection};
use super::partitions::{self, Partitions};
use super::session::{Queried, QueryError, Session};
use super::{agent_rows, episode_rows, errors, forget, insert, progress, prune, schema, schemas};
use crate::Limits;
use crate::committed::Committed;
use crate::error::StoreError;
use crate::expiry::Expiry;
use crate::received::Received;
use crate::stored_numbers::StoredNumbers;
use crate::traits::Ingest;
use crate::url::StoreUrl;
use lapwing_shared::features::SchemaId;
use lapwing_shared::messages::AgentName;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Attempts to commit a batch while other processes remove agents or partitions that it needs, at most.
const MAX_ATTEMPTS: u32 = 5;

/// A writer of messages, one of any number.
pub(crate) struct PostgresWriter {
    connection: RefCell<Connection>,
    limits: Limits,
    expiry: Expiry,
    memory: Memory,
}

/// What a writer remembers of the database as long as its connection lasts.
#[derive(Default)]
struct Memory {
    /// Value of [`Connection::opened`].
    opened: u64,
    schemas: HashMap<SchemaId, i64>,
    partitions: Partitions,
}

/// How an attempt to commit a batch ended.
enum Attempt {
    Committed(Committed),
    /// Some agents are neither in the table nor refused.
    UnknownAgents,
    /// The partition was dropped.
    NoPartition,
}

impl PostgresWriter {
    /// Connects, and creates or migrates the tables.
    ///
    /// # Errors
    /// When the server cannot be reached, or the database is foreign, of a newer version or not writable.
    pub(crate) fn open(url: &StoreUrl, limits: Limits) -> Result<Self, StoreError> {
        let mut connection = Connection::open(url, Access::Write)?;
        schema::migrate(&mut connection)?;
        schema::reject_unfinished(&mut connection)?;
        let (expiry, memory) = (Expiry::default(), Memory::default());
        Ok(Self { connection: RefCell::new(connection), limits, expiry, memory })
    }
}

impl Ingest for PostgresWriter {
    fn commit(&mut self, batch: &[Received], now_s: u64) -> Result<Committed, StoreError> {
        let now_s = partitions::received_s(now_s);
        let (connection, memory) = (self.connection.get_mut(), &mut self.memory);
        let mut seen = HashSet::new();
        let names: Vec<&str> = batch.iter().map(|received| received.agent.as_str()).collect();
        let names: Vec<&str> = names.into_iter().filter(|name| seen.insert(*name)).collect();
        let mut is_registered = false;
        for _ in 0..MAX_ATTEMPTS {
            memory.prepare(connection, batch, now_s)?;
            let request = Request { batch, names: &names, schemas: &memory.schemas, now_s, refuses: is_registered };
            match request.attempt(connection)? {
                Attempt::Committed(mut done) => {
                    // The messages are stored, whatever happens here; the next commit tries again.
                    let removed = retain(connection, &self.limits, &mut self.expiry, now_s);
                    done.retention_error = removed.err().map(|error| error.to_string());
                    return Ok(done);
                }
                Attempt::UnknownAgents => {
                    forget::register(connection, &names, self.limits.agents, now_s)?;
                    is_registered = true;
                }
                Attempt::NoPartition => memory.partitions.forget(),
            }
        }
        let source = "other processes remove what this batch needs".into();
        Err(StoreError::Sql { store: connection.url().to_string(), source, is_temporary: true })
    }

    fn progress(&self, agent: &AgentName, run: u64) -> Result<Option<StoredNumbers>, StoreError> {
        Ok(self.progress_of(&[(agent.clone(), run)])?.pop().flatten())
    }

    fn progress_of(&self, runs: &[(AgentName, u64)]) -> Result<Vec<Option<StoredNumbers>>, StoreError> {
        let names: Vec<&str> = runs.iter().map(|(agent, _)| agent.as_str()).collect();
        let numbers: Vec<i64> = runs.iter().map(|(_, run)| run.cast_signed()).collect();
        self.connection.borrow_mut().read(|session| progress::read_named(session, &names, &numbers))
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Deletes what is beyond the limits.
fn retain(connection: &mut Connection, limits: &Limits, expiry: &mut Expiry, now_s: i64) -> Result<(), StoreError> {
    if let Some(before_s) = expiry.due(limits, now_s) {
        let has_more = prune::expire(connection, before_s, now_s)?;
        expiry.looked(now_s, has_more);
    }
    prune::prune(connection, limits, now_s)
}

impl Memory {
    /// Makes sure that the partitions and feature schemas of a batch exist.
    fn prepare(&mut self, connection: &mut Connection, batch: &[Received], now_s: i64) -> Result<(), StoreError> {
        if self.opened != connection.opened() {
            *self = Self { opened: connection.opened(), ..Self::default() };
        }
        self.partitions.ensure(connection, now_s)?;
        schemas::register(connection, &mut self.schemas, batch)
    }
}

/// A batch to store.
struct Request<'a> {
    batch: &'a [Received],
    /// Names of its agents.
    names: &'a [&'a str],
    schemas: &'a HashMap<SchemaId, i64>,
    now_s: i64,
    /// Agents that are not in the table are refused: the limit does not allow them.
    refuses: bool,
}

impl Request<'_> {
    fn attempt(&self, connection: &mut Connection) -> Result<Attempt, StoreError> {
        connection.write(|session| match self.store(session) {
            Err(error) if errors::lacks_partition(&error) => {
                // Ends the transaction here: the caller's COMMIT then only confirms it.
                session.batch("ROLLBACK; BEGIN").map(|()| Attempt::NoPartition)
            }
            attempt => attempt,
        })
    }

    fn store(&self, session: &mut Session) -> Queried<Attempt> {
        let agents = agent_rows::lock_named(session, self.names)?;
        if agents.len() < self.names.len() && !self.refuses {
            return Ok(Attempt::UnknownAgents);
        }
        let runs = progress::read(session, &runs_of(self.batch, &agents))?;
        let stored_alerts = self.stored_alerts(session, &agents, &runs)?;
        let known = Known { agents: &agents, schemas: self.schemas, stored_alerts: &stored_alerts };
        let mut changes = Changes::of(self.batch, &known, runs);
        insert::samples(session, &changes, self.now_s)?;
        insert::updates(session, &changes, self.now_s)?;
        let messages = insert::alerts(session, &changes, self.now_s)?;
        episode_rows::add(session, &mut changes, &messages, self.now_s)?;
        episode_rows::queue_overlapped(session, &changes)?;
        agent_rows::write(session, &changes, self.now_s)?;
        self.finish(session, changes).map(Attempt::Committed)
    }

    /// The statements after which others wait for this transaction.
    fn finish(&self, session: &mut Session, mut changes: Changes<'_>) -> Queried<Committed> {
        let (given_up, forgotten) = progress::write(session, &changes.runs, self.now_s)?;
        changes.tally.add(crate::Counter::NumbersGivenUp, given_up);
        changes.tally.add(crate::Counter::RunsForgotten, forgotten);
        agent_rows::count_group_rows(session, &changes)?;
        changes.tally.write(session)?;
        Ok(changes.result)
    }

    /// Places in the batch of alerts that the database has with the same content.
    fn stored_alerts(
        &self,
        session: &mut Session,
        agents: &HashMap<String, i64>,
        runs: &progress::Runs,
    ) -> Queried<BTreeSet<usize>> {
        let possible = possible_duplicates(self.batch, agents, runs);
        if possible.is_empty() {
            return Ok(BTreeSet::new());
        }
        let of: Vec<i64> = possible.iter().map(|(_, agent, ..)| *agent).collect();
        let episodes: Vec<i64> = possible.iter().map(|(.., alert)| alert.episode.cast_signed()).collect();
        let runs: Vec<i64> = possible.iter().map(|(_, _, received, _)| received.run.cast_signed()).collect();
        let numbers: Vec<i64> = possible.iter().map(|(_, _, received, _)| received.number.cast_signed()).collect();
        let payloads: Vec<&[u8]> = possible.iter().map(|(_, _, received, _)| received.payload.as_slice()).collect();
        let text = "SELECT m.place FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[]) \
                    WITH ORDINALITY AS m (agent, episode, run, number, payload, place), \
                    LATERAL (SELECT 1 FROM alerts AS a WHERE a.agent = m.agent AND a.episode = m.episode \
                    AND a.run = m.run AND a.number = m.number AND a.payload = m.payload LIMIT 1) AS stored";
        let rows = session.query(text, &[&of, &episodes, &runs, &numbers, &payloads])?;
        let place = |row: &postgres::Row| -> Queried<usize> {
            let place =
                usize::try_from(row.try_get::<_, i64>(0)?).ok().and_then(|place| possible.get(place.checked_sub(1)?));
            place.map(|(place, ..)| *place).ok_or(QueryError::Invalid("place in a batch"))
        };
        rows.iter().map(place).collect()
    }
}
