//! `lapwing-gateway`: an ARM agent in a system booted under QEMU, tested against the trainer on this machine.

use clap::Parser;
use lapwing_qemu_tests::{Architecture, Plan, Scenario};
use std::path::PathBuf;

/// Boots a gateway under QEMU and tests updates, power cuts, attacks, field failures and packages.
#[derive(Parser)]
struct Arguments {
    /// Architecture of the guest.
    #[arg(value_enum)]
    architecture: Architecture,
    /// The agent's program for the guest, built with firmware-configs/build.
    agent: PathBuf,
    /// The trainer's program for this machine.
    #[arg(long)]
    trainer: PathBuf,
    /// Inference engine: int8 or tract.
    #[arg(long, default_value = "int8")]
    engine: String,
    /// Scenarios to run.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Scenario::Updates, Scenario::Faults])]
    parts: Vec<Scenario>,
    /// Folder in which to keep the files of this run. Default: a temporary folder, deleted afterwards.
    #[arg(long)]
    keep: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let temporary = std::env::temp_dir().join(format!("lapwing-qemu-{}", std::process::id()));
    let folder = arguments.keep.clone().unwrap_or_else(|| temporary.clone());
    std::fs::create_dir_all(&folder)?;
    let plan = Plan {
        architecture: arguments.architecture,
        agent: arguments.agent,
        engine: arguments.engine,
        trainer: arguments.trainer,
        tests: lapwing_qemu_tests::tests_folder(),
        folder,
    };
    let outcome = lapwing_qemu_tests::run(&plan, &arguments.parts);
    if arguments.keep.is_none() {
        // Ignore a failure: a leftover folder in /tmp is no reason to fail.
        let _ = std::fs::remove_dir_all(&temporary);
    }
    outcome
}
