//! A table → figures of k folds.

use super::error::EvaluateError;
use super::figures::Figures;
use super::plan::Plan;
use lapwing_methods::Progress;
use lapwing_tables::{Table, folds};

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
