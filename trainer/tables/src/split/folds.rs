//! k-fold cross-validation: every row is tested once.

use super::assign::{Bundles, assign};
use super::rules::{group_key, unfit, with_validation};
use super::{Split, SplitRule};
use crate::error::TableError;
use crate::table::Table;

/// `count` splits, each kind spread over all folds; under `group` equal feature rows stay in one fold, under `random`
/// they need not. `validation` is the share of the remaining rows that is parted off for validation, by group.
///
/// # Errors
/// Fewer than 2 or more than 100 folds, fewer bundles than folds, or a rule other than `group` and `random`.
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
        other => return Err(unfit("folds go by group or random", format!("the rule is {other:?}"), "choose one")),
    };
    if !(2..=100).contains(&count) || !(0.0..=0.9).contains(&validation) {
        let found = format!("there are {count} folds with a validation share of {validation}");
        return Err(unfit("cross-validation takes 2 to 100 folds and shares of 0 to 0.9", found, "change them"));
    }
    let sides = assign(table, &bundles, &vec![1.0 / count as f64; count], seed);
    if sides.iter().any(Vec::is_empty) {
        let found = "a fold got none".to_owned();
        return Err(unfit("each fold needs rows", found, "use fewer folds or more rows"));
    }
    let mut of = vec![0; table.rows()];
    for (fold, side) in sides.iter().enumerate() {
        side.iter().for_each(|row| of[*row] = fold);
    }
    let split = |(fold, test): (usize, Vec<usize>)| {
        let rest: Vec<usize> = rows.iter().copied().filter(|row| of[*row] != fold).collect();
        let mut split = with_validation(table, &rest, test, validation, seed.wrapping_add(fold as u64));
        if rule == SplitRule::Group && table.groups().is_some() {
            split.set_repeats_aside(table);
        }
        split
    };
    Ok(sides.into_iter().enumerate().map(split).collect())
}
