//! A table → what a person should know of it before anything is trained: rows, kinds, days, repeats, and each column's
//! range.

use crate::encode::quantile;
use crate::split::table_repeats;
use crate::table::{Column, Counts, SourceFile, Table, Values};
use serde::Serialize;
use std::collections::BTreeMap;

/// The figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Rows.
    pub rows: usize,
    /// Features.
    pub features: usize,
    /// Whether the files had labels.
    pub labelled: bool,
    /// Rows of each kind, benign first.
    pub kinds: Vec<(String, usize)>,
    /// Rows of each finer attack name, most frequent first.
    pub details: Vec<(String, usize)>,
    /// Rows of each day, in order of first appearance.
    pub days: Vec<(String, usize)>,
    /// Distinct named groups.
    pub groups: usize,
    /// Distinct sources, and the share of attacks that the busiest one sent.
    pub sources: usize,
    /// Share of all attacks that come from one source, at most.
    pub busiest_attacker: f64,
    /// Rows that repeat an earlier row in every feature.
    pub repeats: usize,
    /// Of the distinct feature rows, those that stand with more than one kind.
    pub contradictions: usize,
    /// Features with one value only.
    pub constant: Vec<String>,
    /// Each feature.
    pub columns: Vec<ColumnSummary>,
    /// What reading did.
    pub counts: Counts,
    /// Files.
    pub files: Vec<SourceFile>,
    /// Names the data.
    pub digest: String,
}

/// One feature's figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ColumnSummary {
    /// Numbers; nothing where all are missing.
    Number {
        /// Name.
        name: String,
        /// Smallest.
        min: Option<f64>,
        /// Half of the values are at most this.
        median: Option<f64>,
        /// Largest.
        max: Option<f64>,
        /// Rows without a value.
        missing: usize,
    },
    /// Categories.
    Category {
        /// Name.
        name: String,
        /// Distinct values.
        distinct: usize,
        /// The ten most frequent, with their rows.
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
    /// The table in figures. Sorts one column at a time: takes 4 bytes a row.
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
            let mut there: Vec<f32> = numbers.iter().copied().filter(|number| !number.is_nan()).collect();
            there.sort_unstable_by(f32::total_cmp);
            let at = |share| (!there.is_empty()).then(|| quantile(&there, share));
            let missing = numbers.len() - there.len();
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
