//! `drift`: does a network still behave as it did when its release was made?

use crate::commands::evaluate::{command_line, write_page};
use crate::commands::write_json;
use crate::drift::measure::{Drift, Moved, Threshold, measure};
use crate::drift::page::{About, foremost, report, summary};
use crate::drift::rows::{Scorer, Side, read};
use crate::tell::tell;
use anyhow::bail;
use clap::Args;
use lapwing_shared::units::Timestamp;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Version of the JSON's form.
const FORMAT: u32 = 1;
/// Columns told on standard output, besides the score.
const TOLD: usize = 8;

/// `drift`.
#[derive(Debug, Args)]
pub struct DriftArgs {
    /// Release whose score is watched.
    #[arg(long, value_name = "FILE")]
    release: PathBuf,
    /// What the network was like: captures, feature files (.csv) of `lapwing-agent replay --features`, or stores of
    /// `serve`, told apart by how they begin. Without --present, their rows from --since on are the present.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    reference: Vec<PathBuf>,
    /// What the network is like: the same sorts of files.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    present: Vec<PathBuf>,
    /// When the present begins, seconds since the epoch [default: when the release was made].
    #[arg(long, value_name = "SECONDS", conflicts_with = "present")]
    since: Option<u64>,
    /// What the threshold learnt from the reference is multiplied by.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = positive)]
    margin: f64,
    /// Drift threshold, in multiples of the usual distance, instead of the one learnt from the reference.
    #[arg(long, value_name = "RATIO", value_parser = positive, conflicts_with = "margin")]
    threshold: Option<f64>,
    /// Write what was found there, JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with pictures and its JSON into this folder.
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
    /// Exit with status 1 when there is drift.
    #[arg(long)]
    fail_on_drift: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Told<'a> {
    format: u32,
    summary: String,
    release: &'a str,
    warnings: &'a [String],
    #[serde(flatten)]
    found: &'a Drift,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a number above 0".into())
}

/// `drift`.
pub(crate) fn run_drift(args: &DriftArgs) -> anyhow::Result<()> {
    let scorer = Scorer::load(&args.release)?;
    let [reference, present] = sides(args, &scorer)?;
    let threshold = args.threshold.map_or(Threshold::Margin(args.margin), Threshold::Given);
    let found = measure(&reference, &present, threshold)?;
    let mut warnings = [reference.warnings("reference"), present.warnings("present")].concat();
    if found.present_rows < found.block_rows {
        let short = "the present is shorter than a block of the reference, so chance alone may look like drift";
        warnings.push(short.into());
    }
    let told =
        Told { format: FORMAT, summary: summary(&found), release: &scorer.name, warnings: &warnings, found: &found };
    if args.json.as_deref() != Some(Path::new("-")) {
        tell(&told);
    }
    if let Some(path) = &args.json {
        write_json(path, &told)?;
    }
    if let Some(folder) = &args.report {
        let about = About {
            release: &scorer.name,
            data: data(args),
            threshold: made(args),
            warnings: warnings.clone(),
            command: command_line(),
        };
        write_page(folder, &report(&found, &reference, &present, about)?.html()?)?;
        write_json(&folder.join("drift.json"), &told)?;
    }
    if args.fail_on_drift && found.drift {
        bail!("{}", told.summary);
    }
    Ok(())
}

fn sides(args: &DriftArgs, scorer: &Scorer) -> anyhow::Result<[Side; 2]> {
    if args.present.is_empty() {
        let since = args.since.map_or(scorer.created, Timestamp::from_secs);
        return Ok(read(&args.reference, scorer, |row| usize::from(row.at >= since))?);
    }
    let [reference] = read(&args.reference, scorer, |_| 0)?;
    let [present] = read(&args.present, scorer, |_| 0)?;
    Ok([reference, present])
}

fn data(args: &DriftArgs) -> [String; 2] {
    let names = |files: &[PathBuf]| -> String {
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        files.iter().filter_map(name).collect::<Vec<_>>().join(", ")
    };
    let present = if args.present.is_empty() { &args.reference } else { &args.present };
    [names(&args.reference), names(present)]
}

fn made(args: &DriftArgs) -> String {
    match args.threshold {
        Some(_) => "given".into(),
        None => format!("the farthest block of the reference, at least 1, times a margin of {}", args.margin),
    }
}

fn tell(told: &Told<'_>) {
    let found = told.found;
    tell!("{}", told.summary);
    tell!(
        "{} rows against {} of the reference, {} blocks of about {} rows; scores of release {}",
        found.present_rows,
        found.reference_rows,
        found.block_ratios.len(),
        found.block_rows,
        told.release
    );
    tell!("  {:<26} {:>6} {:>9} {:>9} {:>8}", "column", "ratio", "distance", "usual", "PSI");
    let line = |column: &Moved| {
        let Moved { name, ratio, distance, usual_distance, stability_index, .. } = column;
        tell!("  {name:<26} {ratio:>6.2} {distance:>9.3} {usual_distance:>9.3} {stability_index:>8.3}");
    };
    foremost(found, TOLD).for_each(line);
    for warning in told.warnings {
        tell!("beware: {warning}");
    }
}
