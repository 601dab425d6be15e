//! Batches of messages → rows, each batch in one transaction: all of it is on disk, or none.
//!
//! A message is stored at most once per (agent, run, number). The [`StoredNumbers`] of a run are kept in the same
//! transaction, so they remain when a limit removes the messages.

use super::batch::{AgentActivity, PendingBatch, Totals};
use super::cache::WriterCache;
use super::handle::reject_unfinished;
use super::progress::{self, RunProgress};
use super::prune::Pruner;
use super::{agent_states, cache, counters, forget, groups, schema};
use crate::Limits;
use crate::committed::{Committed, LISTED_REJECTIONS, MAX_SCHEMAS, Rejection};
use crate::counter::Counter;
use crate::error::StoreError;
use crate::expiry::Expiry;
use crate::received::{Content, Received};
use crate::release_changes::ReleaseState;
use crate::stored_numbers::StoredNumbers;
use crate::traits::Ingest;
use lapwing_common::private_file;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::messages::AgentName;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use std::collections::btree_map::Entry;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The only writer of messages.
pub(crate) struct SqliteWriter {
    path: PathBuf,
    connection: Connection,
    limits: Limits,
    expiry: Expiry,
    cache: WriterCache,
    /// Held until drop; excludes a second writer.
    _lock: Option<File>,
}

/// An open transaction with the batch's pending changes.
pub(super) struct BatchWriter<'a> {
    pub(super) transaction: Transaction<'a>,
    pub(super) cache: &'a WriterCache,
    limits: Limits,
    pub(super) now_s: i64,
    pub(super) pending: PendingBatch,
    /// Agents that were removed and have sample batches; at most [`forget::MAX_EVICTED`].
    evicted_samples: Vec<i64>,
}

impl SqliteWriter {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// When another writer has it open, or the file is damaged, foreign, of a newer version or not writable.
    pub(crate) fn open(path: &Path, limits: Limits) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        create_private(path)?;
        Self::with_lock(path, limits, Some(lock))
    }

    /// Opens the file whether or not it has another writer.
    #[cfg(test)]
    pub(super) fn open_beside(path: &Path, limits: Limits) -> Result<Self, StoreError> {
        Self::with_lock(path, limits, None)
    }

    fn with_lock(path: &Path, limits: Limits, lock: Option<File>) -> Result<Self, StoreError> {
        let connection = schema::open(path)?;
        make_private(path)?;
        reject_unfinished(path, &connection)?;
        let cache = WriterCache::load(&connection).map_err(|error| StoreError::from_sql(path, error))?;
        connection.set_prepared_statement_cache_capacity(64);
        let expiry = Expiry::default();
        Ok(Self { path: path.to_path_buf(), connection, limits, expiry, cache, _lock: lock })
    }
}

impl Ingest for SqliteWriter {
    fn progress(&self, agent: &AgentName, run: u64) -> Result<Option<StoredNumbers>, StoreError> {
        let Some(agent) = self.cache.agents.get(agent) else { return Ok(None) };
        progress::read(&self.connection, *agent, run).map_err(|error| StoreError::from_sql(&self.path, error))
    }

    fn commit(&mut self, batch: &[Received], now_s: u64) -> Result<Committed, StoreError> {
        let sql = |error| StoreError::from_sql(&self.path, error);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
        let forgotten = cache::forgotten(&transaction).map_err(sql)?;
        if forgotten != self.cache.forgotten {
            self.cache = WriterCache::load(&transaction).map_err(sql)?;
        }
        self.cache.check_segments(&transaction).map_err(sql)?;
        self.cache.check_version(progress::data_version(&transaction).map_err(sql)?);
        let now_s = now_s.cast_signed();
        let expires = self.expiry.due(&self.limits, now_s);
        let pending = PendingBatch { totals: self.cache.totals, ..PendingBatch::default() };
        let (cache, limits) = (&self.cache, self.limits);
        let mut writer = BatchWriter { transaction, cache, limits, now_s, pending, evicted_samples: Vec::new() };
        let pending = writer.store(batch).and_then(|()| writer.finish(expires)).map_err(sql)?;
        if expires.is_some() {
            self.expiry.looked(now_s, pending.has_more_expired);
        }
        let result = pending.result.clone();
        self.cache.apply(pending);
        Ok(result)
    }

    /// Copies the write-ahead log into the file and closes it.
    fn close(self: Box<Self>) -> Result<(), StoreError> {
        let path = self.path.clone();
        let sql = |error| StoreError::from_sql(&path, error);
        self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").map_err(sql)?;
        self.connection.close().map_err(|(_, error)| sql(error))
    }
}

/// Takes the writer's lock on a file beside the store. The system releases it when the process ends.
pub(crate) fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let open = |error: std::io::Error| StoreError::Open { path: path.to_path_buf(), reason: error.to_string() };
    let file = private_file::open_or_create(Path::new(&name)).map_err(open)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_path_buf() }),
        Err(std::fs::TryLockError::Error(error)) => Err(open(error)),
    }
}

