//! Invalid rows, labels or settings → errors. Methods and metrics return them and never panic on input.

use thiserror::Error;

/// Why a method cannot be fitted or applied, or a metric cannot be computed.
#[derive(Clone, Debug, PartialEq, Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum MethodError {
    /// No rows to fit or measure on.
    #[error("{what}: no rows; at least {needed} are needed")]
    NoRows {
        /// The method or metric.
        what: &'static str,
        /// Minimum number of rows.
        needed: usize,
    },
    /// Fewer rows than the method needs.
    #[error("{what}: {rows} rows; at least {needed} are needed")]
    TooFewRows {
        /// The method or metric.
        what: &'static str,
        rows: usize,
        /// Minimum number of rows.
        needed: usize,
    },
    #[error("{what}: rows have no columns")]
    NoColumns {
        /// The method or metric.
        what: &'static str,
    },
    /// More columns than the method's memory bound allows.
    #[error("{what}: {columns} columns; at most {limit} are supported: select or hash columns first")]
    TooManyColumns {
        /// The method or metric.
        what: &'static str,
        columns: usize,
        /// Maximum number of columns.
        limit: usize,
    },
    /// More rows than the method's memory bound allows.
    #[error("{what}: {rows} rows; at most {limit} are supported: sample the rows first")]
    TooManyRows {
        /// The method or metric.
        what: &'static str,
        rows: usize,
        /// Maximum number of rows.
        limit: usize,
    },
    /// A value that is not a finite number.
    #[error("row {row}, column {column}: {value} is not a finite number; clean or impute it first")]
    NotFinite {
        /// Row, from 0.
        row: usize,
        /// Column, from 0.
        column: usize,
        value: f32,
    },
    /// A score or label that is NaN or infinite.
    #[error("{what} at {position} is {value}, not a finite number")]
    NotFiniteAt {
        what: &'static str,
        /// Position in it, from 0.
        position: usize,
        value: f64,
    },
    /// Every column is constant.
    #[error("{what}: every column is constant; there is nothing to learn from")]
    AllConstant {
        /// The method or metric.
        what: &'static str,
    },
    /// The method was fitted on rows with another number of columns.
    #[error("rows have {given} columns; the method was fitted on {expected}")]
    WidthDiffers {
        /// Number of columns when fitted.
        expected: usize,
        /// Number of columns given.
        given: usize,
    },
    /// Two lists that belong together have different lengths.
    #[error("{what}: {given} values for {expected} rows")]
    LengthDiffers { what: &'static str, given: usize, expected: usize },
    /// A label at or above the number of classes.
    #[error("row {row}: label {label} is out of range: there are {classes} classes, numbered from 0")]
    UnknownLabel {
        /// Row, from 0.
        row: usize,
        label: u32,
        classes: usize,
    },
    /// Rows of one class only.
    #[error("{what}: all {rows} rows are of class {class}; rows of at least two classes are needed")]
    OneClass {
        /// The method or metric.
        what: &'static str,
        rows: usize,
        class: u32,
    },
    /// A setting that is out of range.
    #[error("{setting} is {value}; expected {expected}")]
    Setting {
        /// Name of the setting, as in a configuration file.
        setting: &'static str,
        value: String,
        expected: &'static str,
    },
    #[error("unknown method `{name}`; expected one of: {known}")]
    UnknownMethod {
        name: String,
        /// All names, separated by commas.
        known: String,
    },
    /// The computation gave no usable result.
    #[error("{what}: {why}")]
    Numeric {
        what: &'static str,
        /// What went wrong and, if known, what to do.
        why: String,
    },
}
