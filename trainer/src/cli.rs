//! Command line of the trainer → the subcommand to run.

use crate::commands::approve::{ApproveArgs, run_approve};
use crate::commands::audit::{AuditArgs, run_audit};
use crate::commands::authority::{AuthorityCommand, run_authority};
use crate::commands::backup::{BackupArgs, RestoreArgs, run_backup, run_restore};
use crate::commands::broker_config::{BrokerConfigCommand, run_broker_config};
use crate::commands::drift::{DriftArgs, run_drift};
use crate::commands::enroll::{EnrollArgs, run_enroll};
use crate::commands::forget::{ForgetCommand, run_forget};
use crate::commands::incidents::{IncidentsCommand, run_incidents};
use crate::commands::inspect::{self, InspectArgs};
use crate::commands::keys::{KeysCommand, run_keys};
use crate::commands::lab::{LabArgs, run_lab};
use crate::commands::lists::{self, AgentsArgs, AlertsArgs, LabelArgs, RetrainArgs};
use crate::commands::people::{PeopleCommand, run_people};
use crate::commands::predict::{PredictArgs, run_predict};
use crate::commands::privacy::{PrivacyCommand, ResolveArgs, run_privacy, run_resolve};
use crate::commands::rollout::{RolloutCommand, run_rollout};
use crate::commands::serve::{ServeArgs, run_serve};
use crate::commands::signing::{CandidateArgs, SignArgs, run_candidate, run_sign};
use crate::commands::store_state::{StoreCommand, run_store};
use crate::commands::tokens::{TokensCommand, run_tokens};
use crate::commands::train::{CalibrateArgs, ReleaseArgs, TrainArgs, run_calibrate, run_release, run_train};
use anyhow::Context;
use clap::{Parser, Subcommand};
use lapwing_common::output;
use lapwing_pipeline::order::ReleaseMaker;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

/// Collects feature rows and alerts from Lapwing's agents, trains models on them, and publishes signed releases.
#[derive(Debug, Parser)]
#[command(name = "lapwing-trainer", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// Log filter, e.g. `info`, `debug` or `lapwing_trainer=debug`.
    #[arg(long, global = true, default_value = "info", value_name = "FILTER")]
    pub(crate) log: String,
    /// Subcommand.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  lapwing-trainer keys new site-1 --secret site-1.key --public site-1.pub
  lapwing-trainer serve --broker mqtts://trainer:secret@broker.lan --key site-1.key --after-rows 20000
  lapwing-trainer serve --config /etc/lapwing/trainer.toml
  lapwing-trainer alerts --unlabelled
  lapwing-trainer label gateway-1 7301441236303872001 benign
  lapwing-trainer retrain";

const PREDICT_EXAMPLES: &str = "\
Examples:
  lapwing-trainer predict --model model.lapwing rows.csv --out predictions.csv
  lapwing-trainer predict --model model.lapwing --row 'proto=tcp,sbytes=120000,rate=90000'
  lapwing-trainer predict --model model.lapwing --about";

const DRIFT_EXAMPLES: &str = "\
Examples:
  lapwing-trainer drift --release home-3.lwr --reference store.sqlite --report out
  lapwing-trainer drift --release home-3.lwr --reference monday.pcap.gz --present friday.pcap.gz --json -";

const AUDIT_EXAMPLES: &str = "\
Examples:
  lapwing-trainer audit --since 2026-11-01 --config /etc/lapwing-trainer/trainer.toml
  lapwing-trainer audit --who ann --action label
  lapwing-trainer audit verify --store postgres://lapwing@localhost/lapwing";

const RESOLVE_EXAMPLES: &str = "\
Examples:
  lapwing-trainer resolve p-5b0f3c4d9a8e7f601122334455667788 --key home.address-key
  lapwing-trainer alerts | lapwing-trainer resolve --key home.address-key --network 192.168.1.0/24";