/// Creates the file with mode 600 if it is missing. SQLite gives new `-wal` and `-shm` files the mode of the store.
pub(super) fn create_private(path: &Path) -> Result<(), StoreError> {
    match private_file::create_new(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(StoreError::Open { path: path.to_path_buf(), reason: error.to_string() })
        }
        _ => Ok(()),
    }
}

/// Takes other accounts' access to the files of a store away, which an earlier version or a lax umask left open.
pub(super) fn make_private(path: &Path) -> Result<(), StoreError> {
    for ending in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        private_file::restrict(Path::new(&name))
            .map_err(|error| StoreError::Exposed { path: PathBuf::from(&name), reason: error.to_string() })?;
    }
    Ok(())
}

impl<'a> BatchWriter<'a> {
    fn store(&mut self, batch: &[Received]) -> rusqlite::Result<()> {
        batch.iter().try_for_each(|received| self.message(received))
    }

    /// Commits, after deleting what is beyond the limits, `expires` being the time before which everything is too old;
    /// returns the changes to the cache.
    fn finish(mut self, expires: Option<i64>) -> rusqlite::Result<PendingBatch> {
        forget::forget_samples(&self.transaction, &self.evicted_samples)?;
        self.write_agents()?;
        self.write_progress()?;
        self.write_days()?;
        let PendingBatch { totals, usage, .. } = &mut self.pending;
        let (transaction, committed) = (&self.transaction, &self.cache.usage);
        let mut pruner = Pruner { transaction, totals, committed, pending: usage };
        let has_more_expired = expires.map_or(Ok(false), |before_s| pruner.expire(before_s))?;
        pruner.prune(self.limits)?;
        self.pending.has_more_expired = has_more_expired;
        let result = &self.pending.result;
        counters::add(&self.transaction, Counter::DuplicateAlerts, result.duplicate_alerts)?;
        counters::add(&self.transaction, Counter::AgentsEvicted, self.pending.evicted.len() as u64)?;
        counters::add(&self.transaction, Counter::Duplicates, result.duplicates)?;
        counters::add(&self.transaction, Counter::AgentsRefused, result.refused)?;
        counters::add(&self.transaction, Counter::SampleRowsStored, result.sample_rows)?;
        self.transaction.commit()?;
        Ok(self.pending)
    }

