//! Measured drift → a summary line and a page.

use super::measure::{Drift, LEAST_DISTANCE, Moved, SCORE, described};
use super::sampled_flows::{MOST_ROWS, Side};
use lapwing_common::format::day;
use lapwing_report::charts::{Distance, Distances, Drift as OverTime, DriftLine, Group, Histogram};
use lapwing_report::run::RunReport;
use lapwing_report::{Fact, Note, ReportError};

/// Maximum number of scores per data set in the histogram.
const DRAWN_SCORES: usize = 20_000;
/// Axis label of the ratio.
const AXIS: &str = "distance, in multiples of the usual distance within the reference";

/// Inputs of a page besides the result.
pub struct About<'a> {
    /// Group and version of the release.
    pub release: &'a str,
    /// Names of the reference files and of the present files.
    pub data: [String; 2],
    /// Origin of the threshold.
    pub threshold: String,
    /// Warnings at the top of the page.
    pub warnings: Vec<String>,
    /// Command that reproduces the page.
    pub command: String,
}

/// The result as one sentence.
pub fn summary(drift: &Drift) -> String {
    let over = drift.columns.iter().filter(|column| column.ratio > drift.threshold).count();
    let Some(farthest) = drift.columns.first() else { return "no drift: no columns to compare".into() };
    if drift.drift {
        return format!(
            "drift: {over} of {} columns moved by more than {:.2} times their usual distance; {} moved most ({:.2} times)",
            drift.columns.len(),
            drift.threshold,
            farthest.name,
            farthest.ratio
        );
    }
    format!(
        "no drift: no column moved by more than {:.2} times its usual distance; {} moved most ({:.2} times)",
        drift.threshold, farthest.name, farthest.ratio
    )
}

/// The `count` columns that moved most, and the score.
pub fn foremost(drift: &Drift, count: usize) -> impl Iterator<Item = &Moved> {
    let chosen = move |(index, column): &(usize, &Moved)| *index < count || column.name == SCORE;
    drift.columns.iter().enumerate().filter(chosen).map(|(_, column)| column)
}

/// Builds the page.
///
/// # Errors
/// When a chart has no data.
pub fn report(drift: &Drift, reference: &Side, present: &Side, about: About<'_>) -> Result<RunReport, ReportError> {
    let [then, now] = &about.data;
    Ok(RunReport {
        title: "Drift since the release".into(),
        summary: summary(drift),
        warnings: about.warnings,
        facts: vec![
            Fact::new("release", about.release),
            Fact::new("reference", rows(then, reference)),
            Fact::new("present", rows(now, present)),
            Fact::new("threshold", format!("{:.3} times the usual distance: {}", drift.threshold, about.threshold)),
            Fact::new(
                "blocks of the reference",
                format!("{} of about {} rows, in order of time", drift.block_ratios.len(), drift.block_rows),
            ),
        ],
        notes: vec![columns(drift), blocks(drift)],
        pictures: vec![distances(drift).picture()?, over_time(drift).picture()?, scores(reference, present).picture()?],
        limits: vec![
            "Drift is not an attack, and no drift does not rule out attacks; agents report those as alerts.".into(),
            "The reference must be long enough: an event that happens once a week is unusual in a reference of one day.".into(),
            format!("Changes of less than {LEAST_DISTANCE} of the flows in every column do not count as drift."),
            format!("More than {MOST_ROWS} rows are subsampled at random."),
        ],
        commands: vec![about.command],
        ..RunReport::default()
    })
}

fn rows(files: &str, side: &Side) -> String {
    let at = |flow: Option<&super::sampled_flows::Flow>| flow.map_or_else(String::new, |flow| day(flow.at.as_secs()));
    format!("{files}: {} rows, {} to {}", side.flows.len(), at(side.flows.first()), at(side.flows.last()))
}

fn columns(drift: &Drift) -> Note {
    let row = |column: &Moved| {
        vec![
            column.name.to_owned(),
            format!("{:.2}", column.ratio),
            format!("{:.3}", column.distance),
            format!("{:.3}", column.usual_distance),
            format!("{:.3}", column.stability_index),
            median(column.reference_median, column.unit),
            median(column.present_median, column.unit),
        ]
    };
    Note {
        title: "Every column".into(),
        text: "Distance: largest difference of the cumulative shares (Kolmogorov–Smirnov), 0 to 1. Usual distance: largest \
               distance of any block of the reference from the rest, at least 0.1. Ratio: distance divided by usual \
               distance; drift is decided by it. Stability index: population stability index on ten bins, nats, for \
               information only."
            .into(),
        header: ["column", "ratio", "distance", "usual distance", "stability index", "reference median", "present median"]
            .map(str::to_owned)
            .into(),
        rows: drift.columns.iter().map(row).collect(),
    }
}

/// Four significant digits.
fn median(value: f64, unit: &str) -> String {
    let digits = (3.0 - value.abs().max(1e-3).log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.digits$} {unit}").trim().to_owned()
}

fn blocks(drift: &Drift) -> Note {
    let row = |(index, ratio): (usize, &f64)| vec![(index + 1).to_string(), format!("{ratio:.3}")];
    Note {
        title: "Blocks of the reference".into(),
        text:
            "Largest ratio of each block compared with the others. The threshold is the largest of these, at least 1, \
               times the margin."
                .into(),
        header: ["block", "largest ratio"].map(str::to_owned).into(),
        rows: drift.block_ratios.iter().enumerate().map(row).collect(),
    }
}

fn distances(drift: &Drift) -> Distances {
    let bar = |column: &Moved| Distance { name: column.name.into(), value: column.ratio };
    Distances {
        title: "How far every column moved".into(),
        axis: AXIS.into(),
        note: "1 is the largest distance of a block of the reference from the rest.".into(),
        bars: drift.columns.iter().map(bar).collect(),
        threshold: drift.threshold,
        always: SCORE.into(),
    }
}

fn over_time(drift: &Drift) -> OverTime {
    let start = drift.stretches.first().map_or(0, |stretch| stretch.from_s);
    let hours = |seconds: u64| seconds.saturating_sub(start) as f64 / 3600.0;
    let line = |column: usize| DriftLine {
        name: described(column).0.into(),
        points: drift
            .stretches
            .iter()
            .filter_map(|stretch| Some((hours(stretch.to_s), *stretch.ratios.get(column)?)))
            .collect(),
    };
    OverTime {
        distance: "distance over usual distance".into(),
        lines: (0..drift.columns.len()).map(line).collect(),
        threshold: drift.threshold,
    }
}

fn scores(reference: &Side, present: &Side) -> Histogram {
    let subsampled = |side: &Side| {
        let step = side.flows.len().div_ceil(DRAWN_SCORES).max(1);
        side.flows.iter().step_by(step).map(|flow| f64::from(flow.score)).collect::<Vec<_>>()
    };
    Histogram {
        title: "Scores of reference and present".into(),
        score: "weighted reconstruction error (quanta squared)".into(),
        groups: vec![
            Group { name: "reference".into(), scores: subsampled(reference) },
            Group { name: "present".into(), scores: subsampled(present) },
        ],
        threshold: None,
        log: true,
    }
}
