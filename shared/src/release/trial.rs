//! Scored rows of a release on probation → confirm it, or take it back.
//!
//! A good release finds its own network normal: under its calibration a surprise above [`TRIAL_SURPRISE_NATS`] has a
//! share of 1 % of benign rows. One that finds a fifth of them odd is broken, or learnt another place.

/// Rows that a trial judges, scored ones.
pub const TRIAL_ROWS: u32 = 256;
/// A row is odd above this surprise, nats: −ln 0.01.
pub const TRIAL_SURPRISE_NATS: f32 = 4.6;
/// Failure threshold: share of odd rows above which the release is taken back, per mille.
pub const TRIAL_FAILURE_PERMILLE: u32 = 200;

/// Limits of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialLimits {
    /// Rows to judge, 1 or more.
    pub rows: u32,
    /// Failure threshold: share of odd rows, per mille.
    pub failure_permille: u32,
}

impl Default for TrialLimits {
    /// [`TRIAL_ROWS`] and [`TRIAL_FAILURE_PERMILLE`].
    fn default() -> Self {
        Self { rows: TRIAL_ROWS, failure_permille: TRIAL_FAILURE_PERMILLE }
    }
}

/// How a trial ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialVerdict {
    /// Keep it.
    Confirm,
    /// The engine failed on a row.
    EngineFault,
    /// A golden vector was not reproduced when it was loaded again.
    GoldenDifferent,
    /// Too many odd rows.
    TooOdd {
        /// Odd rows.
        odd: u32,
        /// Rows judged.
        rows: u32,
    },
}

impl core::fmt::Display for TrialVerdict {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Confirm => write!(f, "trial passed"),
            Self::EngineFault => write!(f, "engine failed on trial"),
            Self::GoldenDifferent => write!(f, "golden vectors not reproduced on trial"),
            Self::TooOdd { odd, rows } => write!(f, "{odd} of {rows} rows on trial were odd, too many"),
        }
    }
}

/// Counts the rows of one trial; after a restart the count begins again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialJudge {
    limits: TrialLimits,
    rows: u32,
    odd: u32,
    verdict: Option<TrialVerdict>,
}

impl TrialJudge {
    /// Begins a trial.
    pub fn new(limits: TrialLimits) -> Self {
        Self { limits, rows: 0, odd: 0, verdict: None }
    }

    /// Tells of a scored row, and gives the verdict where there is one; later rows do not change it.
    pub fn row(&mut self, surprise_nats: f32) -> Option<TrialVerdict> {
        if self.verdict.is_none() {
            self.rows += 1;
            // A surprise that is not a number counts as odd.
            self.odd += u32::from(surprise_nats.is_nan() || surprise_nats > TRIAL_SURPRISE_NATS);
            self.verdict = self.judge();
        }
        self.verdict
    }

    /// Tells that the engine failed.
    pub fn engine_fault(&mut self) -> TrialVerdict {
        *self.verdict.get_or_insert(TrialVerdict::EngineFault)
    }

    /// The verdict, nothing while the trial goes on.
    pub fn verdict(&self) -> Option<TrialVerdict> {
        self.verdict
    }

    /// Odd rows beyond the threshold's share of the whole trial end it at once: later rows cannot save it.
    fn judge(&self) -> Option<TrialVerdict> {
        let tolerated = u64::from(self.limits.rows) * u64::from(self.limits.failure_permille) / 1000;
        if u64::from(self.odd) > tolerated {
            Some(TrialVerdict::TooOdd { odd: self.odd, rows: self.rows })
        } else if self.rows >= self.limits.rows {
            Some(TrialVerdict::Confirm)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(surprises: impl IntoIterator<Item = f32>) -> Option<TrialVerdict> {
        let mut judge = TrialJudge::new(TrialLimits::default());
        surprises.into_iter().for_each(|surprise| _ = judge.row(surprise));
        judge.verdict()
    }

    #[test]
    fn a_release_is_confirmed_after_its_rows_and_not_before() {
        assert_eq!(judge([1.0; 255]), None);
        assert_eq!(judge([1.0; 256]), Some(TrialVerdict::Confirm));
    }

    #[test]
    fn a_fifth_of_odd_rows_is_tolerated_and_one_more_is_not() {
        let rows = |odd: usize| (0..256).map(move |index| if index < odd { 5.0 } else { 1.0 });
        assert_eq!(judge(rows(51)), Some(TrialVerdict::Confirm));
        assert_eq!(judge(rows(52)), Some(TrialVerdict::TooOdd { odd: 52, rows: 52 }));
        assert_eq!(judge([f32::NAN; 60]), Some(TrialVerdict::TooOdd { odd: 52, rows: 52 }));
    }

    #[test]
    fn an_engine_fault_ends_the_trial_and_a_verdict_stands() {
        let mut judge = TrialJudge::new(TrialLimits { rows: 1, failure_permille: 200 });
        assert_eq!(judge.engine_fault(), TrialVerdict::EngineFault);
        assert_eq!(judge.row(0.0), Some(TrialVerdict::EngineFault));
        let mut judge = TrialJudge::new(TrialLimits { rows: 1, failure_permille: 200 });
        assert_eq!(judge.row(0.0), Some(TrialVerdict::Confirm));
        assert_eq!(judge.engine_fault(), TrialVerdict::Confirm);
    }
}
