//! Does a split let the model see what it is judged by? Feature rows are compared by their keys.

use super::Split;
use crate::error::TableError;
use crate::table::Table;
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// Rows whose features also stand in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RepeatCount {
    /// Validation rows.
    pub validation: usize,
    /// Of them, rows seen in training.
    pub validation_repeats: usize,
    /// Test rows.
    pub test: usize,
    /// Of them, rows seen in training.
    pub test_repeats: usize,
    /// Rows of the whole table that repeat an earlier row.
    pub table_repeats: usize,
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

/// Rows that repeat an earlier row of the table.
pub(crate) fn table_repeats(table: &Table) -> usize {
    let mut seen = HashSet::with_capacity(table.rows());
    table.keys().iter().filter(|key| !seen.insert(**key)).count()
}

pub(super) fn set_aside(table: &Table, split: &mut Split) -> usize {
    let seen = training_keys(table, split);
    let before = split.validation.len() + split.test.len();
    split.validation.retain(|row| !seen.contains(&table.keys()[*row]));
    split.test.retain(|row| !seen.contains(&table.keys()[*row]));
    before - split.validation.len() - split.test.len()
}

pub(super) fn check(table: &Table, split: &Split) -> Result<(), TableError> {
    let seen: HashMap<u64, usize> = split.training.as_slice().iter().map(|row| (table.keys()[*row], *row)).collect();
    for (side, rows) in [("validation", &split.validation), ("test", &split.test)] {
        let mut leaked = rows.iter().filter_map(|row| seen.get(&table.keys()[*row]).map(|first| (*row, *first)));
        if let Some((row, first)) = leaked.next() {
            return Err(TableError::Leak {
                side,
                rows: leaked.count() + 1,
                of: rows.len(),
                first: format!("{} is {}", table.origin(row), table.origin(first)),
            });
        }
    }
    Ok(())
}

/// Refuses row numbers out of range, and rows on two sides or twice on one.
pub(super) fn check_rows(table: &Table, split: &Split) -> Result<(), TableError> {
    let mut taken = vec![false; table.rows()];
    for row in split.training.as_slice().iter().chain(&split.validation).chain(&split.test) {
        match taken.get_mut(*row) {
            None => return Err(TableError::Index { row: *row, problem: "is not in the table" }),
            Some(true) => return Err(TableError::Index { row: *row, problem: "stands twice in the split" }),
            Some(taken) => *taken = true,
        }
    }
    Ok(())
}
