//! Rows of the reference and of the present → how far every feature and the score moved, and whether that is drift.
//!
//! How far is far is learnt from the reference alone. It is cut into blocks of equal numbers of rows, in the order of
//! time, and every block is held against the rest: networks change with the hour and the day, and rows of one hour
//! resemble each other, so that a textbook's significance level would call every evening drift.
//!
//! - *distance* of a column: Kolmogorov–Smirnov, 0 to 1 ([`super::bins`]).
//! - *usual distance* of a column: the largest of any block against the rest, at least [`LEAST_DISTANCE`].
//! - *ratio*: distance over usual distance.
//! - *drift threshold*: for every block, the largest ratio of its columns, where the usual distances are those of the other
//!   blocks; of these the largest, at least 1, times the margin. So it allows for having looked at 49 columns.
//!
//! It is drift when a column of the present has a ratio over the threshold. Fewer rows lie farther apart by chance, so a
//! block has half as many rows as the present, within [`BLOCKS`]: of B blocks and one stretch more of the same length,
//! each is the farthest once in B + 1 times, while a stretch of twice the length has to be farther than chance makes it.

use super::DriftError;
use super::bins::{Bins, COARSE, Counts, FINE, kolmogorov_smirnov, stability_index};
use super::rows::{Flow, Side};
use lapwing_shared::features::FEATURES;
use lapwing_shared::features::schema::SCHEMA;
use serde::Serialize;
use std::ops::RangeInclusive;

/// Columns: the features, in the schema's order, and the score.
pub const COLUMNS: usize = FEATURES + 1;
/// Name of the last column.
pub const SCORE: &str = "score";
/// Distance below which no column counts as moved: a tenth of the flows.
pub const LEAST_DISTANCE: f64 = 0.1;
/// Blocks of the reference, fewest and most.
pub const BLOCKS: RangeInclusive<usize> = 8..=256;
/// Blocks as long as the present together.
const BLOCKS_IN_PRESENT: usize = 2;
/// Stretches of the present that are told apart, at most.
const STRETCHES: usize = 64;
/// Rows without which a block, or the present, says nothing.
pub const LEAST_ROWS: usize = 25;

/// One feature, or the score.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Moved {
    /// Feature, or `score`.
    pub name: &'static str,
    /// Unit of the medians, empty for a bare number.
    pub unit: &'static str,
    /// Kolmogorov–Smirnov distance of the present from the reference, 0 to 1.
    pub distance: f64,
    /// The largest distance that is usual within the reference.
    pub usual_distance: f64,
    /// One over the other.
    pub ratio: f64,
    /// Population stability index, nats.
    pub stability_index: f64,
    /// Median in the reference.
    pub reference_median: f64,
    /// Median in the present.
    pub present_median: f64,
}

/// A stretch of the present.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stretch {
    /// First row's time, seconds since the epoch.
    pub from_s: u64,
    /// Last row's time, seconds since the epoch.
    pub to_s: u64,
    /// Ratio of every column.
    pub ratios: Vec<f64>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Drift {
    /// True when a column's ratio is over the threshold.
    pub drift: bool,
    /// Ratio from which it is drift.
    pub threshold: f64,
    /// Largest ratio of each block of the reference against the others, in the order of time.
    pub block_ratios: Vec<f64>,
    /// Rows of a block, on average.
    pub block_rows: usize,
    /// Rows of the reference.
    pub reference_rows: usize,
    /// Rows of the present.
    pub present_rows: usize,
    /// Columns, the most moved first.
    pub columns: Vec<Moved>,
    /// The present in stretches of about as many rows as a block has; columns in the schema's order, the score last.
    pub stretches: Vec<Stretch>,
}

/// Where the drift threshold comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// From the reference, times this margin.
    Margin(f64),
    /// This one.
    Given(f64),
}

/// Name and unit of a column.
pub fn described(column: usize) -> (&'static str, &'static str) {
    SCHEMA.get(column).map_or((SCORE, "quanta squared"), |feature| (feature.name, feature.unit))
}

/// One column's reference.
struct Column {
    fine: Bins,
    coarse: Bins,
    whole: Counts,
    whole_coarse: Counts,
    median: f64,
    /// Distance of each block from the rest.
    blocks: Vec<f64>,
}

impl Column {
    fn of(flows: &[Flow], blocks: &[&[Flow]], column: usize) -> Self {
        let sorted = sorted(flows, column);
        let (fine, coarse) = (Bins::of(&sorted, FINE), Bins::of(&sorted, COARSE));
        let whole = counts(&fine, flows, column);
        let apart = |block: &&[Flow]| {
            let part = counts(&fine, block, column);
            let rest: Counts = whole.iter().zip(&part).map(|(whole, part)| (whole - part).max(0.0)).collect();
            kolmogorov_smirnov(&part, &rest)
        };
        let blocks = blocks.iter().map(apart).collect();
        let whole_coarse = counts(&coarse, flows, column);
        Self { median: median(&sorted), fine, coarse, whole, whole_coarse, blocks }
    }

