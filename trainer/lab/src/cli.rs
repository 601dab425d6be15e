//! Command line of the lab.

use crate::commands::compare::{CompareArgs, run_compare};
use crate::commands::evaluate::run_evaluate;
use crate::commands::import::{ImportArgs, run_import};
use crate::evaluate::args::EvaluateArgs;
use clap::{Parser, Subcommand};
use lapwing_common::output;
use std::ffi::OsString;
use std::process::ExitCode;

/// Reads flow tables, evaluates and compares detection methods, and saves models for `lapwing-trainer predict` and
/// `lapwing-trainer serve`.
#[derive(Debug, Parser)]
#[command(name = "lapwing-lab", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EVALUATE_EXAMPLES: &str = "\
Examples:
  lapwing-lab evaluate --kind unsw-nb15 --train UNSW_NB15_training-set.csv --method isolation-forest --report out
  lapwing-lab evaluate --kind nsl-kdd --train KDDTrain+.txt --method random-forest --split random --name-kinds
  lapwing-lab evaluate --kind nsl-kdd --train KDDTrain+.txt --method autoencoder --leave-out-kinds --json -
  lapwing-lab evaluate --kind cic-ids2017 --train days/ --method gradient-boosting --split day \\
      --test-days friday --save model.lapwing";

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read flow tables or captures: summarize them, report dropped and repaired rows, and write a clean copy.
    #[command(
        after_help = "Examples:\n  lapwing-lab import --kind nsl-kdd KDDTrain+.txt.gz\n  lapwing-lab import --kind cic-ids2017 days/ --out cic.parquet --report out\n  lapwing-lab import --kind table flows.csv --schema flows.toml --json -"
    )]
    Import(Box<ImportArgs>),
    /// Evaluate one method on one table: figures with confidence intervals, a report page, a saved model.
    #[command(after_help = EVALUATE_EXAMPLES)]
    Evaluate(Box<EvaluateArgs>),
    /// Compare several methods over several seeds: means and standard deviations, statistical tests, a report page.
    #[command(after_help = "Example:\n  lapwing-lab compare --config docs/examples/compare.toml --report out")]
    Compare(CompareArgs),
}

/// Runs the lab's command line.
pub(crate) fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let result = match cli.command {
        Command::Import(args) => run_import(&args),
        Command::Evaluate(args) => run_evaluate(&args),
        Command::Compare(args) => run_compare(&args),
    };
    match result {
        Ok(()) if output::failed() => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lapwing-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_subcommand_has_an_example() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands() {
            assert!(command.clone().render_long_help().to_string().contains("Example"), "{}", command.get_name());
        }
    }
}
