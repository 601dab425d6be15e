//! Agents whose coverage became degraded, against the share of such agents in the control.

use super::{Finding, Gate, Verdict, poisson_tail};
use crate::campaign::facts::Observations;
use crate::campaign::plan::Limits;

/// Agents that the control counts for in advance, and how many of them become degraded: 2 %.
const PRIOR: (f64, f64) = (1.0, 50.0);

pub(super) fn coverage(seen: &Observations, limits: &Limits) -> Finding {
    let coverage = &seen.coverage;
    let usual = (coverage.control as f64 + PRIOR.0) / (coverage.control_of as f64 + PRIOR.1);
    let expected = usual * coverage.of as f64;
    let chance = poisson_tail(coverage.count, expected);
    let verdict = if coverage.of == 0 {
        Verdict::Undecided("0 of 1 agent on the release".into())
    } else if coverage.count <= 1 || chance >= 0.05 {
        Verdict::Pass
    } else if chance < limits.count_false_stop {
        Verdict::Fail
    } else {
        Verdict::Undecided(format!("{} agents are newly degraded, {expected:.1} expected; more agents", coverage.count))
    };
    Finding {
        gate: Gate::Coverage,
        verdict,
        numerator: coverage.count as f64,
        denominator: coverage.of as f64,
        control_numerator: coverage.control as f64,
        control_denominator: coverage.control_of as f64,
        threshold: limits.count_false_stop,
        text: format!(
            "coverage of {} of {} agents became degraded, {} of {} in the control",
            coverage.count, coverage.of, coverage.control, coverage.control_of
        ),
    }
}
