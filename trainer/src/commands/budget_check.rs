//! Held-out benign captures → alerts per day at each false-alert budget, compared with the budget.

use anyhow::Context;
use lapwing_common::print_line;
use lapwing_pipeline::calibrate::DRIFT_NATS;
use lapwing_pipeline::calibrate::limits::{AlertRule, Traffic};
use lapwing_pipeline::candidate::{Thresholds, benign_flows};
use lapwing_pipeline::dataset::capture;
use lapwing_pipeline::quantize::scores;
use lapwing_pipeline::train::run::TrainRun;
use lapwing_report::charts::{Evidence, EvidencePoint};
use lapwing_report::run::RunReport;
use lapwing_report::{Fact, Note};
use lapwing_shared::features::FeatureVector;
use lapwing_shared::release::manifest::LimitKnot;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Alerts on benign data at one false-alert budget.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct BudgetCheck {
    /// Budget: false alerts per day and site.
    pub(crate) alerts_per_day: f32,
    /// Evidence limit of this budget, nats.
    pub(crate) evidence_nats: f32,
    pub(crate) alerts: u64,
    /// Alerts raised per day and site.
    pub(crate) seen_per_day: f64,
}

/// Alerts on benign data at every budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct BudgetChecks {
    /// Time covered, summed over the captures, days.
    pub(crate) days: f64,
    /// Benign flows.
    pub(crate) flows: usize,
    /// One per budget.
    #[serde(rename = "knobs")]
    pub(crate) budgets: Vec<BudgetCheck>,
}

/// Replays the benign rows of captures through the alert logic at every budget; each capture counts as one site.
///
/// # Errors
/// When a capture cannot be read or the int8 network is invalid.
pub(crate) fn check(
    run: &TrainRun,
    int8: &[u8],
    thresholds: &Thresholds,
    captures: &[PathBuf],
) -> anyhow::Result<BudgetChecks> {
    let dataset = capture::read(captures)?;
    let rows: Vec<_> = dataset.rows.iter().filter(|row| row.attack.is_none()).collect();
    let features: Vec<FeatureVector> = rows.iter().map(|row| row.features).collect();
    let scores = scores(int8, &run.scaling, features.iter())?;
    let scores: Vec<_> = scores.into_iter().map(Some).collect();
    let traffic = Traffic::new(benign_flows(&rows, &scores));
    let budget = |limit: &LimitKnot| {
        let rule = AlertRule { drift_nats: DRIFT_NATS, limit_nats: limit.evidence_nats };
        let alerts = traffic.alerts(&thresholds.calibration, rule);
        BudgetCheck {
            alerts_per_day: limit.alerts_per_day,
            evidence_nats: limit.evidence_nats,
            alerts,
            seen_per_day: alerts as f64 / traffic.days().max(f64::MIN_POSITIVE),
        }
    };
    Ok(BudgetChecks {
        days: traffic.days(),
        flows: rows.len(),
        budgets: thresholds.limits.iter().map(budget).collect(),
    })
}

/// Prints one line per budget.
pub(crate) fn print(checked: &BudgetChecks) {
    print_line!("checked on {} held-out benign flows ({:.2} days)", checked.flows, checked.days);
    print_line!("{:>10} {:>10} {:>8} {:>10}", "budget/day", "limit nats", "alerts", "alerts/day");
    for check in &checked.budgets {
        print_line!(
            "{:>10} {:>10.1} {:>8} {:>10.2}",
            check.alerts_per_day,
            check.evidence_nats,
            check.alerts,
            check.seen_per_day
        );
    }
}

/// Writes `index.html` and `check.json` into a folder.
///
/// # Errors
/// When the folder cannot be written or there is nothing to draw.
pub(crate) fn write_page(
    folder: &Path,
    checked: &BudgetChecks,
    captures: &[PathBuf],
    command: String,
) -> anyhow::Result<()> {
    let data: Vec<String> = captures.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
    let point = |check: &BudgetCheck| EvidencePoint {
        budget: f64::from(check.alerts_per_day),
        alerts_per_day: check.seen_per_day,
        interval: Some(rate_interval(check.alerts, checked.days)),
    };
    let picture =
        Evidence { points: checked.budgets.iter().map(point).collect(), days: checked.days, data: data.join(", ") }
            .picture()?;
    let report = RunReport {
        title: "Alerts compared with the false-alert budget".into(),
        summary: format!("{} benign flows ({:.2} days), replayed through the alert logic", checked.flows, checked.days),
        facts: vec![Fact::new("captures", data.join(", ")), Fact::new("days covered", format!("{:.2}", checked.days))],
        notes: vec![Note {
            title: "Every budget".into(),
            text: "The captures are too short to measure budgets of less than one alert in the time covered.".into(),
            header: ["budget, alerts per day", "limit, nats", "alerts", "alerts per day"].map(str::to_owned).into(),
            rows: checked.budgets.iter().map(cells).collect(),
        }],
        pictures: vec![picture],
        commands: vec![command],
        ..RunReport::default()
    };
    let context = || format!("cannot write into {}", folder.display());
    std::fs::create_dir_all(folder).with_context(context)?;
    std::fs::write(folder.join("index.html"), report.html()?).with_context(context)?;
    std::fs::write(folder.join("check.json"), serde_json::to_vec_pretty(checked)?).with_context(context)
}

fn cells(check: &BudgetCheck) -> Vec<String> {
    vec![
        check.alerts_per_day.to_string(),
        format!("{:.1}", check.evidence_nats),
        check.alerts.to_string(),
        format!("{:.2}", check.seen_per_day),
    ]
}

/// 95 % interval of a rate from a count of independent events: the square root of a Poisson count has variance 1/4
/// (Anscombe 1948).
fn rate_interval(alerts: u64, days: f64) -> (f64, f64) {
    let root = (alerts as f64 + 0.375).sqrt();
    let bound = |root: f64| (root.max(0.0).powi(2) - 0.375).max(0.0) / days.max(f64::MIN_POSITIVE);
    (bound(root - 0.98), bound(root + 0.98))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_interval_contains_the_rate_and_narrows_with_the_count() {
        for (alerts, days) in [(0, 1.0), (4, 2.0), (100, 10.0)] {
            let (low, high) = rate_interval(alerts, days);
            let rate = alerts as f64 / days;
            assert!(low <= rate && rate < high, "{alerts} in {days} days: {low} to {high}");
        }
        let width = |alerts| rate_interval(alerts, alerts as f64).1 - rate_interval(alerts, alerts as f64).0;
        assert!(width(100) < width(10));
    }

    #[test]
    fn the_page_and_json_contain_every_budget() {
        let check = |alerts_per_day, alerts| BudgetCheck {
            alerts_per_day,
            evidence_nats: 10.0,
            alerts,
            seen_per_day: alerts as f64 / 2.0,
        };
        let checked = BudgetChecks { days: 2.0, flows: 10, budgets: vec![check(1.0, 3), check(10.0, 17)] };
        let folder = std::env::temp_dir().join(format!("lapwing-budget-{}", std::process::id()));
        write_page(&folder, &checked, &["a.pcap".into()], "lapwing-trainer calibrate".into()).unwrap();
        let page = std::fs::read_to_string(folder.join("index.html")).unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("check.json")).unwrap()).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(page.contains("a.pcap") && page.contains("<svg"), "the page names the capture and has a chart");
        assert_eq!(json["knobs"][1]["alerts"], 17);
    }
}
