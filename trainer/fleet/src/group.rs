//! A group's schedule, its history and the time → whether to train now, and why.

use super::job::Job;
use super::now::Now;
use std::fmt;
use std::time::Duration;

/// When a group's releases are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Interval between releases; `None`: none are scheduled.
    pub every: Option<Duration>,
    /// New feature rows that cause a release; 0 disables it.
    pub after_rows: u64,
    /// Pause after a failure, during which only requests train.
    pub retry_pause: Duration,
}

/// What may cause a training now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand<'a> {
    /// A claimed request.
    pub job: Option<&'a Job>,
    /// Feature rows ever stored.
    pub rows_seen: u64,
}

/// Why a release is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An operator requested it.
    Requested(String),
    /// This many new feature rows.
    NewRows(u64),
    /// The interval has passed.
    Schedule,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested(who) => write!(f, "requested by {who}"),
            Self::NewRows(rows) => write!(f, "{rows} new feature rows"),
            Self::Schedule => f.write_str("schedule"),
        }
    }
}

/// A group's past trainings, as far as they decide about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Training {
    /// Creation time of the newest release, or the start of a server without releases, seconds since the epoch.
    made_s: u64,
    /// Feature rows ever stored at the start of the last training.
    trained_rows: u64,
    /// Earliest next automatic attempt after a failure, by [`Now::elapsed`].
    retry_at: Option<Duration>,
}

impl Training {
    /// The history of a group whose newest release was made at `made_s`, if it has one, of `trained_rows` rows.
    pub fn new(made_s: Option<u64>, trained_rows: u64, now: Now) -> Self {
        Self { made_s: made_s.unwrap_or(now.wall_s), trained_rows, retry_at: None }
    }

    /// Why to train now; `None` if nothing is due. A request trains even during the pause after a failure.
    pub fn due(&mut self, schedule: &Schedule, demand: Demand<'_>, now: Now) -> Option<Cause> {
        // A release made while the clock was ahead must not postpone the next one until the clock gets there.
        self.made_s = self.made_s.min(now.wall_s);
        // A count that starts again, as in another store, must not postpone it until it reaches the old one.
        self.trained_rows = self.trained_rows.min(demand.rows_seen);
        if let Some(job) = demand.job {
            return Some(Cause::Requested(job.who.clone()));
        }
        if self.retry_at.is_some_and(|at| now.elapsed < at) {
            return None;
        }
        let new_rows = demand.rows_seen.saturating_sub(self.trained_rows);
        if schedule.after_rows > 0 && new_rows >= schedule.after_rows {
            return Some(Cause::NewRows(new_rows));
        }
        let age = Duration::from_secs(now.wall_s - self.made_s);
        schedule.every.is_some_and(|every| age >= every).then_some(Cause::Schedule)
    }

    /// A training that began with `rows_seen` rows has ended, with a release or without: the next one caused by rows
    /// needs new ones.
    pub fn ended(&mut self, rows_seen: u64) {
        self.trained_rows = rows_seen;
    }

    /// It ended with a release created at `created_s`.
    pub fn succeeded(&mut self, created_s: u64) {
        self.made_s = created_s;
        self.retry_at = None;
    }