    fn message(&mut self, received: &Received) -> rusqlite::Result<()> {
        let Some(agent) = self.agent(&received.agent)? else {
            self.pending.result.refused += 1;
            return Ok(());
        };
        self.activity(agent).add(received);
        if !received.is_acknowledged() {
            self.pending.result.stored += 1;
            return Ok(());
        }
        let progress = match self.pending.progress.entry((agent, received.run)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let remembered = self.cache.progress.get(entry.key());
                entry.insert(RunProgress::of(&self.transaction, remembered, agent, received.run)?)
            }
        };
        let progress = &mut progress.numbers;
        if progress.is_too_far(received.number) {
            return self.reject(received, Counter::NumbersRejected, Rejection::NumberTooFar);
        }
        let is_new = progress.insert(received.number);
        if !is_new && !self.is_conflicting(agent, received)? {
            self.pending.result.duplicates += 1;
            return Ok(());
        }
        if let Some(rejection) = self.rejection(received) {
            return self.reject(received, Counter::BatchesRejected, rejection);
        }
        self.pending.result.stored += 1;
        match &received.content {
            Content::Alert(alert) => self.alert(agent, received, alert),
            Content::Samples(samples) => self.samples(agent, received, samples),
            Content::Update(update) => self.update(agent, received, update),
            Content::Health(_) | Content::Status(_) => Ok(()),
        }
    }

    /// True for an alert whose number is stored or given up, but not with this content. The store keeps it: a forged
    /// message with the number of a later alert must not suppress that alert.
    fn is_conflicting(&mut self, agent: i64, received: &Received) -> rusqlite::Result<bool> {
        let Content::Alert(alert) = &received.content else { return Ok(false) };
        let text =
            "SELECT 1 FROM alerts WHERE agent = ?1 AND episode = ?2 AND run = ?3 AND number = ?4 AND payload = ?5";
        let (episode, run) = (alert.episode.cast_signed(), received.run.cast_signed());
        let values = (agent, episode, run, received.number.cast_signed(), &received.payload);
        let stored = self.transaction.prepare_cached(text)?.query_row(values, |_| Ok(())).optional()?;
        if stored.is_some() {
            self.pending.result.duplicate_alerts += 1;
            return Ok(false);
        }
        counters::add(&self.transaction, Counter::ConflictingAlerts, 1).map(|()| true)
    }

    /// Why a sample batch is not stored.
    fn rejection(&self, received: &Received) -> Option<Rejection> {
        let Content::Samples(samples) = &received.content else { return None };
        let known = |schema| self.cache.schemas.contains_key(schema) || self.pending.schemas.contains_key(schema);
        let is_full = self.cache.schemas.len() + self.pending.schemas.len() >= MAX_SCHEMAS;
        if samples.rows == 0 {
            return Some(Rejection::NoRows);
        }
        let is_unknown = is_full && !known(&samples.schema) && samples.schema != schema_id();
        is_unknown.then_some(Rejection::UnknownSchema)
    }

    fn reject(&mut self, received: &Received, counter: Counter, why: Rejection) -> rusqlite::Result<()> {
        let result = &mut self.pending.result;
        result.rejected += 1;
        if result.rejections.len() < LISTED_REJECTIONS {
            result.rejections.push((received.agent.clone(), why));
        }
        counters::add(&self.transaction, counter, 1)
    }

    pub(super) fn activity(&mut self, agent: i64) -> &mut AgentActivity {
        self.pending.activity.entry(agent).or_default()
    }

    /// Adds to the sizes of the tables, of all agents and of this one.
    pub(super) fn use_more(&mut self, agent: i64, more: &Totals) {
        let committed = || self.cache.usage.get(&agent).copied().unwrap_or_default();
        self.pending.totals.add(more);
        self.pending.usage.entry(agent).or_insert_with(committed).add(more);
    }

    /// The agent's row id. Inserts a new agent; `None` if the limit does not allow it.
    fn agent(&mut self, name: &AgentName) -> rusqlite::Result<Option<i64>> {
        let is_evicted = self.pending.evicted.iter().any(|(evicted, _)| evicted == name);
        let committed = self.cache.agents.get(name).filter(|_| !is_evicted);
        if let Some(id) = self.pending.agents.get(name).or(committed) {
            return Ok(Some(*id));
        }
        let agents = self.cache.agents.len() + self.pending.agents.len() - self.pending.evicted.len();
        if agents as u64 >= self.limits.agents && !self.evict()? {
            return Ok(None);
        }
        let text = "INSERT INTO agents (name, run, last_seen_s) VALUES (?1, 0, ?2) \
                    ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id";
        let values = (name.as_str(), self.now_s);
        let id = self.transaction.prepare_cached(text)?.query_row(values, |row| row.get(0))?;
        self.pending.agents.insert(name.clone(), id);
        Ok(Some(id))
    }

    /// Removes a silent agent with few messages; false without such an agent.
    fn evict(&mut self) -> rusqlite::Result<bool> {
        if self.pending.evictable.is_none() {
            self.pending.evictable = Some(forget::evictable(&self.transaction, self.now_s)?);
        }
        while let Some((name, agent)) = self.pending.evictable.as_mut().and_then(Vec::pop) {
            // An agent that the batch uses is not silent any more.
            if self.pending.activity.contains_key(&agent) {
                continue;
            }
            let usage = self.cache.usage.get(&agent).copied().unwrap_or_default();
            self.pending.totals.subtract(&usage);
            forget::forget_but_samples(&self.transaction, agent)?;
            if usage.sample_rows > 0 {
                self.evicted_samples.push(agent);
            }
            self.pending.evicted.push((name, agent));
            return Ok(true);
        }
        Ok(false)
    }

    fn write_agents(&mut self) -> rusqlite::Result<()> {
        let text = "UPDATE agents SET run = max(run, ?2), last_seen_s = ?3, sample_rows = sample_rows + ?4, \
                    alerts = alerts + ?5, open_episodes = open_episodes + ?6, silent = 0 WHERE id = ?1";
        let mut statement = self.transaction.prepare_cached(text)?;
        for (agent, activity) in &self.pending.activity {
            let AgentActivity { run, status, is_gone, health, sample_rows, alerts, open_episodes } = activity;
            let (rows, alerts) = (sample_rows.cast_signed(), alerts.cast_signed());
            statement.execute((agent, run.cast_signed(), self.now_s, rows, alerts, open_episodes))?;
            if let Some((payload, report)) = status {
                let is_live = report.online;
                let written = (payload.as_slice(), report);
                agent_states::write_status(&self.transaction, *agent, written, is_live && !is_gone, is_live)?;
            }
            if let Some((payload, report)) = health {
                let known = self.cache.releases.get(agent).copied();
                if let Some(state) = ReleaseState::of(report)
                    && known != Some(state)
                {
                    agent_states::write_release(&self.transaction, *agent, (state, known), self.now_s)?;
                    self.pending.releases.push((*agent, state));
                }
                agent_states::write_health(&self.transaction, *agent, payload, *report)?;
            }
            groups::count_rows(&self.transaction, *agent, *sample_rows)?;
        }
        Ok(())
    }

    fn write_progress(&mut self) -> rusqlite::Result<()> {
        let (given_up, forgotten) = progress::write(&self.transaction, &self.pending.progress, self.now_s)?;
        counters::add(&self.transaction, Counter::NumbersGivenUp, given_up)?;
        counters::add(&self.transaction, Counter::RunsForgotten, forgotten.len() as u64)?;
        self.pending.forgotten_runs = forgotten;
        Ok(())
    }
}