    /// Largest distance of the blocks other than `without`.
    fn usual(&self, without: Option<usize>) -> f64 {
        let others = self.blocks.iter().enumerate().filter(|(place, _)| Some(*place) != without);
        others.map(|(_, distance)| *distance).fold(LEAST_DISTANCE, f64::max)
    }

    fn distance(&self, flows: &[Flow], column: usize) -> f64 {
        kolmogorov_smirnov(&counts(&self.fine, flows, column), &self.whole)
    }

    fn moved(&self, flows: &[Flow], column: usize) -> Moved {
        let (distance, usual_distance) = (self.distance(flows, column), self.usual(None));
        let (name, unit) = described(column);
        Moved {
            name,
            unit,
            distance,
            usual_distance,
            ratio: distance / usual_distance,
            stability_index: stability_index(&counts(&self.coarse, flows, column), &self.whole_coarse),
            reference_median: self.median,
            present_median: median(&sorted(flows, column)),
        }
    }
}

/// Holds the present against the reference; both are in the order of time.
///
/// # Errors
/// When either has too few rows.
pub fn measure(reference: &Side, present: &Side, threshold: Threshold) -> Result<Drift, DriftError> {
    let least = LEAST_ROWS * BLOCKS.start();
    for (side, rows, expected) in
        [("reference", reference.flows.len(), least), ("present", present.flows.len(), LEAST_ROWS)]
    {
        if rows < expected {
            return Err(DriftError::FewRows { side, rows, expected });
        }
    }
    let (flows, now) = (&reference.flows, &present.flows);
    let wanted = BLOCKS_IN_PRESENT * flows.len() / now.len();
    let blocks = wanted.clamp(*BLOCKS.start(), *BLOCKS.end()).min(flows.len() / LEAST_ROWS);
    let cut = cut(flows, blocks);
    let columns: Vec<Column> = (0..COLUMNS).map(|column| Column::of(flows, &cut, column)).collect();
    let block_ratios: Vec<f64> = (0..cut.len()).map(|block| block_ratio(&columns, block)).collect();
    let threshold = match threshold {
        Threshold::Given(threshold) => threshold,
        Threshold::Margin(margin) => margin * block_ratios.iter().copied().fold(1.0, f64::max),
    };
    let mut moved: Vec<Moved> = columns.iter().enumerate().map(|(place, column)| column.moved(now, place)).collect();
    moved.sort_by(|a, b| b.ratio.total_cmp(&a.ratio));
    let block_rows = flows.len() / blocks;
    Ok(Drift {
        drift: moved.iter().any(|column| column.ratio > threshold),
        threshold,
        block_ratios,
        block_rows,
        reference_rows: flows.len(),
        present_rows: now.len(),
        columns: moved,
        stretches: stretches(&columns, now, block_rows),
    })
}

fn block_ratio(columns: &[Column], block: usize) -> f64 {
    let ratio = |column: &Column| column.blocks.get(block).copied().unwrap_or_default() / column.usual(Some(block));
    columns.iter().map(ratio).fold(0.0, f64::max)
}

/// As long as a block of the reference, but [`STRETCHES`] at most.
fn stretches(columns: &[Column], flows: &[Flow], block_rows: usize) -> Vec<Stretch> {
    let parts = (flows.len() / block_rows.max(1)).clamp(1, STRETCHES);
    let stretch = |flows: &[Flow]| {
        let ratio = |(place, column): (usize, &Column)| column.distance(flows, place) / column.usual(None);
        Stretch {
            from_s: flows.first().map_or(0, |flow| flow.at.as_secs()),
            to_s: flows.last().map_or(0, |flow| flow.at.as_secs()),
            ratios: columns.iter().enumerate().map(ratio).collect(),
        }
    };
    cut(flows, parts).into_iter().map(stretch).collect()
}

/// Parts of equal size but for one row.
fn cut(flows: &[Flow], parts: usize) -> Vec<&[Flow]> {
    let edge = |part: usize| flows.len() * part / parts.max(1);
    (0..parts).filter_map(|part| flows.get(edge(part)..edge(part + 1))).collect()
}

fn counts(bins: &Bins, flows: &[Flow], column: usize) -> Counts {
    bins.count(flows.iter().map(|flow| (flow.value(column), flow.weight)))
}

fn sorted(flows: &[Flow], column: usize) -> Vec<(f64, f64)> {
    let mut sorted: Vec<(f64, f64)> = flows.iter().map(|flow| (flow.value(column), flow.weight)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    sorted
}

/// The least value that half of the weight does not exceed; 0 without any.
fn median(sorted: &[(f64, f64)]) -> f64 {
    let half = sorted.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut cumulated = 0.0;
    let reached = sorted.iter().find(|(_, weight)| {
        cumulated += weight;
        cumulated >= half
    });
    reached.map_or(0.0, |(value, _)| *value)
}
