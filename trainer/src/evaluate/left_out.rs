//! One attack kind left out at a time → how well it is told from benign rows by a method that never saw it.
//!
//! The kind is in no training and no validation row; encoder, method and threshold do not know that it exists. Where
//! sides are drawn by chance, all its rows are tested, not those of the test side only; benign rows are always the test
//! side's. Seeds change split, fit and draws together. A method that learns from benign rows only is fitted once a seed,
//! with every kind left out at once, which is the same.

use super::error::EvaluateError;
use super::figures::{self, kind_auc};
use super::fitted::Fitted;
use super::plan::Plan;
use super::prepare::prepare;
use lapwing_methods::Progress;
use lapwing_tables::{Held, Split, SplitRule, Table};
use serde::Serialize;

/// Most seeds of one evaluation.
const SEEDS: usize = 100;

/// One kind under one seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LeftOutRun {
    /// Seed of split and fit.
    pub seed: u64,
    /// Rows of the kind that were tested.
    pub rows: usize,
    /// Area under the curve of its rows against benign test rows.
    pub auc: Option<f64>,
    /// Share of its rows over the threshold.
    pub recall: Option<f64>,
}

/// How a kind fares that no training row had.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LeftOut {
    /// The kind.
    pub kind: String,
    /// Its rows tested, of the first seed.
    pub rows: usize,
    /// Mean AUC over the seeds.
    pub auc: Option<f64>,
    /// Standard deviation of that AUC over the seeds, from two seeds on.
    pub auc_deviation: Option<f64>,
    /// Mean share over the threshold.
    pub recall: Option<f64>,
    /// By seed.
    pub runs: Vec<LeftOutRun>,
}

/// All kinds, each counting the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LeftOutMean {
    /// Mean AUC over kinds and seeds.
    pub auc: f64,
    /// Standard deviation over the kinds, each the mean of its seeds; from two kinds on.
    pub deviation_over_kinds: Option<f64>,
    /// Mean over the kinds, by seed.
    pub by_seed: Vec<f64>,
    /// Standard deviation of these, from two seeds on.
    pub deviation_over_seeds: Option<f64>,
}

impl LeftOutMean {
    /// The mean of kinds that have an AUC; nothing without one.
    pub fn of(kinds: &[LeftOut]) -> Option<Self> {
        let aucs: Vec<f64> = kinds.iter().filter_map(|kind| kind.auc).collect();
        let seeds = kinds.iter().map(|kind| kind.runs.len()).max().unwrap_or(0);
        let at = |seed: usize| {
            let of_seed: Vec<f64> = kinds.iter().filter_map(|kind| kind.runs.get(seed)?.auc).collect();
            mean(&of_seed)
        };
        let by_seed: Vec<f64> = (0..seeds).filter_map(at).collect();
        Some(Self {
            auc: mean(&aucs)?,
            deviation_over_kinds: deviation(&aucs),
            deviation_over_seeds: deviation(&by_seed),
            by_seed,
        })
    }
}

/// Leaves out one kind at a time, under `seeds` seeds from the plan's on.
///
/// # Errors
/// As a single evaluation; seeds out of 1 to 100; a kind without which no attack is left to learn from.
pub fn leave_out_kinds(
    table: &Table,
    plan: &Plan,
    seeds: usize,
    progress: Progress<'_>,
) -> Result<Vec<LeftOut>, EvaluateError> {
    if !(1..=SEEDS).contains(&seeds) {
        let found = seeds.to_string();
        return Err(EvaluateError::Setting { setting: "leave-out-seeds", found, expected: "1 to 100" });
    }
    let mut results: Vec<LeftOut> = Vec::new();
    for seed in (0..seeds as u64).map(|more| plan.seed.wrapping_add(more)) {
        let plan = Plan { seed, ..plan.clone() };
        for (kind, run) in one_seed(table, &plan, progress)? {
            let kind = &table.kinds()[usize::from(kind)];
            match results.iter_mut().find(|result| result.kind == *kind) {
                Some(result) => result.runs.push(run),
                None => results.push(LeftOut {
                    kind: kind.clone(),
                    rows: run.rows,
                    auc: None,
                    auc_deviation: None,
                    recall: None,
                    runs: vec![run],
                }),
            }
        }
    }
    for result in &mut results {
        let aucs: Vec<f64> = result.runs.iter().filter_map(|run| run.auc).collect();
        let recalls: Vec<f64> = result.runs.iter().filter_map(|run| run.recall).collect();
        (result.auc, result.auc_deviation, result.recall) = (mean(&aucs), deviation(&aucs), mean(&recalls));
    }
    Ok(results)
}

