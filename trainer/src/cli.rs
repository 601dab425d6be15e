//! Command line of the trainer: one program, each subcommand usable alone.

use crate::commands::compare::{CompareArgs, run_compare};
use crate::commands::drift::{DriftArgs, run_drift};
use crate::commands::evaluate::run_evaluate;
use crate::commands::import::{ImportArgs, run_import};
use crate::commands::learn::{CalibrateArgs, ReleaseArgs, TrainArgs, run_calibrate, run_release, run_train};
use crate::commands::serve::{ServeArgs, run_serve};
use crate::commands::{self, keys, lists};
use crate::config::Config;
use crate::evaluate::args::EvaluateArgs;
use crate::predict::args::{PredictArgs, run_predict};
use crate::serve::make::ReleaseMaker;
use crate::tell;
use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Collects what Lapwing's agents see, learns their network, and sends them better models.
#[derive(Debug, Parser)]
#[command(name = "lapwing-trainer", version, after_help = EXAMPLES)]
pub struct Cli {
    /// Log filter, like `info`, `debug` or `lapwing_trainer=debug`.
    #[arg(long, global = true, default_value = "info", value_name = "FILTER")]
    pub log: String,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  lapwing-trainer keys new site-1 --secret site-1.key --public site-1.pub
  lapwing-trainer serve --listen 0.0.0.0:1883 --key site-1.key --after-rows 20000
  lapwing-trainer serve --config /etc/lapwing/trainer.toml
  lapwing-trainer alerts --unlabelled
  lapwing-trainer label gateway-1 7301441236303872001 benign
  lapwing-trainer retrain";

const EVALUATE_EXAMPLES: &str = "\
Examples:
  lapwing-trainer evaluate --kind unsw-nb15 --train UNSW_NB15_training-set.csv --method isolation-forest --report out
  lapwing-trainer evaluate --kind nsl-kdd --train KDDTrain+.txt --method random-forest --split random --name-kinds
  lapwing-trainer evaluate --kind nsl-kdd --train KDDTrain+.txt --method autoencoder --leave-out-kinds --json -
  lapwing-trainer evaluate --kind cic-ids2017 --train days/ --method gradient-boosting --split day \\
      --test-days friday --save model.lapwing";

const PREDICT_EXAMPLES: &str = "\
Examples:
  lapwing-trainer predict --model model.lapwing rows.csv --out answers.csv
  lapwing-trainer predict --model model.lapwing --row 'proto=tcp,sbytes=120000,rate=90000'
  lapwing-trainer predict --model model.lapwing --about";

const DRIFT_EXAMPLES: &str = "\
Examples:
  lapwing-trainer drift --release home-3.lwr --reference store.sqlite --report out
  lapwing-trainer drift --release home-3.lwr --reference monday.pcap.gz --present friday.pcap.gz --json -";

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Collect, train when it is time, publish releases; runs until SIGTERM or Ctrl-C.
    #[command(
        after_help = "Example:\n  lapwing-trainer serve --listen 0.0.0.0:1883 --key site-1.key --every 7d\n  lapwing-trainer serve --predict-model model.lapwing --http 127.0.0.1:8480"
    )]
    Serve(ServeArgs),
    /// Read flow tables or captures: what is in them, what was dropped or repaired, and a clean copy.
    #[command(
        after_help = "Examples:\n  lapwing-trainer import --kind nsl-kdd KDDTrain+.txt.gz\n  lapwing-trainer import --kind cic-ids2017 days/ --out cic.parquet --report out\n  lapwing-trainer import --kind table flows.csv --schema flows.toml --json -"
    )]
    Import(Box<ImportArgs>),
    /// Train an autoencoder on benign rows of captures or feature files.
    #[command(after_help = "Example:\n  lapwing-trainer train --capture monday.pcap.gz --out run.json")]
    Train(TrainArgs),
    /// Show what a trained network calls surprising: benign score distribution and evidence thresholds.
    #[command(after_help = "Example:\n  lapwing-trainer calibrate --run run.json --capture tuesday.pcap.gz")]
    Calibrate(CalibrateArgs),
    /// Quantize, calibrate, check with both engines, sign: a release file.
    #[command(
        after_help = "Example:\n  lapwing-trainer release --run run.json --capture tuesday.pcap.gz --attacks lab.pcap.gz \\\n      --key site-1.key --version 1 --out site-1.lwr"
    )]
    Release(ReleaseArgs),
    /// Say whether a network still behaves as it did when its release was made: distance of every feature and of the
    /// score, against what was usual then.
    #[command(after_help = DRIFT_EXAMPLES)]
    Drift(DriftArgs),
    /// Judge one method on one table: figures with their spread, a page, a model to predict with.
    #[command(after_help = EVALUATE_EXAMPLES)]
    Evaluate(Box<EvaluateArgs>),
    /// Judge several methods over several seeds: one table with spread, one page.
    #[command(after_help = "Example:\n  lapwing-trainer compare --config docs/examples/compare.toml --report out")]
    Compare(CompareArgs),
    /// Judge rows with a saved model: CSV in, CSV out, or one row with its suspicious features.
    #[command(after_help = PREDICT_EXAMPLES)]
    Predict(PredictArgs),
    /// Make and look at signing keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Say what a release file holds, and whether its parts fit together.
    #[command(after_help = "Example:\n  lapwing-trainer inspect releases/default-3.lwr --key site-1.pub")]
    Inspect(InspectArgs),
    /// List the agents that were heard.
    #[command(after_help = "Example:\n  lapwing-trainer agents --json agents.json")]
    Agents(AgentsArgs),
    /// List alert episodes, newest first.
    #[command(after_help = "Example:\n  lapwing-trainer alerts --unlabelled --agent gateway-1")]
    Alerts(AlertsArgs),
    /// Call an alert episode benign or an attack: rows of benign episodes may be trained on.
    #[command(after_help = "Example:\n  lapwing-trainer label gateway-1 7301441236303872001 benign")]
    Label(LabelArgs),
    /// Ask a running `serve` for a new release now.
    #[command(after_help = "Example:\n  lapwing-trainer retrain --store /var/lib/lapwing/store.sqlite")]
    Retrain(RetrainArgs),
}

