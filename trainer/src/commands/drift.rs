//! A release, reference rows and present rows → how far features and score have moved: `drift`.

use anyhow::bail;
use clap::Args;
use lapwing_common::output::write_json;
use lapwing_common::output::{command_line, write_page};
use lapwing_common::print_line;
use lapwing_pipeline::drift::measure::{Drift, Moved, Threshold, measure};
use lapwing_pipeline::drift::page::{About, foremost, report, summary};
use lapwing_pipeline::drift::sampled_flows::{Scorer, Side, read};
use lapwing_shared::units::Timestamp;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Version of the JSON format.
const FORMAT: u32 = 1;
/// Columns printed on standard output, besides the score.
const PRINTED: usize = 8;

/// `drift`.
#[derive(Debug, Args)]
pub(crate) struct DriftArgs {
    /// Release whose network scores the rows.
    #[arg(long, value_name = "FILE")]
    release: PathBuf,
    /// Reference: captures, feature files (.csv) from `lapwing-agent replay --features`, or stores of `serve`; the type
    /// is detected. Without --present, rows from --since on count as the present.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    reference: Vec<PathBuf>,
    /// Present: files of the same types.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    present: Vec<PathBuf>,
    /// Start of the present, seconds since the epoch [default: creation time of the release].
    #[arg(long, value_name = "SECONDS", conflicts_with = "present")]
    since: Option<u64>,
    /// Factor by which to multiply the threshold derived from the reference.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = positive)]
    margin: f64,
    /// Drift threshold, in multiples of the usual distance [default: derived from the reference].
    #[arg(long, value_name = "RATIO", value_parser = positive, conflicts_with = "margin")]
    threshold: Option<f64>,
    /// Write the result to this file as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write an HTML report and its JSON to this folder.
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
    /// Exit with status 1 if there is drift.
    #[arg(long)]
    fail_on_drift: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Output<'a> {
    format: u32,
    summary: String,
    release: &'a str,
    warnings: &'a [String],
    #[serde(flatten)]
    drift: &'a Drift,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a number above 0".into())
}

pub(crate) fn run_drift(args: &DriftArgs) -> anyhow::Result<()> {
    let scorer = Scorer::load(&args.release)?;
    let [reference, present] = sides(args, &scorer)?;
    let threshold = args.threshold.map_or(Threshold::Margin(args.margin), Threshold::Given);
    let drift = measure(&reference, &present, threshold)?;
    let mut warnings = [reference.warnings("reference"), present.warnings("present")].concat();
    if drift.present_rows < drift.block_rows {
        let short = "the present has fewer rows than a block of the reference, so chance alone may look like drift";
        warnings.push(short.into());
    }
    let output =
        Output { format: FORMAT, summary: summary(&drift), release: &scorer.name, warnings: &warnings, drift: &drift };
    if args.json.as_deref() != Some(Path::new("-")) {
        print(&output);
    }
    if let Some(path) = &args.json {
        write_json(path, &output)?;
    }
    if let Some(folder) = &args.report {
        let about = About {
            release: &scorer.name,
            data: data(args),
            threshold: threshold_origin(args),
            warnings: warnings.clone(),
            command: command_line("lapwing-trainer"),
        };
        write_page(folder, &report(&drift, &reference, &present, about)?.html()?)?;
        write_json(&folder.join("drift.json"), &output)?;
    }
    if args.fail_on_drift && drift.drift {
        bail!("{}", output.summary);
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

fn threshold_origin(args: &DriftArgs) -> String {
    match args.threshold {
        Some(_) => "set with --threshold".into(),
        None => {
            format!("the largest ratio of any block of the reference, at least 1, times a margin of {}", args.margin)
        }
    }
}

fn print(output: &Output<'_>) {
    let drift = output.drift;
    print_line!("{}", output.summary);
    print_line!(
        "{} present rows, {} reference rows in {} blocks of about {} rows; scored by release {}",
        drift.present_rows,
        drift.reference_rows,
        drift.block_ratios.len(),
        drift.block_rows,
        output.release
    );
    print_line!("  {:<26} {:>6} {:>9} {:>9} {:>8}", "column", "ratio", "distance", "usual", "PSI");
    let line = |column: &Moved| {
        let Moved { name, ratio, distance, usual_distance, stability_index, .. } = column;
        print_line!("  {name:<26} {ratio:>6.2} {distance:>9.3} {usual_distance:>9.3} {stability_index:>8.3}");
    };
    foremost(drift, PRINTED).for_each(line);
    for warning in output.warnings {
        print_line!("warning: {warning}");
    }
}
