//! A table → rows to train on, rows for thresholds and early stopping (validation), and rows to evaluate on (test).
//!
//! The three subsets never share a row. Under the `group` rule they share no feature row either: rows with equal
//! features are in the same subset. Other rules can repeat feature rows across subsets; [`Split::repeats`] counts them,
//! and [`Repeats::SetAside`] removes them from validation and test.

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

/// How rows are split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitRule {
    /// Test files are given separately; validation rows are split from the training files by group.
    Given,
    /// Row by row, stratified by kind. Overly optimistic if rows repeat.
    Random,
    /// As random, but rows with equal features stay together, or rows of a named group if the table has groups.
    Group,
    /// By time: the earliest rows train, later ones validate, the latest test.
    Time,
    /// Named days test; validation uses other named days, or a split of the rest by group.
    Day,
}

/// What to do with validation and test rows that repeat the features of a training row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Repeats {
    /// Keep and count them.
    #[default]
    Keep,
    /// Remove and count them.
    SetAside,
}

/// Shares of the subsets; training gets the rest.
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

/// Options of [`Split::make`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct SplitOptions {
    pub rule: SplitRule,
    /// The same seed gives the same subsets.
    pub seed: u64,
    /// Shares of validation and test.
    pub fractions: Fractions,
    /// Rows that repeat training rows.
    pub repeats: Repeats,
    /// `day`: days to test on.
    pub test_days: Vec<String>,
    /// `day`: days to validate on; empty: validation rows are split from the training days by group.
    pub validation_days: Vec<String>,
}

impl SplitOptions {
    /// Options with this rule and seed, default shares, and repeats kept.
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

/// Row numbers of the three subsets, each ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    training: TrainingRows,
    validation: Vec<usize>,
    test: Vec<usize>,
    set_aside: usize,
}

impl Split {
    /// Splits a table.
    ///
    /// # Errors
    /// The table lacks what the rule needs (times, days, test files), shares are out of range, or a subset is empty
    /// that should not be.
    pub fn make(table: &Table, options: &SplitOptions) -> Result<Self, TableError> {
        rules::make(table, options)
    }

    /// A split from given rows; rejects leaks.
    ///
    /// # Errors
    /// A row that is out of range or used twice, or a validation or test row with the features of a training row.
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
        for rows in [&mut training, &mut validation, &mut test] {
            rows.sort_unstable();
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

    /// Rows to evaluate on, once.
    pub fn test(&self) -> &[usize] {
        &self.test
    }

    /// Number of validation and test rows that were removed because they repeat the features of a training row.
    pub fn set_aside(&self) -> usize {
        self.set_aside
    }

    /// Rejects a split whose validation or test rows repeat the features of a training row.
    ///
    /// # Errors
    /// [`TableError::Leak`], with the first pair.
    pub fn check(&self, table: &Table) -> Result<(), TableError> {
        leak::check(table, self)
    }

    /// Counts validation and test rows with the features of a training row; report it with every metric.
    pub fn repeats(&self, table: &Table) -> RepeatCount {
        leak::repeats(table, self)
    }

    /// Removes validation and test rows that repeat the features of a training row.
    pub(crate) fn remove_repeats(&mut self, table: &Table) {
        self.set_aside += leak::remove_repeats(table, self);
    }

    /// The same split without these attack kinds in training and validation: no row of them, and no other attack row
    /// with the features of one, which would give the answer away under another label. Benign rows with such features
    /// stay; they make the kind harder to detect. With [`Held::Every`] the removed rows are tested as well.
    pub fn leave_out(&self, table: &Table, kinds: &[u16], held: Held) -> Self {
        left_out::leave_out(table, self, kinds, held)
    }

    /// Rejects a split with rows of these attack kinds in training or validation.
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
