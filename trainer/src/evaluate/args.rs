//! Options of `evaluate`, and those that say which table is meant.

use super::plan::{Categories, MethodName, Plan};
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use lapwing_methods::{Method, Step};
use lapwing_tables::{Attempted, BadRows, Format, ReadOptions, Repeats, Scaling, Schema, SplitRule, Table, read};
use std::path::PathBuf;
use std::sync::Mutex;

/// What files hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableKind {
    /// CIC-IDS2017, the public files or the corrected ones.
    #[value(name = "cic-ids2017")]
    CicIds2017,
    /// UNSW-NB15, the partition files or the raw ones.
    UnswNb15,
    /// NSL-KDD, without a header.
    NslKdd,
    /// Zeek's conn log.
    ZeekConn,
    /// Any table; --schema says how to read it.
    Table,
    /// Captures, metered as agents do, with NAME.labels.csv beside them where there are labels.
    Capture,
}

/// Which table.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// What the files hold.
    #[arg(long, value_enum)]
    pub kind: TableKind,
    /// File or folder to train on (.csv, .csv.gz, .txt, .log, .parquet). May be repeated.
    #[arg(long = "train", value_name = "PATH", required = true)]
    pub train: Vec<PathBuf>,
    /// File or folder to test on, for --split given. May be repeated.
    #[arg(long = "test", value_name = "PATH")]
    pub test: Vec<PathBuf>,
    /// Schema of a table, TOML; needed with --kind table.
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
    /// Features that nothing sees, with commas between them.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub exclude: Vec<String>,
    /// Drop and count rows that cannot be read, instead of stopping at the first.
    #[arg(long)]
    pub drop_bad_rows: bool,
}

impl SourceArgs {
    /// Reads the table, without the features taken out.
    ///
    /// # Errors
    /// What the reader says of the files.
    pub fn read(&self) -> anyhow::Result<Table> {
        let bad_rows = if self.drop_bad_rows { BadRows::Drop } else { BadRows::Refuse };
        let mut table = read_kind(self.kind, self.schema.as_deref(), bad_rows, &self.train, &self.test)?;
        if !self.exclude.is_empty() {
            table.without(&self.exclude).context("--exclude")?;
        }
        Ok(table)
    }
}

impl TableKind {
    /// Its word on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// How to read files of this kind.
///
/// # Errors
/// A table without a schema, or a schema that is no good.
pub(crate) fn format(kind: TableKind, schema: Option<&std::path::Path>) -> anyhow::Result<Format> {
    Ok(match (kind, schema) {
        (TableKind::CicIds2017, _) => Format::CicIds2017 { attempted: Attempted::Benign },
        (TableKind::UnswNb15, _) => Format::UnswNb15,
        (TableKind::NslKdd, _) => Format::NslKdd,
        (TableKind::ZeekConn, _) => Format::ZeekConn,
        (TableKind::Table, Some(path)) => Format::Table(Box::new(Schema::load(path)?)),
        (TableKind::Table, None) => bail!("--kind table needs --schema FILE, which says what the columns are"),
        (TableKind::Capture, _) => bail!("captures are metered, not read as tables"),
    })
}

/// Reads files of this kind, captures too.
///
/// # Errors
/// What the reader says of the files.
pub fn read_kind(
    kind: TableKind,
    schema: Option<&std::path::Path>,
    bad_rows: BadRows,
    train: &[PathBuf],
    test: &[PathBuf],
) -> anyhow::Result<Table> {
    if kind != TableKind::Capture {
        return read_files(train, test, &ReadOptions { bad_rows, ..ReadOptions::new(format(kind, schema)?) });
    }
    let files = [train, test].concat();
    let dataset = crate::dataset::capture::read(&files)?;
    dataset.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    Ok(crate::dataset::table::of(&dataset, &files, train.len())?)
}

/// Reads with a bar on standard error.
///
/// # Errors
/// What the reader says of the files.
fn read_files(train: &[PathBuf], test: &[PathBuf], options: &ReadOptions) -> anyhow::Result<Table> {
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:32} reading {bytes}/{total_bytes}, {msg} rows")?);
    let table = read(train, test, options, &mut |progress| {
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes_read);
        bar.set_message(progress.rows.to_string());
    });
    bar.finish_and_clear();
    let table = table?;
    eprintln!("read {} rows, {} features", table.rows(), table.columns().len());
    Ok(table)
}

/// A bar on standard error for whatever a method is doing.
pub struct FitBar {
    bar: ProgressBar,
    what: Mutex<&'static str>,
}

impl FitBar {
    /// A bar that starts with the first step.
    pub fn new(label: String) -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {prefix}: {pos}/{len} {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(label);
        Self { bar, what: Mutex::new("") }
    }

    /// Shows a step.
    pub fn step(&self, step: Step) {
        self.bar.set_length(step.total as u64);
        self.bar.set_position(step.done as u64);
        if let Ok(mut what) = self.what.lock()
            && *what != step.what
        {
            *what = step.what;
            self.bar.set_message(step.what);
        }
    }

    /// Takes the bar away.
    pub fn done(&self) {
        self.bar.finish_and_clear();
    }
}

fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    let value = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text);
    T::deserialize(value).map_err(|error| error.to_string())
}

