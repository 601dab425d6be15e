//! Command line of `evaluate` → a table and a plan; a progress bar for fits.

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lapwing_methods::{Method, Step};
use lapwing_models::{Categories, MethodName, Plan};
use lapwing_pipeline::dataset::source::{TableKind, read_kind};
use lapwing_tables::{BadRows, Repeats, Scaling, SplitRule, Table};
use std::path::PathBuf;
use std::sync::Mutex;

/// Options that select the table.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// Format of the files.
    #[arg(long, value_enum)]
    pub(crate) kind: TableKind,
    /// File or folder to train on (.csv, .csv.gz, .txt, .log, .parquet). Repeatable.
    #[arg(long = "train", value_name = "PATH", required = true)]
    pub(crate) train: Vec<PathBuf>,
    /// File or folder to test on, for --split given. Repeatable.
    #[arg(long = "test", value_name = "PATH")]
    pub(crate) test: Vec<PathBuf>,
    /// Schema (TOML) of the table; required with --kind table.
    #[arg(long, value_name = "FILE")]
    pub(crate) schema: Option<PathBuf>,
    /// Features to exclude, comma-separated.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) exclude: Vec<String>,
    /// Drop and count rows that cannot be parsed, instead of stopping at the first one.
    #[arg(long)]
    pub(crate) drop_bad_rows: bool,
}

impl SourceArgs {
    /// Reads the table, without the excluded features.
    ///
    /// # Errors
    /// Files that cannot be read or parsed, or an excluded feature that the table does not have.
    pub(crate) fn read(&self) -> anyhow::Result<Table> {
        let bad_rows = if self.drop_bad_rows { BadRows::Drop } else { BadRows::Refuse };
        let mut table = read_kind(self.kind, self.schema.as_deref(), bad_rows, &self.train, &self.test)?;
        if !self.exclude.is_empty() {
            table.without(&self.exclude).context("--exclude")?;
        }
        Ok(table)
    }
}

/// Progress bar of a fit, on standard error.
pub(crate) struct FitBar {
    bar: ProgressBar,
    what: Mutex<&'static str>,
}

impl FitBar {
    /// Creates the bar; it appears with the first step.
    pub(crate) fn new(label: String) -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {prefix}: {pos}/{len} {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(label);
        Self { bar, what: Mutex::new("") }
    }

    /// Shows the progress of a step.
    pub(crate) fn step(&self, step: Step) {
        self.bar.set_length(step.total as u64);
        self.bar.set_position(step.done as u64);
        if let Ok(mut what) = self.what.lock()
            && *what != step.what
        {
            *what = step.what;
            self.bar.set_message(step.what);
        }
    }

    /// Removes the bar.
    pub(crate) fn done(&self) {
        self.bar.finish_and_clear();
    }
}

fn parse_name<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    let value = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text);
    T::deserialize(value).map_err(|error| error.to_string())
}

