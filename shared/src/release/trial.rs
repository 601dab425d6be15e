//! Scored rows of a release on trial → confirm it or roll it back.
//!
//! The release on trial and the one before it judge the same rows. A row counts only if it is normal to the release before:
//! by its calibration, a good release finds 1 % of such rows anomalous. Every host has one vote, the anomalous share of its
//! rows, and a host that was suspect to the release before has none. The trial fails if the mean of the votes is above
//! [`TRIAL_FAILURE_PERMILLE`], which needs the votes of two hosts where there are two. So neither an infected host nor
//! forged traffic, which is anomalous to both releases, can end a trial. If all hosts were suspect, the release before is
//! no measure, and all vote; without a row that was normal to it, the new one passes.

use crate::units::{Address, Nanos, Timestamp};
use heapless::Vec;

/// Rows in a trial that count.
pub const TRIAL_ROWS: u32 = 256;
/// One host contributes at most one in this many of them, so that a trial takes at least this many hosts, or
/// [`TRIAL_TIME`].
pub const TRIAL_SHARES: u32 = 4;
/// Once this capture time has passed and [`TRIAL_ROWS`] rows were seen, the hosts that have voted decide.
pub const TRIAL_TIME: Nanos = Nanos::from_secs(300);
/// Limit on hosts that vote: the first that send a row.
pub const TRIAL_HOSTS: usize = 64;
/// A row is anomalous above this surprise, nats: −ln 0.01.
pub const TRIAL_SURPRISE_NATS: f32 = 4.6;
/// Failure threshold: mean share of anomalous rows above which the release is rolled back, per mille.
pub const TRIAL_FAILURE_PERMILLE: u32 = 200;

/// Limits of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialLimits {
    /// Rows that count, 1 or more.
    pub rows: u32,
    /// Failure threshold: mean share of anomalous rows, per mille.
    pub failure_permille: u32,
}

impl Default for TrialLimits {
    /// [`TRIAL_ROWS`] and [`TRIAL_FAILURE_PERMILLE`].
    fn default() -> Self {
        Self { rows: TRIAL_ROWS, failure_permille: TRIAL_FAILURE_PERMILLE }
    }
}

/// Result of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialVerdict {
    /// Passed.
    Confirm,
    /// The engine failed on a row.
    EngineFault,
    /// A golden vector was not reproduced when the release was loaded again.
    GoldenDifferent,
    /// Too many anomalous rows.
    TooManyAnomalous {
        /// Anomalous rows that count.
        anomalous: u32,
        /// Rows that count.
        rows: u32,
        /// Hosts with more anomalous rows than the threshold.
        against: u32,
        /// Hosts that voted.
        hosts: u32,
    },
}

impl core::fmt::Display for TrialVerdict {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Confirm => write!(f, "trial passed"),
            Self::EngineFault => write!(f, "trial failed: engine error"),
            Self::GoldenDifferent => write!(f, "trial failed: golden vectors not reproduced"),
            Self::TooManyAnomalous { anomalous, rows, against, hosts } => {
                write!(
                    f,
                    "trial failed: {anomalous} of {rows} rows were anomalous, too many at {against} of {hosts} hosts"
                )
            }
        }
    }
}

/// The judgement of the release before, of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Before {
    /// Surprise, nats.
    pub surprise_nats: f32,
    /// Evidence drift, nats.
    pub drift_nats: f32,
    /// Evidence from which a host is suspect, nats.
    pub suspect_nats: f32,
}

/// One row, judged by both releases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrialRow {
    /// The host that the row is about.
    pub host: Address,
    /// Time of its record.
    pub at: Timestamp,
    /// Surprise by the release on trial, nats.
    pub surprise_nats: f32,
    /// Judgement of the release before, if there was one.
    pub before: Option<Before>,
}

#[derive(Clone, Debug, PartialEq)]
struct Voter {
    host: Address,
    rows: u32,
    anomalous: u32,
    /// Evidence by the release before, nats.
    evidence_nats: f32,
    suspect: bool,
}

/// The votes as they stand.
#[derive(Clone, Copy, Default)]
struct Count {
    rows: u32,
    anomalous: u32,
    hosts: u32,
    against: u32,
    /// Sum of the votes.
    shares: f32,
    /// Every host so far is suspect, and votes.
    are_all_suspect: bool,
}

/// Counts the rows of one trial. A restart resets the count.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialMonitor {
    limits: TrialLimits,
    seen: u32,
    began: Option<Timestamp>,
    /// Hosts that were in an episode when the trial began.
    suspects: Vec<Address, TRIAL_HOSTS>,
    voters: Vec<Voter, TRIAL_HOSTS>,
    verdict: Option<TrialVerdict>,
}

impl TrialMonitor {
    /// Starts a trial.
    pub fn new(limits: TrialLimits) -> Self {
        Self { limits, seen: 0, began: None, suspects: Vec::new(), voters: Vec::new(), verdict: None }
    }

    /// Excludes a host from the vote; at most [`TRIAL_HOSTS`].
    pub fn exclude(&mut self, host: Address) {
        let _ = self.suspects.push(host);
    }

