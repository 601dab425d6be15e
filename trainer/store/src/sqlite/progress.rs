//! Numbers of stored messages by agent and run ↔ the table of progress.
//!
//! The table decides what is a duplicate: a commit reads the numbers of each run that it uses in its own transaction. The
//! writer remembers them only as long as no other connection has written to the file since.

use crate::stored_numbers::StoredNumbers;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension};
use std::collections::{BTreeMap, BTreeSet};

/// Runs of one agent with stored progress, at most; beyond it, the least recently used run is forgotten.
const MAX_RUNS: i64 = 64;

/// Numbers of one run in a transaction.
pub(super) struct RunProgress {
    pub(super) numbers: StoredNumbers,
    /// Numbers given up before the transaction.
    given_up_before: u64,
    /// The run is not in the table yet.
    is_new: bool,
}

impl RunProgress {
    /// The numbers of a run that the writer remembers, or else of the table.
    pub(super) fn of(
        connection: &Connection,
        remembered: Option<&StoredNumbers>,
        agent: i64,
        run: u64,
    ) -> rusqlite::Result<Self> {
        let stored = match remembered {
            None => read(connection, agent, run)?,
            remembered => remembered.cloned(),
        };
        let is_new = stored.is_none();
        let numbers = stored.unwrap_or_default();
        Ok(Self { given_up_before: numbers.given_up(), is_new, numbers })
    }
}

/// Changes whenever another connection has written to the file.
pub(super) fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// Numbers of a run; `None` if it is unknown.
pub(super) fn read(connection: &Connection, agent: i64, run: u64) -> rusqlite::Result<Option<StoredNumbers>> {
    let text = "SELECT up_to, beyond FROM progress WHERE agent = ?1 AND run = ?2";
    let mut statement = connection.prepare_cached(text)?;
    let numbers = |row: &rusqlite::Row<'_>| {
        let ranges: Vec<u8> = row.get(1)?;
        let numbers = StoredNumbers::from_parts(row.get::<_, i64>(0)?.cast_unsigned(), &ranges);
        numbers.ok_or_else(|| rusqlite::Error::FromSqlConversionFailure(1, Type::Blob, "invalid ranges".into()))
    };
    statement.query_row((agent, run.cast_signed()), numbers).optional()
}

/// Writes the numbers of the runs that a batch uses, and forgets the least recently used runs of agents that have too many.
/// Returns how many numbers were given up, and the forgotten runs.
pub(super) fn write(
    connection: &Connection,
    used: &BTreeMap<(i64, u64), RunProgress>,
    now_s: i64,
) -> rusqlite::Result<(u64, Vec<(i64, u64)>)> {
    let text = "INSERT INTO progress (agent, run, up_to, beyond, used) VALUES (?1, ?2, ?3, ?4, ?5) \
                ON CONFLICT (agent, run) DO UPDATE SET up_to = ?3, beyond = ?4, used = ?5";
    let mut statement = connection.prepare_cached(text)?;
    let (mut given_up, mut grown) = (0, BTreeSet::new());
    for ((agent, run), RunProgress { numbers, given_up_before, is_new }) in used {
        given_up += numbers.given_up() - given_up_before;
        let (run, up_to) = (run.cast_signed(), numbers.up_to().cast_signed());
        statement.execute((agent, run, up_to, numbers.ranges_to_bytes(), now_s))?;
        grown.extend(is_new.then_some(*agent));
    }
    let mut forgotten = Vec::new();
    for agent in grown {
        forgotten.extend(forget_runs(connection, agent, used)?);
    }
    Ok((given_up, forgotten))
}

/// Forgets runs of an agent beyond the limit, least recently used first; never a run that the batch uses.
fn forget_runs(
    connection: &Connection,
    agent: i64,
    used: &BTreeMap<(i64, u64), RunProgress>,
) -> rusqlite::Result<Vec<(i64, u64)>> {
    let text = "SELECT run FROM progress WHERE agent = ?1 ORDER BY used DESC, run DESC LIMIT -1 OFFSET ?2";
    let mut statement = connection.prepare_cached(text)?;
    let runs: Vec<i64> = statement.query_map((agent, MAX_RUNS), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let unused = runs.into_iter().map(|run| (agent, run.cast_unsigned())).filter(|key| !used.contains_key(key));
    let forgotten: Vec<(i64, u64)> = unused.collect();
    for (agent, run) in &forgotten {
        let text = "DELETE FROM progress WHERE agent = ?1 AND run = ?2";
        connection.prepare_cached(text)?.execute((agent, run.cast_signed()))?;
    }
    Ok(forgotten)
}
