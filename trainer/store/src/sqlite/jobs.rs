//! Retraining requests from `retrain` → jobs that a running `serve` takes.

use super::SqliteHandle;
use crate::error::StoreError;
use crate::traits::Jobs;
use lapwing_fleet::{Job, JobState, not_served};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

/// Finished jobs to keep.
const MAX_FINISHED: i64 = 1000;
/// Waiting jobs, at most; further requests join the newest one.
const MAX_WAITING: i64 = 16;

/// Waiting jobs that have a group.
fn waiting_jobs(connection: &Connection) -> rusqlite::Result<Vec<(i64, String)>> {
    let text = "SELECT id, group_name FROM jobs WHERE state = 'waiting' AND group_name IS NOT NULL";
    connection.prepare(text)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Whether any job waits. The loop of `serve` looks twice a second; a look needs no lock, unlike a statement that writes.
fn is_any_waiting(connection: &Connection) -> rusqlite::Result<bool> {
    let text = "SELECT EXISTS (SELECT 1 FROM jobs WHERE state = 'waiting')";
    connection.prepare_cached(text)?.query_row([], |row| row.get(0))
}

impl Jobs for SqliteHandle {
    fn request_retraining(&self, group: Option<&str>, who: &str, now_s: u64) -> Result<i64, StoreError> {
        let text = "INSERT INTO jobs (asked_s, who, state, group_name) SELECT ?1, ?2, 'waiting', ?4 \
                    WHERE (SELECT count(*) FROM jobs WHERE state = 'waiting' AND group_name IS ?4) < ?3";
        self.connection.execute(text, (now_s.cast_signed(), who, MAX_WAITING, group)).map_err(self.sql())?;
        let text = "SELECT max(id) FROM jobs WHERE state = 'waiting' AND group_name IS ?1";
        self.connection.query_row(text, [group], |row| row.get(0)).map_err(self.sql())
    }

    fn assign_jobs(&self, groups: &[&str], now_s: u64) -> Result<(), StoreError> {
        let assign = || -> rusqlite::Result<()> {
            if !is_any_waiting(&self.connection)? {
                return Ok(());
            }
            let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
            let (first, others) = groups.split_first().unzip();
            for group in others.into_iter().flatten() {
                let text = "INSERT INTO jobs (asked_s, who, state, group_name) SELECT asked_s, who, state, ?1 FROM jobs \
                            WHERE state = 'waiting' AND group_name IS NULL";
                transaction.execute(text, [group])?;
            }
            let text = "UPDATE jobs SET group_name = ?1 WHERE state = 'waiting' AND group_name IS NULL";
            transaction.execute(text, [first])?;
            for (id, group) in waiting_jobs(&transaction)? {
                if !groups.contains(&group.as_str()) {
                    let text = "UPDATE jobs SET state = 'failed', result = ?2, ended_s = ?3 WHERE id = ?1";
                    transaction.execute(text, (id, not_served(&group, groups), now_s.cast_signed()))?;
                }
            }
            transaction.commit()
        };
        assign().map_err(self.sql())
    }

    fn take_jobs(&self, group: &str) -> Result<Option<Job>, StoreError> {
        let text = "UPDATE jobs SET state = 'running' WHERE state = 'waiting' AND group_name = ?1 \
                    RETURNING id, who, asked_s";
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Job { id: row.get(0)?, who: row.get(1)?, asked_s: row.get::<_, i64>(2)?.cast_unsigned() })
        };
        let claimed = || -> rusqlite::Result<Vec<Job>> {
            if !is_any_waiting(&self.connection)? {
                return Ok(Vec::new());
            }
            self.connection.prepare_cached(text)?.query_map([group], read)?.collect()
        };
        Ok(claimed().map_err(self.sql())?.into_iter().max_by_key(|job| job.id))
    }

    fn finish_jobs(&self, group: &str, up_to: i64, result: Result<&str, &str>, now_s: u64) -> Result<(), StoreError> {
        let (state, text) = match result {
            Ok(text) => (JobState::Done.as_str(), text),
            Err(text) => (JobState::Failed.as_str(), text),
        };
        let update = "UPDATE jobs SET state = ?2, result = ?3, ended_s = ?4 \
                      WHERE state = 'running' AND id <= ?1 AND group_name = ?5";
        self.connection.execute(update, (up_to, state, text, now_s.cast_signed(), group)).map_err(self.sql())?;
        let delete = "DELETE FROM jobs WHERE ended_s IS NOT NULL AND id <= (SELECT max(id) FROM jobs) - ?1";
        self.connection.execute(delete, [MAX_FINISHED]).map(drop).map_err(self.sql())
    }

    fn requeue_jobs(&self) -> Result<(), StoreError> {
        let text = "UPDATE jobs SET state = 'waiting' WHERE state = 'running'";
        self.connection.execute(text, []).map(drop).map_err(self.sql())
    }

    fn job_state(&self, id: i64) -> Result<(JobState, Option<String>), StoreError> {
        let text = "SELECT state, result FROM jobs WHERE id = ?1";
        let read = |row: &rusqlite::Row<'_>| {
            let state: String = row.get(0)?;
            // The table allows no other names.
            Ok((JobState::parse(&state).unwrap_or(JobState::Failed), row.get(1)?))
        };
        let state = self.connection.query_row(text, [id], read).optional().map_err(self.sql())?;
        state.ok_or_else(|| StoreError::Missing { what: format!("job {id}"), list: "retrain" })
    }
}
