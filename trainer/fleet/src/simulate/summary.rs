//! Results of many seeds → the numbers that are reported.

use super::run::RunResult;
use crate::campaign::CampaignState;
use serde::Serialize;
use std::collections::BTreeMap;

/// A summary of simulations of one scenario.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// Agents.
    pub agents: u32,
    /// Release.
    pub release: &'static str,
    /// Runs.
    pub runs: usize,
    /// Runs that completed without a person.
    pub completed: usize,
    /// Runs that paused for a person.
    pub paused: usize,
    /// Runs that stopped and withdrew the release.
    pub aborted: usize,
    /// Agents that began to install the release: median, 99th percentile and maximum of the runs, percent.
    pub touched_percent: [f64; 3],
    /// The same before the campaign stopped.
    pub touched_before_stop_percent: [f64; 3],
    /// Runs in which at most 2 % and at most 5 % of the agents began to.
    pub within_2_percent: usize,
    /// See above.
    pub within_5_percent: usize,
    /// Hours until it stopped, paused or completed: median, 99th percentile, maximum.
    pub hours: [f64; 3],
    /// Hours of soak among them.
    pub soak_hours: [f64; 3],
    /// Agents on the withdrawn release a week later, most of a run.
    pub most_not_back: u32,
    /// Most rollouts published in a run.
    pub most_publications: u64,
    /// Reasons for the end, without numbers, and how often.
    pub reasons: BTreeMap<String, usize>,
}

impl Summary {
    /// Summarizes the runs of a scenario.
    pub fn of(agents: u32, release: &'static str, runs: &[RunResult]) -> Self {
        let count = |state| runs.iter().filter(|run| run.state == state).count();
        let percent = |agents_of: u32| 100.0 * f64::from(agents_of) / f64::from(agents.max(1));
        let within = |limit: f64| runs.iter().filter(|run| percent(run.touched) <= limit).count();
        let of = |value: &dyn Fn(&RunResult) -> f64| quantiles(runs.iter().map(value).collect());
        let mut reasons = BTreeMap::new();
        for run in runs {
            *reasons.entry(reason(&run.why)).or_default() += 1;
        }
        let completed = count(CampaignState::Completed);
        let paused = count(CampaignState::Paused);
        Self {
            agents,
            release,
            runs: runs.len(),
            completed,
            paused,
            aborted: runs.len() - completed - paused,
            touched_percent: of(&|run| percent(run.touched)),
            touched_before_stop_percent: of(&|run| percent(run.touched_before_stop)),
            within_2_percent: within(2.0),
            within_5_percent: within(5.0),
            hours: of(&|run| run.hours),
            soak_hours: of(&|run| run.soak_hours),
            most_not_back: runs.iter().map(|run| run.not_back).max().unwrap_or(0),
            most_publications: runs.iter().map(|run| run.publications).max().unwrap_or(0),
            reasons,
        }
    }
}

/// The beginning of a reason, up to its numbers.
fn reason(why: &str) -> String {
    let end = why.find(|c: char| c.is_ascii_digit()).unwrap_or(why.len());
    why.get(..end).unwrap_or(why).trim_end_matches([' ', ':', ';']).to_owned()
}

/// Median, 99th percentile, maximum.
fn quantiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (share * values.len() as f64).ceil() as usize;
        values.get(place.max(1) - 1).or(values.last()).copied().unwrap_or(0.0)
    };
    [at(0.5), at(0.99), at(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_of_runs() {
        assert_eq!(quantiles((1..=200).map(f64::from).collect()), [100.0, 198.0, 200.0]);
        assert_eq!((quantiles(vec![3.0]), quantiles(vec![])), ([3.0; 3], [0.0; 3]));
        assert_eq!(reason("alerts failed: 14 alerts in"), "alerts failed");
        assert_eq!(reason("undecided at the deadline: blindness: 50 rows"), "undecided at the deadline: blindness");
    }
}
