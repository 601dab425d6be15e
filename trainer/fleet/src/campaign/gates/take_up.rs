//! Agents on which the release failed: rolled back, refused, or silent since a step.

use super::{Finding, Gate, Verdict};
use crate::campaign::facts::Observations;
use crate::campaign::plan::Limits;

/// Waves below this size fail with one failed agent.
const SMALL_WAVE: u32 = 5;

/// In larger waves two agents must have failed: one may have its own reason, and a share of few agents is no measure.
pub(super) fn take_up(seen: &Observations, limits: &Limits, size: u32) -> Finding {
    let tally = &seen.tally;
    let (failed, tried) = (tally.failed(), tally.tried);
    let percent = 100.0 * f64::from(failed) / f64::from(tried.max(1));
    let is_share = failed >= 2 && tried >= SMALL_WAVE && percent > limits.take_up_fail_percent;
    let verdict = if is_share || failed > 0 && (size < SMALL_WAVE || failed >= 2 && tried < SMALL_WAVE) {
        Verdict::Fail
    } else if tally.confirmed < tally.needed {
        Verdict::Undecided(format!("{} of {} agents have confirmed", tally.confirmed, tally.needed))
    } else if failed <= 1 || percent <= limits.take_up_pass_percent {
        Verdict::Pass
    } else {
        Verdict::Undecided(format!("{percent:.0} % failed, expected at most {} %", limits.take_up_pass_percent))
    };
    Finding {
        gate: Gate::TakeUp,
        verdict,
        numerator: f64::from(failed),
        denominator: f64::from(tried),
        control_numerator: 0.0,
        control_denominator: 0.0,
        threshold: limits.take_up_fail_percent,
        text: format!(
            "{failed} of {tried} agents failed: {} rolled back, {} refused, {} silent; {} confirmed",
            tally.rolled_back, tally.refused, tally.silent, tally.confirmed
        ),
    }
}
