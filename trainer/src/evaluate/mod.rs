//! A table and a plan → figures that name their data, split and seed, and what a reader must not overlook.
//!
//! Training rows fit encoder and method, benign validation rows set the threshold, test rows are looked at once, last.
//! The same table and plan give the same figures, on any number of threads; only [`Cost`] depends on the machine.

pub mod args;
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
pub mod page;
mod plan;
mod prepare;

pub use codes::Int8Codes;
pub use error::EvaluateError;
pub use figures::{Figure, Figures, KindFigures, Naming, wilson};
pub use fitted::{Answers, Fitted, Lesson};
pub use folds::cross_validate;
pub use int8::{Int8, Int8Figures, measure as measure_int8};
pub use left_out::{LeftOut, LeftOutMean, LeftOutRun, leave_out_kinds};
pub use left_out_page::lines as left_out_lines;
pub use networks::{Losses, Network};
pub use plan::{Categories, MethodName, Plan};
pub use prepare::{Prepared, Side, encoder_options, prepare};

use crate::clock;
use lapwing_methods::Progress;
use lapwing_tables::{Counts, SourceFile, Split, SplitRule, Table};
use serde::Serialize;

/// Format of the JSON of one evaluation.
pub const FORMAT: &str = "lapwing-evaluation-1";

/// What it cost on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cost {
    /// Seconds of fitting.
    pub fit_s: f64,
    /// Microseconds to score one test row, all rows together.
    pub score_us: f64,
}

/// Rows of each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sides {
    /// Rows learned from.
    pub training: usize,
    /// Of them attacks.
    pub training_attacks: usize,
    /// Rows for thresholds and stopping.
    pub validation: usize,
    /// Rows judged by.
    pub test: usize,
    /// Test rows whose features also stand in training.
    pub test_repeats: usize,
    /// Rows taken out of validation and test because they repeat training rows.
    pub set_aside: usize,
    /// Inputs of the method.
    pub inputs: usize,
}

/// A fitted method with everything that judged it.
pub struct Judged {
    /// What was fitted.
    pub fitted: Fitted,
    /// Losses of its networks, epoch by epoch.
    pub losses: Losses,
    /// Rows and encoder.
    pub prepared: Prepared,
    /// Scores of validation rows.
    pub validation: Answers,
    /// Scores of test rows.
    pub test: Answers,
    /// Figures.
    pub figures: Figures,
    /// Counts of rows.
    pub sides: Sides,
    /// Cost.
    pub cost: Cost,
}

/// What is known of the data.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Data {
    /// Kind of files, as on the command line.
    pub kind: String,
    /// Files, with digests.
    pub files: Vec<SourceFile>,
    /// Over all files.
    pub sha256: String,
    /// Rows kept.
    pub rows: usize,
    /// Features.
    pub features: usize,
    /// Rows by kind.
    pub kinds: Vec<(String, usize)>,
    /// What reading dropped and repaired.
    pub counts: Counts,
}

impl Data {
    /// What is known of a table of this kind.
    pub fn of(kind: &str, table: &Table) -> Self {
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
pub struct Evaluation {
    /// `lapwing-evaluation-1`.
    pub format: &'static str,
    /// Version of this program.
    pub version: &'static str,
    /// What was to be done.
    pub plan: Plan,
    /// Data.
    pub data: Data,
    /// Rows.
    pub sides: Sides,
    /// Figures on test rows.
    pub figures: Figures,
    /// The int8 form of an autoencoder, on the same rows.
    pub int8: Option<Int8>,
    /// One kind left out at a time, where asked for.
    pub left_out: Vec<LeftOut>,
    /// Their mean.
    pub left_out_mean: Option<LeftOutMean>,
    /// Every fold, where asked for.
    pub folds: Vec<Figures>,
    /// What a reader must not overlook.
    pub warnings: Vec<String>,
    /// Cost.
    pub cost: Cost,
}

/// Fits and judges on one split.
///
/// # Errors
/// What the table, the method or the plan's settings do not allow.
pub fn judge(table: &Table, split: &Split, plan: &Plan, progress: Progress<'_>) -> Result<Judged, EvaluateError> {
    if plan.split == SplitRule::Group && table.groups().is_none() {
        split.check(table)?;
    }
    let prepared = prepare(table, split, plan)?;
    let lesson = prepared.lesson();
    let begun = clock::monotonic();
    let (fitted, losses) = Fitted::fit(plan, &lesson, progress)?;
    let fit_s = begun.elapsed().as_secs_f64();
    let validation = fitted.answers(&prepared.validation.matrix, lesson.classes)?;
    let begun = clock::monotonic();
    let test = fitted.answers(&prepared.test.matrix, lesson.classes)?;
    let score_us = begun.elapsed().as_secs_f64() * 1e6 / prepared.test.rows.len().max(1) as f64;
    let figures = figures::measure(table, &prepared, plan, &validation, &test)?;
    let repeats = split.repeats(table);
    let sides = Sides {
        training: prepared.training.rows.len(),
        training_attacks: figures::attacks(table, &prepared.training).iter().filter(|attack| **attack).count(),
        validation: prepared.validation.rows.len(),
        test: prepared.test.rows.len(),
        test_repeats: repeats.test_repeats,
        set_aside: split.set_aside(),
        inputs: prepared.encoder.names().len(),
    };
    Ok(Judged { fitted, losses, prepared, validation, test, figures, sides, cost: Cost { fit_s, score_us } })
}

/// What a reader must not overlook about data and split.
pub fn warnings(data: &Data, table: &Table, plan: &Plan, judged: &Judged) -> Vec<String> {
    let mut warnings = Vec::new();
    let sides = &judged.sides;
    if sides.test_repeats > 0 {
        warnings.push(format!(
            "{} of {} test rows have the same features as a training row, so part of this measures memory, not \
             generalisation; --split group keeps repeats together",
            sides.test_repeats, sides.test
        ));
    }
    if plan.split == SplitRule::Random {
        warnings.push(
            "a random split of one capture puts neighbouring flows of one attack on both sides; figures of other \
             networks, days or attacks are lower"
                .into(),
        );
    }
    if data.kind == "unsw-nb15" {
        let telling = ["sttl", "dttl", "ct_state_ttl"].map(|name| table.column(name).is_some());
        if telling.contains(&true) {
            warnings.push(
                "sttl, dttl and ct_state_ttl nearly give the label away in this testbed; repeat with --exclude \
                 sttl,dttl,ct_state_ttl"
                    .into(),
            );
        }
    }
    if let Some(few) = judged.figures.kinds.iter().skip(1).find(|kind| kind.rows < 30) {
        warnings.push(format!("some kinds have fewer than 30 test rows (like {}): their figures are rough", few.kind));
    }
    let dropped: u64 = data.counts.dropped.values().sum();
    if dropped > 0 {
        warnings.push(format!("{dropped} of {} rows were left out while reading, see below", data.counts.rows_read));
    }
    if !table.labelled() {
        warnings.push("these files have no labels: every row counts as benign".into());
    }
    warnings
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod public_tests;
