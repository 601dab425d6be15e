//! `train`, `calibrate`, `release`: the steps of `serve`, each alone and on files.

use crate::card::{CardFiles, CardInput};
use crate::commands::evaluate::command_line;
use crate::commands::knob;
use crate::dataset::stored::{self, Sampled};
use crate::dataset::{Dataset, benign, capture, features_csv};
use crate::learn::judge::{Judged, judge_by_halves};
use crate::learn::{self, Naming};
use crate::release::keys::ReleaseKey;
use crate::tell::tell;
use crate::train::rows::TrainingRow;
use crate::train::run::TrainRun;
use crate::train::{Progress, TrainConfig, train};
use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lapwing_shared::features::FeatureVector;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where rows come from.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct RowArgs {
    /// Capture to learn from; NAME.labels.csv beside it tells attacks apart. May be repeated.
    #[arg(long = "capture", value_name = "FILE")]
    captures: Vec<PathBuf>,
    /// Feature file of `lapwing-agent replay --features`; every row is taken as benign. May be repeated.
    #[arg(long = "features", value_name = "FILE")]
    features: Vec<PathBuf>,
    /// Store of `serve`: what its agents sent, without the rows of alert episodes that nobody called benign. To calibrate
    /// or release a run that was trained on a store takes as long as to train it, since two more networks, each trained
    /// on half of the rows, judge the other half, as with `serve`.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
}

/// Rows of captures and feature files, and of a store.
struct GivenRows {
    files: Dataset,
    sampled: Option<Sampled>,
}

impl RowArgs {
    fn read(&self) -> anyhow::Result<GivenRows> {
        let mut files = capture::read(&self.captures)?;
        files.append(features_csv::read(&self.features)?, self.captures.len() as u32);
        let (sampled, warnings) = self.store.as_deref().map(stored::sampled).transpose()?.unzip();
        for warning in files.warnings.iter().chain(warnings.iter().flatten()) {
            tracing::warn!("{warning}");
        }
        Ok(GivenRows { files, sampled })
    }

    fn files(&self) -> u32 {
        (self.captures.len() + self.features.len()) as u32
    }
}

impl GivenRows {
    /// All of them, the store's behind those of so many files.
    fn together(self, files: u32) -> Dataset {
        let mut all = self.files;
        all.append(Dataset { rows: self.sampled.unwrap_or_default().rows, warnings: Vec::new() }, files);
        all
    }
}

/// `train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Rows.
    #[command(flatten)]
    rows: RowArgs,
    /// Training settings, TOML with kebab-case keys; see docs/examples/train.toml.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Seed of every random choice [default: 1].
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Most epochs of the last pass.
    #[arg(long, value_name = "COUNT")]
    epochs: Option<usize>,
    /// Share of the worst-reconstructed rows that is dropped before the last pass, 0 to 0.2 [default: 0.005].
    #[arg(long, value_name = "SHARE")]
    contamination: Option<f64>,
    /// Write weights, scaling, settings, seed, data digest and code version there, JSON.
    #[arg(long, value_name = "FILE", default_value = "run.json")]
    out: PathBuf,
}

/// `calibrate`.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Benign rows that were not trained on, or the store that was.
    #[command(flatten)]
    rows: RowArgs,
    /// Training run, as `train` writes it.
    #[arg(long, value_name = "FILE", default_value = "run.json")]
    run: PathBuf,
    /// Write calibration curve and evidence limits there, JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Benign capture that nothing was fitted to: counts the alerts that each setting of the knob gives on it. May be
    /// repeated; each counts as one site.
    #[arg(long = "check", value_name = "FILE")]
    check: Vec<PathBuf>,
    /// Write what the check found there, as a page with a picture and JSON.
    #[arg(long, value_name = "FOLDER", requires = "check")]
    report: Option<PathBuf>,
}

