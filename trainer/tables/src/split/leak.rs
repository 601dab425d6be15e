//! A split → whether validation or test rows repeat training rows. Feature rows are compared by their keys.

use super::Split;
use crate::error::TableError;
use crate::table::Table;
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// Numbers of rows with the features of a training row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RepeatCount {
    /// Number of validation rows.
    pub validation: usize,
    /// Those with the features of a training row.
    pub(crate) validation_repeats: usize,
    /// Number of test rows.
    pub test: usize,
    /// Those with the features of a training row.
    pub test_repeats: usize,
    /// Number of rows of the table that repeat an earlier row.
    pub(crate) table_repeats: usize,
}

fn training_keys(table: &Table, split: &Split) -> HashSet<u64> {
    split.training.as_slice().iter().map(|row| table.keys()[*row]).collect()
}

pub(super) fn repeats(table: &Table, split: &Split) -> RepeatCount {
    let seen = training_keys(table, split);
    let count = |rows: &[usize]| rows.iter().filter(|row| seen.contains(&table.keys()[**row])).count();
    RepeatCount {
        validation: split.validation.len(),
        validation_repeats: count(&split.validation),
        test: split.test.len(),
        test_repeats: count(&split.test),
        table_repeats: table_repeats(table),
    }
}

/// Number of rows that repeat an earlier row of the table.
pub(crate) fn table_repeats(table: &Table) -> usize {
    let mut seen = HashSet::with_capacity(table.rows());
    table.keys().iter().filter(|key| !seen.insert(**key)).count()
}

/// Removes validation and test rows that repeat a training row; returns their number.
pub(super) fn remove_repeats(table: &Table, split: &mut Split) -> usize {
    let seen = training_keys(table, split);
    let before = split.validation.len() + split.test.len();
    split.validation.retain(|row| !seen.contains(&table.keys()[*row]));
    split.test.retain(|row| !seen.contains(&table.keys()[*row]));
    before - split.validation.len() - split.test.len()
}

pub(super) fn check(table: &Table, split: &Split) -> Result<(), TableError> {
    let seen: HashMap<u64, usize> = split.training.as_slice().iter().map(|row| (table.keys()[*row], *row)).collect();
    for (subset, rows) in [("validation", &split.validation), ("test", &split.test)] {
        let mut repeats = rows.iter().filter_map(|row| seen.get(&table.keys()[*row]).map(|first| (*row, *first)));
        if let Some((row, first)) = repeats.next() {
            return Err(TableError::Leak {
                side: subset,
                rows: repeats.count() + 1,
                of: rows.len(),
                first: format!("{} equals {}", table.origin(row), table.origin(first)),
            });
        }
    }
    Ok(())
}

/// Rejects row numbers that are out of range or occur twice.
pub(super) fn check_rows(table: &Table, split: &Split) -> Result<(), TableError> {
    let mut taken = vec![false; table.rows()];
    for row in split.training.as_slice().iter().chain(&split.validation).chain(&split.test) {
        match taken.get_mut(*row) {
            None => return Err(TableError::Index { row: *row, problem: "is not in the table" }),
            Some(true) => return Err(TableError::Index { row: *row, problem: "occurs twice in the split" }),
            Some(taken) => *taken = true,
        }
    }
    Ok(())
}
