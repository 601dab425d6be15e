//! The lab: flow tables and captures → figures of a method, comparisons of methods, and models to predict with.
#![forbid(unsafe_code)]

pub mod evaluate;
mod compare;
mod commands;
mod cli;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the lab's command line.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::main(args)
}
