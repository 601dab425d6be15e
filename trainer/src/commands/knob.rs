//! Benign captures that nothing was fitted to → does the number of alerts follow the operator's knob?

use crate::calibrate::DRIFT_NATS;
use crate::calibrate::limits::Watch;
use crate::dataset::capture;
use crate::learn::judge::benign_flows;
use crate::learn::{self, Thresholds};
use crate::tell::tell;
use crate::train::run::TrainRun;
use anyhow::Context;
use lapwing_report::charts::{Evidence, EvidencePoint};
use lapwing_report::run::RunReport;
use lapwing_report::{Fact, Note};
use lapwing_shared::features::FeatureVector;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// One setting of the knob on benign data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct KnobCheck {
    /// False alerts a day and site that were asked for.
    pub alerts_per_day: f32,
    /// Evidence limit for it, nats.
    pub evidence_nats: f32,
    /// Alerts that the judge raised.
    pub alerts: u64,
    /// The same a day and site.
    pub seen_per_day: f64,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// Time watched, summed over the captures, days.
    pub days: f64,
    /// Benign flows.
    pub flows: usize,
    /// Settings.
    pub knobs: Vec<KnobCheck>,
}

/// Replays the benign rows of captures through the judge at every setting; each capture counts as one site.
///
/// # Errors
/// When a capture cannot be read or the network is none.
pub fn check(run: &TrainRun, int8: &[u8], thresholds: &Thresholds, captures: &[PathBuf]) -> anyhow::Result<Checked> {
    let dataset = capture::read(captures)?;
    let rows: Vec<_> = dataset.rows.iter().filter(|row| row.attack.is_none()).collect();
    let features: Vec<FeatureVector> = rows.iter().map(|row| row.features).collect();
    let scores = learn::scores(int8, &run.scaling, features.iter())?;
    let scores: Vec<_> = scores.into_iter().map(Some).collect();
    let watch = Watch::new(benign_flows(&rows, &scores));
    let knob = |limit: &lapwing_shared::release::manifest::LimitKnot| {
        let alerts = watch.alerts(&thresholds.calibration, DRIFT_NATS, limit.evidence_nats);
        KnobCheck {
            alerts_per_day: limit.alerts_per_day,
            evidence_nats: limit.evidence_nats,
            alerts,
            seen_per_day: alerts as f64 / watch.days().max(f64::MIN_POSITIVE),
        }
    };
    Ok(Checked { days: watch.days(), flows: rows.len(), knobs: thresholds.limits.iter().map(knob).collect() })
}

/// Says it on standard output.
pub fn tell(checked: &Checked) {
    tell!("checked on {} benign flows of {:.2} days that nothing was fitted to", checked.flows, checked.days);
    tell!("{:>8} {:>8} {:>8} {:>10}", "asked", "nats", "alerts", "seen a day");
    for knob in &checked.knobs {
        tell!("{:>8} {:>8.1} {:>8} {:>10.2}", knob.alerts_per_day, knob.evidence_nats, knob.alerts, knob.seen_per_day);
    }
}

/// Writes `index.html` and `check.json` into a folder.
///
/// # Errors
/// When the folder cannot be written or the picture has nothing to show.
pub fn write_page(folder: &Path, checked: &Checked, captures: &[PathBuf], command: String) -> anyhow::Result<()> {
    let data: Vec<String> = captures.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
    let point = |knob: &KnobCheck| EvidencePoint {
        knob: f64::from(knob.alerts_per_day),
        alerts_per_day: knob.seen_per_day,
        interval: Some(rate_interval(knob.alerts, checked.days)),
    };
    let picture =
        Evidence { points: checked.knobs.iter().map(point).collect(), days: checked.days, data: data.join(", ") }
            .picture()?;
    let report = RunReport {
        title: "Do alerts follow the knob?".into(),
        summary: format!("{} benign flows of {:.2} days, replayed through the judge", checked.flows, checked.days),
        facts: vec![Fact::new("captures", data.join(", ")), Fact::new("days watched", format!("{:.2}", checked.days))],
        notes: vec![Note {
            title: "Every setting".into(),
            text: "Settings that ask for less than one alert in the time watched cannot be told apart from none."
                .into(),
            header: ["asked a day", "limit, nats", "alerts", "seen a day"].map(str::to_owned).into(),
            rows: checked.knobs.iter().map(cells).collect(),
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

fn cells(knob: &KnobCheck) -> Vec<String> {
    vec![
        knob.alerts_per_day.to_string(),
        format!("{:.1}", knob.evidence_nats),
        knob.alerts.to_string(),
        format!("{:.2}", knob.seen_per_day),
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
    fn the_interval_of_a_rate_holds_the_rate_and_narrows_with_the_count() {
        for (alerts, days) in [(0, 1.0), (4, 2.0), (100, 10.0)] {
            let (low, high) = rate_interval(alerts, days);
            let rate = alerts as f64 / days;
            assert!(low <= rate && rate < high, "{alerts} in {days} days: {low} to {high}");
        }
        let width = |alerts| rate_interval(alerts, alerts as f64).1 - rate_interval(alerts, alerts as f64).0;
        assert!(width(100) < width(10));
    }

    #[test]
    fn the_page_shows_every_setting() {
        let knob = |alerts_per_day, alerts| KnobCheck {
            alerts_per_day,
            evidence_nats: 10.0,
            alerts,
            seen_per_day: alerts as f64 / 2.0,
        };
        let checked = Checked { days: 2.0, flows: 10, knobs: vec![knob(1.0, 3), knob(10.0, 17)] };
        let folder = std::env::temp_dir().join(format!("lapwing-knob-{}", std::process::id()));
        write_page(&folder, &checked, &["a.pcap".into()], "lapwing-trainer calibrate".into()).unwrap();
        let page = std::fs::read_to_string(folder.join("index.html")).unwrap();
        let back: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("check.json")).unwrap()).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(page.contains("a.pcap") && page.contains("<svg"), "the page has its data's name and a picture");
        assert_eq!(back["knobs"][1]["alerts"], 17);
    }
}