/// Options of `evaluate`.
#[derive(Debug, Args)]
pub(crate) struct EvaluateArgs {
    /// Table to evaluate on.
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Method to evaluate: autoencoder, latent-logistic, kfac-network, two-stage, random-forest, gradient-boosting, bagging, voting,
    /// decision-tree, logistic-regression, svm, isolation-forest, pca, dbscan, neighbours, k-means.
    #[arg(long, value_name = "METHOD", value_parser = |text: &str| text.parse::<MethodName>())]
    pub(crate) method: MethodName,
    /// How rows are split into training, validation and test: given, random, group, time, day.
    #[arg(long, value_name = "SPLIT", default_value = "group", value_parser = parse_name::<SplitRule>)]
    pub(crate) split: SplitRule,
    /// Seed of the split, the fit and the subsampling.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Share of rows for the threshold and early stopping.
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    pub(crate) validation: f64,
    /// Share of rows to test on; not used by --split given and day.
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    pub(crate) test_share: f64,
    /// Days to test on, for --split day.
    #[arg(long, value_name = "DAYS", value_delimiter = ',')]
    pub(crate) test_days: Vec<String>,
    /// Days for the threshold and early stopping, for --split day.
    #[arg(long, value_name = "DAYS", value_delimiter = ',')]
    pub(crate) validation_days: Vec<String>,
    /// Remove validation and test rows with the same features as a training row.
    #[arg(long, alias = "set-repeats-aside")]
    pub(crate) deduplicate: bool,
    /// Share of benign validation rows that the threshold flags.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub(crate) false_positive_rate: f64,
    /// Share of attack rows in the training rows of a benign-only method, 0 to 0.2.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) contamination: f64,
    /// Attack classes to train on, comma-separated [default: all].
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    pub(crate) train_kinds: Vec<String>,
    /// Attack classes to test on, comma-separated [default: all].
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    pub(crate) test_kinds: Vec<String>,
    /// Classify attack classes, instead of only attack or benign.
    #[arg(long)]
    pub(crate) name_kinds: bool,
    /// Attack classifier of two-stage, trained with higher weights for rare classes [default: gradient-boosting].
    #[arg(long, alias = "namer", value_name = "METHOD", value_parser = |text: &str| text.parse::<Method>())]
    pub(crate) classifier: Option<Method>,
    /// Share of validation attacks, least confident first, that two-stage classifies as unknown [default: 0.2].
    #[arg(long, value_name = "SHARE")]
    pub(crate) unknown: Option<f64>,
    /// Scaling of numeric features: none, standard, min-max, robust, log-standard, quantile-uniform, quantile-normal
    /// [default: depends on the method].
    #[arg(long, value_name = "SCALING", value_parser = parse_name::<Scaling>)]
    pub(crate) scaling: Option<Scaling>,
    /// Encoding of categorical features: one-hot, surprisal (one input per feature: how rare its value is), drop.
    #[arg(long, value_name = "CODING", default_value = "one-hot", value_parser = parse_name::<Categories>)]
    pub(crate) categories: Categories,
    /// Add one input for each of these features or combinations of features (`a,b+c`): how rare the exact values are.
    #[arg(long, value_name = "COMBINATIONS", value_delimiter = ',')]
    pub(crate) combine: Vec<String>,
    /// Train on at most this many rows, sampled by seed [default: all].
    #[arg(long, value_name = "ROWS")]
    pub(crate) training_rows: Option<usize>,
    /// Widths of an autoencoder's hidden layers [default: 24,8,24; latent-logistic: 256,64,256].
    #[arg(long, value_name = "WIDTHS", value_delimiter = ',')]
    pub(crate) hidden: Vec<usize>,
    /// Ensemble size: autoencoders whose scores are averaged [default: 1].
    #[arg(long, value_name = "COUNT")]
    pub(crate) members: Option<usize>,
    /// Codebook size: multiply an autoencoder's score by the squared distance to the nearest of this many typical rows
    /// [default: no codebook].
    #[arg(long, value_name = "COUNT")]
    pub(crate) codes: Option<usize>,
    /// Share of an autoencoder's inputs masked (set to 0) in training [default: 0].
    #[arg(long, value_name = "SHARE")]
    pub(crate) masking: Option<f32>,
    /// Train a network for at most this many epochs [default: depends on the method].
    #[arg(long, value_name = "COUNT")]
    pub(crate) epochs: Option<usize>,
    /// Subsample the larger of the benign and attack classes to at most this many times the smaller one
    /// [default: no subsampling].
    #[arg(long, value_name = "RATIO")]
    pub(crate) undersample: Option<f64>,
    /// Also leave out one attack class (NSL-KDD: family) at a time, and measure how well it is detected.
    #[arg(long)]
    pub(crate) leave_out_kinds: bool,
    /// Number of seeds for --leave-out-kinds, counted from --seed; each has its own split and fit.
    #[arg(long, value_name = "COUNT", default_value_t = 1, requires = "leave_out_kinds")]
    pub(crate) leave_out_seeds: usize,
    /// Also cross-validate with this many folds [default: no cross-validation].
    #[arg(long, value_name = "COUNT")]
    pub(crate) folds: Option<usize>,
    /// Bootstrap resamples for confidence intervals; 0 disables them.
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    pub(crate) resamples: usize,
    /// Write all figures to this JSON file; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a report page with charts (index.html) and its JSON to this folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) report: Option<PathBuf>,
    /// Add t-SNE and correlation charts to the report page (takes some seconds).
    #[arg(long, requires = "report")]
    pub(crate) maps: bool,
    /// Save the fitted model to this file, for `lapwing-trainer predict` and `serve`.
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
}

impl EvaluateArgs {
    /// The plan that the options describe.
    pub(crate) fn plan(&self) -> Plan {
        Plan {
            method: self.method,
            split: self.split,
            seed: self.seed,
            validation: self.validation,
            test: self.test_share,
            test_days: self.test_days.clone(),
            validation_days: self.validation_days.clone(),
            repeats: if self.deduplicate { Repeats::SetAside } else { Repeats::Keep },
            exclude: self.source.exclude.clone(),
            false_positive_rate: self.false_positive_rate,
            contamination: self.contamination,
            train_kinds: self.train_kinds.clone(),
            test_kinds: self.test_kinds.clone(),
            name_kinds: self.name_kinds,
            classifier: self.classifier,
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