    /// A training failed or could not start.
    pub fn failed(&mut self, schedule: &Schedule, now: Now) {
        self.retry_at = Some(now.elapsed.saturating_add(schedule.retry_pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_S: u64 = 86_400;
    const START_S: u64 = 1_700_000_000;

    fn at(wall_s: u64, elapsed_s: u64) -> Now {
        Now { wall_s: START_S + wall_s, elapsed: Duration::from_secs(elapsed_s) }
    }

    fn weekly() -> Schedule {
        let every = Some(Duration::from_secs(7 * DAY_S));
        Schedule { every, after_rows: 0, retry_pause: Duration::from_secs(600) }
    }

    fn none() -> Demand<'static> {
        Demand::default()
    }

    #[test]
    fn a_weekly_schedule_trains_seven_days_after_the_last_release() {
        let mut training = Training::new(Some(START_S), 0, at(5 * DAY_S, 0));
        assert_eq!(training.due(&weekly(), none(), at(7 * DAY_S - 1, 1)), None);
        assert_eq!(training.due(&weekly(), none(), at(7 * DAY_S, 2)), Some(Cause::Schedule));
        training.succeeded(START_S + 7 * DAY_S);
        assert_eq!(training.due(&weekly(), none(), at(14 * DAY_S - 1, 3)), None);
        assert_eq!(training.due(&weekly(), none(), at(14 * DAY_S, 4)), Some(Cause::Schedule));
        assert_eq!(training.due(&Schedule::default(), none(), at(900 * DAY_S, 5)), None, "no schedule");
    }

    #[test]
    fn a_group_without_releases_counts_from_the_start_of_the_server() {
        let mut training = Training::new(None, 0, at(0, 0));
        assert_eq!(training.due(&weekly(), none(), at(7 * DAY_S - 1, 1)), None);
        assert_eq!(training.due(&weekly(), none(), at(7 * DAY_S, 1)), Some(Cause::Schedule));
    }

    #[test]
    fn a_failure_pauses_schedule_and_rows_but_not_requests() {
        let schedule = Schedule { after_rows: 10, ..weekly() };
        let mut training = Training::new(Some(START_S), 0, at(0, 0));
        let rows = Demand { rows_seen: 10, job: None };
        assert_eq!(training.due(&schedule, rows, at(8 * DAY_S, 100)), Some(Cause::NewRows(10)));
        training.failed(&schedule, at(8 * DAY_S, 100));
        assert_eq!(training.due(&schedule, rows, at(8 * DAY_S + 599, 699)), None);
        let job = Job { id: 1, who: "ann".into(), asked_s: 0 };
        let requested = Demand { job: Some(&job), ..rows };
        assert_eq!(training.due(&schedule, requested, at(8 * DAY_S, 101)), Some(Cause::Requested("ann".into())));
        assert_eq!(training.due(&schedule, rows, at(8 * DAY_S + 600, 700)), Some(Cause::NewRows(10)));
        training.ended(10);
        assert_eq!(training.due(&schedule, rows, at(8 * DAY_S + 600, 700)), Some(Cause::Schedule), "no new rows");
    }

    #[test]
    fn the_pause_after_a_failure_ignores_jumps_of_the_wall_clock() {
        let mut training = Training::new(Some(START_S), 0, at(0, 0));
        training.failed(&weekly(), at(8 * DAY_S, 100));
        assert_eq!(training.due(&weekly(), none(), at(900 * DAY_S, 101)), None, "set ahead");
        assert_eq!(training.due(&weekly(), none(), at(7 * DAY_S, 700)), Some(Cause::Schedule), "set back");
    }

    #[test]
    fn a_success_ends_the_pause() {
        let mut training = Training::new(Some(START_S), 0, at(0, 0));
        training.failed(&weekly(), at(0, 100));
        training.succeeded(START_S);
        assert_eq!(training.due(&weekly(), none(), at(7 * DAY_S, 101)), Some(Cause::Schedule));
    }

    #[test]
    fn a_release_from_a_clock_that_was_ahead_delays_the_next_by_one_interval_only() {
        let mut training = Training::new(Some(START_S + 3_000 * DAY_S), 0, at(0, 0));
        assert_eq!(training.due(&weekly(), none(), at(0, 0)), None);
        assert_eq!(training.due(&weekly(), none(), at(7 * DAY_S - 1, 1)), None);
        assert_eq!(training.due(&weekly(), none(), at(7 * DAY_S, 2)), Some(Cause::Schedule));
    }

    #[test]
    fn a_count_of_rows_that_starts_again_delays_the_next_release_by_one_interval_only() {
        let schedule = Schedule { after_rows: 10, ..Schedule::default() };
        let mut training = Training::new(Some(START_S), 1_000, at(0, 0));
        let seen = |rows_seen| Demand { rows_seen, job: None };
        assert_eq!(training.due(&schedule, seen(3), at(0, 1)), None);
        assert_eq!(training.due(&schedule, seen(13), at(0, 2)), Some(Cause::NewRows(10)));
    }

    #[test]
    fn causes_are_the_reasons_that_releases_show() {
        assert_eq!(Cause::Requested("ann".into()).to_string(), "requested by ann");
        assert_eq!(Cause::NewRows(7).to_string(), "7 new feature rows");
        assert_eq!(Cause::Schedule.to_string(), "schedule");
    }
}
