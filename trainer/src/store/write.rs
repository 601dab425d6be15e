//! Batches of messages → rows, each batch one transaction: all of it is on the disk, or none of it is.
//!
//! A message is stored at most once by its (agent, run, number); which numbers are stored is kept as [`Progress`] a run
//! and written in the same transaction, so that it outlives the messages that a limit removes.

use super::counters::{self, Counter};
use super::error::StoreError;
use super::known::{Known, Totals};
use super::progress::Progress;
use super::received::{Content, Received};
use super::{Desk, Limits, schema};
use lapwing_shared::features::SchemaId;
use lapwing_shared::messages::{AgentName, Alert, Update, UpdateStep};
use lapwing_shared::units::Timestamp;
use rusqlite::{Connection, Transaction};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

/// What one commit did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Messages stored.
    pub stored: u64,
    /// Messages that were stored before.
    pub duplicates: u64,
    /// Messages of agents beyond the limit; neither stored nor to be acknowledged.
    pub refused: u64,
    /// Feature rows stored.
    pub sample_rows: u64,
}

/// The one writer of messages.
pub struct Store {
    path: PathBuf,
    connection: Connection,
    limits: Limits,
    known: Known,
    /// Held until drop: no second writer.
    _lock: File,
}

/// Changes of a batch, on top of [`Known`].
#[derive(Default)]
pub(super) struct Staged {
    pub(super) agents: HashMap<AgentName, i64>,
    pub(super) schemas: HashMap<[u8; 32], i64>,
    pub(super) progress: BTreeMap<(i64, u64), Progress>,
    seen: BTreeMap<i64, Seen>,
    pub(super) totals: Totals,
    done: Committed,
}

/// Newest of what one agent said in a batch.
#[derive(Default)]
struct Seen {
    run: u64,
    status: Option<Vec<u8>>,
    health: Option<Vec<u8>>,
    sample_rows: u64,
    alerts: u64,
}

impl Store {
    /// Opens or makes the store.
    ///
    /// # Errors
    /// When another writer has it, it is damaged, foreign, of a newer version, or cannot be written.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let connection = schema::open(path)?;
        let known = Known::load(&connection).map_err(|error| StoreError::from_sql(path, error))?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self { path: path.to_path_buf(), connection, limits, known, _lock: lock })
    }

    /// A second handle on the same file, for reading and requests.
    ///
    /// # Errors
    /// As [`Desk::open`].
    pub fn desk(&self) -> Result<Desk, StoreError> {
        Desk::open(&self.path)
    }

    /// Which numbers of an agent's run are stored.
    pub fn progress(&self, agent: &AgentName, run: u64) -> Option<&Progress> {
        self.known.progress.get(&(*self.known.agents.get(agent)?, run))
    }

    /// Stores a batch in one transaction, received at `now_s` seconds since the epoch.
    ///
    /// # Errors
    /// When it cannot be written; then nothing of the batch is stored, and the same batch may be tried again.
    pub fn commit(&mut self, batch: &[Received], now_s: u64) -> Result<Committed, StoreError> {
        let limits = self.limits;
        let staged = transact(&mut self.connection, &self.known, limits, batch, now_s)
            .map_err(|error| StoreError::from_sql(&self.path, error))?;
        let done = staged.done.clone();
        self.known.absorb(staged);
        Ok(done)
    }

    /// Copies the write-ahead log into the file and closes it.
    ///
    /// # Errors
    /// When the copy cannot be written; what was committed stays in the log and is not lost.
    pub fn close(self) -> Result<(), StoreError> {
        let path = self.path.clone();
        let sql = |error| StoreError::from_sql(&path, error);
        self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").map_err(sql)?;
        self.connection.close().map_err(|(_, error)| sql(error))
    }
}

/// Takes the writer's lock, a file beside the store that the system frees when the process ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let open = |error: std::io::Error| StoreError::Open { path: path.to_path_buf(), reason: error.to_string() };
    let file = File::options().create(true).truncate(false).write(true).open(&name).map_err(open)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_path_buf() }),
        Err(std::fs::TryLockError::Error(error)) => Err(open(error)),
    }
}

