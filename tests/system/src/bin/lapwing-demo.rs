//! Lapwing's whole loop in one minute: two gateways with recorded traffic, a trainer that learns their networks, an
//! attack that both detect, and a better model for both.
//!
//! The program starts itself again as `trainer` and as `agent`, each in its own process, and shows their MQTT messages.

use clap::Parser;
use lapwing_system_tests::demo::{self, Plan};
use std::path::PathBuf;
use std::process::ExitCode;

/// Lapwing's whole loop on this machine: two gateways, one trainer, one attack.
#[derive(Parser)]
#[command(name = "cargo demo", version)]
struct Arguments {
    /// Keep broker, trainer and agents running until Ctrl-C.
    #[arg(long)]
    serve: bool,
    /// Folder of the captures.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/captures"))]
    captures: PathBuf,
    /// Keep the demo's files in this folder. Default: a temporary folder that is removed.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    match arguments.next().as_deref().and_then(|first| first.to_str()) {
        Some("agent") => return lapwing_agent::main([program].into_iter().chain(arguments)),
        Some("trainer") => return lapwing_trainer::main([program].into_iter().chain(arguments)),
        _ => {}
    }
    let arguments = Arguments::parse();
    match demo::run(&Plan { serve: arguments.serve, captures: arguments.captures, keep: arguments.keep }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nthe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