fn one_seed(table: &Table, plan: &Plan, progress: Progress<'_>) -> Result<Vec<(u16, LeftOutRun)>, EvaluateError> {
    let split = Split::make(table, &plan.split_options())?;
    let held = held(table, plan);
    let kinds = families(table, &split, plan, held)?;
    if plan.method.benign_only() && plan.contamination == 0.0 {
        return judge_kinds(table, &split.leave_out(table, &kinds, held), plan, &kinds, progress);
    }
    let mut runs = Vec::new();
    for kind in kinds {
        let parted = split.leave_out(table, &[kind], held);
        runs.extend(judge_kinds(table, &parted, plan, &[kind], progress)?);
    }
    Ok(runs)
}

/// Rows of a test file, a day, a later time or another device differ from those of training, and so must the attacks.
fn held(table: &Table, plan: &Plan) -> Held {
    let by_chance = matches!(plan.split, SplitRule::Group | SplitRule::Random) && table.groups().is_none();
    if by_chance { Held::Every } else { Held::TestSide }
}

/// Attack kinds that have rows to test on, in the table's order.
pub(super) fn families(table: &Table, split: &Split, plan: &Plan, held: Held) -> Result<Vec<u16>, EvaluateError> {
    let asked: Result<Vec<u16>, _> = plan.test_kinds.iter().map(|name| table.kind_named(name)).collect();
    let asked = asked?;
    let counts = table.kind_counts();
    let tested = |kind: &u16| match held {
        Held::Every => counts[usize::from(*kind)] > 0,
        Held::TestSide => split.test().iter().any(|row| table.kind()[*row] == *kind),
    };
    let kinds = (1..table.kinds().len() as u16).filter(|kind| asked.is_empty() || asked.contains(kind));
    Ok(kinds.filter(tested).collect())
}

/// Fits on a split that lacks the kinds, and measures each.
pub(super) fn judge_kinds(
    table: &Table,
    split: &Split,
    plan: &Plan,
    kinds: &[u16],
    progress: Progress<'_>,
) -> Result<Vec<(u16, LeftOutRun)>, EvaluateError> {
    split.check_left_out(table, kinds)?;
    let prepared = prepare(table, split, plan)?;
    let lesson = prepared.lesson();
    if !plan.method.benign_only() && lesson.labels.iter().all(|label| *label == 0) {
        return Err(EvaluateError::Side {
            side: "training",
            found: "without the kind that is left out, all are benign".into(),
            expected: "attacks of another kind",
            advice: "use a method that learns from benign rows only, or a table with more kinds",
        });
    }
    let (method, _) = Fitted::fit(plan, &lesson, progress)?;
    let validation = method.answers(&prepared.validation.matrix, lesson.classes)?.scores;
    let threshold = figures::threshold(table, &prepared.validation, &validation, plan.false_positive_rate)?;
    let test = method.answers(&prepared.test.matrix, lesson.classes)?.scores;
    let run = |kind: &u16| {
        let of = prepared.test.rows.iter().zip(&test).filter(|(row, _)| table.kind()[**row] == *kind);
        let (rows, caught) =
            of.fold((0, 0), |(rows, caught), (_, score)| (rows + 1, caught + usize::from(*score > threshold)));
        let auc = kind_auc(table, &prepared.test, &test, *kind);
        let recall = (rows > 0).then(|| caught as f64 / rows as f64);
        (*kind, LeftOutRun { seed: plan.seed, rows, auc, recall })
    };
    Ok(kinds.iter().map(run).collect())
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Standard deviation of a sample, by n − 1.
fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() >= 2)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
#[path = "left_out_tests.rs"]
mod tests;
