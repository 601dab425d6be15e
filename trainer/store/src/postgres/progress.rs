//! Numbers of stored messages by agent and run ↔ the table of progress, which decides what is a duplicate. A transaction
//! reads and writes those of agents that it has locked.

use super::session::{Queried, QueryError, Session, unsigned};
use crate::stored_numbers::StoredNumbers;
use postgres::Row;
use std::collections::{BTreeMap, BTreeSet};

/// Runs of one agent with stored progress, at most; beyond it, the least recently used run is forgotten.
const MAX_RUNS: i64 = 64;

/// Numbers of one run in a transaction.
#[derive(Default)]
pub(super) struct RunProgress {
    pub(super) numbers: StoredNumbers,
    /// The run is in the table.
    is_stored: bool,
}

/// Numbers by agent and run.
pub(super) type Runs = BTreeMap<(i64, u64), RunProgress>;

fn numbers(row: &Row, column: usize) -> Queried<StoredNumbers> {
    let ranges: &[u8] = row.try_get(column + 1)?;
    StoredNumbers::from_parts(unsigned(row, column)?, ranges).ok_or(QueryError::Invalid("ranges of message numbers"))
}

/// The runs, those that are not stored with no numbers.
pub(super) fn read(session: &mut Session, runs: &BTreeSet<(i64, u64)>) -> Queried<Runs> {
    let mut found: Runs = runs.iter().map(|key| (*key, RunProgress::default())).collect();
    let (agents, numbers_of): (Vec<i64>, Vec<i64>) =
        runs.iter().map(|(agent, run)| (*agent, run.cast_signed())).unzip();
    let text = "SELECT p.agent, p.run, p.up_to, p.beyond FROM unnest($1::bigint[], $2::bigint[]) AS r (agent, run) \
                JOIN progress AS p ON p.agent = r.agent AND p.run = r.run";
    for row in session.query(text, &[&agents, &numbers_of])? {
        let run = RunProgress { numbers: numbers(&row, 2)?, is_stored: true };
        found.insert((row.try_get(0)?, unsigned(&row, 1)?), run);
    }
    Ok(found)
}

/// Numbers of runs by the agent's name, without a lock.
pub(super) fn read_named(session: &mut Session, names: &[&str], runs: &[i64]) -> Queried<Vec<Option<StoredNumbers>>> {
    let text = "SELECT p.up_to, p.beyond FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS r (name, run, place) \
                LEFT JOIN agents ON agents.name = r.name LEFT JOIN progress AS p ON p.agent = agents.id AND p.run = r.run \
                ORDER BY r.place";
    let rows = session.query(text, &[&names, &runs])?;
    let read = |row: &Row| match row.try_get::<_, Option<i64>>(0)? {
        Some(_) => numbers(row, 0).map(Some),
        None => Ok(None),
    };
    rows.iter().map(read).collect()
}

/// Writes the numbers of the runs that a batch uses, and forgets the least recently used runs of agents that have too many.
/// Returns how many numbers were given up, and how many runs forgotten.
pub(super) fn write(session: &mut Session, used: &Runs, now_s: i64) -> Queried<(u64, u64)> {
    let agents: Vec<i64> = used.keys().map(|(agent, _)| *agent).collect();
    let runs: Vec<i64> = used.keys().map(|(_, run)| run.cast_signed()).collect();
    let up_to: Vec<i64> = used.values().map(|run| run.numbers.up_to().cast_signed()).collect();
    let beyond: Vec<Vec<u8>> = used.values().map(|run| run.numbers.ranges_to_bytes()).collect();
    let text = "INSERT INTO progress (agent, run, up_to, beyond, used) \
                SELECT agent, run, up_to, beyond, $5 \
                FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[]) AS r (agent, run, up_to, beyond) \
                ON CONFLICT (agent, run) DO UPDATE SET up_to = excluded.up_to, beyond = excluded.beyond, used = $5";
    session.execute(text, &[&agents, &runs, &up_to, &beyond, &now_s])?;
    let given_up = used.values().map(|run| run.numbers.given_up()).sum();
    let grown: BTreeSet<i64> = used.iter().filter(|(_, run)| !run.is_stored).map(|((agent, _), _)| *agent).collect();
    if grown.is_empty() {
        return Ok((given_up, 0));
    }
    let grown: Vec<i64> = grown.into_iter().collect();
    let text = "DELETE FROM progress USING (SELECT agent, run, \
                row_number() OVER (PARTITION BY agent ORDER BY used DESC, run DESC) AS place \
                FROM progress WHERE agent = ANY($1)) AS o \
                WHERE progress.agent = o.agent AND progress.run = o.run AND o.place > $2 AND NOT EXISTS \
                (SELECT 1 FROM unnest($3::bigint[], $4::bigint[]) AS u (agent, run) \
                WHERE u.agent = o.agent AND u.run = o.run)";
    let forgotten = session.execute(text, &[&grown, &MAX_RUNS, &agents, &runs])?;
    Ok((given_up, forgotten))
}
