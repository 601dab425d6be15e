//! The trainer: samples in, releases out.
#![forbid(unsafe_code)]

pub mod allocator;
pub mod cli;
pub mod clock;
pub mod collect;
mod commands;
pub mod config;
pub mod serve;
pub mod store;

pub use commands::keys::read_secret;

use lapwing_shared::features::SchemaId;
use serve::make::{MakeError, Order, Progress, ReleaseMaker, Rows};
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

/// Runs the trainer's command line.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::main(args, Arc::new(NoTraining))
}

/// Stands where no training is built in: everything but making releases works.
struct NoTraining;

impl ReleaseMaker for NoTraining {
    fn schema(&self) -> SchemaId {
        [0; 32]
    }

    fn make(&self, _: &Order, _: Rows<'_>, _: &mut dyn FnMut(Progress)) -> Result<Vec<u8>, MakeError> {
        Err(MakeError::Training("this build cannot train".into()))
    }
}
