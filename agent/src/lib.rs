//! The agent: packets in, alerts out.
//!
//! Modules stand in data-flow order: a capture is read, metered and scored; alerts go to files and, through the outbox,
//! to the broker; releases come back through the update store.

pub mod clock;
pub mod config;
pub use lapwing_capture as capture;
mod batch;
pub mod budget;
pub mod cli;
pub mod commands;
pub mod confine;
pub mod coverage;
pub mod detector;
pub mod engines;
pub mod interruptible;
pub mod lan;
mod log;
pub mod network;
pub mod notify;
pub mod outbox;
pub mod output;
pub mod pace;
pub mod pipeline;
pub mod publish;
pub mod release_file;
pub mod response;
pub mod sampler;
pub mod scoring;
pub mod shed;
pub mod status;
pub mod update;

use clap::Parser;
use commands::meter::Input;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs the program with the given arguments, its own name first.
///
/// Exit codes: 0 done, 1 something was wrong (one line on standard error says what), 2 the command line was.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = cli::Cli::parse_from(arguments);
    log::start();
    match execute(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lapwing-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: cli::Command) -> anyhow::Result<()> {
    match command {
        cli::Command::Replay { files, options } => {
            let never = Arc::new(AtomicBool::new(false));
            commands::meter::meter(Input::Files(&files), &options, &never, &|| Ok(()))?;
        }
        cli::Command::Run { input, options } => {
            options.refuse_unsigned()?;
            let stopped = Arc::new(AtomicBool::new(false));
            let listen = || stop_on_signal(&stopped);
            let input = match &input {
                Some(path) => Input::Pipe(path),
                None => Input::Interfaces,
            };
            commands::meter::meter(input, &options, &stopped, &listen)?;
        }
        cli::Command::Status { asked, json } => print!("{}", status::ask::status(&asked.socket()?, json)?),
        cli::Command::Top { asked } => status::ask::top(&asked.socket()?)?,
        cli::Command::TestAlert { asked } => print!("{}", status::ask::test_alert(&asked.socket()?)?),
        cli::Command::Validate { config } => print!("{}", commands::validate::validate(&config)?),
        cli::Command::Inspect { release, keys } => print!("{}", commands::inspect::inspect(&release, &keys)?),
    }
    Ok(())
}

/// Lets SIGINT and SIGTERM set the flag.
fn stop_on_signal(stopped: &Arc<AtomicBool>) -> anyhow::Result<()> {
    let flag = Arc::clone(stopped);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            flag.store(true, Ordering::Relaxed);
        });
    })?;
    Ok(())
}