fn transact(
    connection: &mut Connection,
    known: &Known,
    limits: Limits,
    batch: &[Received],
    now_s: u64,
) -> rusqlite::Result<Staged> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let mut staged = Staged { totals: known.totals.clone(), ..Staged::default() };
    for received in batch {
        store_one(&transaction, known, &mut staged, limits, received, now_s)?;
    }
    staged.write_agents(&transaction, now_s)?;
    staged.write_progress(&transaction, known, now_s)?;
    staged.totals.prune(&transaction, limits)?;
    counters::add(&transaction, Counter::Duplicates, staged.done.duplicates)?;
    counters::add(&transaction, Counter::AgentsRefused, staged.done.refused)?;
    counters::add(&transaction, Counter::SampleRowsStored, staged.done.sample_rows)?;
    transaction.commit()?;
    Ok(staged)
}

fn store_one(
    transaction: &Transaction<'_>,
    known: &Known,
    staged: &mut Staged,
    limits: Limits,
    received: &Received,
    now_s: u64,
) -> rusqlite::Result<()> {
    let Some(agent) = staged.agent(transaction, known, limits, &received.agent, now_s)? else {
        staged.done.refused += 1;
        return Ok(());
    };
    staged.seen.entry(agent).or_default().note(received);
    if !received.is_acknowledged() {
        staged.done.stored += 1;
        return Ok(());
    }
    let key = (agent, received.run);
    let before = || known.progress.get(&key).cloned().unwrap_or_default();
    if !staged.progress.entry(key).or_insert_with(before).insert(received.number) {
        staged.done.duplicates += 1;
        return Ok(());
    }
    staged.done.stored += 1;
    match &received.content {
        Content::Alert(alert) => staged.alert(transaction, agent, received, alert, now_s),
        Content::Samples { schema, rows, suspects } => {
            staged.samples(transaction, known, agent, received, (schema, *rows, *suspects))
        }
        Content::Update(update) => staged.update(transaction, agent, received, update, now_s),
        Content::Health | Content::Status => Ok(()),
    }
}

/// A time as the tables keep it; what SQLite's signed numbers cannot hold becomes the last time that they can.
pub(super) fn stored_ns(at: Timestamp) -> i64 {
    at.as_nanos().min(i64::MAX.cast_unsigned()).cast_signed()
}

impl Seen {
    fn note(&mut self, received: &Received) {
        self.run = self.run.max(received.run);
        match received.content {
            Content::Status => self.status = Some(received.payload.clone()),
            Content::Health => self.health = Some(received.payload.clone()),
            _ => {}
        }
    }
}

