//! Captures, feature files, segments or a store → a training run, its thresholds, a release: `train`, `calibrate`, `release`.

use crate::commands::budget_check;
use crate::commands::segment_args::{STORED, SegmentArgs};
use anyhow::{Context, bail};
use clap::{ArgGroup, Args};
use indicatif::{ProgressBar, ProgressStyle};
use lapwing_common::clock;
use lapwing_common::output::{command_line, write_file};
use lapwing_common::print_line;
use lapwing_pipeline::candidate::{Candidate, by_halves, from_unseen_rows};
use lapwing_pipeline::dataset::stored::{self, Sampled};
use lapwing_pipeline::dataset::{Dataset, capture, features_csv, segments};
use lapwing_pipeline::gate::labelled::labelled_attacks;
use lapwing_pipeline::make::{Identity, Parts, make_release};
use lapwing_pipeline::order::Guard;
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_pipeline::train::run::TrainRun;
use lapwing_pipeline::train::training_rows::{TrainingRow, benign};
use lapwing_pipeline::train::{EpochProgress, TrainConfig, train, transforms};
use lapwing_shared::features::FeatureVector;
use lapwing_store::StoreHandle;
use std::path::{Path, PathBuf};

/// Sources of rows.
#[derive(Debug, Args)]
// clap leaves a group without members if the struct has a flattened part, so they are listed.
#[group(required = true, multiple = true, args = ["captures", "features", "store", "segments"])]
#[command(group = ArgGroup::new(STORED).args(["store", "segments"]).multiple(true))]
pub(crate) struct RowArgs {
    /// Capture; NAME.labels.csv next to it labels the attacks. Repeatable.
    #[arg(long = "capture", value_name = "FILE")]
    captures: Vec<PathBuf>,
    /// Feature file from `lapwing-agent replay --features`; every row counts as benign. Repeatable.
    #[arg(long = "features", value_name = "FILE")]
    features: Vec<PathBuf>,
    /// Store of `serve`: the sampled rows of its agents, except those of alert episodes without the label benign.
    /// Calibrating or releasing a run that was trained on a store takes as long as training, because two more networks
    /// are trained, each on half of the rows, to score the other half.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// Folder of Parquet files from `store export`: the sampled rows of agents, except those of suspect hosts.
    #[arg(long, value_name = "FOLDER")]
    segments: Option<PathBuf>,
    /// Which rows of the store and the segments.
    #[command(flatten)]
    selected: SegmentArgs,
}

/// Rows of captures, feature files and segments, and of a store.
struct GivenRows {
    files: Dataset,
    /// Sites of the files.
    sites: u32,
    sampled: Option<Sampled>,
}

impl RowArgs {
    fn read(&self) -> anyhow::Result<GivenRows> {
        let mut files = capture::read(&self.captures)?;
        files.append(features_csv::read(&self.features)?, self.captures.len() as u32);
        let mut sites = (self.captures.len() + self.features.len()) as u32;
        let filter = self.selected.filter()?;
        if let Some(folder) = &self.segments {
            let segments = segments::read(folder, &filter)?;
            let more = segments.rows.last().map_or(0, |row| row.site + 1);
            files.append(segments, sites);
            sites += more;
        }
        let read = |store| stored::sampled(store, &filter);
        let (sampled, warnings) = self.store.as_deref().map(read).transpose()?.unzip();
        for warning in files.warnings.iter().chain(warnings.iter().flatten()) {
            tracing::warn!("{warning}");
        }
        Ok(GivenRows { files, sites, sampled })
    }
}

impl GivenRows {
    /// All rows; the store's sites are numbered after those of the files.
    fn together(self) -> Dataset {
        let (mut all, files) = (self.files, self.sites);
        all.append(Dataset { rows: self.sampled.unwrap_or_default().rows, warnings: Vec::new() }, files);
        all
    }
}

/// `train`.
#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// Sources of rows.
    #[command(flatten)]
    rows: RowArgs,
    /// Training settings, TOML; see docs/examples/train.toml [default: built-in settings].
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Random seed [default: 1].
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Maximum number of epochs of the second pass [default: 60].
    #[arg(long, value_name = "COUNT")]
    epochs: Option<usize>,
    /// Share of training rows, those reconstructed worst, to drop before the second pass, 0 to 0.2 [default: 0.005].
    #[arg(long, value_name = "SHARE")]
    contamination: Option<f64>,
    /// Write weights, scaling, settings, seed, data digest and code version to this JSON file.
    #[arg(long, value_name = "FILE", default_value = "run.json")]
    out: PathBuf,
}