/// Where the store is.
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// Configuration that names the store.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The store's file, before what the configuration says.
    #[arg(long, value_name = "FILE")]
    pub store: Option<PathBuf>,
}

impl StoreArgs {
    fn path(&self) -> anyhow::Result<PathBuf> {
        let config = self.config.as_deref().map_or_else(|| Ok(Config::default()), Config::load)?;
        Ok(self.store.clone().unwrap_or(config.store.path))
    }
}

/// `keys`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key pair: the secret one signs releases here, the public one is given to the agents.
    #[command(after_help = "Example:\n  lapwing-trainer keys new site-1 --secret site-1.key --public site-1.pub")]
    New {
        /// The key's name, 1 to 32 of a-z A-Z 0-9 - _ .
        name: String,
        /// File for the secret key (NAME.key); never overwritten, readable by its owner only.
        #[arg(long, value_name = "FILE")]
        secret: Option<PathBuf>,
        /// File for the public key (NAME.pub); never overwritten.
        #[arg(long, value_name = "FILE")]
        public: Option<PathBuf>,
    },
}

/// `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The release file.
    pub release: PathBuf,
    /// Public key that must have signed it; may be given again.
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
    /// Write the answer here as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `agents`.
#[derive(Debug, Args)]
pub struct AgentsArgs {
    /// Where the store is.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Write the list here as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `alerts`.
#[derive(Debug, Args)]
pub struct AlertsArgs {
    /// Where the store is.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Only of this agent.
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// Only without a label.
    #[arg(long)]
    pub unlabelled: bool,
    /// At most so many episodes.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub limit: u32,
    /// Write the list here as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// An operator's word.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LabelWord {
    /// It was nothing.
    Benign,
    /// It was an attack.
    Attack,
}

/// `label`.
#[derive(Debug, Args)]
pub struct LabelArgs {
    /// Where the store is.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Agent that told of the episode.
    pub agent: String,
    /// The episode's number, as `alerts` lists it.
    pub episode: u64,
    /// What it was.
    pub label: LabelWord,
    /// Who says so (the user's name).
    #[arg(long, value_name = "NAME")]
    pub who: Option<String>,
}

/// `retrain`.
#[derive(Debug, Args)]
pub struct RetrainArgs {
    /// Where the store is.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Who asks (the user's name).
    #[arg(long, value_name = "NAME")]
    pub who: Option<String>,
}

/// Runs the program; `maker` is what trains.
pub fn main(args: impl IntoIterator<Item = OsString>, maker: Arc<dyn ReleaseMaker>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match start_log(&cli.log).and_then(|()| run(cli.command, maker)) {
        Ok(()) if tell::failed() => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lapwing-trainer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Our own lines at the wanted level; of the embedded broker only what the operator asked for by name, since it logs
/// every connection as an error.
fn start_log(filter: &str) -> anyhow::Result<()> {
    let full = format!("rumqttd=off,{filter}");
    let filter = tracing_subscriber::EnvFilter::try_new(full).with_context(|| format!("--log {filter}"))?;
    // A second start in one process (tests) keeps the first one's.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    Ok(())
}

fn run(command: Command, maker: Arc<dyn ReleaseMaker>) -> anyhow::Result<()> {
    match command {
        Command::Serve(args) => run_serve(args, maker),
        Command::Import(args) => run_import(&args),
        Command::Train(args) => run_train(&args),
        Command::Calibrate(args) => run_calibrate(&args),
        Command::Release(args) => run_release(&args),
        Command::Drift(args) => run_drift(&args),
        Command::Evaluate(args) => run_evaluate(&args),
        Command::Compare(args) => run_compare(&args),
        Command::Predict(args) => run_predict(&args),
        Command::Keys(KeysCommand::New { name, secret, public }) => Ok(keys::new(&name, secret, public)?),
        Command::Inspect(args) => commands::inspect::inspect(&args),
        Command::Agents(args) => lists::agents(&args.store.path()?, args.json.as_deref()),
        Command::Alerts(args) => lists::alerts(&args.store.path()?, &args),
        Command::Label(args) => lists::label(&args.store.path()?, &args),
        Command::Retrain(args) => lists::retrain(&args.store.path()?, args.who.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed_and_every_subcommand_has_an_example() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands() {
            let help = command.clone().render_long_help().to_string();
            let leaf = command.get_subcommands().next().is_none();
            assert!(!leaf || help.contains("Example"), "{}", command.get_name());
        }
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let args =
            ["lapwing-trainer", "serve", "--store", "x.db", "--every", "7d", "--after-rows", "5", "--group", "home"];
        let Command::Serve(args) = Cli::parse_from(args).command else { panic!("serve expected") };
        let config = args.configuration().unwrap();
        assert_eq!(config.store.path, PathBuf::from("x.db"));
        assert_eq!(config.retrain.every, Some("7d".parse().unwrap()));
        assert_eq!((config.retrain.after_rows, config.retrain.group.as_str()), (5, "home"));
    }

    #[test]
    fn predict_takes_a_file_or_a_row_or_tells_of_the_model() {
        let parse = |more: &[&str]| {
            let words = ["lapwing-trainer", "predict", "--model", "m"].iter().chain(more);
            Cli::try_parse_from(words).map(|cli| cli.command)
        };
        let Ok(Command::Predict(args)) = parse(&["rows.csv", "--explain"]) else { panic!("a file expected") };
        assert_eq!(args.input, Some(PathBuf::from("rows.csv")));
        let Ok(Command::Predict(args)) = parse(&["--row", "a=1,b=tcp"]) else { panic!("a row expected") };
        assert_eq!(args.row.unwrap(), ["a=1", "b=tcp"]);
        assert!(parse(&["--about"]).is_ok());
        assert!(parse(&[]).is_err() && parse(&["rows.csv", "--about"]).is_err());
    }

    #[test]
    fn an_embedded_and_an_outside_broker_exclude_each_other() {
        let args = ["lapwing-trainer", "serve", "--listen", "127.0.0.1:0", "--broker", "mqtt://host"];
        assert!(Cli::try_parse_from(args).is_err());
    }
}
