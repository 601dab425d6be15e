//! What the writer keeps in memory of the file, so that a commit reads nothing back.
//!
//! It is replaced only when a commit has succeeded, so a failed one leaves it true.

use super::progress::Progress;
use super::write::Staged;
use lapwing_shared::messages::AgentName;
use rusqlite::Connection;
use std::collections::{BTreeMap, HashMap};

/// Runs of one agent whose progress is kept; the longest unused is forgotten beyond it.
const RUNS: usize = 64;

/// What the writer knows without asking the database; replaced only when a commit has succeeded.
#[derive(Clone, Default)]
pub(super) struct Totals {
    pub(super) sample_bytes: u64,
    pub(super) sample_rows: u64,
    pub(super) alerts: u64,
    pub(super) updates: u64,
}

/// What the writer knows besides: numbers of names, and which messages are stored.
#[derive(Default)]
pub(super) struct Known {
    pub(super) agents: HashMap<AgentName, i64>,
    pub(super) schemas: HashMap<[u8; 32], i64>,
    pub(super) progress: HashMap<(i64, u64), Progress>,
    pub(super) runs: HashMap<i64, Vec<u64>>,
    pub(super) totals: Totals,
}

impl Known {
    /// Reads it from the file.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut known = Self::default();
        let mut agents = connection.prepare("SELECT id, name FROM agents")?;
        let mut rows = agents.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(1)?;
            if let Ok(name) = AgentName::try_from(name.as_str()) {
                known.agents.insert(name, row.get(0)?);
            }
        }
        let mut schemas = connection.prepare("SELECT id, sha256 FROM schemas")?;
        let pairs = schemas.query_map([], |row| Ok((row.get::<_, [u8; 32]>(1)?, row.get(0)?)))?;
        known.schemas = pairs.collect::<rusqlite::Result<_>>()?;
        let mut progress = connection.prepare("SELECT agent, run, up_to, beyond FROM progress ORDER BY used")?;
        let mut rows = progress.query([])?;
        while let Some(row) = rows.next()? {
            let key = (row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned());
            let up_to = row.get::<_, i64>(2)?.cast_unsigned();
            let ranges: Vec<u8> = row.get(3)?;
            let damaged =
                || rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Blob, "no ranges".into());
            known.progress.insert(key, Progress::from_parts(up_to, &ranges).ok_or_else(damaged)?);
            known.runs.entry(key.0).or_default().push(key.1);
        }
        let count = |text: &str| connection.query_row(text, [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned);
        known.totals = Totals {
            sample_bytes: count("SELECT coalesce(sum(length(payload)), 0) FROM samples")?,
            sample_rows: count("SELECT coalesce(sum(rows), 0) FROM samples")?,
            alerts: count("SELECT count(*) FROM alerts")?,
            updates: count("SELECT count(*) FROM updates")?,
        };
        Ok(known)
    }

    /// Runs that this batch pushes out, longest unused first; never one that the batch itself used.
    pub(super) fn forgotten_runs(&self, used: &BTreeMap<(i64, u64), Progress>) -> Vec<(i64, u64)> {
        let mut added: BTreeMap<i64, usize> = BTreeMap::new();
        for key in used.keys().filter(|key| !self.progress.contains_key(key)) {
            *added.entry(key.0).or_default() += 1;
        }
        let mut out = Vec::new();
        for (agent, added) in added {
            let Some(runs) = self.runs.get(&agent) else { continue };
            let over = (runs.len() + added).saturating_sub(RUNS);
            let unused = runs.iter().filter(|run| !used.contains_key(&(agent, **run)));
            out.extend(unused.take(over).map(|run| (agent, *run)));
        }
        out
    }

    /// Takes over the changes of a batch whose transaction has succeeded.
    pub(super) fn absorb(&mut self, staged: Staged) {
        for (agent, run) in self.forgotten_runs(&staged.progress) {
            self.progress.remove(&(agent, run));
            if let Some(runs) = self.runs.get_mut(&agent) {
                runs.retain(|known| *known != run);
            }
        }
        for ((agent, run), progress) in staged.progress {
            let runs = self.runs.entry(agent).or_default();
            if runs.last() != Some(&run) {
                runs.retain(|known| *known != run);
                runs.push(run);
            }
            self.progress.insert((agent, run), progress);
        }
        self.agents.extend(staged.agents);
        self.schemas.extend(staged.schemas);
        self.totals = staged.totals;
    }
}