/// `release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// Benign rows that were not trained on, or the store that was: thresholds come from them. Rows that labels call attacks give the kinds.
    #[command(flatten)]
    rows: RowArgs,
    /// Training run, as `train` writes it.
    #[arg(long, value_name = "FILE", default_value = "run.json")]
    run: PathBuf,
    /// Labelled capture whose attacks become the kinds that alerts can resemble. May be repeated.
    #[arg(long = "attacks", value_name = "FILE")]
    attacks: Vec<PathBuf>,
    /// Secret key that signs.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Group of agents.
    #[arg(long, value_name = "NAME", default_value = "default")]
    group: String,
    /// Version, greater than every earlier one of the group.
    #[arg(long, value_name = "NUMBER")]
    version: u64,
    /// Days after which it is no longer taken.
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    expires_days: u64,
    /// Release file.
    #[arg(long, value_name = "FILE", default_value = "release.lwr")]
    out: PathBuf,
    /// Write what quantization cost there, JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// `train`.
pub(crate) fn run_train(args: &TrainArgs) -> anyhow::Result<()> {
    let mut config = match &args.settings {
        Some(path) => settings(path)?,
        None => TrainConfig::default(),
    };
    config.seed = args.seed.unwrap_or(config.seed);
    config.epochs = args.epochs.unwrap_or(config.epochs);
    config.contamination = args.contamination.unwrap_or(config.contamination);
    let rows: Vec<TrainingRow> = benign(&args.rows.read()?.together(args.rows.files()).rows).collect();
    let bar = bar()?;
    let trained = train(&rows, &learn::transforms(), &config, &mut |step| show(&bar, &step))?;
    bar.finish();
    let run = TrainRun::new(&rows, &config, &trained).of_samples(args.rows.store.is_some());
    run.save(&args.out)?;
    let report = &run.report;
    tell!(
        "trained on {} rows (of {}; {} thinned, {} dropped as worst reconstructed), best of {} epochs: {}",
        report.training_rows,
        report.rows,
        report.thinned_rows,
        report.dropped_rows,
        report.validation_errors.len(),
        report.best_epoch
    );
    tell!(
        "{}: weights, scaling, settings, seed {} and data digest {}",
        args.out.display(),
        config.seed,
        run.data_sha256
    );
    Ok(())
}

fn settings(path: &Path) -> anyhow::Result<TrainConfig> {
    let told = || format!("training settings {}", path.display());
    let text = std::fs::read_to_string(path).with_context(told)?;
    toml::from_str(&text).with_context(told)
}

fn bar() -> anyhow::Result<ProgressBar> {
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:32} epoch {pos}/{len} {msg}")?);
    Ok(bar)
}

fn show(bar: &ProgressBar, step: &Progress) {
    bar.set_length(step.epochs as u64);
    bar.set_position(step.epoch as u64);
    bar.set_message(format!("pass {}, validation error {:.4}", step.pass, step.validation_error));
}

/// Thresholds from rows that the run did not see; a store that it was trained on has none, and gives what `serve` would.
fn judged(run: &TrainRun, args: &RowArgs, attacks: &[FeatureVector]) -> anyhow::Result<Judged> {
    let given = args.read()?;
    let Some(sampled) = given.sampled.as_ref().filter(|_| run.sampled) else {
        let all = given.together(args.files());
        let rows: Vec<_> = all.rows.iter().filter(|row| row.attack.is_none()).collect();
        if rows.is_empty() {
            bail!("no benign rows to calibrate on");
        }
        return Ok(learn::judge::judge(run, &rows, attacks)?);
    };
    if !given.files.rows.is_empty() {
        bail!(
            "the run was trained on a store: thresholds come from a store, or from captures and feature files, not both"
        );
    }
    if !run.is_of(&benign(&sampled.rows).collect::<Vec<_>>()) {
        tracing::warn!(
            "the store does not hold the rows that the run was trained on: thresholds are those of its rows now"
        );
    }
    let bar = bar()?;
    let judged = judge_by_halves(run, sampled, attacks, &mut |step| show(&bar, &step))?;
    bar.finish();
    Ok(judged)
}

