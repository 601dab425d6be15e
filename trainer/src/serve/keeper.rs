//! What one broker has of the current release → what to do next: check, publish what is missing, or wait.
//!
//! A broker without persistence loses retained messages when it restarts; another client may clear them. After each
//! connection the keeper has them checked, and what is missing published: at once the first time, then less and less
//! often.

use std::time::{Duration, Instant};

/// Time without another returned part after which the rest counts as missing.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the broker's answers to publications.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// First and longest wait before publishing again what the broker does not keep.
const RETRY: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(3600)];
/// Interval between checks while nothing is missing.
const RECHECK: Duration = Duration::from_secs(3600);

/// What the keeper knows about the broker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// There is a connection.
    pub(super) is_connected: bool,
    /// Number of connections so far.
    pub(super) connections: u64,
    /// Parts that are not sent yet.
    pub(super) unsent: usize,
    /// Parts that are sent, without an answer.
    pub(super) unanswered: usize,
    /// Parts that the broker has not returned, during a check.
    pub(super) missing: usize,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Wait,
    /// Publish every part.
    SendAll,
    /// Request every part from the broker.
    Check,
    /// End the check: nothing is missing.
    Complete,
    /// End the check, and publish what is missing.
    Refill,
    /// End the check; what is missing will be published later.
    Lost,
    /// Publish what was missing in the last check.
    Resend,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    Sending { since: Instant },
    Checking { progress: Instant, missing: usize },
    CheckAt(Instant),
    ResendAt(Instant),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Keeper {
    /// The broker may lose what it has; the embedded one does not.
    is_external: bool,
    connections: u64,
    state: State,
    /// Wait before the next publication; `None` if the broker has not lost anything since the connection.
    retry: Option<Duration>,
}

impl Keeper {
    pub(super) fn new(is_external: bool) -> Self {
        Self { is_external, connections: 0, state: State::Idle, retry: None }
    }

    /// True while the broker returns what it has.
    pub(super) fn is_checking(&self) -> bool {
        matches!(self.state, State::Checking { .. })
    }

    /// There is a new release; every part of it is about to be sent.
    pub(super) fn replaced(&mut self, now: Instant) {
        self.state = State::Sending { since: now };
        self.retry = None;
    }

    /// Decides; call about twice a second once there is a release.
    pub(super) fn step(&mut self, facts: &Facts, now: Instant) -> Step {
        if !facts.is_connected {
            return Step::Wait;
        }
        if facts.connections != self.connections {
            self.connections = facts.connections;
            self.retry = None;
            if self.is_external {
                return self.check(now);
            }
            self.state = State::Sending { since: now };
            return Step::SendAll;
        }
        match self.state {
            State::Sending { since } => self.sending(facts, since, now),
            State::Checking { progress, missing } => self.checking(facts, (progress, missing), now),
            State::CheckAt(at) if now >= at => self.check(now),
            State::ResendAt(at) if now >= at => {
                self.state = State::Sending { since: now };
                Step::Resend
            }
            _ => Step::Wait,
        }
    }

    fn check(&mut self, now: Instant) -> Step {
        self.state = State::Checking { progress: now, missing: usize::MAX };
        Step::Check
    }

    fn sending(&mut self, facts: &Facts, since: Instant, now: Instant) -> Step {
        let is_answered = facts.unanswered == 0 || now >= since + ANSWER_TIMEOUT;
        if facts.unsent > 0 || !is_answered {
            return Step::Wait;
        }
        if self.is_external {
            return self.check(now);
        }
        self.state = State::Idle;
        Step::Wait
    }

