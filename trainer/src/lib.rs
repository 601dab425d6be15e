//! The trainer: samples in, releases out.
#![forbid(unsafe_code)]

pub mod allocator;
pub mod calibrate;
pub mod card;
pub mod cli;
pub mod clock;
pub mod collect;
pub mod commands;
pub mod compare;
pub mod config;
pub mod dataset;
pub mod drift;
pub mod evaluate;
pub mod kinds;
pub mod learn;
pub mod predict;
pub mod quantize;
pub mod release;
pub mod serve;
pub mod store;
pub mod synthetic;
mod tell;
pub mod train;
pub mod web;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

/// Runs the trainer's command line.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::main(args, Arc::new(learn::Learner { config: train::TrainConfig::default() }))
}
