//! Load test for a trainer: many agents on real MQTT 5 connections that wait for an acknowledgement of every message.
//!
//! `lapwing-load run --broker 127.0.0.1:1883 --agents 1000 --rate 20000 --seconds 60` sends messages. `lapwing-load
//! trainer serve …` runs the trainer, so that a test needs one program only.

use clap::{Parser, Subcommand};
use lapwing_common::clock;
use lapwing_system_tests::load::{self, LoadOptions};
use std::ffi::OsString;
use std::process::ExitCode;

/// Load test for a trainer.
#[derive(Debug, Parser)]
#[command(name = "lapwing-load")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send messages and wait until each one is acknowledged.
    Run(LoadOptions),
    /// Run the trainer with these arguments.
    #[command(disable_help_flag = true, trailing_var_arg = true, allow_hyphen_values = true)]
    Trainer {
        /// Arguments of the trainer.
        args: Vec<OsString>,
    },
}

/// How far the trainer's wall clock is ahead, for tests of campaigns, which take days.
fn ahead_s() -> u64 {
    std::env::var("LAPWING_CLOCK_AHEAD_S").map_or(0, |seconds| seconds.parse().expect("LAPWING_CLOCK_AHEAD_S: seconds"))
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Trainer { args } => {
            clock::set_ahead(ahead_s());
            lapwing_trainer::allocator::restart_with_fixed_threshold();
            lapwing_trainer::main([OsString::from("lapwing-trainer")].into_iter().chain(args))
        }
        Command::Run(options) => match load::run(&options) {
            Ok(report) => {
                println!("{report}");
                if report.unacknowledged == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(error) => {
                eprintln!("lapwing-load: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}
