//! A table and a plan → figures with their data, split and seed, and warnings.
//!
//! Training rows fit encoder and method, benign validation rows set the threshold, and test rows are used once, last.
//! The same table and plan give the same figures, on any number of threads; only `Cost` depends on the machine.

pub(crate) mod args;
mod codes;
mod error;
mod figures;
mod fitted;
mod folds;
mod int8;
mod left_out;
mod left_out_page;
mod maps;
mod networks;
pub(crate) mod page;
mod prepare;
mod save;

pub use codes::Int8Codes;
pub use error::EvaluateError;
pub(crate) use figures::{Classification, Figure, Figures, KindFigures};
pub(crate) use networks::Losses;
pub(crate) use prepare::{EncodedRows, Prepared};
pub use save::saved_model;

pub(crate) use folds::cross_validate;
pub(crate) use int8::{Int8, measure as measure_int8};
pub(crate) use left_out::{LeftOut, LeftOutMean, leave_out_kinds};
pub(crate) use left_out_page::lines as left_out_lines;
use prepare::prepare;

use lapwing_common::clock;
use lapwing_methods::FitProgress;
use lapwing_models::{Answers, Fitted, Plan};
use lapwing_tables::{Counts, SourceFile, Split, SplitRule, Table};
use serde::Serialize;

/// Format of the JSON of one evaluation.
pub(crate) const FORMAT: &str = "lapwing-evaluation-1";

/// Run time on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Cost {
    /// Seconds to fit.
    pub(crate) fit_s: f64,
    /// Microseconds per test row, scored in one batch.
    pub(crate) score_us: f64,
}

/// Rows of each part of the split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct SplitCounts {
    pub(crate) training: usize,
    /// Attacks among the training rows.
    pub(crate) training_attacks: usize,
    /// Validation rows, for threshold and early stopping.
    pub(crate) validation: usize,
    /// Test rows.
    pub(crate) test: usize,
    /// Test rows with the same features as a training row.
    pub(crate) test_repeats: usize,
    /// Rows removed from validation and test because they repeat training rows.
    #[serde(rename = "set-aside")]
    pub(crate) deduplicated: usize,
    /// Inputs of the method.
    pub(crate) inputs: usize,
}

/// A fitted method and the results of its evaluation.
pub struct Evaluated {
    pub(crate) fitted: Fitted,
    /// Learning curves of its networks.
    pub(crate) losses: Losses,
    /// Encoder and encoded rows.
    pub(crate) prepared: Prepared,
    /// Answers for the validation rows.
    pub(crate) validation: Answers,
    /// Answers for the test rows.
    pub(crate) test: Answers,
    /// Figures of the test rows.
    pub(crate) figures: Figures,
    /// Rows of each part of the split.
    pub(crate) split_counts: SplitCounts,
    pub(crate) cost: Cost,
}

/// Description of the data.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Data {
    /// Format of the files, as on the command line.
    pub(crate) kind: String,
    /// Files with digests.
    pub(crate) files: Vec<SourceFile>,
    /// Digest over all files.
    pub(crate) sha256: String,
    /// Rows kept.
    pub(crate) rows: usize,
    pub(crate) features: usize,
    /// Rows by kind.
    pub(crate) kinds: Vec<(String, usize)>,
    /// Rows dropped and values repaired while reading.
    pub(crate) counts: Counts,
}

impl Data {
    /// Describes a table read from files of this format.
    pub(crate) fn of(kind: &str, table: &Table) -> Self {
        Self {
            kind: kind.into(),
            files: table.files().to_vec(),
            sha256: table.digest(),
            rows: table.rows(),
            features: table.columns().len(),
            kinds: table.kinds().iter().cloned().zip(table.kind_counts()).collect(),
            counts: table.counts().clone(),
        }
    }
}

