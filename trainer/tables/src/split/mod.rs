//! A table → rows to train on, to set thresholds and stop on (validation), and to judge by (test).
//!
//! Sides never share a row. Under the `group` rule they share no feature row either: rows with equal features go to one
//! side together. The other rules may repeat feature rows across sides; [`Split::repeats`] says how many, and
//! [`Repeats::SetAside`] takes them out of validation and test.

mod assign;
mod folds;
mod leak;
mod left_out;
mod rules;
mod training;

pub use folds::folds;
pub use leak::RepeatCount;
pub(crate) use leak::table_repeats;
pub use left_out::Held;
pub use training::TrainingRows;

use crate::error::TableError;
use crate::table::Table;
use serde::{Deserialize, Serialize};

/// How rows are parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitRule {
    /// Test files were given apart from training files; validation is parted from the training files by group.
    Given,
    /// Row by row, in equal shares of each kind. Flatters where rows repeat.
    Random,
    /// As random, but equal feature rows stay together, and so do rows of a named group where the table has one.
    Group,
    /// First rows train, later validate, latest test.
    Time,
    /// Named days test; validation is other named days, or parted from the rest by group.
    Day,
}

/// What happens to validation and test rows whose features also stand in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Repeats {
    /// They stay, and are counted.
    #[default]
    Keep,
    /// They are taken out, and counted.
    SetAside,
}

/// Shares of the rows; training gets the rest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fractions {
    /// Share of validation rows, 0 to 0.9. Under `given` and `day`: of the training rows.
    pub validation: f64,
    /// Share of test rows, 0 to 0.9. Not used by `given` and `day`.
    pub test: f64,
}

impl Default for Fractions {
    fn default() -> Self {
        Self { validation: 0.2, test: 0.2 }
    }
}

/// What [`Split::make`] goes by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitOptions {
    /// The rule.
    pub rule: SplitRule,
    /// Same seed, same sides.
    pub seed: u64,
    /// Shares.
    pub fractions: Fractions,
    /// Rows seen in training.
    pub repeats: Repeats,
    /// `day`: days to test on.
    pub test_days: Vec<String>,
    /// `day`: days to validate on; none parts validation from the training days by group.
    pub validation_days: Vec<String>,
}

impl SplitOptions {
    /// This rule and seed, default shares, repeats kept.
    pub fn new(rule: SplitRule, seed: u64) -> Self {
        Self {
            rule,
            seed,
            fractions: Fractions::default(),
            repeats: Repeats::Keep,
            test_days: Vec::new(),
            validation_days: Vec::new(),
        }
    }
}

/// Rows by side, each side in the table's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    training: TrainingRows,
    validation: Vec<usize>,
    test: Vec<usize>,
    set_aside: usize,
}

impl Split {
    /// Parts a table.
    ///
    /// # Errors
    /// What the rule needs is not in the table (times, days, test files), shares are out of range, or a side that
    /// should have rows has none.
    pub fn make(table: &Table, options: &SplitOptions) -> Result<Self, TableError> {
        rules::make(table, options)
    }

    /// Sides of somebody else's making. This is where a planted leak ends.
    ///
    /// # Errors
    /// A row that the table does not have or that stands on two sides, or a feature row of training that stands again
    /// in validation or test.
    pub fn from_rows(
        table: &Table,
        training: Vec<usize>,
        validation: Vec<usize>,
        test: Vec<usize>,
    ) -> Result<Self, TableError> {
        let split = Self::unchecked(training, validation, test);
        leak::check_rows(table, &split)?;
        split.check(table)?;
        Ok(split)
    }

    fn unchecked(mut training: Vec<usize>, mut validation: Vec<usize>, mut test: Vec<usize>) -> Self {
        for side in [&mut training, &mut validation, &mut test] {
            side.sort_unstable();
        }
        Self { training: TrainingRows::new(training), validation, test, set_aside: 0 }
    }

    /// Rows to fit on.
    pub fn training(&self) -> &TrainingRows {
        &self.training
    }

    /// Rows for thresholds and early stopping.
    pub fn validation(&self) -> &[usize] {
        &self.validation
    }

    /// Rows to judge by, once.
    pub fn test(&self) -> &[usize] {
        &self.test
    }

    /// Validation and test rows that were taken out because training has the same feature row.
    pub fn set_aside(&self) -> usize {
        self.set_aside
    }

    /// Refuses a split with equal feature rows on both sides of training.
    ///
    /// # Errors
    /// [`TableError::Leak`], with the first pair.
    pub fn check(&self, table: &Table) -> Result<(), TableError> {
        leak::check(table, self)
    }

    /// How many rows of validation and test have the features of a training row: to be told beside every figure.
    pub fn repeats(&self, table: &Table) -> RepeatCount {
        leak::repeats(table, self)
    }

    /// Takes rows that repeat a training row out of validation and test.
    pub fn set_repeats_aside(&mut self, table: &Table) {
        self.set_aside += leak::set_aside(table, self);
    }

    /// The same split with these attack kinds new to whoever learns from it: training and validation have no row of
    /// them, and no other attack row with the features of one (under another name the answer would be known). Benign
    /// rows with such features stay: they make the kind harder to tell, not easier. With [`Held::Every`] the rows taken
    /// out are tested, too.
    pub fn leave_out(&self, table: &Table, kinds: &[u16], held: Held) -> Self {
        left_out::leave_out(table, self, kinds, held)
    }

    /// Refuses a split that shows one of these attack kinds before the test.
    ///
    /// # Errors
    /// [`TableError::LeftOut`], with the first row.
    pub fn check_left_out(&self, table: &Table, kinds: &[u16]) -> Result<(), TableError> {
        left_out::check(table, self, kinds)
    }
}

#[cfg(test)]
impl Split {
    /// Training rows without checks.
    pub(crate) fn unchecked_for_tests(training: Vec<usize>) -> TrainingRows {
        TrainingRows::new(training)
    }
}

#[cfg(test)]
mod tests;
