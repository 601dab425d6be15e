//! Alert episodes of a wave against those expected: Wald's sequential probability ratio test for Poisson counts.
//!
//! The gate looks every hour, so a test with a fixed sample would raise false alarms by looking often. Wald's test
//! (Sequential Tests of Statistical Hypotheses, Annals of Mathematical Statistics 16, 1945) may look at any time: it stops
//! a good release with a probability of at most `alerts-false-stop`, and passes one with `alerts-ratio` times the alerts with
//! at most `alerts-miss`. Among all tests with these error rates it needs the fewest observations on average (Wald and
//! Wolfowitz, 1948). Counts that are compared with an expectation from history are also how vaccines are monitored
//! (Kulldorff et al., A Maximized Sequential Probability Ratio Test for Drug and Vaccine Safety Surveillance, Sequential
//! Analysis 30, 2011).
//!
//! The alternative is `alerts-ratio` times the expected alerts, but never less than the false-alert budgets allow: an
//! operator who accepts one false alert a day does not want a release stopped for one a week.
//!
//! Small groups have a larger error, `alerts-miss-small`: one agent at half an alert a day needs eleven days for the other.

use super::{Finding, Gate, Verdict};
use crate::campaign::alert_hours::AlertCounts;
use crate::campaign::facts::Observations;
use crate::campaign::plan::{Limits, SMALL_GROUP};

/// Alerts without which the gate does not fail.
const FEWEST: f64 = 5.0;

pub(super) fn alerts(seen: &Observations, limits: &Limits) -> Finding {
    let counts = &seen.alerts;
    let miss = if seen.agents < SMALL_GROUP { limits.alerts_miss_small } else { limits.alerts_miss };
    let expected = counts.expected.max(1e-6);
    let alternative = (limits.alerts_ratio * expected).max(counts.budget);
    // Log-likelihood ratio of the alternative: positive values are evidence against the release.
    let evidence = counts.episodes * (alternative / expected).ln() - (alternative - expected);
    let (stop, pass) = (-limits.alerts_false_stop.ln(), miss.ln());
    let verdict = if counts.agent_days <= 0.0 {
        Verdict::Undecided(format!("0.0 of {:.1} agent-days", limits.alerts_agent_days))
    } else if evidence >= stop && counts.episodes >= FEWEST {
        Verdict::Fail
    } else if counts.agent_days < limits.alerts_agent_days {
        Verdict::Undecided(format!("{:.1} of {:.1} agent-days", counts.agent_days, limits.alerts_agent_days))
    } else if evidence <= pass {
        Verdict::Pass
    } else {
        Verdict::Undecided(missing(counts, evidence - pass, alternative - expected))
    };
    Finding {
        gate: Gate::Alerts,
        verdict,
        numerator: counts.episodes,
        denominator: counts.agent_days,
        control_numerator: counts.control_episodes,
        control_denominator: counts.control_agent_days,
        threshold: alternative,
        text: format!(
            "{:.0} alerts in {:.1} agent-days, {expected:.1} expected from the agents' past and the control ({:.0} in {:.1} \
             agent-days); evidence {evidence:.1} (fails from {stop:.1}, passes at {pass:.1}) for {alternative:.1}",
            counts.episodes, counts.agent_days, counts.control_episodes, counts.control_agent_days
        ),
    }
}

/// What is missing: the agent-days in which the evidence would fall far enough without another alert.
fn missing(counts: &AlertCounts, evidence: f64, falls: f64) -> String {
    let days = counts.agent_days * evidence / falls.max(1e-6);
    format!("evidence is inconclusive: about {days:.1} more agent-days without alerts, or 5 alerts more than expected")
}