/// `evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// Table.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Method: autoencoder, latent-logistic, kfac-network, two-stage, random-forest, gradient-boosting, bagging, voting,
    /// decision-tree, logistic-regression, svm, isolation-forest, pca, dbscan, neighbours, k-means.
    #[arg(long, value_name = "METHOD", value_parser = |text: &str| text.parse::<MethodName>())]
    pub method: MethodName,
    /// How rows are parted: given, random, group, time, day.
    #[arg(long, value_name = "SPLIT", default_value = "group", value_parser = word::<SplitRule>)]
    pub split: SplitRule,
    /// Seed of every random choice.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Share of rows for thresholds and early stopping.
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    pub validation: f64,
    /// Share of rows to test on; not used by given and day.
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    pub test_share: f64,
    /// Days to test on, for --split day.
    #[arg(long, value_name = "DAYS", value_delimiter = ',')]
    pub test_days: Vec<String>,
    /// Days for thresholds, for --split day.
    #[arg(long, value_name = "DAYS", value_delimiter = ',')]
    pub validation_days: Vec<String>,
    /// Take rows out of validation and test whose features also stand in training.
    #[arg(long)]
    pub set_repeats_aside: bool,
    /// Share of benign validation rows that the threshold may flag.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub false_positive_rate: f64,
    /// Share of attacks among the rows that a benign-only method learns from, 0 to 0.2.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub contamination: f64,
    /// Attack kinds to learn from (all).
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    pub train_kinds: Vec<String>,
    /// Attack kinds to test on (all).
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    pub test_kinds: Vec<String>,
    /// Name attack kinds, instead of telling attack from benign only.
    #[arg(long)]
    pub name_kinds: bool,
    /// Method of the second stage of two-stage (gradient-boosting); rows of rare kinds weigh more.
    #[arg(long, value_name = "METHOD", value_parser = |text: &str| text.parse::<Method>())]
    pub namer: Option<Method>,
    /// Share of validation attacks, the least sure ones, that two-stage answers unknown (0.2).
    #[arg(long, value_name = "SHARE")]
    pub unknown: Option<f64>,
    /// Scaling of numbers: none, standard, min-max, robust, log-standard, quantile-uniform, quantile-normal (the
    /// method's own).
    #[arg(long, value_name = "SCALING", value_parser = word::<Scaling>)]
    pub scaling: Option<Scaling>,
    /// How categories become inputs: one-hot, surprisal (one input a feature: how rare its value is), drop.
    #[arg(long, value_name = "CODING", default_value = "one-hot", value_parser = word::<Categories>)]
    pub categories: Categories,
    /// Inputs more, one for each of these features or combinations (`a,b+c`): how rare the exact values are.
    #[arg(long, value_name = "COMBINATIONS", value_delimiter = ',')]
    pub combine: Vec<String>,
    /// Learn from at most so many rows, drawn by seed.
    #[arg(long, value_name = "ROWS")]
    pub training_rows: Option<usize>,
    /// Widths of an autoencoder's hidden layers, the narrowest in the middle (24,8,24; latent-logistic: 256,64,256).
    #[arg(long, value_name = "WIDTHS", value_delimiter = ',')]
    pub hidden: Vec<usize>,
    /// Autoencoders whose scores are averaged (1).
    #[arg(long, value_name = "COUNT")]
    pub members: Option<usize>,
    /// An autoencoder's score is multiplied by the squared distance to the nearest of so many typical rows (none).
    #[arg(long, value_name = "COUNT")]
    pub codes: Option<usize>,
    /// Share of an autoencoder's inputs set to 0 while it learns, to be filled in (0).
    #[arg(long, value_name = "SHARE")]
    pub masking: Option<f32>,
    /// Most epochs of a network.
    #[arg(long, value_name = "COUNT")]
    pub epochs: Option<usize>,
    /// Of benign and attack rows learn from at most so many times the smaller class.
    #[arg(long, value_name = "RATIO")]
    pub undersample: Option<f64>,
    /// Leave out one attack kind (NSL-KDD: family) at a time, too, and measure on it.
    #[arg(long)]
    pub leave_out_kinds: bool,
    /// Seeds of that, from --seed on: each its own split and fit.
    #[arg(long, value_name = "COUNT", default_value_t = 1, requires = "leave_out_kinds")]
    pub leave_out_seeds: usize,
    /// Cross-validate with so many folds, too.
    #[arg(long, value_name = "COUNT")]
    pub folds: Option<usize>,
    /// Bootstrap resamples behind the intervals; 0: none.
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    pub resamples: usize,
    /// Write all figures there, JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a page with pictures and its JSON into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub report: Option<PathBuf>,
    /// Add t-SNE and correlation pictures to the page; they take seconds.
    #[arg(long, requires = "report")]
    pub maps: bool,
    /// Write the fitted model there, for `predict` and `serve`.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
}

impl EvaluateArgs {
    /// What is to be done.
    pub fn plan(&self) -> Plan {
        Plan {
            method: self.method,
            split: self.split,
            seed: self.seed,
            validation: self.validation,
            test: self.test_share,
            test_days: self.test_days.clone(),
            validation_days: self.validation_days.clone(),
            repeats: if self.set_repeats_aside { Repeats::SetAside } else { Repeats::Keep },
            exclude: self.source.exclude.clone(),
            false_positive_rate: self.false_positive_rate,
            contamination: self.contamination,
            train_kinds: self.train_kinds.clone(),
            test_kinds: self.test_kinds.clone(),
            name_kinds: self.name_kinds,
            namer: self.namer,
            unknown: self.unknown,
            scaling: self.scaling,
            categories: self.categories,
            combine: self.combine.clone(),
            training_rows: self.training_rows,
            hidden: self.hidden.clone(),
            members: self.members,
            codes: self.codes,
            masking: self.masking,
            epochs: self.epochs,
            undersample: self.undersample,
            resamples: self.resamples,
        }
    }
}