/// `calibrate`.
pub(crate) fn run_calibrate(args: &CalibrateArgs) -> anyhow::Result<()> {
    let run = TrainRun::load(&args.run)?;
    let judged = judged(&run, &args.rows, &[])?;
    let thresholds = &judged.thresholds;
    tell!("calibrated on {} benign rows", thresholds.calibration.rows);
    for limit in &thresholds.limits {
        tell!("{:>7} false alerts a day: evidence over {:.1} nats", limit.alerts_per_day, limit.evidence_nats);
    }
    if let Some(path) = &args.json {
        write(path, &serde_json::to_vec_pretty(thresholds)?)?;
    }
    if args.check.is_empty() {
        return Ok(());
    }
    let checked = knob::check(&run, &judged.quantized.artifacts.int8, thresholds, &args.check)?;
    knob::tell(&checked);
    args.report.iter().try_for_each(|folder| knob::write_page(folder, &checked, &args.check, command_line()))
}

/// `release`.
pub(crate) fn run_release(args: &ReleaseArgs) -> anyhow::Result<()> {
    let run = TrainRun::load(&args.run)?;
    let labelled = capture::read(&args.attacks)?;
    let attacks: Vec<FeatureVector> =
        labelled.rows.iter().filter(|row| row.attack.is_some()).map(|row| row.features).collect();
    let judged = judged(&run, &args.rows, &attacks)?;
    let created_s = crate::clock::now_s();
    let expires_s = created_s.saturating_add(args.expires_days.saturating_mul(86_400));
    let naming = Naming { group: args.group.clone(), version: args.version, created_s, expires_s };
    let kinds = learn::kinds(labelled.rows.iter(), &run.scaling);
    let names: Vec<String> = kinds.iter().map(|kind| kind.name.to_string()).collect();
    let key = ReleaseKey::load(&args.key)?;
    let artifacts = &judged.quantized.artifacts;
    let bytes = learn::release(&run, artifacts, &judged.held_out, judged.thresholds.clone(), kinds, naming, &key)?;
    write(&args.out, &bytes)?;
    write_card(args, &run, &judged, &labelled, (expires_s, bytes.len(), key.name()))?;
    tell!("{}", learn::cost(&judged.quantized.report));
    tell!("kinds that alerts can resemble: {}", if names.is_empty() { "none".into() } else { names.join(", ") });
    tell!("{}: release {} of group {}, {} bytes", args.out.display(), args.version, args.group, bytes.len());
    if let Some(path) = &args.json {
        write(path, &serde_json::to_vec_pretty(&judged.quantized.report)?)?;
    }
    Ok(())
}

/// Page and JSON of the model card beside the release file.
fn write_card(
    args: &ReleaseArgs,
    run: &TrainRun,
    judged: &Judged,
    labelled: &Dataset,
    (expires_s, file_bytes, key): (u64, usize, &str),
) -> anyhow::Result<()> {
    let mut by_kind: BTreeMap<&str, Vec<FeatureVector>> = BTreeMap::new();
    for row in &labelled.rows {
        if let Some(kind) = &row.attack {
            by_kind.entry(kind).or_default().push(row.features);
        }
    }
    let int8 = &judged.quantized.artifacts.int8;
    let mut attacks = Vec::new();
    for (kind, rows) in by_kind {
        attacks.push((kind.to_owned(), learn::scores(int8, &run.scaling, rows.iter())?));
    }
    CardFiles::make(&CardInput {
        group: &args.group,
        version: args.version,
        expires_s,
        key,
        file_bytes,
        run,
        quantized: &judged.quantized.report,
        thresholds: &judged.thresholds,
        benign: &judged.scores,
        attacks: &attacks,
        command: command_line(),
    })?
    .write_beside(&args.out)?;
    tell!("{}: model card", args.out.with_extension("card.html").display());
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_holds_every_setting_at_its_default() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/train.toml");
        assert_eq!(settings(&path).unwrap(), TrainConfig::default());
        let table: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
        let defaults = toml::Table::try_from(TrainConfig::default()).unwrap();
        assert_eq!(table.keys().collect::<Vec<_>>(), defaults.keys().collect::<Vec<_>>());
    }
}
