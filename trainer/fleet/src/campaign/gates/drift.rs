//! Agents whose scores have another distribution than at the calibration, against the share of such agents in the control.

use super::{Finding, Gate, Verdict, poisson_tail};
use crate::campaign::facts::Observations;
use crate::campaign::plan::Limits;

/// Agents that the control counts for in advance, and how many of them drift: 5 %.
const PRIOR: (f64, f64) = (1.0, 20.0);

pub(super) fn drift(seen: &Observations, limits: &Limits) -> Finding {
    let drift = &seen.drift;
    let usual = (drift.control as f64 + PRIOR.0) / (drift.control_of as f64 + PRIOR.1);
    let excess = 100.0 * (drift.count as f64 / drift.of.max(1) as f64 - usual);
    let chance = poisson_tail(drift.count, usual * drift.of as f64);
    let verdict = if drift.of == 0 {
        Verdict::Undecided("0 of 1 agent with enough rows".into())
    } else if excess <= limits.drift_fail_percent {
        Verdict::Pass
    } else if chance < limits.count_false_stop && drift.count >= 2 {
        Verdict::Fail
    } else {
        Verdict::Undecided(format!(
            "{} of {} agents have drifted, which chance may explain; more agents",
            drift.count, drift.of
        ))
    };
    Finding {
        gate: Gate::Drift,
        verdict,
        numerator: drift.count as f64,
        denominator: drift.of as f64,
        control_numerator: drift.control as f64,
        control_denominator: drift.control_of as f64,
        threshold: limits.drift_fail_percent,
        text: format!(
            "scores of {} of {} agents have drifted, {} of {} in the control; {} points more are too many",
            drift.count, drift.of, drift.control, drift.control_of, limits.drift_fail_percent
        ),
    }
}
