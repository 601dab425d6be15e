//! Helpers of all trainer crates: clock, number and time formats, output, private files, thread priority.
#![forbid(unsafe_code)]

pub mod clock;
pub mod format;
pub mod output;
pub mod priority;
pub mod private_file;
