//! Flow tables → clean rows with labels, splits that do not leak, and inputs fitted on training rows only.
//!
//! [`read`] reads files into a [`Table`], [`Split`] splits its rows into training, validation and test, and [`Encoder`]
//! is fitted on the training rows and turns any rows into a [`Matrix`]. Only a split creates [`TrainingRows`], and only
//! those fit an encoder, so a transform never sees a test row by accident.
#![forbid(unsafe_code)]

mod column;
mod error;
mod matrix;
pub mod stats;
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
pub use column::{Column, Values};
pub use encode::{CategoryCoding, DroppedColumn, Encoder, EncoderOptions, Scaling};
pub use error::TableError;
pub use formats::{Attempted, Format, Others, Schema};
pub use matrix::Matrix;
pub use read::{BadRows, Limits, ReadOptions, ReadProgress, read};
pub use split::{Fractions, Held, RepeatCount, Repeats, Split, SplitOptions, SplitRule, TrainingRows, folds};
pub use summary::{ColumnSummary, Summary};
pub use table::{Coded, Counts, Repairs, SourceFile, Table};
