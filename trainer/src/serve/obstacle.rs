//! Failures of a part of the work → when it is tried again, what to log, and what operators see meanwhile.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Pause after a failure.
const PAUSE: Duration = Duration::from_secs(60);

/// What changed with an attempt, to log it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It failed, or failed for another reason than before.
    Failed(String),
    /// It succeeded after a failure.
    Recovered,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Obstacle {
    problem: Option<String>,
    retry_at: Option<Instant>,
}

impl Obstacle {
    /// True during the pause after a failure.
    pub(super) fn is_pausing(&self, now: Instant) -> bool {
        self.retry_at.is_some_and(|at| now < at)
    }

    /// Takes the result of an attempt at `now`.
    pub(super) fn note<E: Display>(&mut self, result: Result<(), E>, now: Instant) -> Option<News> {
        let problem = result.err().map(|error| error.to_string());
        self.retry_at = problem.as_ref().map(|_| now + PAUSE);
        let before = std::mem::replace(&mut self.problem, problem);
        match &self.problem {
            now if *now == before => None,
            Some(problem) => Some(News::Failed(problem.clone())),
            None => Some(News::Recovered),
        }
    }

    /// Why the last attempt failed.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_common::clock;

    #[test]
    fn a_failure_is_news_once_and_tried_again_after_a_minute() {
        let (start, mut obstacle) = (clock::monotonic(), Obstacle::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(obstacle.note(Ok::<_, String>(()), at(0)), None);
        assert_eq!(obstacle.note(Err("no disk"), at(0)), Some(News::Failed("no disk".into())));
        assert_eq!((obstacle.is_pausing(at(59)), obstacle.is_pausing(at(60))), (true, false));
        assert_eq!(obstacle.note(Err("no disk"), at(60)), None);
        assert!(obstacle.is_pausing(at(119)));
        assert_eq!(obstacle.note(Err("no file"), at(120)), Some(News::Failed("no file".into())));
        assert_eq!(obstacle.problem(), Some("no file"));
        assert_eq!(obstacle.note(Ok::<_, String>(()), at(180)), Some(News::Recovered));
        assert_eq!((obstacle.is_pausing(at(180)), obstacle.problem()), (false, None));
    }
}
