//! Counts → pass, fail or undecided, with the numbers and what is missing to decide.

mod alerts;
mod blindness;
mod chance;
mod cost;
mod coverage;
mod drift;
mod golden;
mod take_up;

pub use chance::poisson_tail;

use super::facts::Observations;
use super::plan::{Gates, Limits};
use serde::Serialize;

/// A gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Agents that refused the release because of a defect.
    Golden,
    /// Agents on which it failed.
    TakeUp,
    /// Alert episodes.
    Alerts,
    /// Share of anomalous rows.
    Blindness,
    /// Distribution of the scores.
    Drift,
    /// CPU time.
    Cost,
    /// Coverage of the traffic.
    Coverage,
}

impl Gate {
    /// Every gate.
    pub const ALL: [Self; 7] =
        [Self::Golden, Self::TakeUp, Self::Alerts, Self::Blindness, Self::Drift, Self::Cost, Self::Coverage];

    /// Its name on pages and in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Golden => "golden vectors",
            Self::TakeUp => "take-up",
            Self::Alerts => "alerts",
            Self::Blindness => "blindness",
            Self::Drift => "score drift",
            Self::Cost => "cost",
            Self::Coverage => "coverage",
        }
    }

    /// The gate with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gate| gate.as_str() == name)
    }
}

/// What a gate decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The release may go on.
    Pass,
    /// The release must stop.
    Fail,
    /// Not enough data; what is missing, e.g. "0.8 of 3 agent-days".
    Undecided(String),
}

impl Verdict {
    /// Its name in the store, on pages and in lists.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Undecided(_) => "undecided",
        }
    }

    /// What is missing to decide.
    pub fn missing(&self) -> Option<&str> {
        match self {
            Self::Undecided(missing) => Some(missing),
            Self::Pass | Self::Fail => None,
        }
    }
}

/// The result of a gate.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Finding {
    /// The gate.
    pub gate: Gate,
    /// Verdict.
    pub verdict: Verdict,
    /// What is counted, e.g. alerts of the wave.
    pub numerator: f64,
    /// What it refers to, e.g. days of its agents.
    pub denominator: f64,
    /// The same of the control; 0 if the gate has none.
    pub control_numerator: f64,
    /// The same of the control.
    pub control_denominator: f64,
    /// The threshold with which the statistic is compared.
    pub threshold: f64,
    /// The result as a sentence.
    pub text: String,
}