/// `calibrate`.
#[derive(Debug, Args)]
pub(crate) struct CalibrateArgs {
    /// Benign rows that were not used for training, or the store that was.
    #[command(flatten)]
    rows: RowArgs,
    /// Training run, as written by `train`.
    #[arg(long, value_name = "FILE", default_value = "run.json")]
    run: PathBuf,
    /// Write the calibration curve and evidence limits to this JSON file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Held-out benign capture: count the alerts on it at each false-alert budget. Repeatable; each counts as one site.
    #[arg(long = "check", value_name = "FILE")]
    check: Vec<PathBuf>,
    /// Write the result of --check to this folder as an HTML report and JSON.
    #[arg(long, value_name = "FOLDER", requires = "check")]
    report: Option<PathBuf>,
}

/// `release`.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// Benign rows that were not used for training, or the store that was, to calibrate on.
    #[command(flatten)]
    rows: RowArgs,
    /// Training run, as written by `train`.
    #[arg(long, value_name = "FILE", default_value = "run.json")]
    run: PathBuf,
    /// Labelled capture whose attacks become the attack types that alerts can resemble. Repeatable.
    #[arg(long = "attacks", value_name = "FILE")]
    attacks: Vec<PathBuf>,
    /// Secret key that signs the release.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Group of agents.
    #[arg(long, value_name = "NAME", default_value = "default")]
    group: String,
    /// Version, greater than every earlier version of the group.
    #[arg(long, value_name = "NUMBER")]
    version: u64,
    /// Newest release of the group, a file: refuse to sign if the new release detects fewer known attacks, or if its
    /// evidence limits or feature ranges change more than twofold. Attacks labelled in --store count as known.
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// Sign although --previous finds a reason not to.
    #[arg(long, requires = "previous")]
    approve: bool,
    /// Days after which agents reject the release.
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    expires_days: u64,
    /// Lowest version to which agents that accept the release ever go back; below its own version. Agents that do not know
    /// floors refuse a release with one. 0: none.
    #[arg(long, value_name = "VERSION", default_value_t = 0)]
    floor: u64,
    /// Release file.
    #[arg(long, value_name = "FILE", default_value = "release.lwr")]
    out: PathBuf,
    /// Write the quantization loss to this JSON file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run_train(args: &TrainArgs) -> anyhow::Result<()> {
    let mut config = match &args.settings {
        Some(path) => settings(path)?,
        None => TrainConfig::default(),
    };
    config.seed = args.seed.unwrap_or(config.seed);
    config.epochs = args.epochs.unwrap_or(config.epochs);
    config.contamination = args.contamination.unwrap_or(config.contamination);
    let rows: Vec<TrainingRow> = benign(&args.rows.read()?.together().rows).collect();
    let bar = bar()?;
    let trained = train(&rows, &transforms(), &config, &mut |step| show(&bar, &step))?;
    bar.finish();
    let run = TrainRun::new(&rows, &config, &trained).of_samples(args.rows.store.is_some());
    run.save(&args.out)?;
    let report = &run.report;
    print_line!(
        "trained on {} of {} rows ({} removed by subsampling, {} dropped as worst reconstructed); best epoch {} of {}",
        report.training_rows,
        report.rows,
        report.subsampled_rows,
        report.dropped_rows,
        report.best_epoch,
        report.validation_errors.len()
    );
    print_line!(
        "{}: weights, scaling, settings, seed {} and data digest {}",
        args.out.display(),
        config.seed,
        run.data_sha256
    );
    Ok(())
}

fn settings(path: &Path) -> anyhow::Result<TrainConfig> {
    let context = || format!("training settings {}", path.display());
    let text = std::fs::read_to_string(path).with_context(context)?;
    toml::from_str(&text).with_context(context)
}

fn bar() -> anyhow::Result<ProgressBar> {
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:32} epoch {pos}/{len} {msg}")?);
    Ok(bar)
}

fn show(bar: &ProgressBar, step: &EpochProgress) {
    bar.set_length(step.epochs as u64);
    bar.set_position(step.epoch as u64);
    bar.set_message(format!("pass {}, validation error {:.4}", step.pass, step.validation_error));
}

