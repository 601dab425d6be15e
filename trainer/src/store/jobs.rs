//! Requests for retraining: written by `retrain`, taken by a running `serve`.

use super::Desk;
use super::error::StoreError;
use rusqlite::OptionalExtension;

/// Finished jobs that are kept.
const KEPT: i64 = 1000;
/// Jobs that may wait; asking again then joins the newest one.
const WAITING: i64 = 16;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// Who asked.
    pub who: String,
    /// When, seconds since the epoch.
    pub asked_s: u64,
}

impl Desk {
    /// Asks for retraining; gives the job's number.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn ask(&self, who: &str, now_s: u64) -> Result<i64, StoreError> {
        let text = "INSERT INTO jobs (asked_s, who, state) SELECT ?1, ?2, 'waiting' \
                    WHERE (SELECT count(*) FROM jobs WHERE state = 'waiting') < ?3";
        self.connection.execute(text, (now_s.cast_signed(), who, WAITING)).map_err(self.sql())?;
        let text = "SELECT max(id) FROM jobs WHERE state = 'waiting'";
        self.connection.query_row(text, [], |row| row.get(0)).map_err(self.sql())
    }

    /// Takes every waiting job at once, since one training answers them all; the newest one is given, and the others
    /// end with it.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn take_jobs(&self) -> Result<Option<Job>, StoreError> {
        let text = "SELECT id, who, asked_s FROM jobs WHERE state = 'waiting' ORDER BY id DESC LIMIT 1";
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Job { id: row.get(0)?, who: row.get(1)?, asked_s: row.get::<_, i64>(2)?.cast_unsigned() })
        };
        let job = self.connection.query_row(text, [], read).optional().map_err(self.sql())?;
        if let Some(job) = &job {
            let text = "UPDATE jobs SET state = 'running' WHERE state = 'waiting' AND id <= ?1";
            self.connection.execute(text, [job.id]).map_err(self.sql())?;
        }
        Ok(job)
    }

    /// Ends every running job up to this one.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn end_jobs(&self, up_to: i64, result: Result<&str, &str>, now_s: u64) -> Result<(), StoreError> {
        let (state, text) = match result {
            Ok(text) => ("done", text),
            Err(text) => ("failed", text),
        };
        let update = "UPDATE jobs SET state = ?2, result = ?3, ended_s = ?4 WHERE state = 'running' AND id <= ?1";
        self.connection.execute(update, (up_to, state, text, now_s.cast_signed())).map_err(self.sql())?;
        let delete = "DELETE FROM jobs WHERE ended_s IS NOT NULL AND id <= (SELECT max(id) FROM jobs) - ?1";
        self.connection.execute(delete, [KEPT]).map(drop).map_err(self.sql())
    }

    /// Makes jobs wait again that were running when a `serve` ended.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn reset_jobs(&self) -> Result<(), StoreError> {
        let text = "UPDATE jobs SET state = 'waiting' WHERE state = 'running'";
        self.connection.execute(text, []).map(drop).map_err(self.sql())
    }

    /// State of a job (`waiting`, `running`, `done`, `failed`) and its result.
    ///
    /// # Errors
    /// When there is no such job, or the store cannot be read.
    pub fn job_state(&self, id: i64) -> Result<(String, Option<String>), StoreError> {
        let text = "SELECT state, result FROM jobs WHERE id = ?1";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let found = self.connection.query_row(text, [id], read).optional().map_err(self.sql())?;
        found.ok_or_else(|| StoreError::Missing { what: format!("job {id}"), list: "retrain" })
    }
}
