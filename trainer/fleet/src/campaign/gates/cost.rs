//! CPU time per packet of each agent, relative to its own on the release before.

use super::{Finding, Gate, Verdict};
use crate::campaign::facts::Observations;
use crate::campaign::plan::Limits;

/// Agents that the median needs, if the wave has as many.
const AGENTS: u32 = 3;

pub(super) fn cost(seen: &Observations, limits: &Limits, size: u32) -> Finding {
    let needed = AGENTS.min(size).max(1);
    let median = seen.median_cost;
    let verdict = if seen.costs < needed {
        Verdict::Undecided(format!("{} of {needed} agents with enough packets on both releases", seen.costs))
    } else if median > limits.cost_fail_ratio {
        Verdict::Fail
    } else if median <= limits.cost_pass_ratio {
        Verdict::Pass
    } else {
        Verdict::Undecided(format!("median ratio {median:.2}, expected at most {}", limits.cost_pass_ratio))
    };
    Finding {
        gate: Gate::Cost,
        verdict,
        numerator: median,
        denominator: f64::from(seen.costs),
        control_numerator: 0.0,
        control_denominator: 0.0,
        threshold: limits.cost_fail_ratio,
        text: format!(
            "median CPU time per packet is {median:.2} times that on the release before, of {} agents; more than {} is too much",
            seen.costs, limits.cost_fail_ratio
        ),
    }
}
