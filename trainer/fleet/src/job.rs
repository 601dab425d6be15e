//! Requests to retrain → jobs and their states.

/// A retraining request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Job number; later requests have higher ones.
    pub id: i64,
    /// Who requested it.
    pub who: String,
    /// Time of the request, seconds since the epoch.
    pub asked_s: u64,
}

/// State of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// No server has claimed it.
    Waiting,
    /// A server is training.
    Running,
    /// Finished with a release.
    Done,
    /// Finished without a release.
    Failed,
}

impl JobState {
    const ALL: [Self; 4] = [Self::Waiting, Self::Running, Self::Done, Self::Failed];

    /// Its name in the store and in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// The state with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The final state of a job with this result, and the text of the result.
    pub const fn ended<'a>(result: Result<&'a str, &'a str>) -> (Self, &'a str) {
        match result {
            Ok(text) => (Self::Done, text),
            Err(text) => (Self::Failed, text),
        }
    }

    /// True if a job may change from this state to `next`. A running job returns to waiting when its server ended.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Waiting, Self::Running) | (Self::Running, Self::Waiting | Self::Done | Self::Failed)
        )
    }
}

/// Why a job fails whose group is not among `groups`, the groups that the trainer serves.
pub fn not_served(group: &str, groups: &[&str]) -> String {
    format!("this trainer has no group `{group}`; it has {}", groups.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_job_never_changes_and_a_waiting_one_must_be_claimed_first() {
        for state in JobState::ALL {
            assert_eq!(JobState::parse(state.as_str()), Some(state));
            assert!(!state.may_become(state));
            assert!(!JobState::Done.may_become(state) && !JobState::Failed.may_become(state));
        }
        assert!(!JobState::Waiting.may_become(JobState::Done));
        assert!(JobState::Running.may_become(JobState::Waiting));
        assert_eq!(JobState::parse("asleep"), None);
    }
}