/// Calibrates on rows that the run was not trained on. For the store that it was trained on, two more networks are
/// trained, as `serve` does.
fn candidate(run: &TrainRun, args: &RowArgs, attacks: &[FeatureVector]) -> anyhow::Result<Candidate> {
    let given = args.read()?;
    let Some(sampled) = given.sampled.as_ref().filter(|_| run.sampled) else {
        let all = given.together();
        let rows: Vec<_> = all.rows.iter().filter(|row| row.attack.is_none()).collect();
        if rows.is_empty() {
            bail!("no benign rows to calibrate on");
        }
        return Ok(from_unseen_rows(run, &rows, attacks)?);
    };
    if !given.files.rows.is_empty() {
        bail!(
            "the run was trained on a store: calibrate either on a store or on captures and feature files, not on both"
        );
    }
    if !run.is_of(&benign(&sampled.rows).collect::<Vec<_>>()) {
        tracing::warn!("the store has changed since the run was trained; calibrating on its current rows");
    }
    let bar = bar()?;
    let candidate = by_halves(run, sampled, attacks, &mut |step| show(&bar, &step))?;
    bar.finish();
    Ok(candidate)
}

pub(crate) fn run_calibrate(args: &CalibrateArgs) -> anyhow::Result<()> {
    let run = TrainRun::load(&args.run)?;
    let candidate = candidate(&run, &args.rows, &[])?;
    let thresholds = &candidate.thresholds;
    print_line!("calibrated on {} benign rows", thresholds.calibration.rows);
    for limit in &thresholds.limits {
        print_line!("{:>7} false alerts per day: evidence limit {:.1} nats", limit.alerts_per_day, limit.evidence_nats);
    }
    if let Some(path) = &args.json {
        write_file(path, &serde_json::to_vec_pretty(thresholds)?)?;
    }
    if args.check.is_empty() {
        return Ok(());
    }
    let checked = budget_check::check(&run, &candidate.quantized.artifacts.int8, thresholds, &args.check)?;
    budget_check::print(&checked);
    args.report
        .iter()
        .try_for_each(|folder| budget_check::write_page(folder, &checked, &args.check, command_line("lapwing-trainer")))
}

/// The previous release and the labelled attacks of the store, for the gate.
fn guard(args: &ReleaseArgs) -> anyhow::Result<Guard> {
    let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let previous = args.previous.as_ref().map(read).transpose()?;
    let labelled = match &args.rows.store {
        Some(store) => labelled_attacks(&StoreHandle::open(store)?, None)?,
        None => Vec::new(),
    };
    Ok(Guard { previous, labelled, hold: !args.approve, ..Guard::default() })
}

/// `release`.
pub(crate) fn run_release(args: &ReleaseArgs) -> anyhow::Result<()> {
    let run = TrainRun::load(&args.run)?;
    let labelled = capture::read(&args.attacks)?;
    let attacks: Vec<FeatureVector> =
        labelled.rows.iter().filter(|row| row.attack.is_some()).map(|row| row.features).collect();
    let candidate = candidate(&run, &args.rows, &attacks)?;
    let created_s = clock::now_s();
    let expires_s = created_s.saturating_add(args.expires_days.saturating_mul(86_400));
    let identity =
        Identity { group: args.group.clone(), version: args.version, created_s, expires_s, floor: args.floor };
    let key = ReleaseKey::load(&args.key)?;
    let guard = guard(args)?;
    let command = command_line("lapwing-trainer");
    let parts = Parts { run: &run, candidate: &candidate, labelled: &labelled.rows, guard: &guard, command };
    let made = make_release(&parts, &identity, Some(&key))?;
    if made.held {
        bail!("not signed, because it {}; check the rows, or sign with --approve", made.gate.findings.join("; "));
    }
    write_file(&args.out, &made.file)?;
    if let Some(card) = &made.card {
        card.write_beside(&args.out)?;
        print_line!("{}: model card", args.out.with_extension("card.html").display());
    }
    print_line!("{}", candidate.quantized.report.summary());
    let classes = if made.classes.is_empty() { "none".into() } else { made.classes.join(", ") };
    print_line!("attack types that alerts can resemble: {classes}");
    print_line!("{}: release {} of group {}, {} bytes", args.out.display(), args.version, args.group, made.file.len());
    if let Some(path) = &args.json {
        write_file(path, &serde_json::to_vec_pretty(&candidate.quantized.report)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_settings_are_the_defaults() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/train.toml");
        assert_eq!(settings(&path).unwrap(), TrainConfig::default());
        let table: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
        let defaults = toml::Table::try_from(TrainConfig::default()).unwrap();
        assert_eq!(table.keys().collect::<Vec<_>>(), defaults.keys().collect::<Vec<_>>());
    }
}
