//! Further evaluations: one attack kind left out at a time, and k folds.

use super::error::EvaluateError;
use super::figures::{self, Figures, kind_auc};
use super::fitted::Fitted;
use super::plan::Plan;
use super::prepare::prepare;
use lapwing_methods::Progress;
use lapwing_tables::{Split, Table, folds};
use serde::Serialize;

/// How a kind fares that no training row had.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LeftOut {
    /// The kind.
    pub kind: String,
    /// Its test rows.
    pub rows: usize,
    /// Area under the curve of its rows against benign test rows.
    pub auc: Option<f64>,
    /// Share of its rows over the threshold.
    pub recall: Option<f64>,
}

/// Leaves out one kind at a time; a method that learns from benign rows only is fitted once.
///
/// # Errors
/// As a single evaluation.
pub fn leave_out_kinds(
    table: &Table,
    split: &Split,
    plan: &Plan,
    progress: Progress<'_>,
) -> Result<Vec<LeftOut>, EvaluateError> {
    let kinds =
        (1..table.kinds().len() as u16).filter(|kind| split.test().iter().any(|row| table.kind()[*row] == *kind));
    let once = plan.method.benign_only() && plan.contamination == 0.0;
    let mut fitted = None;
    let mut results = Vec::new();
    for kind in kinds {
        if !once || fitted.is_none() {
            let parted = if once { split.clone() } else { split.without_kinds(table, &[kind]) };
            let prepared = prepare(table, &parted, plan)?;
            let classes = prepared.classes.len();
            let (method, _) = Fitted::fit(plan, &prepared.lesson(), progress)?;
            let validation = method.answers(&prepared.validation.matrix, classes)?;
            let limit = figures::threshold(table, &prepared.validation, &validation.scores, plan.false_positive_rate)?;
            let test = method.answers(&prepared.test.matrix, classes)?;
            fitted = Some((prepared.test, test, limit));
        }
        let Some((side, test, threshold)) = &fitted else { continue };
        let of = side.rows.iter().zip(&test.scores).filter(|(row, _)| table.kind()[**row] == kind);
        let scores: Vec<f32> = of.map(|(_, score)| *score).collect();
        let caught = scores.iter().filter(|score| *score > threshold).count();
        results.push(LeftOut {
            kind: table.kinds()[usize::from(kind)].clone(),
            rows: scores.len(),
            auc: kind_auc(table, side, &test.scores, kind),
            recall: (!scores.is_empty()).then(|| caught as f64 / scores.len() as f64),
        });
    }
    Ok(results)
}

/// Every row tested once, in `count` folds.
///
/// # Errors
/// As a single evaluation, and what [`folds`] says of the table.
pub fn cross_validate(
    table: &Table,
    plan: &Plan,
    count: usize,
    progress: Progress<'_>,
) -> Result<Vec<Figures>, EvaluateError> {
    let plan = Plan { resamples: 0, ..plan.clone() };
    let splits = folds(table, plan.split, count, plan.validation, plan.seed)?;
    splits.iter().map(|split| Ok(super::judge(table, split, &plan, progress)?.figures)).collect()
}