const LAB_EXAMPLE: &str = "Example:\n  lapwing-lab evaluate --help";

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Collect messages from agents, retrain as configured and publish releases, until SIGTERM or Ctrl-C.
    #[command(
        after_help = "Example:\n  lapwing-trainer serve --broker mqtts://trainer:secret@broker.lan --key site-1.key --every 7d\n  lapwing-trainer serve --predict-model model.lapwing --http 127.0.0.1:8480"
    )]
    Serve(ServeArgs),
    /// Train an autoencoder on the benign rows of captures, feature files or a store.
    #[command(after_help = "Example:\n  lapwing-trainer train --capture monday.pcap.gz --out run.json")]
    Train(TrainArgs),
    /// Compute the score calibration and alert thresholds of a trained model.
    #[command(after_help = "Example:\n  lapwing-trainer calibrate --run run.json --capture tuesday.pcap.gz")]
    Calibrate(CalibrateArgs),
    /// Quantize and calibrate a trained model, check it with both engines, and write a signed release file.
    #[command(
        after_help = "Example:\n  lapwing-trainer release --run run.json --capture tuesday.pcap.gz --attacks lab.pcap.gz \\\n      --key site-1.key --version 1 --out site-1.lwr"
    )]
    Release(ReleaseArgs),
    /// Measure how far every feature and the score have moved since a release was made, relative to their usual
    /// variation.
    #[command(after_help = DRIFT_EXAMPLES)]
    Drift(DriftArgs),
    /// Score rows with a saved model: CSV in, CSV out, or a single row with its suspicious features.
    #[command(after_help = PREDICT_EXAMPLES)]
    Predict(PredictArgs),
    /// Create signing keys, and manage those that agents trust.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Print the contents of a release file and check that its parts match the manifest.
    #[command(after_help = "Example:\n  lapwing-trainer inspect releases/default-3.lwr --key site-1.pub")]
    Inspect(InspectArgs),
    /// Create a token with which agents get their certificates, list tokens, or end one.
    #[command(
        after_help = "Examples:\n  lapwing-trainer enroll --group home --name attic --config /etc/lapwing-trainer/trainer.toml\n  lapwing-trainer enroll --uses 500 --for 7d --accept --config /etc/lapwing-trainer/trainer.toml"
    )]
    Enroll(EnrollArgs),
    /// Print or rotate the certificate authority of agents' identities, or issue certificates of brokers and readers.
    #[command(subcommand)]
    Authority(AuthorityCommand),
    /// Print configuration and access list of an external broker for enrolled agents.
    #[command(subcommand)]
    BrokerConfig(BrokerConfigCommand),
    /// List the known agents, remove some, assign one to a group, or manage their identities.
    #[command(after_help = "Example:\n  lapwing-trainer agents --json agents.json")]
    Agents(AgentsArgs),
    /// List alert episodes, newest first.
    #[command(after_help = "Example:\n  lapwing-trainer alerts --unlabelled --agent gateway-1")]
    Alerts(AlertsArgs),
    /// Label an alert episode benign or attack; rows of benign episodes are then used for training.
    #[command(after_help = "Example:\n  lapwing-trainer label gateway-1 7301441236303872001 benign")]
    Label(LabelArgs),
    /// List incidents, which join the alerts of several sites, and work on them.
    #[command(subcommand)]
    Incidents(IncidentsCommand),
    /// Create a key of pseudonyms, which agents report instead of addresses.
    #[command(subcommand)]
    Privacy(PrivacyCommand),
    /// Print the addresses of pseudonyms, or copy a text with addresses in place of pseudonyms.
    #[command(after_help = RESOLVE_EXAMPLES)]
    Resolve(ResolveArgs),
    /// Remove what the store has of a host.
    #[command(subcommand)]
    Forget(ForgetCommand),
    /// Request a new release from a running `serve`.
    #[command(after_help = "Example:\n  lapwing-trainer retrain --store /var/lib/lapwing/store.sqlite")]
    Retrain(RetrainArgs),
    /// List releases that the gate holds back, or approve or reject one; a running `serve` then signs and publishes it.
    #[command(
        after_help = "Examples:\n  lapwing-trainer approve --config /etc/lapwing-trainer/trainer.toml\n  lapwing-trainer approve 7 --config /etc/lapwing-trainer/trainer.toml\n  lapwing-trainer approve 7 --reject --store store.sqlite"
    )]
    Approve(ApproveArgs),
    /// Copy a release that waits for its signature to a file, for `lapwing-trainer sign` on another machine.
    #[command(
        after_help = "Example:\n  lapwing-trainer candidate 7 --out home-7.candidate --config /etc/lapwing-trainer/trainer.toml"
    )]
    Candidate(CandidateArgs),
    /// Sign a release that `lapwing-trainer candidate` wrote; needs no store and no network.
    #[command(after_help = "Example:\n  lapwing-trainer sign home-7.candidate --key site-1.key --out home-7.lwr")]
    Sign(SignArgs),
    /// List who labelled episodes, decided about releases, requested them, and removed or assigned agents, newest first; or
    /// check that this list was not changed.
    #[command(after_help = AUDIT_EXAMPLES)]
    Audit(AuditArgs),
    /// Add, list and remove people who use the web page and the API, or change their roles.
    #[command(subcommand)]
    People(PeopleCommand),
    /// Make, list and revoke tokens of the API.
    #[command(subcommand)]
    Tokens(TokensCommand),
    /// Copy store and releases to a new folder, also while `serve` runs.
    #[command(
        after_help = "Example:\n  lapwing-trainer backup /mnt/backup/2026-03-01 --config /etc/lapwing-trainer/trainer.toml"
    )]
    Backup(BackupArgs),
    /// Copy a backup to the configured paths, where no store may exist.
    #[command(
        after_help = "Example:\n  lapwing-trainer restore /mnt/backup/2026-03-01 --config /etc/lapwing-trainer/trainer.toml"
    )]
    Restore(RestoreArgs),
    /// Plan rollouts of releases.
    #[command(subcommand)]
    Rollout(RolloutCommand),
    /// Check, migrate or copy a store; copy its feature rows to Parquet files, or add those of such files.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Moved to `lapwing-lab`.
    #[command(hide = true, disable_help_flag = true, after_help = LAB_EXAMPLE)]
    Import(LabArgs),
    /// Moved to `lapwing-lab`.
    #[command(hide = true, disable_help_flag = true, after_help = LAB_EXAMPLE)]
    Evaluate(LabArgs),
    /// Moved to `lapwing-lab`.
    #[command(hide = true, disable_help_flag = true, after_help = LAB_EXAMPLE)]
    Compare(LabArgs),
}

