//! A table and a plan → figures of each cross-validation fold.

use super::error::EvaluateError;
use super::figures::Figures;
use lapwing_methods::FitProgress;
use lapwing_models::Plan;
use lapwing_tables::{Table, folds};

/// Cross-validates in `count` folds; every row is tested once.
///
/// # Errors
/// Those of a single evaluation, and those of [`folds`].
pub(crate) fn cross_validate(
    table: &Table,
    plan: &Plan,
    count: usize,
    progress: FitProgress<'_>,
) -> Result<Vec<Figures>, EvaluateError> {
    let plan = Plan { resamples: 0, ..plan.clone() };
    let splits = folds(table, plan.split, count, plan.validation, plan.seed)?;
    splits.iter().map(|split| Ok(super::evaluate(table, split, &plan, progress)?.figures)).collect()
}
