//! A table → a summary to review before training: rows, kinds, days, repeats, and the range of each column.

use crate::column::{Column, Values};
use crate::split::table_repeats;
use crate::stats::quantile;
use crate::table::{Counts, SourceFile, Table};
use serde::Serialize;
use std::collections::BTreeMap;

/// A summary of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Summary {
    pub rows: usize,
    pub features: usize,
    /// Whether the files have labels.
    pub labelled: bool,
    /// Number of rows of each kind, benign first.
    pub kinds: Vec<(String, usize)>,
    /// Number of rows of each specific attack name, most frequent first.
    pub details: Vec<(String, usize)>,
    /// Number of rows of each day, in order of first appearance.
    pub days: Vec<(String, usize)>,
    /// Number of distinct named groups.
    pub(crate) groups: usize,
    /// Number of distinct sources.
    pub sources: usize,
    /// Share of the attack rows that the most active source sent.
    pub busiest_attacker: f64,
    /// Number of rows that repeat an earlier row in every feature.
    pub repeats: usize,
    /// Number of distinct feature rows that occur with more than one kind.
    pub contradictions: usize,
    /// Features with a single value.
    pub constant: Vec<String>,
    /// Summary of each feature.
    pub columns: Vec<ColumnSummary>,
    /// What reading dropped, repaired or left out.
    pub counts: Counts,
    pub files: Vec<SourceFile>,
    /// Digest of the data.
    pub digest: String,
}

/// Summary of one feature.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names of the variants document them")]
pub enum ColumnSummary {
    /// Numbers; `None` if all are missing.
    Number {
        name: String,
        min: Option<f64>,
        median: Option<f64>,
        max: Option<f64>,
        /// Number of rows without a value.
        missing: usize,
    },
    Category {
        name: String,
        /// Number of distinct values.
        distinct: usize,
        /// The ten most frequent values, with their number of rows.
        most: Vec<(String, usize)>,
    },
}

impl ColumnSummary {
    /// The feature's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Number { name, .. } | Self::Category { name, .. } => name,
        }
    }
}

impl Table {
    /// Summarizes the table. Sorts one column at a time, which takes 4 bytes per row.
    pub fn summary(&self) -> Summary {
        let columns: Vec<ColumnSummary> = self.columns.iter().map(column).collect();
        let constant = self.columns.iter().filter(|column| constant(&column.values));
        let text =
            |coded: Option<&crate::Coded>| coded.map_or_else(Vec::new, |c| tally(&c.names, c.codes.iter().copied()));
        let mut details = text(self.details());
        details.retain(|(name, _)| !name.is_empty());
        details.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Summary {
            rows: self.rows(),
            features: self.columns.len(),
            labelled: self.labelled,
            kinds: self.kinds.iter().cloned().zip(self.kind_counts()).collect(),
            details,
            days: text(self.days()),
            groups: self.groups.as_ref().map_or(0, |groups| groups.names.len()),
            sources: self.sources.as_ref().map_or(0, |sources| sources.names.len()),
            busiest_attacker: self.busiest_attacker(),
            repeats: table_repeats(self),
            contradictions: self.contradictions(),
            constant: constant.map(|column| column.name.clone()).collect(),
            columns,
            counts: self.counts.clone(),
            files: self.files.clone(),
            digest: self.digest(),
        }
    }

    fn busiest_attacker(&self) -> f64 {
        let Some(sources) = &self.sources else { return 0.0 };
        let attacks = sources.codes.iter().zip(&self.kind).filter(|(_, kind)| **kind != 0);
        let sent = tally(&sources.names, attacks.map(|(code, _)| *code));
        let all: usize = sent.iter().map(|(_, count)| count).sum();
        sent.iter().map(|(_, count)| *count).max().unwrap_or(0) as f64 / all.max(1) as f64
    }

    fn contradictions(&self) -> usize {
        let mut kinds: BTreeMap<u64, (u16, bool)> = BTreeMap::new();
        for (key, kind) in self.keys.iter().zip(&self.kind) {
            let entry = kinds.entry(*key).or_insert((*kind, false));
            entry.1 |= entry.0 != *kind;
        }
        kinds.values().filter(|(_, several)| *several).count()
    }
}

fn tally(names: &[String], codes: impl Iterator<Item = u32>) -> Vec<(String, usize)> {
    let mut counts = vec![0; names.len()];
    codes.for_each(|code| counts[code as usize] += 1);
    names.iter().cloned().zip(counts).collect()
}

fn constant(values: &Values) -> bool {
    match values {
        Values::Numbers(numbers) => {
            let first = numbers.first().copied().unwrap_or(f32::NAN);
            numbers.iter().all(|number| *number == first || (number.is_nan() && first.is_nan()))
        }
        Values::Categories { names, .. } => names.len() < 2,
    }
}

fn column(column: &Column) -> ColumnSummary {
    let name = column.name.clone();
    match &column.values {
        Values::Numbers(numbers) => {
            let mut present: Vec<f32> = numbers.iter().copied().filter(|number| !number.is_nan()).collect();
            present.sort_unstable_by(f32::total_cmp);
            let at = |share| (!present.is_empty()).then(|| quantile(&present, share));
            let missing = numbers.len() - present.len();
            ColumnSummary::Number { name, min: at(0.0), median: at(0.5), max: at(1.0), missing }
        }
        Values::Categories { names, codes } => {
            let mut most = tally(names, codes.iter().map(|code| u32::from(*code)));
            most.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            most.truncate(10);
            ColumnSummary::Category { name, distinct: names.len(), most }
        }
    }
}
