//! Refusals because of a defect of the release: golden vectors, schema, form, damaged manifest.

use super::{Finding, Gate, Verdict};
use crate::campaign::facts::Observations;

/// One is enough to fail: the release is the same everywhere, so it is a defect. A damaged chunk is not one (ADR 17).
pub(super) fn golden(seen: &Observations) -> Finding {
    let tally = &seen.tally;
    let verdict = if tally.defects > 0 {
        Verdict::Fail
    } else if tally.confirmed < tally.needed {
        Verdict::Undecided(format!("{} of {} agents have confirmed", tally.confirmed, tally.needed))
    } else {
        Verdict::Pass
    };
    Finding {
        gate: Gate::Golden,
        verdict,
        numerator: f64::from(tally.defects),
        denominator: f64::from(tally.tried),
        control_numerator: 0.0,
        control_denominator: 0.0,
        threshold: 1.0,
        text: format!(
            "{} of {} agents refused the release because of a defect; 1 is too many",
            tally.defects, tally.tried
        ),
    }
}
