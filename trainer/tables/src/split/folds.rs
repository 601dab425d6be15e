//! A table → k-fold cross-validation: each row is tested once.

use super::assign::{Bundles, assign};
use super::rules::{group_key, unfit, with_validation};
use super::{Split, SplitRule};
use crate::error::TableError;
use crate::table::Table;

/// Makes `count` splits, stratified by kind. Under `group`, equal feature rows are in one fold; under `random` they may
/// not be. `validation` is the share of the non-test rows used for validation, split by group.
///
/// # Errors
/// Not 2 to 100 folds, too few rows, or a rule other than `group` and `random`.
pub fn folds(
    table: &Table,
    rule: SplitRule,
    count: usize,
    validation: f64,
    seed: u64,
) -> Result<Vec<Split>, TableError> {
    let rows: Vec<usize> = (0..table.rows()).collect();
    let bundles = match rule {
        SplitRule::Random => Bundles::single(&rows),
        SplitRule::Group => Bundles::by_key(&rows, |row| group_key(table, row)),
        other => {
            return Err(unfit(
                "folds need the rule group or random",
                format!("the rule is {other:?}"),
                "choose one of them",
            ));
        }
    };
    if !(2..=100).contains(&count) || !(0.0..=0.9).contains(&validation) {
        let found = format!("the plan has {count} folds and a validation share of {validation}");
        return Err(unfit(
            "cross-validation needs 2 to 100 folds and a validation share of 0 to 0.9",
            found,
            "change them",
        ));
    }
    let tests = assign(table, &bundles, &vec![1.0 / count as f64; count], seed);
    if tests.iter().any(Vec::is_empty) {
        let found = "a fold is empty".to_owned();
        return Err(unfit("each fold needs rows", found, "use fewer folds or more rows"));
    }
    let mut fold_of = vec![0; table.rows()];
    for (fold, test) in tests.iter().enumerate() {
        test.iter().for_each(|row| fold_of[*row] = fold);
    }
    let split = |(fold, test): (usize, Vec<usize>)| {
        let rest: Vec<usize> = rows.iter().copied().filter(|row| fold_of[*row] != fold).collect();
        let mut split = with_validation(table, &rest, test, validation, seed.wrapping_add(fold as u64));
        if rule == SplitRule::Group && table.groups().is_some() {
            split.remove_repeats(table);
        }
        split
    };
    Ok(tests.into_iter().enumerate().map(split).collect())
}