    /// Adds a scored row and returns the verdict, if there is one. Later rows do not change it.
    pub fn row(&mut self, row: &TrialRow) -> Option<TrialVerdict> {
        if self.verdict.is_none() {
            let began = *self.began.get_or_insert(row.at);
            self.seen = self.seen.saturating_add(1);
            self.vote(row);
            let is_late = self.seen >= self.limits.rows && row.at.since(began) >= TRIAL_TIME;
            self.verdict = self.evaluate(is_late);
        }
        self.verdict
    }

    fn vote(&mut self, row: &TrialRow) {
        let was_suspect = self.suspects.contains(&row.host);
        let most = (self.limits.rows / TRIAL_SHARES).max(1);
        let Some(voter) = self.voter(&row.host) else { return };
        voter.suspect |= was_suspect;
        if let Some(before) = row.before {
            let nats = voter.evidence_nats + before.surprise_nats - before.drift_nats;
            voter.evidence_nats = nats.max(0.0);
            voter.suspect |= nats >= before.suspect_nats;
            if before.surprise_nats > TRIAL_SURPRISE_NATS {
                return;
            }
        }
        if voter.rows < most {
            voter.rows += 1;
            // NaN counts as anomalous.
            let is_anomalous = row.surprise_nats.is_nan() || row.surprise_nats > TRIAL_SURPRISE_NATS;
            voter.anomalous += u32::from(is_anomalous);
        }
    }

    fn voter(&mut self, host: &Address) -> Option<&mut Voter> {
        let index = match self.voters.iter().position(|voter| voter.host == *host) {
            Some(index) => index,
            None => {
                let voter = Voter { host: *host, rows: 0, anomalous: 0, evidence_nats: 0.0, suspect: false };
                self.voters.push(voter).ok()?;
                self.voters.len() - 1
            }
        };
        self.voters.get_mut(index)
    }

    /// Ends the trial because of an engine error.
    pub fn engine_fault(&mut self) -> TrialVerdict {
        *self.verdict.get_or_insert(TrialVerdict::EngineFault)
    }

    /// The verdict; `None` during the trial.
    pub fn verdict(&self) -> Option<TrialVerdict> {
        self.verdict
    }

    fn count(&self) -> Count {
        let are_all_suspect = self.voters.iter().all(|voter| voter.suspect);
        let mut count = Count { are_all_suspect, ..Count::default() };
        let votes = |voter: &&Voter| voter.rows > 0 && (!voter.suspect || are_all_suspect);
        for voter in self.voters.iter().filter(votes) {
            let share = voter.anomalous as f32 / voter.rows as f32;
            count.rows += voter.rows;
            count.anomalous += voter.anomalous;
            count.hosts += 1;
            count.against += u32::from(share * 1000.0 > self.limits.failure_permille as f32);
            count.shares += share;
        }
        count
    }

