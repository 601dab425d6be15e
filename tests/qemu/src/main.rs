//! `lapwing-gateway`: an agent for ARM, in a booted system under QEMU, against the trainer on this machine.

use clap::Parser;
use lapwing_qemu_tests::machine::Architecture;
use lapwing_qemu_tests::plot::{self, Part};
use lapwing_qemu_tests::stage;
use std::path::PathBuf;

/// Boots a gateway under QEMU, updates it, cuts its power at every step, attacks it, and lets the field's faults befall it.
#[derive(Parser)]
struct Arguments {
    /// The guest.
    #[arg(value_enum)]
    architecture: Architecture,
    /// The agent's program for the guest, as firmware-configs/build leaves it.
    agent: PathBuf,
    /// The trainer's program for this machine.
    #[arg(long)]
    trainer: PathBuf,
    /// Engine that scores: int8 or tract.
    #[arg(long, default_value = "int8")]
    engine: String,
    /// Parts of the story.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Updates, Part::Faults])]
    parts: Vec<Part>,
    /// Folder for the files of this run, kept; temporary when absent.
    #[arg(long)]
    keep: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let temporary = std::env::temp_dir().join(format!("lapwing-qemu-{}", std::process::id()));
    let folder = arguments.keep.clone().unwrap_or_else(|| temporary.clone());
    std::fs::create_dir_all(&folder)?;
    let plan = stage::Plan {
        architecture: arguments.architecture,
        agent: arguments.agent,
        engine: arguments.engine,
        trainer: arguments.trainer,
        tests: stage::tests_folder(),
        folder,
    };
    let outcome = plot::play(&plan, &arguments.parts);
    if arguments.keep.is_none() {
        // A folder left over in /tmp is not worth failing for.
        let _ = std::fs::remove_dir_all(&temporary);
    }
    outcome
}
