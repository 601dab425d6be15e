//! What can be wrong with rows, labels or settings that a method is given; every method and metric reports it, none panics.

use thiserror::Error;

/// Why a method cannot be fitted or applied, or a metric cannot be computed.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum MethodError {
    /// Nothing to learn from or to measure on.
    #[error("{what}: no rows; at least {needed} are needed")]
    NoRows {
        /// What was asked for.
        what: &'static str,
        /// Smallest number of rows that would do.
        needed: usize,
    },
    /// Fewer rows than the method needs.
    #[error("{what}: {rows} rows; at least {needed} are needed")]
    TooFewRows {
        /// What was asked for.
        what: &'static str,
        /// Rows given.
        rows: usize,
        /// Smallest number of rows that would do.
        needed: usize,
    },
    /// Rows without any column.
    #[error("{what}: rows have no columns")]
    NoColumns {
        /// What was asked for.
        what: &'static str,
    },
    /// More columns than the method's memory bound allows.
    #[error("{what}: {columns} columns; at most {limit} are supported: select or hash columns first")]
    TooManyColumns {
        /// What was asked for.
        what: &'static str,
        /// Columns given.
        columns: usize,
        /// Most columns that the method takes.
        limit: usize,
    },
    /// More rows than the method's memory bound allows.
    #[error("{what}: {rows} rows; at most {limit} are supported: sample the rows first")]
    TooManyRows {
        /// What was asked for.
        what: &'static str,
        /// Rows given.
        rows: usize,
        /// Most rows that the method takes.
        limit: usize,
    },
    /// A value that is not a finite number.
    #[error("row {row}, column {column}: {value} is not a finite number; clean or impute it first")]
    NotFinite {
        /// Row, from 0.
        row: usize,
        /// Column, from 0.
        column: usize,
        /// The value.
        value: f32,
    },
    /// A score or label that stands in no order (NaN), or is infinite.
    #[error("{what} at {position} is {value}, not a finite number")]
    NotFiniteAt {
        /// Which list.
        what: &'static str,
        /// Position in it, from 0.
        position: usize,
        /// The value.
        value: f64,
    },
    /// Every column is constant, so that no row differs from another.
    #[error("{what}: every column is constant; there is nothing to learn from")]
    AllConstant {
        /// What was asked for.
        what: &'static str,
    },
    /// A method was fitted on rows of another width.
    #[error("rows have {given} columns; the method was fitted on {expected}")]
    WidthDiffers {
        /// Columns at fitting time.
        expected: usize,
        /// Columns now.
        given: usize,
    },
    /// Two lists that belong together differ in length.
    #[error("{what}: {given} values for {expected} rows")]
    LengthDiffers {
        /// Which list.
        what: &'static str,
        /// Its length.
        given: usize,
        /// The length that was expected.
        expected: usize,
    },
    /// A label beyond the number of classes.
    #[error("row {row}: label {label}, but there are {classes} classes, counted from 0")]
    UnknownLabel {
        /// Row, from 0.
        row: usize,
        /// The label.
        label: u32,
        /// Number of classes.
        classes: usize,
    },
    /// Rows of one class only: nothing can be told apart.
    #[error("{what}: all {rows} rows are of class {class}; rows of at least two classes are needed")]
    OneClass {
        /// What was asked for.
        what: &'static str,
        /// Rows given.
        rows: usize,
        /// The only class.
        class: u32,
    },
    /// A setting outside its range.
    #[error("{setting} is {value}; expected {expected}")]
    Setting {
        /// Name of the setting, as in a configuration file.
        setting: &'static str,
        /// What it is.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A name that is no method.
    #[error("no method is called `{name}`; there are: {known}")]
    UnknownMethod {
        /// What was asked for.
        name: String,
        /// All names, with commas.
        known: String,
    },
    /// The numbers did not allow a result.
    #[error("{what}: {why}")]
    Numeric {
        /// What was computed.
        what: &'static str,
        /// What went wrong and, where there is one, the next step.
        why: String,
    },
}
