//! Command line and configuration → the trainer: a server that collects, trains and publishes, and its tools.
#![forbid(unsafe_code)]

pub mod allocator;
mod replaced_file;
mod access;
mod config;
pub mod serve;
mod commands;
mod cli;

use lapwing_pipeline::make::Pipeline;
use lapwing_pipeline::train::TrainConfig;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

/// Runs the trainer's command line.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::main(args, Arc::new(Pipeline { config: TrainConfig::default() }))
}