/// One evaluation, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Evaluation {
    /// `lapwing-evaluation-1`.
    pub(crate) format: &'static str,
    /// Version of this program.
    pub(crate) version: &'static str,
    pub(crate) plan: Plan,
    /// Description of the data.
    pub(crate) data: Data,
    /// Rows of each part of the split.
    #[serde(rename = "sides")]
    pub(crate) split_counts: SplitCounts,
    /// Figures on test rows.
    pub(crate) figures: Figures,
    /// The int8 form of an autoencoder, on the same rows.
    pub(crate) int8: Option<Int8>,
    /// Figures of each kind left out, if requested.
    pub(crate) left_out: Vec<LeftOut>,
    /// Mean over the left-out kinds.
    pub(crate) left_out_mean: Option<LeftOutMean>,
    /// Figures of each cross-validation fold, if requested.
    pub(crate) folds: Vec<Figures>,
    /// Warnings about data, split and method.
    pub(crate) warnings: Vec<String>,
    pub(crate) cost: Cost,
}

/// Fits the plan's method and evaluates it on one split.
///
/// # Errors
/// Settings that the table or the method does not support.
pub fn evaluate(
    table: &Table,
    split: &Split,
    plan: &Plan,
    progress: FitProgress<'_>,
) -> Result<Evaluated, EvaluateError> {
    if plan.split == SplitRule::Group && table.groups().is_none() {
        split.check(table)?;
    }
    let prepared = prepare(table, split, plan)?;
    let training_data = prepared.training_data();
    let start = clock::monotonic();
    let (fitted, losses) = fitted::fit(plan, &training_data, progress)?;
    let fit_s = start.elapsed().as_secs_f64();
    let validation = fitted.answers(&prepared.validation.matrix, training_data.classes)?;
    let start = clock::monotonic();
    let test = fitted.answers(&prepared.test.matrix, training_data.classes)?;
    let score_us = start.elapsed().as_secs_f64() * 1e6 / prepared.test.rows.len().max(1) as f64;
    let figures = figures::measure(table, &prepared, plan, &validation, &test)?;
    let repeats = split.repeats(table);
    let split_counts = SplitCounts {
        training: prepared.training.rows.len(),
        training_attacks: figures::attacks(table, &prepared.training).iter().filter(|attack| **attack).count(),
        validation: prepared.validation.rows.len(),
        test: prepared.test.rows.len(),
        test_repeats: repeats.test_repeats,
        deduplicated: split.set_aside(),
        inputs: prepared.encoder.names().len(),
    };
    Ok(Evaluated { fitted, losses, prepared, validation, test, figures, split_counts, cost: Cost { fit_s, score_us } })
}

/// Warnings about data, split and rare kinds.
pub(crate) fn warnings(data: &Data, table: &Table, plan: &Plan, evaluated: &Evaluated) -> Vec<String> {
    let mut warnings = Vec::new();
    let counts = &evaluated.split_counts;
    if counts.test_repeats > 0 {
        warnings.push(format!(
            "{} of {} test rows have the same features as a training row, so the figures partly measure memorization, not \
             generalization; --split group keeps duplicates together",
            counts.test_repeats, counts.test
        ));
    }
    if plan.split == SplitRule::Random {
        warnings.push(
            "a random split of one capture puts neighbouring flows of one attack in both training and test; expect lower \
             figures on other networks, days or attacks"
                .into(),
        );
    }
    if data.kind == "unsw-nb15" {
        let shortcuts = ["sttl", "dttl", "ct_state_ttl"].map(|name| table.column(name).is_some());
        if shortcuts.contains(&true) {
            warnings.push(
                "sttl, dttl and ct_state_ttl almost determine the label in this testbed; repeat with --exclude \
                 sttl,dttl,ct_state_ttl"
                    .into(),
            );
        }
    }
    if let Some(few) = evaluated.figures.kinds.iter().skip(1).find(|kind| kind.rows < 30) {
        warnings.push(format!(
            "some classes (e.g. {}) have fewer than 30 test rows, so their figures are imprecise",
            few.kind
        ));
    }
    let dropped: u64 = data.counts.dropped.values().sum();
    if dropped > 0 {
        warnings.push(format!("{dropped} of {} rows were dropped while reading; see below", data.counts.rows_read));
    }
    if !table.labelled() {
        warnings.push("the files have no labels, so every row counts as benign".into());
    }
    warnings
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod public_tests;