    /// Fails the trial once half of its rows are in, but not by suspects alone, and passes it once all are. `is_late`: the hosts so far decide.
    fn evaluate(&self, is_late: bool) -> Option<TrialVerdict> {
        let Count { rows, anomalous, hosts, against, shares, are_all_suspect } = self.count();
        let is_complete = rows >= self.limits.rows || is_late;
        let fails = shares * 1000.0 > self.limits.failure_permille as f32 * hosts as f32;
        let is_agreed = against >= 2 || is_complete && hosts == 1;
        let is_clear = rows >= self.limits.rows / 2 && !are_all_suspect;
        if fails && is_agreed && (is_complete || is_clear) {
            Some(TrialVerdict::TooManyAnomalous { anomalous, rows, against, hosts })
        } else if is_complete {
            Some(TrialVerdict::Confirm)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORMAL: Option<Before> = Some(Before { surprise_nats: 1.0, drift_nats: 2.0, suspect_nats: 10.0 });
    const ODD: Option<Before> = Some(Before { surprise_nats: 9.0, drift_nats: 2.0, suspect_nats: 10.0 });

    struct Trial {
        monitor: TrialMonitor,
        second: u64,
    }

    impl Trial {
        fn new() -> Self {
            Self { monitor: TrialMonitor::new(TrialLimits::default()), second: 0 }
        }

        /// Rows of a host, one per second.
        fn rows(&mut self, host: u8, surprise_nats: f32, before: Option<Before>, rows: u32) -> &mut Self {
            for _ in 0..rows {
                self.second += 1;
                let (host, at) = (Address::from_v4([192, 168, 1, host]), Timestamp::from_secs(self.second));
                self.monitor.row(&TrialRow { host, at, surprise_nats, before });
            }
            self
        }

        fn verdict(&self) -> Option<TrialVerdict> {
            self.monitor.verdict()
        }
    }

    #[test]
    fn a_release_is_confirmed_after_its_rows_and_not_before() {
        let mut trial = Trial::new();
        (1..=4).for_each(|host| _ = trial.rows(host, 1.0, NORMAL, 63));
        assert_eq!(trial.verdict(), None);
        (1..=4).for_each(|host| _ = trial.rows(host, 1.0, NORMAL, 1));
        assert_eq!(trial.verdict(), Some(TrialVerdict::Confirm));
    }

    #[test]
    fn a_release_that_finds_the_normal_rows_of_many_hosts_anomalous_fails() {
        for before in [NORMAL, None] {
            let mut trial = Trial::new();
            for _ in 0..40 {
                (1..=4).for_each(|host| _ = trial.rows(host, 1.0, before, 1));
                trial.rows(1, 7.0, before, 1).rows(2, f32::NAN, before, 1).rows(3, 7.0, before, 1);
            }
            let Some(TrialVerdict::TooManyAnomalous { anomalous, rows, against, hosts }) = trial.verdict() else {
                panic!("{:?}", trial.verdict())
            };
            assert_eq!((against, hosts, rows), (3, 4, 128));
            assert!(anomalous * 3 >= rows, "{anomalous} of {rows}");
        }
    }

    #[test]
    fn attack_traffic_of_an_infected_host_neither_fails_nor_ends_a_trial() {
        let mut trial = Trial::new();
        // Anomalous to both releases.
        trial.rows(9, 9.0, ODD, 200);
        assert_eq!(trial.verdict(), None);
        (1..=4).for_each(|host| _ = trial.rows(host, 1.0, NORMAL, 64));
        assert_eq!(trial.verdict(), Some(TrialVerdict::Confirm));
    }

    #[test]
    fn one_host_has_one_vote_and_a_suspect_none() {
        // Rows that only the new release finds anomalous, of one host.
        let mut trial = Trial::new();
        trial.rows(9, 9.0, NORMAL, 200);
        assert_eq!(trial.verdict(), None, "one host alone, too early");
        (1..=4).for_each(|host| _ = trial.rows(host, 1.0, NORMAL, 64));
        assert_eq!(trial.verdict(), Some(TrialVerdict::Confirm));
        // Two such hosts would be enough, but one of them was in an episode and one raised evidence.
        let mut trial = Trial::new();
        trial.monitor.exclude(Address::from_v4([192, 168, 1, 8]));
        trial.rows(8, 9.0, NORMAL, 64).rows(9, 9.0, ODD, 2).rows(9, 9.0, NORMAL, 64);
        (1..=4).for_each(|host| _ = trial.rows(host, 1.0, NORMAL, 64));
        assert_eq!(trial.verdict(), Some(TrialVerdict::Confirm));
    }

    #[test]
    fn a_release_can_replace_one_to_which_every_host_is_suspect() {
        // Evidence of every host, from rows that are not anomalous one by one.
        let high = Some(Before { surprise_nats: 3.0, drift_nats: 2.0, suspect_nats: 10.0 });
        let mut trial = Trial::new();
        (1..=4).for_each(|host| _ = trial.rows(host, 1.0, high, 64));
        assert_eq!(trial.verdict(), Some(TrialVerdict::Confirm));
        let mut trial = Trial::new();
        (1..=4).for_each(|host| _ = trial.rows(host, 9.0, high, 64));
        assert!(matches!(trial.verdict(), Some(TrialVerdict::TooManyAnomalous { .. })));
        // Every row is anomalous to the release before.
        let mut trial = Trial::new();
        trial.rows(1, 1.0, ODD, 300);
        assert_eq!(trial.verdict(), None);
        trial.rows(2, 1.0, ODD, 1);
        assert_eq!(trial.verdict(), Some(TrialVerdict::Confirm));
    }

    #[test]
    fn a_single_host_decides_after_five_minutes() {
        for (surprise_nats, passes) in [(1.0, true), (9.0, false)] {
            let mut trial = Trial::new();
            trial.rows(1, surprise_nats, NORMAL, 300);
            assert_eq!(trial.verdict(), None);
            trial.rows(1, surprise_nats, NORMAL, 1);
            assert_eq!(trial.verdict() == Some(TrialVerdict::Confirm), passes, "{:?}", trial.verdict());
        }
    }

    #[test]
    fn more_hosts_than_seats_do_not_stop_a_trial() {
        let mut trial = Trial::new();
        (0..=255).for_each(|host| _ = trial.rows(host, 1.0, NORMAL, 1));
        assert_eq!(trial.verdict(), None);
        trial.rows(0, 1.0, NORMAL, 400);
        assert_eq!(trial.verdict(), Some(TrialVerdict::Confirm));
    }

    #[test]
    fn an_engine_fault_ends_the_trial_and_a_verdict_is_final() {
        let row = TrialRow { host: Address::default(), at: Timestamp::EPOCH, surprise_nats: 0.0, before: None };
        let mut monitor = TrialMonitor::new(TrialLimits { rows: 1, failure_permille: 200 });
        assert_eq!(monitor.engine_fault(), TrialVerdict::EngineFault);
        assert_eq!(monitor.row(&row), Some(TrialVerdict::EngineFault));
        let mut monitor = TrialMonitor::new(TrialLimits { rows: 1, failure_permille: 200 });
        assert_eq!(monitor.row(&row), Some(TrialVerdict::Confirm));
        assert_eq!(monitor.engine_fault(), TrialVerdict::Confirm);
    }
}
