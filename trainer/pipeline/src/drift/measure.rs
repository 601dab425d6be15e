//! Rows of the reference and the present → distance of every feature and the score, and whether that is drift.
//!
//! Usual distances are learnt from the reference. It is cut into blocks of equal numbers of rows, in order of time, and
//! each block is compared with the rest: traffic changes with the hour and the day, and rows of one hour are similar, so
//! a textbook significance level would report drift every evening.
//!
//! - *distance* of a column: Kolmogorov–Smirnov, 0 to 1 ([`kolmogorov_smirnov_binned`]).
//! - *usual distance* of a column: the largest distance of any block from the rest, at least `LEAST_DISTANCE`.
//! - *ratio*: distance divided by usual distance.
//! - *drift threshold*: the largest ratio of any column of any block, with usual distances from the other blocks, at least
//!   1, times the margin. Taking the maximum over columns corrects for testing 49 of them.
//!
//! Drift means that a column of the present has a ratio above the threshold. Small samples have larger distances by
//! chance, so a block has half as many rows as the present, within `BLOCKS`. Without drift, a stretch as long as a block
//! would exceed all B blocks once in B + 1 times; a stretch of twice the length does so less often.

use super::DriftError;
use super::bins::{Bins, COARSE, Counts, FINE, stability_index};
use super::sampled_flows::{Flow, Side};
use lapwing_shared::features::FEATURES;
use lapwing_shared::features::schema::SCHEMA;
use lapwing_tables::stats::{kolmogorov_smirnov_binned, weighted_median};
use serde::Serialize;
use std::ops::RangeInclusive;

/// Columns: the features, in the schema's order, and the score.
pub(crate) const COLUMNS: usize = FEATURES + 1;
/// Name of the last column.
pub(crate) const SCORE: &str = "score";
/// Smallest usual distance: a tenth of the flows.
pub(crate) const LEAST_DISTANCE: f64 = 0.1;
/// Allowed number of blocks of the reference.
pub(crate) const BLOCKS: RangeInclusive<usize> = 8..=256;
/// Blocks that together have as many rows as the present.
const BLOCKS_IN_PRESENT: usize = 2;
/// Maximum number of stretches of the present.
const STRETCHES: usize = 64;
/// Minimum number of rows in a block and in the present.
pub(crate) const LEAST_ROWS: usize = 25;

/// One feature, or the score.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Moved {
    /// Feature, or `score`.
    pub name: &'static str,
    /// Unit of the medians; empty for a plain number.
    pub(crate) unit: &'static str,
    /// Kolmogorov–Smirnov distance of the present from the reference, 0 to 1.
    pub distance: f64,
    /// Usual distance within the reference.
    pub usual_distance: f64,
    /// Distance divided by usual distance.
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
pub(crate) struct Stretch {
    /// First row's time, seconds since the epoch.
    pub(crate) from_s: u64,
    /// Last row's time, seconds since the epoch.
    pub(crate) to_s: u64,
    /// Ratio of every feature in schema order, then of the score.
    pub(crate) ratios: Vec<f64>,
}

/// Result of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Drift {
    /// True if a column's ratio exceeds the threshold.
    pub drift: bool,
    /// Ratio above which there is drift.
    pub threshold: f64,
    /// Largest ratio of each block of the reference, in order of time.
    pub block_ratios: Vec<f64>,
    /// Rows of a block, on average.
    pub block_rows: usize,
    pub reference_rows: usize,
    pub present_rows: usize,
    /// Columns by descending ratio.
    pub columns: Vec<Moved>,
    /// Stretches of the present with about as many rows as a block.
    pub(crate) stretches: Vec<Stretch>,
}

/// Source of the drift threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// Learnt from the reference, times this margin.
    Margin(f64),
    /// Fixed.
    Given(f64),
}

/// Name and unit of a column.
pub(crate) fn described(column: usize) -> (&'static str, &'static str) {
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
            kolmogorov_smirnov_binned(&part, &rest)
        };
        let blocks = blocks.iter().map(apart).collect();
        let whole_coarse = counts(&coarse, flows, column);
        Self { median: weighted_median(&sorted).unwrap_or_default(), fine, coarse, whole, whole_coarse, blocks }
    }

    /// Largest distance of the blocks other than `without`.
    fn usual(&self, without: Option<usize>) -> f64 {
        let others = self.blocks.iter().enumerate().filter(|(index, _)| Some(*index) != without);
        others.map(|(_, distance)| *distance).fold(LEAST_DISTANCE, f64::max)
    }

    fn distance(&self, flows: &[Flow], column: usize) -> f64 {
        kolmogorov_smirnov_binned(&counts(&self.fine, flows, column), &self.whole)
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
            present_median: weighted_median(&sorted(flows, column)).unwrap_or_default(),
        }
    }
}

/// Compares the present with the reference; both are in order of time.
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
    let blocks = BLOCKS_IN_PRESENT * flows.len() / now.len();
    let blocks = blocks.clamp(*BLOCKS.start(), *BLOCKS.end()).min(flows.len() / LEAST_ROWS);
    let cut = cut(flows, blocks);
    let columns: Vec<Column> = (0..COLUMNS).map(|column| Column::of(flows, &cut, column)).collect();
    let block_ratios: Vec<f64> = (0..cut.len()).map(|block| block_ratio(&columns, block)).collect();
    let threshold = match threshold {
        Threshold::Given(threshold) => threshold,
        Threshold::Margin(margin) => margin * block_ratios.iter().copied().fold(1.0, f64::max),
    };
    let mut moved: Vec<Moved> = columns.iter().enumerate().map(|(index, column)| column.moved(now, index)).collect();
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

/// Cuts the present into stretches as long as a block, at most [`STRETCHES`].
fn stretches(columns: &[Column], flows: &[Flow], block_rows: usize) -> Vec<Stretch> {
    let parts = (flows.len() / block_rows.max(1)).clamp(1, STRETCHES);
    let stretch = |flows: &[Flow]| {
        let ratio = |(index, column): (usize, &Column)| column.distance(flows, index) / column.usual(None);
        Stretch {
            from_s: flows.first().map_or(0, |flow| flow.at.as_secs()),
            to_s: flows.last().map_or(0, |flow| flow.at.as_secs()),
            ratios: columns.iter().enumerate().map(ratio).collect(),
        }
    };
    cut(flows, parts).into_iter().map(stretch).collect()
}

/// Cuts into parts whose sizes differ by at most one row.
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
