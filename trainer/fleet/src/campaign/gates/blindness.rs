//! Share of rows that the release calls anomalous (p < 1 %): a release that calls none anomalous detects nothing.

use super::{Finding, Gate, Verdict};
use crate::campaign::facts::Observations;
use crate::campaign::plan::Limits;

/// One percent is expected. A good release is so far above the limits, and a blind one so far below, with this many rows
/// that repeated looks do not matter.
pub(super) fn blindness(seen: &Observations, limits: &Limits) -> Finding {
    let rows = &seen.rows;
    let percent = 100.0 * rows.count as f64 / rows.of.max(1) as f64;
    let verdict = if rows.of < limits.blind_pass_rows {
        Verdict::Undecided(format!("{} of {} rows", rows.of, limits.blind_pass_rows))
    } else if percent >= limits.blind_pass_percent {
        Verdict::Pass
    } else if rows.of < limits.blind_fail_rows {
        Verdict::Undecided(format!("{} of {} rows", rows.of, limits.blind_fail_rows))
    } else if percent < limits.blind_fail_percent {
        Verdict::Fail
    } else {
        Verdict::Undecided(format!("{percent:.2} % anomalous, expected at least {} %", limits.blind_pass_percent))
    };
    Finding {
        gate: Gate::Blindness,
        verdict,
        numerator: rows.count as f64,
        denominator: rows.of as f64,
        control_numerator: rows.control as f64,
        control_denominator: rows.control_of as f64,
        threshold: limits.blind_fail_percent,
        text: format!(
            "{} of {} rows are anomalous ({percent:.2} %); below {} % the release is blind",
            rows.count, rows.of, limits.blind_fail_percent
        ),
    }
}