impl Staged {
    /// The agent's row number, made where it is new and the limit allows.
    fn agent(
        &mut self,
        transaction: &Transaction<'_>,
        known: &Known,
        limits: Limits,
        name: &AgentName,
        now_s: u64,
    ) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = known.agents.get(name).or_else(|| self.agents.get(name)) {
            return Ok(Some(*id));
        }
        if (known.agents.len() + self.agents.len()) as u64 >= limits.agents {
            return Ok(None);
        }
        let text = "INSERT INTO agents (name, run, last_seen_s) VALUES (?1, 0, ?2)";
        let id = transaction.prepare_cached(text)?.insert((name.as_str(), now_s.cast_signed()))?;
        self.agents.insert(name.clone(), id);
        Ok(Some(id))
    }

    fn alert(
        &mut self,
        transaction: &Transaction<'_>,
        agent: i64,
        received: &Received,
        alert: &Alert,
        now_s: u64,
    ) -> rusqlite::Result<()> {
        let text = "INSERT INTO alerts (agent, run, number, episode, state, host, role, since_ns, at_ns, peak_nats, \
                    limit_nats, flows, odd_flows, service_port, resembles, release, received_s, payload) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
        transaction.prepare_cached(text)?.execute(rusqlite::params![
            agent,
            received.run.cast_signed(),
            received.number.cast_signed(),
            alert.episode.cast_signed(),
            alert.state as u8,
            alert.host.0,
            alert.role as u8,
            stored_ns(alert.since),
            stored_ns(alert.at),
            alert.peak_nats,
            alert.limit_nats,
            alert.flows,
            alert.odd_flows,
            alert.service_port,
            alert.resembles.as_ref().map(|name| name.as_str()),
            alert.release.cast_signed(),
            now_s.cast_signed(),
            received.payload,
        ])?;
        self.totals.alerts += 1;
        self.seen.entry(agent).or_default().alerts += 1;
        Ok(())
    }

    fn samples(
        &mut self,
        transaction: &Transaction<'_>,
        known: &Known,
        agent: i64,
        received: &Received,
        (schema, rows, suspects): (&SchemaId, u32, Option<(Timestamp, Timestamp)>),
    ) -> rusqlite::Result<()> {
        let schema = match known.schemas.get(schema).or_else(|| self.schemas.get(schema)) {
            Some(id) => *id,
            None => {
                let text = "INSERT INTO schemas (sha256) VALUES (?1)";
                let id = transaction.prepare_cached(text)?.insert([schema])?;
                self.schemas.insert(*schema, id);
                id
            }
        };
        let rows = u64::from(rows);
        let (run, number) = (received.run.cast_signed(), received.number.cast_signed());
        let (first_ns, last_ns) = suspects.map(|(first, last)| (stored_ns(first), stored_ns(last))).unzip();
        let text = "INSERT INTO samples (agent, run, number, schema, rows, payload, suspect_first_ns, suspect_last_ns) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let values = (agent, run, number, schema, rows.cast_signed(), &received.payload, first_ns, last_ns);
        transaction.prepare_cached(text)?.execute(values)?;
        self.totals.sample_bytes += received.payload.len() as u64;
        self.totals.sample_rows += rows;
        self.done.sample_rows += rows;
        self.seen.entry(agent).or_default().sample_rows += rows;
        Ok(())
    }

    fn update(
        &mut self,
        transaction: &Transaction<'_>,
        agent: i64,
        received: &Received,
        update: &Update,
        now_s: u64,
    ) -> rusqlite::Result<()> {
        let (step, reason) = match &update.step {
            UpdateStep::Downloading => ("downloading", None),
            UpdateStep::Verified => ("verified", None),
            UpdateStep::Trial => ("trial", None),
            UpdateStep::Confirmed => ("confirmed", None),
            UpdateStep::Refused(why) => ("refused", Some(why.as_str())),
            UpdateStep::RolledBack(why) => ("rolled-back", Some(why.as_str())),
        };
        let text = "INSERT INTO updates (agent, run, number, release, step, reason, received_s) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let (run, number, release) =
            (received.run.cast_signed(), received.number.cast_signed(), update.release.cast_signed());
        let values = (agent, run, number, release, step, reason, now_s.cast_signed());
        transaction.prepare_cached(text)?.execute(values)?;
        self.totals.updates += 1;
        Ok(())
    }

    fn write_agents(&self, transaction: &Transaction<'_>, now_s: u64) -> rusqlite::Result<()> {
        let text = "UPDATE agents SET run = max(run, ?2), last_seen_s = ?3, status = coalesce(?4, status), \
                    health_before = CASE WHEN ?5 IS NULL THEN health_before ELSE health END, \
                    health = coalesce(?5, health), sample_rows = sample_rows + ?6, alerts = alerts + ?7 WHERE id = ?1";
        let mut statement = transaction.prepare_cached(text)?;
        for (agent, seen) in &self.seen {
            let (run, now_s) = (seen.run.cast_signed(), now_s.cast_signed());
            let (rows, alerts) = (seen.sample_rows.cast_signed(), seen.alerts.cast_signed());
            statement.execute((agent, run, now_s, &seen.status, &seen.health, rows, alerts))?;
        }
        Ok(())
    }

    fn write_progress(&self, transaction: &Transaction<'_>, known: &Known, now_s: u64) -> rusqlite::Result<()> {
        let text = "INSERT INTO progress (agent, run, up_to, beyond, used) VALUES (?1, ?2, ?3, ?4, ?5) \
                    ON CONFLICT (agent, run) DO UPDATE SET up_to = ?3, beyond = ?4, used = ?5";
        let mut statement = transaction.prepare_cached(text)?;
        let mut given_up = 0;
        for ((agent, run), progress) in &self.progress {
            let before = known.progress.get(&(*agent, *run)).map_or(0, Progress::given_up);
            given_up += progress.given_up() - before;
            let (run, up_to) = (run.cast_signed(), progress.up_to().cast_signed());
            statement.execute((agent, run, up_to, progress.ranges_to_bytes(), now_s.cast_signed()))?;
        }
        let mut forgotten = 0;
        for (agent, run) in known.forgotten_runs(&self.progress) {
            let text = "DELETE FROM progress WHERE agent = ?1 AND run = ?2";
            forgotten += transaction.prepare_cached(text)?.execute((agent, run.cast_signed()))? as u64;
        }
        counters::add(transaction, Counter::NumbersGivenUp, given_up)?;
        counters::add(transaction, Counter::RunsForgotten, forgotten)
    }
}