    fn checking(&mut self, facts: &Facts, (progress, missing): (Instant, usize), now: Instant) -> Step {
        if facts.missing == 0 {
            self.retry = None;
            self.state = State::CheckAt(now + RECHECK);
            return Step::Complete;
        }
        if facts.missing < missing {
            self.state = State::Checking { progress: now, missing: facts.missing };
            return Step::Wait;
        }
        if now < progress + CHECK_TIMEOUT {
            return Step::Wait;
        }
        let Some(wait) = self.retry else {
            self.retry = Some(RETRY[0]);
            self.state = State::Sending { since: now };
            return Step::Refill;
        };
        self.retry = Some((wait * 2).min(RETRY[1]));
        self.state = State::ResendAt(now + wait);
        Step::Lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_common::clock;

    fn connected(connections: u64) -> Facts {
        Facts { is_connected: true, connections, ..Facts::default() }
    }

    /// Steps at seconds since the start.
    struct Timeline(Keeper, Instant);

    impl Timeline {
        fn at(&mut self, second: u64, facts: Facts) -> Step {
            self.0.step(&facts, self.1 + Duration::from_secs(second))
        }
    }

    fn timeline(is_external: bool) -> Timeline {
        Timeline(Keeper::new(is_external), clock::monotonic())
    }

    #[test]
    fn a_broker_that_has_everything_is_checked_after_each_connection_and_then_hourly() {
        let mut line = timeline(true);
        assert_eq!(line.at(0, Facts::default()), Step::Wait, "not connected");
        assert_eq!(line.at(1, connected(1)), Step::Check);
        assert_eq!(line.at(2, Facts { missing: 3, ..connected(1) }), Step::Wait);
        assert_eq!(line.at(3, connected(1)), Step::Complete);
        assert_eq!(line.at(3_602, connected(1)), Step::Wait);
        assert_eq!(line.at(3_603, connected(1)), Step::Check);
        assert_eq!(line.at(3_604, connected(1)), Step::Complete);
        assert_eq!(line.at(3_700, connected(2)), Step::Check, "reconnected");
    }

    #[test]
    fn what_a_broker_lost_is_published_once_at_once_and_then_less_and_less_often() {
        let mut line = timeline(true);
        let lacks = |missing| Facts { missing, ..connected(1) };
        assert_eq!(line.at(0, connected(1)), Step::Check);
        assert_eq!(line.at(1, lacks(4)), Step::Wait);
        assert_eq!(line.at(9, lacks(2)), Step::Wait);
        assert_eq!(line.at(18, lacks(2)), Step::Wait, "10 s since the last part");
        assert_eq!(line.at(19, lacks(2)), Step::Refill);
        assert_eq!(line.at(20, Facts { unsent: 2, ..connected(1) }), Step::Wait);
        assert_eq!(line.at(21, Facts { unanswered: 2, ..connected(1) }), Step::Wait);
        assert_eq!(line.at(22, connected(1)), Step::Check);
        assert_eq!(line.at(23, lacks(2)), Step::Wait);
        assert_eq!(line.at(33, lacks(2)), Step::Lost);
        assert_eq!(line.at(92, lacks(2)), Step::Wait);
        assert_eq!(line.at(93, lacks(2)), Step::Resend, "after a minute");
        assert_eq!(line.at(94, connected(1)), Step::Check);
        assert_eq!(line.at(95, lacks(2)), Step::Wait);
        assert_eq!(line.at(105, lacks(2)), Step::Lost);
        assert_eq!(line.at(224, lacks(2)), Step::Wait, "the wait doubles");
        assert_eq!(line.at(225, lacks(2)), Step::Resend);
        assert_eq!(line.at(226, connected(2)), Step::Check, "a new connection begins anew");
        let lacks = Facts { missing: 2, ..connected(2) };
        assert_eq!(line.at(227, lacks), Step::Wait);
        assert_eq!(line.at(237, lacks), Step::Refill);
    }

    #[test]
    fn a_new_release_is_sent_and_then_checked_also_if_answers_are_missing() {
        let mut line = timeline(true);
        line.at(0, connected(1));
        line.at(1, connected(1));
        line.0.replaced(line.1 + Duration::from_secs(10));
        let unanswered = Facts { unanswered: 1, ..connected(1) };
        assert_eq!(line.at(69, unanswered), Step::Wait);
        assert_eq!(line.at(70, unanswered), Step::Check);
    }

    #[test]
    fn the_embedded_broker_gets_everything_once() {
        let mut line = timeline(false);
        assert_eq!(line.at(0, connected(1)), Step::SendAll);
        assert_eq!(line.at(1, connected(1)), Step::Wait);
        assert_eq!(line.at(9_999, connected(1)), Step::Wait);
    }
}
