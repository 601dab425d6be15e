//! Flow tables → clean rows with labels, splits that do not leak, and inputs fitted on training rows only.
#![forbid(unsafe_code)]

mod matrix;

pub use matrix::Matrix;
