//! Flow tables → clean rows with labels, splits that do not leak, and inputs fitted on training rows only.
//!
//! The way of a row: [`read`] makes a [`Table`] from files, [`Split`] parts its rows into training, validation and
//! test, [`Encoder`] is fitted on the training rows and turns any rows into a [`Matrix`]. Only a split makes
//! [`TrainingRows`], and only those fit an encoder: a transform cannot see a test row by accident.
#![forbid(unsafe_code)]

mod error;
mod matrix;
mod table;
mod builder;
mod keys;
mod split;
mod encode;
mod summary;
pub mod explore;
mod write;
mod formats;
mod read;

pub use builder::{ColumnType, Row, TableBuilder, Value};
pub use encode::{CategoryCoding, DroppedColumn, Encoder, EncoderOptions, Scaling};
pub use error::TableError;
pub use formats::{Attempted, Format, Others, Schema};
pub use matrix::Matrix;
pub use read::{BadRows, Limits, Progress, ReadOptions, read};
pub use split::{Fractions, Held, RepeatCount, Repeats, Split, SplitOptions, SplitRule, TrainingRows, folds};
pub use summary::{ColumnSummary, Summary};
pub use table::{BENIGN, Coded, Column, Counts, Repairs, SourceFile, Table, Values};