/// Evaluates the gates that a wave of `size` agents must pass.
pub fn evaluate(which: Gates, limits: &Limits, seen: &Observations, size: u32) -> Vec<Finding> {
    let mut findings = vec![golden::golden(seen), take_up::take_up(seen, limits, size)];
    if which == Gates::All {
        findings.push(alerts::alerts(seen, limits));
        findings.push(blindness::blindness(seen, limits));
        findings.push(drift::drift(seen, limits));
        findings.push(cost::cost(seen, limits, size));
        findings.push(coverage::coverage(seen, limits));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::alert_hours::AlertCounts;
    use super::super::facts::{Shares, Tally};
    use super::*;

    fn seen() -> Observations {
        Observations {
            agents: 100,
            tally: Tally { needed: 5, confirmed: 5, tried: 5, ..Tally::default() },
            ..Observations::default()
        }
    }

    fn verdict(gate: Gate, seen: &Observations, size: u32) -> Verdict {
        let findings = evaluate(Gates::All, &Limits::default(), seen, size);
        findings.into_iter().find(|finding| finding.gate == gate).unwrap().verdict
    }

    fn is_undecided(verdict: &Verdict, missing: &str) -> bool {
        matches!(verdict, Verdict::Undecided(text) if text.contains(missing))
    }

    #[test]
    fn a_wave_that_checks_the_installation_has_two_gates() {
        assert_eq!(evaluate(Gates::Install, &Limits::default(), &seen(), 5).len(), 2);
        assert_eq!(evaluate(Gates::All, &Limits::default(), &seen(), 5).len(), Gate::ALL.len());
    }

    #[test]
    fn one_refusal_for_a_defect_fails_the_golden_gate() {
        assert_eq!(verdict(Gate::Golden, &seen(), 5), Verdict::Pass);
        let mut seen = seen();
        seen.tally.confirmed = 4;
        assert!(is_undecided(&verdict(Gate::Golden, &seen, 5), "4 of 5 agents"));
        seen.tally.defects = 1;
        assert_eq!(verdict(Gate::Golden, &seen, 5), Verdict::Fail);
    }

    #[test]
    fn take_up_fails_with_a_share_of_failures_and_in_small_waves_with_one() {
        let with = |rolled_back, silent, tried, size| {
            let tally = Tally {
                needed: 5,
                confirmed: tried - rolled_back - silent,
                tried,
                rolled_back,
                silent,
                ..Tally::default()
            };
            verdict(Gate::TakeUp, &Observations { tally, ..seen() }, size)
        };
        assert_eq!((with(0, 0, 10, 10), with(1, 0, 10, 10)), (Verdict::Pass, Verdict::Pass));
        assert_eq!((with(2, 0, 10, 10), with(1, 1, 10, 10)), (Verdict::Fail, Verdict::Fail));
        assert_eq!(with(1, 0, 1, 2), Verdict::Fail);
        assert!(is_undecided(&with(1, 0, 5, 10), "4 of 5 agents"), "one of five decides nothing");
        assert!(is_undecided(&with(7, 0, 100, 100), "at most 5 %"));
        assert_eq!((with(5, 0, 100, 100), with(11, 0, 100, 100)), (Verdict::Pass, Verdict::Fail));
    }

    #[test]
    fn alerts_are_compared_with_those_expected() {
        let with = |episodes, expected, days| {
            let alerts = AlertCounts { episodes, expected, agent_days: days, budget: days, ..AlertCounts::default() };
            verdict(Gate::Alerts, &Observations { alerts, ..seen() }, 5)
        };
        assert_eq!((with(5.0, 7.0, 7.0), with(20.0, 5.0, 7.0)), (Verdict::Pass, Verdict::Fail));
        assert!(is_undecided(&with(0.0, 0.5, 0.8), "0.8 of 3.0 agent-days"));
        assert!(is_undecided(&with(10.0, 5.0, 7.0), "evidence"));
        // Four times a very low rate is below the budget, and a rate above the budget is not.
        assert_eq!((with(2.0, 0.5, 20.0), with(40.0, 0.5, 20.0)), (Verdict::Pass, Verdict::Fail));
        // A small group decides with less.
        let alerts =
            AlertCounts { episodes: 2.0, expected: 2.5, agent_days: 4.0, budget: 4.0, ..AlertCounts::default() };
        let small = |agents| verdict(Gate::Alerts, &Observations { agents, alerts, ..seen() }, 1);
        assert!(small(1) == Verdict::Pass && matches!(small(100), Verdict::Undecided(_)));
        // The first alerts of a quiet wave are not evidence.
        assert!(is_undecided(&with(4.0, 0.1, 4.0), "evidence"));
    }

    #[test]
    fn a_release_that_finds_nothing_anomalous_is_blind() {
        let with = |anomalous, rows| {
            let rows = Shares { count: anomalous, of: rows, ..Shares::default() };
            verdict(Gate::Blindness, &Observations { rows, ..seen() }, 5)
        };
        assert_eq!((with(10, 20_000), with(200, 20_000)), (Verdict::Fail, Verdict::Pass));
        assert!(is_undecided(&with(0, 4_000), "4000 of 5000 rows"));
        assert!(is_undecided(&with(10, 6_000), "6000 of 20000 rows"));
        assert!(is_undecided(&with(50, 20_000), "at least 0.3 %"));
    }

    #[test]
    fn drift_and_coverage_are_compared_with_the_control() {
        let with = |count, of, control, control_of| Shares { count, of, control, control_of };
        let drift = |drift| verdict(Gate::Drift, &Observations { drift, ..seen() }, 5);
        assert_eq!((drift(with(0, 5, 3, 95)), drift(with(4, 5, 3, 95))), (Verdict::Pass, Verdict::Fail));
        assert_eq!(drift(with(30, 100, 290, 900)), Verdict::Pass, "the control drifts as much");
        assert!(is_undecided(&drift(with(0, 0, 3, 95)), "0 of 1 agent"));
        assert!(is_undecided(&drift(with(2, 5, 3, 95)), "chance"));
        let coverage = |coverage| verdict(Gate::Coverage, &Observations { coverage, ..seen() }, 5);
        assert_eq!((coverage(with(0, 5, 1, 95)), coverage(with(4, 5, 1, 95))), (Verdict::Pass, Verdict::Fail));
        assert_eq!(coverage(with(1, 5, 1, 95)), Verdict::Pass, "one agent alone");
        assert_eq!(coverage(with(10, 100, 90, 900)), Verdict::Pass);
    }

    #[test]
    fn cost_is_the_median_of_the_agents() {
        let with = |median_cost, costs, size| verdict(Gate::Cost, &Observations { median_cost, costs, ..seen() }, size);
        assert_eq!((with(1.0, 3, 5), with(2.0, 3, 5)), (Verdict::Pass, Verdict::Fail));
        assert!(is_undecided(&with(2.0, 2, 5), "2 of 3 agents"));
        assert!(is_undecided(&with(1.3, 5, 5), "at most 1.2"));
        assert_eq!(with(1.0, 1, 1), Verdict::Pass);
    }
}
