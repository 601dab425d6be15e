//! What was found → one line, and a page.

use super::measure::{Drift, LEAST_DISTANCE, Moved, SCORE, described};
use super::rows::{MOST_ROWS, Side};
use crate::card::day;
use lapwing_report::charts::{Distance, Distances, Drift as OverTime, DriftLine, Group, Histogram};
use lapwing_report::run::RunReport;
use lapwing_report::{Fact, Note, ReportError};

/// Scores of a side drawn in the histogram, at most.
const DRAWN_SCORES: usize = 20_000;
/// Name of the ratio for people.
const AXIS: &str = "distance, in multiples of what is usual in the reference";

/// What a page is made of besides the result.
pub struct About<'a> {
    /// Group and version of the release.
    pub release: &'a str,
    /// Files, by side.
    pub data: [String; 2],
    /// How the threshold was made.
    pub threshold: String,
    /// What a reader must not overlook.
    pub warnings: Vec<String>,
    /// Command that repeats it.
    pub command: String,
}

/// The result in one sentence.
pub fn summary(found: &Drift) -> String {
    let over = found.columns.iter().filter(|column| column.ratio > found.threshold).count();
    let Some(farthest) = found.columns.first() else { return "no drift: there is nothing to compare".into() };
    if found.drift {
        return format!(
            "drift: {over} of {} columns moved more than {:.2} times as far as is usual in the reference, {} the most ({:.2} times)",
            found.columns.len(),
            found.threshold,
            farthest.name,
            farthest.ratio
        );
    }
    format!(
        "no drift: no column moved more than {:.2} times as far as is usual in the reference; {} moved the most ({:.2} times)",
        found.threshold, farthest.name, farthest.ratio
    )
}

/// The columns that moved most, and the score.
pub fn foremost(found: &Drift, count: usize) -> impl Iterator<Item = &Moved> {
    let chosen = move |(place, column): &(usize, &Moved)| *place < count || column.name == SCORE;
    found.columns.iter().enumerate().filter(chosen).map(|(_, column)| column)
}

/// The page.
///
/// # Errors
/// When a picture has nothing to show.
pub fn report(found: &Drift, reference: &Side, present: &Side, about: About<'_>) -> Result<RunReport, ReportError> {
    let [then, now] = &about.data;
    Ok(RunReport {
        title: "Does the network behave as it did?".into(),
        summary: summary(found),
        warnings: about.warnings,
        facts: vec![
            Fact::new("release that scores", about.release),
            Fact::new("reference", rows(then, reference)),
            Fact::new("present", rows(now, present)),
            Fact::new("threshold", format!("{:.3} times the usual distance: {}", found.threshold, about.threshold)),
            Fact::new(
                "blocks of the reference",
                format!("{} of about {} rows, in the order of time", found.block_ratios.len(), found.block_rows),
            ),
        ],
        notes: vec![columns(found), blocks(found)],
        pictures: vec![distances(found).picture()?, over_time(found).picture()?, scores(reference, present).picture()?],
        limits: vec![
            "Drift is no attack, and no drift is no proof that there is none: alerts are told by the agents.".into(),
            "A threshold is as good as the reference is long: what happens once a week is unusual to one day.".into(),
            format!("A change of less than {LEAST_DISTANCE} of the flows in every column is not called drift."),
            format!("Above {MOST_ROWS} rows a side is drawn at random."),
        ],
        commands: vec![about.command],
        ..RunReport::default()
    })
}

fn rows(files: &str, side: &Side) -> String {
    let at = |flow: Option<&super::rows::Flow>| flow.map_or_else(String::new, |flow| day(flow.at.as_secs()));
    format!("{files}: {} rows, {} to {}", side.flows.len(), at(side.flows.first()), at(side.flows.last()))
}

fn columns(found: &Drift) -> Note {
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
        text: "Distance: largest difference of the cumulated shares (Kolmogorov–Smirnov), 0 to 1. Usual distance: the \
               largest of any block of the reference from the rest of it, at least 0.1. Ratio: one over the other; it \
               decides. Stability index: population stability index on ten bins, nats; it is only told."
            .into(),
        header: ["column", "ratio", "distance", "usual distance", "stability index", "median then", "median now"]
            .map(str::to_owned)
            .into(),
        rows: found.columns.iter().map(row).collect(),
    }
}

/// Four digits that count.
fn median(value: f64, unit: &str) -> String {
    let digits = (3.0 - value.abs().max(1e-3).log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.digits$} {unit}").trim().to_owned()
}

fn blocks(found: &Drift) -> Note {
    let row = |(place, ratio): (usize, &f64)| vec![(place + 1).to_string(), format!("{ratio:.3}")];
    Note {
        title: "Blocks of the reference".into(),
        text: "Largest ratio of each block, held against the others. The largest of these, at least 1, times the \
               margin is the threshold."
            .into(),
        header: ["block", "largest ratio"].map(str::to_owned).into(),
        rows: found.block_ratios.iter().enumerate().map(row).collect(),
    }
}

fn distances(found: &Drift) -> Distances {
    let bar = |column: &Moved| Distance { name: column.name.into(), value: column.ratio };
    Distances {
        title: "How far every column moved".into(),
        axis: AXIS.into(),
        note: "1 is the farthest that a part of the reference lay from the rest of it.".into(),
        bars: found.columns.iter().map(bar).collect(),
        threshold: found.threshold,
        always: SCORE.into(),
    }
}

fn over_time(found: &Drift) -> OverTime {
    let start = found.stretches.first().map_or(0, |stretch| stretch.from_s);
    let hours = |seconds: u64| seconds.saturating_sub(start) as f64 / 3600.0;
    let line = |column: usize| DriftLine {
        name: described(column).0.into(),
        points: found
            .stretches
            .iter()
            .filter_map(|stretch| Some((hours(stretch.to_s), *stretch.ratios.get(column)?)))
            .collect(),
    };
    OverTime {
        distance: "distance over usual distance".into(),
        lines: (0..found.columns.len()).map(line).collect(),
        threshold: found.threshold,
    }
}

fn scores(reference: &Side, present: &Side) -> Histogram {
    let thinned = |side: &Side| {
        let step = side.flows.len().div_ceil(DRAWN_SCORES).max(1);
        side.flows.iter().step_by(step).map(|flow| f64::from(flow.score)).collect::<Vec<_>>()
    };
    Histogram {
        title: "The score, then and now".into(),
        score: "weighted reconstruction error (quanta squared)".into(),
        groups: vec![
            Group { name: "reference".into(), scores: thinned(reference) },
            Group { name: "present".into(), scores: thinned(present) },
        ],
        threshold: None,
        log: true,
    }
}
