//! Retraining requests from `retrain` → jobs that a running `serve` takes.

use super::{SqliteHandle, audit};
use crate::error::StoreError;
use crate::fields;
use crate::statements::{
    ADD_JOB, ANY_WAITING_JOB, ASSIGN_JOBS, COPY_JOBS, FAIL_JOB, FINISH_JOBS, FORGET_JOBS, MAX_FINISHED_JOBS,
    MAX_WAITING_JOBS, NEWEST_WAITING_JOB, REQUEUE_JOBS, STATE_OF_JOB, TAKE_JOBS, WAITING_JOBS,
};
use crate::traits::Jobs;
use lapwing_fleet::{AuditEntry, Job, JobState, not_served};
use rusqlite::{Transaction, TransactionBehavior};

impl SqliteHandle {
    /// Whether any job waits. The loop of `serve` looks twice a second; a look needs no lock, unlike a statement that
    /// writes.
    fn is_any_waiting(&self) -> rusqlite::Result<bool> {
        self.row(&ANY_WAITING_JOB, [], |row| row.get(0)).map(|found| found.unwrap_or(false))
    }
}

impl Jobs for SqliteHandle {
    fn request_retraining(&self, group: Option<&str>, who: &str, now_s: u64) -> Result<i64, StoreError> {
        let values = (now_s.cast_signed(), who, group, MAX_WAITING_JOBS);
        self.write(|connection| {
            connection.execute(&ADD_JOB, values)?;
            let job = connection.query_row(&NEWEST_WAITING_JOB, [group], |row| row.get(0))?;
            audit::append(connection, &AuditEntry::requested(group, job, who, now_s)).map(|()| job)
        })
    }

    fn assign_jobs(&self, groups: &[&str], now_s: u64) -> Result<(), StoreError> {
        let assign = || -> rusqlite::Result<()> {
            if !self.is_any_waiting()? {
                return Ok(());
            }
            let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
            let (first, others) = groups.split_first().unzip();
            for group in others.into_iter().flatten() {
                transaction.execute(&COPY_JOBS, [group])?;
            }
            transaction.execute(&ASSIGN_JOBS, [first])?;
            for (id, group) in self.rows(&WAITING_JOBS, [], |row| fields::pair(row))? {
                if !groups.contains(&group.as_str()) {
                    transaction.execute(&FAIL_JOB, (not_served(&group, groups), now_s.cast_signed(), id))?;
                }
            }
            transaction.commit()
        };
        assign().map_err(self.sql())
    }

    fn take_jobs(&self, group: &str) -> Result<Option<Job>, StoreError> {
        let take = || -> rusqlite::Result<Vec<Job>> {
            if self.is_any_waiting()? { self.rows(&TAKE_JOBS, [group], |row| fields::job(row)) } else { Ok(Vec::new()) }
        };
        Ok(take().map_err(self.sql())?.into_iter().max_by_key(|job| job.id))
    }

    fn finish_jobs(&self, group: &str, up_to: i64, result: Result<&str, &str>, now_s: u64) -> Result<(), StoreError> {
        let (state, text) = JobState::ended(result);
        let values = (state.as_str(), text, now_s.cast_signed(), up_to, group);
        self.execute(&FINISH_JOBS, values).map_err(self.sql())?;
        self.execute(&FORGET_JOBS, [MAX_FINISHED_JOBS]).map(drop).map_err(self.sql())
    }

    fn requeue_jobs(&self) -> Result<(), StoreError> {
        self.execute(&REQUEUE_JOBS, []).map(drop).map_err(self.sql())
    }

    fn job_state(&self, id: i64) -> Result<(JobState, Option<String>), StoreError> {
        let state = self.row(&STATE_OF_JOB, [id], |row| fields::job_state(row)).map_err(self.sql())?;
        state.ok_or_else(|| StoreError::no_job(id))
    }
}