/// Runs the program; `serve` makes its releases with `maker`.
pub(crate) fn main(args: impl IntoIterator<Item = OsString>, maker: Arc<dyn ReleaseMaker>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match start_log(&cli.log).and_then(|()| run(cli.command, maker)) {
        Ok(()) if output::failed() => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lapwing-trainer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The crates that `lapwing_trainer` covers in a log filter.
const CRATES: [&str; 6] =
    ["lapwing_authority", "lapwing_collect", "lapwing_common", "lapwing_pipeline", "lapwing_store", "lapwing_web"];

/// Starts logging with the given filter. The MQTT client logs errors only, unless the filter names it: the collector
/// logs refusals itself.
fn start_log(filter: &str) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(format!("rumqttc=error,{}", with_crates(filter)))
        .with_context(|| format!("--log {filter}"))?;
    // Fails if logging is already initialised, as in tests that call `main` twice; the first filter then stays.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    Ok(())
}

/// Repeats a directive for `lapwing_trainer` for each of its crates, and names the crate for one of its former modules:
/// `lapwing_trainer::collect=debug` is `lapwing_collect=debug`.
fn with_crates(filter: &str) -> String {
    let directives = filter.split(',').flat_map(|directive| {
        let module = directive.strip_prefix("lapwing_trainer::").map(|module| format!("lapwing_{module}"));
        let is_crate = |name: &String| CRATES.iter().any(|one| name.split(['=', ':']).next() == Some(one));
        let directive = module.filter(is_crate).unwrap_or_else(|| directive.to_owned());
        let level = directive.strip_prefix("lapwing_trainer=").filter(|level| !level.contains(['[', '=']));
        let repeated = level.map(|level| CRATES.map(|name| format!("{name}={level}")));
        repeated.into_iter().flatten().chain([directive])
    });
    directives.collect::<Vec<_>>().join(",")
}

fn run(command: Command, maker: Arc<dyn ReleaseMaker>) -> anyhow::Result<()> {
    match command {
        Command::Serve(args) => run_serve(args, maker),
        Command::Train(args) => run_train(&args),
        Command::Calibrate(args) => run_calibrate(&args),
        Command::Release(args) => run_release(&args),
        Command::Drift(args) => run_drift(&args),
        Command::Predict(args) => run_predict(&args),
        Command::Keys(command) => run_keys(command),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Enroll(args) => run_enroll(&args),
        Command::Authority(command) => run_authority(&command),
        Command::BrokerConfig(command) => run_broker_config(&command),
        Command::Agents(args) => lists::agents(&args.store.url()?, &args),
        Command::Alerts(args) => lists::alerts(&args.store.url()?, &args),
        Command::Label(args) => lists::label(&args.store.url()?, &args),
        Command::Incidents(command) => run_incidents(&command),
        Command::Privacy(command) => run_privacy(&command),
        Command::Resolve(args) => run_resolve(&args),
        Command::Forget(command) => run_forget(&command),
        Command::Retrain(args) => lists::retrain(&args.store.url()?, &args),
        Command::Approve(args) => run_approve(&args),
        Command::Candidate(args) => run_candidate(&args),
        Command::Sign(args) => run_sign(&args),
        Command::Audit(args) => run_audit(&args),
        Command::People(command) => run_people(&command),
        Command::Tokens(command) => run_tokens(&command),
        Command::Backup(args) => run_backup(&args),
        Command::Restore(args) => run_restore(&args),
        Command::Rollout(command) => run_rollout(&command),
        Command::Store(command) => run_store(&command),
        Command::Import(args) => run_lab("import", &args),
        Command::Evaluate(args) => run_lab("evaluate", &args),
        Command::Compare(args) => run_lab("compare", &args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::path::PathBuf;

    #[test]
    fn every_subcommand_is_valid_and_has_an_example() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands() {
            let help = command.clone().render_long_help().to_string();
            let leaf = command.get_subcommands().next().is_none();
            assert!(!leaf || help.contains("Example"), "{}", command.get_name());
        }
    }

    #[test]
    fn the_help_of_store_names_files_and_databases() {
        let mut command = Cli::command();
        let help = command.find_subcommand_mut("serve").unwrap().render_long_help().to_string();
        assert!(help.contains("SQLite file, or postgres://USER@HOST/DATABASE"), "{help}");
    }

    #[test]
    fn a_log_filter_for_the_trainer_covers_its_crates() {
        let filter = with_crates("warn,lapwing_trainer=info,lapwing_trainer::serve=debug");
        assert!(filter.starts_with("warn,lapwing_authority=info,lapwing_collect=info,"), "{filter}");
        assert!(filter.ends_with("lapwing_web=info,lapwing_trainer=info,lapwing_trainer::serve=debug"), "{filter}");
        assert_eq!(with_crates("lapwing_trainer::collect=debug"), "lapwing_collect=debug");
    }

    #[test]
    fn the_command_line_overrides_the_configuration_file() {
        let args =
            ["lapwing-trainer", "serve", "--store", "x.db", "--every", "7d", "--after-rows", "5", "--group", "home"];
        let Command::Serve(args) = Cli::parse_from(args).command else { panic!("serve expected") };
        let config = args.configuration().unwrap();
        assert_eq!(config.store.path.file().unwrap(), std::path::Path::new("x.db"));
        assert_eq!(config.retrain.every, Some("7d".parse().unwrap()));
        assert_eq!((config.retrain.after_rows, config.retrain.group.as_str()), (5, "home"));
    }

    #[test]
    fn predict_takes_a_file_a_row_or_about() {
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
    fn segments_are_a_source_of_rows_and_their_options_need_them() {
        let parse = |more: &[&str]| Cli::try_parse_from(["lapwing-trainer", "train"].iter().chain(more));
        parse(&["--segments", "rows", "--segments-agent", "gw", "--segments-rate", "0.5"]).unwrap();
        parse(&["--segments", "rows", "--store", "store.sqlite"]).unwrap();
        for missing in [&["--segments-agent", "gw"][..], &["--capture", "c", "--segments-rate", "0.5"], &[]] {
            assert!(parse(missing).is_err(), "{missing:?}");
        }
    }

    #[test]
    fn listen_and_broker_are_mutually_exclusive() {
        let args = ["lapwing-trainer", "serve", "--listen", "127.0.0.1:0", "--broker", "mqtt://host"];
        assert!(Cli::try_parse_from(args).is_err());
    }
}
