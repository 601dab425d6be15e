//! Retraining requests from `retrain` → jobs that a running `serve` takes.

use super::fields::searched;
use super::session::{Queried, QueryError, Session};
use super::{PostgresHandle, audit};
use crate::error::StoreError;
use crate::fields::{self, Fields};
use crate::statements::{
    ADD_JOB, ANY_WAITING_JOB, ASSIGN_JOBS, COPY_JOBS, FAIL_JOB, FINISH_JOBS, FORGET_JOBS, MAX_FINISHED_JOBS,
    MAX_WAITING_JOBS, NEWEST_WAITING_JOB, REQUEUE_JOBS, STATE_OF_JOB, TAKE_JOBS, WAITING_JOBS,
};
use crate::traits::Jobs;
use lapwing_fleet::{AuditEntry, Job, JobState, not_served};

impl PostgresHandle {
    fn is_any_waiting(&self) -> Result<bool, StoreError> {
        self.read(|session| Ok(session.row(&ANY_WAITING_JOB, &[], |row| row.flag(0))?.unwrap_or(false)))
    }
}

/// Requests and assignments happen one after the other, because they count and copy jobs.
fn lock(session: &mut Session) -> Queried<()> {
    session.batch("LOCK TABLE jobs IN SHARE ROW EXCLUSIVE MODE")
}

fn assign(session: &mut Session, groups: &[&str], now_s: i64) -> Queried<()> {
    lock(session)?;
    let (first, others) = groups.split_first().unzip();
    for group in others.into_iter().flatten() {
        session.change(&COPY_JOBS, &[group])?;
    }
    session.change(&ASSIGN_JOBS, &[&first])?;
    for (id, group) in session.rows(&WAITING_JOBS, &[], fields::pair)? {
        if !groups.contains(&group.as_str()) {
            session.change(&FAIL_JOB, &[&not_served(&group, groups), &now_s, &id])?;
        }
    }
    Ok(())
}

impl Jobs for PostgresHandle {
    fn request_retraining(&self, group: Option<&str>, who: &str, now_s: u64) -> Result<i64, StoreError> {
        let (group, who) = (group.map(searched), searched(who));
        self.write(|session| {
            lock(session)?;
            session.change(&ADD_JOB, &[&now_s.cast_signed(), &who, &group, &MAX_WAITING_JOBS])?;
            let newest = session.row(&NEWEST_WAITING_JOB, &[&group], |row| row.integer(0))?;
            let job = newest.ok_or(QueryError::Invalid("no waiting job"))?;
            audit::append(session, &AuditEntry::requested(group.as_deref(), job, &who, now_s)).map(|()| job)
        })
    }

    fn assign_jobs(&self, groups: &[&str], now_s: u64) -> Result<(), StoreError> {
        if !self.is_any_waiting()? {
            return Ok(());
        }
        self.write(|session| assign(session, groups, now_s.cast_signed()))
    }

    fn take_jobs(&self, group: &str) -> Result<Option<Job>, StoreError> {
        if !self.is_any_waiting()? {
            return Ok(None);
        }
        // A second server waits for the first one's statement, and then finds no waiting job any more.
        let taken = self.write(|session| session.rows(&TAKE_JOBS, &[&group], fields::job))?;
        Ok(taken.into_iter().max_by_key(|job| job.id))
    }

    fn finish_jobs(&self, group: &str, up_to: i64, result: Result<&str, &str>, now_s: u64) -> Result<(), StoreError> {
        let (state, text) = JobState::ended(result);
        let (text, now_s) = (searched(text), now_s.cast_signed());
        self.write(|session| {
            session.change(&FINISH_JOBS, &[&state.as_str(), &text, &now_s, &up_to, &group])?;
            session.change(&FORGET_JOBS, &[&MAX_FINISHED_JOBS]).map(drop)
        })
    }

    fn requeue_jobs(&self) -> Result<(), StoreError> {
        self.write(|session| session.change(&REQUEUE_JOBS, &[]).map(drop))
    }

    fn job_state(&self, id: i64) -> Result<(JobState, Option<String>), StoreError> {
        let state = self.read(|session| session.row(&STATE_OF_JOB, &[&id], fields::job_state))?;
        state.ok_or_else(|| StoreError::no_job(id))
    }
}
