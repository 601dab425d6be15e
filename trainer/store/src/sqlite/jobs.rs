//! Retraining requests from `retrain` → jobs that a running `serve` takes.

use super::SqliteHandle;
use crate::error::StoreError;
use crate::traits::Jobs;
use lapwing_fleet::{Job, JobState};
use rusqlite::OptionalExtension;

/// Finished jobs to keep.
const MAX_FINISHED: i64 = 1000;
/// Waiting jobs, at most; further requests join the newest one.
const MAX_WAITING: i64 = 16;

impl Jobs for SqliteHandle {
    fn request_retraining(&self, who: &str, now_s: u64) -> Result<i64, StoreError> {
        let text = "INSERT INTO jobs (asked_s, who, state) SELECT ?1, ?2, 'waiting' \
                    WHERE (SELECT count(*) FROM jobs WHERE state = 'waiting') < ?3";
        self.connection.execute(text, (now_s.cast_signed(), who, MAX_WAITING)).map_err(self.sql())?;
        let text = "SELECT max(id) FROM jobs WHERE state = 'waiting'";
        self.connection.query_row(text, [], |row| row.get(0)).map_err(self.sql())
    }

    fn take_jobs(&self) -> Result<Option<Job>, StoreError> {
        let text = "UPDATE jobs SET state = 'running' WHERE state = 'waiting' RETURNING id, who, asked_s";
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Job { id: row.get(0)?, who: row.get(1)?, asked_s: row.get::<_, i64>(2)?.cast_unsigned() })
        };
        let claimed =
            || -> rusqlite::Result<Vec<Job>> { self.connection.prepare_cached(text)?.query_map([], read)?.collect() };
        Ok(claimed().map_err(self.sql())?.into_iter().max_by_key(|job| job.id))
    }

    fn finish_jobs(&self, up_to: i64, result: Result<&str, &str>, now_s: u64) -> Result<(), StoreError> {
        let (state, text) = match result {
            Ok(text) => (JobState::Done.as_str(), text),
            Err(text) => (JobState::Failed.as_str(), text),
        };
        let update = "UPDATE jobs SET state = ?2, result = ?3, ended_s = ?4 WHERE state = 'running' AND id <= ?1";
        self.connection.execute(update, (up_to, state, text, now_s.cast_signed())).map_err(self.sql())?;
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
