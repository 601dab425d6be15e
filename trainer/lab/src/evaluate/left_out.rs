//! A table and a plan → figures of each attack kind from a fit without it (leave-one-kind-out).
//!
//! Neither training nor validation has rows of the kind, so encoder, method and threshold are independent of it. If the
//! split is random, all rows of the kind are tested instead of those in the test split only; benign rows always come
//! from the test split. Each seed has its own split, fit and subsamples. A benign-only method is fitted once per seed,
//! with all kinds left out at once, which gives the same result.

use super::error::EvaluateError;
use super::figures::{self, kind_auc};
use super::prepare::prepare;
use lapwing_methods::FitProgress;
use lapwing_models::Plan;
use lapwing_tables::{Held, Split, SplitRule, Table};
use serde::Serialize;

/// Maximum number of seeds in one evaluation.
const MAX_SEEDS: usize = 100;

/// Figures of one kind with one seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct LeftOutRun {
    /// Seed of split and fit.
    pub(crate) seed: u64,
    /// Test rows of the kind.
    pub(crate) rows: usize,
    /// ROC-AUC of the kind's rows against benign test rows.
    pub(crate) auc: Option<f64>,
    /// Share of the kind's rows over the threshold.
    pub(crate) recall: Option<f64>,
}

/// Figures of one kind over all seeds, from fits without it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct LeftOut {
    /// Attack kind.
    pub(crate) kind: String,
    /// Test rows of the kind with the first seed.
    pub(crate) rows: usize,
    /// Mean ROC-AUC over the seeds.
    pub(crate) auc: Option<f64>,
    /// Standard deviation of the ROC-AUC over at least two seeds.
    pub(crate) auc_deviation: Option<f64>,
    /// Mean recall over the seeds.
    pub(crate) recall: Option<f64>,
    /// Figures by seed.
    pub(crate) runs: Vec<LeftOutRun>,
}

/// Mean over all kinds, weighted equally.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct LeftOutMean {
    /// Mean ROC-AUC over kinds and seeds.
    pub(crate) auc: f64,
    /// Standard deviation over at least two kinds, each the mean of its seeds.
    pub(crate) deviation_over_kinds: Option<f64>,
    /// Mean ROC-AUC over the kinds, by seed.
    pub(crate) by_seed: Vec<f64>,
    /// Standard deviation of `by_seed` over at least two seeds.
    pub(crate) deviation_over_seeds: Option<f64>,
}

impl LeftOutMean {
    /// The mean over kinds that have a ROC-AUC; otherwise `None`.
    pub(crate) fn of(kinds: &[LeftOut]) -> Option<Self> {
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

/// Leaves out one kind at a time, with `seeds` consecutive seeds from the plan's.
///
/// # Errors
/// Those of a single evaluation; `seeds` outside 1 to 100; no attack rows to train on without a kind.
pub(crate) fn leave_out_kinds(
    table: &Table,
    plan: &Plan,
    seeds: usize,
    progress: FitProgress<'_>,
) -> Result<Vec<LeftOut>, EvaluateError> {
    if !(1..=MAX_SEEDS).contains(&seeds) {
        let found = seeds.to_string();
        return Err(EvaluateError::Setting { setting: "leave-out-seeds", found, expected: "1 to 100" });
    }
    let mut results: Vec<LeftOut> = Vec::new();
    for seed in (0..seeds as u64).map(|offset| plan.seed.wrapping_add(offset)) {
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

fn one_seed(table: &Table, plan: &Plan, progress: FitProgress<'_>) -> Result<Vec<(u16, LeftOutRun)>, EvaluateError> {
    let split = Split::make(table, &plan.split_options())?;
    let held = held(table, plan);
    let kinds = tested_kinds(table, &split, plan, held)?;
    if plan.method.benign_only() && plan.contamination == 0.0 {
        return evaluate_kinds(table, &split.leave_out(table, &kinds, held), plan, &kinds, progress);
    }
    let mut runs = Vec::new();
    for kind in kinds {
        let without = split.leave_out(table, &[kind], held);
        runs.extend(evaluate_kinds(table, &without, plan, &[kind], progress)?);
    }
    Ok(runs)
}

/// Which rows of a left-out kind are tested. Test rows from other files, days, times or devices must stay apart from
/// those in training, so only attacks of the test split count there.
fn held(table: &Table, plan: &Plan) -> Held {
    let random = matches!(plan.split, SplitRule::Group | SplitRule::Random) && table.groups().is_none();
    if random { Held::Every } else { Held::TestSide }
}

/// Attack kinds that have rows to test on, in the table's order.
fn tested_kinds(table: &Table, split: &Split, plan: &Plan, held: Held) -> Result<Vec<u16>, EvaluateError> {
    let selected = plan.test_kinds.iter().map(|name| table.kind_named(name)).collect::<Result<Vec<u16>, _>>()?;
    let counts = table.kind_counts();
    let tested = |kind: &u16| match held {
        Held::Every => counts[usize::from(*kind)] > 0,
        Held::TestSide => split.test().iter().any(|row| table.kind()[*row] == *kind),
    };
    let kinds = (1..table.kinds().len() as u16).filter(|kind| selected.is_empty() || selected.contains(kind));
    Ok(kinds.filter(tested).collect())
}

/// Fits on a split without the kinds, and measures each of them.
fn evaluate_kinds(
    table: &Table,
    split: &Split,
    plan: &Plan,
    kinds: &[u16],
    progress: FitProgress<'_>,
) -> Result<Vec<(u16, LeftOutRun)>, EvaluateError> {
    split.check_left_out(table, kinds)?;
    let prepared = prepare(table, split, plan)?;
    let training_data = prepared.training_data();
    if !plan.method.benign_only() && training_data.labels.iter().all(|label| *label == 0) {
        return Err(EvaluateError::Rows {
            part: "training",
            found: "only benign rows without the class that is left out".into(),
            expected: "attacks of another class",
            advice: "use a benign-only method, or a table with more attack classes",
        });
    }
    let (method, _) = super::fitted::fit(plan, &training_data, progress)?;
    let validation = method.answers(&prepared.validation.matrix, training_data.classes)?.scores;
    let threshold = figures::threshold(table, &prepared.validation, &validation, plan.false_positive_rate)?;
    let test = method.answers(&prepared.test.matrix, training_data.classes)?.scores;
    let run = |kind: &u16| {
        let of = prepared.test.rows.iter().zip(&test).filter(|(row, _)| table.kind()[**row] == *kind);
        let (rows, flagged) =
            of.fold((0, 0), |(rows, flagged), (_, score)| (rows + 1, flagged + usize::from(*score > threshold)));
        let auc = kind_auc(table, &prepared.test, &test, *kind);
        let recall = (rows > 0).then(|| flagged as f64 / rows as f64);
        (*kind, LeftOutRun { seed: plan.seed, rows, auc, recall })
    };
    Ok(kinds.iter().map(run).collect())
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Sample standard deviation (n − 1).
fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() >= 2)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
#[path = "left_out_tests.rs"]
mod tests;
