//! The whole story in under two minutes: two gateways on recorded traffic, a trainer that learns their network, an
//! attack found, a better model for both.
//!
//! The program is all three parties: it starts itself again as `trainer` and as `agent`, each a process of its own, and
//! tells what they say to each other over MQTT.

use clap::Parser;
use lapwing_system_tests::demo::{self, Plan};
use std::path::PathBuf;
use std::process::ExitCode;

/// Two gateways, one trainer, one attack: Lapwing's whole loop on this machine.
#[derive(Parser)]
#[command(name = "cargo demo", version)]
struct Arguments {
    /// Keep broker, trainer and agents running at the end, until Ctrl-C.
    #[arg(long)]
    serve: bool,
    /// Folder of the captures.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/captures"))]
    captures: PathBuf,
    /// Keep the demo's files there instead of in a temporary folder.
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
            eprintln!("\nthe demo did not come to its end: {error:#}");
            ExitCode::FAILURE
        }
    }
}
