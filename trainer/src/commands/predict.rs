//! A saved model and a CSV file or one row → predictions: `predict`.

use anyhow::{Context, bail};
use clap::{ArgGroup, Args};
use lapwing_common::output::write_json;
use lapwing_common::print_line;
use lapwing_models::{Model, Prediction, csv_table, json_table};
use lapwing_pipeline::dataset::source::{TableKind, read_kind};
use lapwing_tables::BadRows;
use serde_json::{Map, Value as Json};
use std::io::Write;
use std::path::PathBuf;

/// `predict`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("rows").required(true)))]
pub(crate) struct PredictArgs {
    /// Model file, as written by `lapwing-lab evaluate --save`.
    #[arg(long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    /// CSV file whose header has the model's features; may be gzipped.
    #[arg(group = "rows", value_name = "CSV")]
    pub(crate) input: Option<PathBuf>,
    /// A single row instead of a file: comma-separated NAME=VALUE; features not given count as missing. Also prints the
    /// suspicious features.
    #[arg(long, group = "rows", value_name = "NAME=VALUE,…", value_delimiter = ',')]
    pub(crate) row: Option<Vec<String>>,
    /// Describe the model instead: features, classes, threshold, origin.
    #[arg(long, group = "rows")]
    pub(crate) about: bool,
    /// File format, as for `lapwing-lab evaluate` [default: CSV with a header].
    #[arg(long, value_enum)]
    pub(crate) kind: Option<TableKind>,
    /// Schema for --kind table.
    #[arg(long, value_name = "FILE")]
    pub(crate) schema: Option<PathBuf>,
    /// Also print the suspicious features of each row.
    #[arg(long)]
    pub(crate) explain: bool,
    /// Write the predictions to this CSV file [default: standard output].
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write the predictions to this file as JSON; `-` is standard output, instead of CSV.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

pub(crate) fn run_predict(args: &PredictArgs) -> anyhow::Result<()> {
    let model = Model::load(&args.model)?;
    if args.about {
        return about(&model, args);
    }
    let single = args.row.is_some();
    let table = match (&args.row, &args.input, args.kind) {
        (Some(pairs), _, _) => json_table(&model, &[row(&model, pairs)?])?,
        (None, Some(path), None) => csv_table(&model, path)?,
        (None, Some(path), Some(kind)) => {
            read_kind(kind, args.schema.as_deref(), BadRows::Refuse, std::slice::from_ref(path), &[])?
        }
        (None, None, _) => bail!("no rows: give a CSV file, or one row with --row"),
    };
    let predictions = model.predict(&table, single || args.explain)?;
    if single {
        predictions.iter().for_each(|prediction| print_prediction(prediction, &model));
    } else if args.json.as_deref() != Some(std::path::Path::new("-")) {
        write_csv(args, &predictions)?;
    }
    if let Some(path) = &args.json {
        write_json(path, &predictions)?;
    }
    let attacks = predictions.iter().filter(|prediction| prediction.attack).count();
    eprintln!("{} rows, {attacks} classified as attacks", predictions.len());
    Ok(())
}

fn about(model: &Model, args: &PredictArgs) -> anyhow::Result<()> {
    print_line!("{} on {} (data {}), made by {}", model.plan.method, model.kind, &model.data_sha256, model.program);
    print_line!("classes: {}; threshold {}", model.classes.join(", "), model.threshold);
    for feature in &model.features {
        print_line!("  {:<28} {:?}", feature.name, feature.usual);
    }
    match &args.json {
        Some(path) => write_json(path, &model.features),
        None => Ok(()),
    }
}

/// Feature values by name; numbers where the model expects numbers.
fn row(model: &Model, pairs: &[String]) -> anyhow::Result<Map<String, Json>> {
    let needs = model.encoder.needs();
    let mut row: Map<String, Json> = needs.iter().map(|(name, _)| ((*name).to_string(), Json::Null)).collect();
    for pair in pairs {
        let (name, value) =
            pair.split_once('=').with_context(|| format!("--row: invalid `{pair}`, expected NAME=VALUE"))?;
        let number = needs.iter().find(|(need, _)| *need == name).is_none_or(|(_, number)| *number);
        let parsed = value.parse::<f64>().ok().and_then(serde_json::Number::from_f64).filter(|_| number);
        row.insert(name.into(), parsed.map_or_else(|| Json::String(value.into()), Json::Number));
    }
    Ok(row)
}

fn print_prediction(prediction: &Prediction, model: &Model) {
    let verdict = if prediction.attack { "attack" } else { "benign" };
    let kind =
        prediction.kind.as_deref().filter(|kind| *kind != verdict).map_or(String::new(), |kind| format!(" ({kind})"));
    let share = prediction.benign_share * 100.0;
    print_line!(
        "{verdict}{kind}: score {} (threshold {}); {share:.1} % of benign rows score at least as high",
        prediction.score,
        model.threshold
    );
    for suspicious in &prediction.suspicious {
        print_line!(
            "  {} is {}, usually {}; with the usual value the score would be {}",
            suspicious.feature,
            suspicious.value,
            suspicious.usual,
            suspicious.score_without
        );
    }
}

fn write_csv(args: &PredictArgs, predictions: &[Prediction]) -> anyhow::Result<()> {
    let mut out: Box<dyn Write> = match &args.out {
        None => Box::new(std::io::BufWriter::new(std::io::stdout().lock())),
        Some(path) => {
            let file = std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            Box::new(std::io::BufWriter::new(file))
        }
    };
    let failed = "cannot write the predictions";
    writeln!(out, "row,score,attack,probability,benign_share,kind,suspicious").context(failed)?;
    for prediction in predictions {
        let probability = prediction.probability.map_or_else(String::new, |value| value.to_string());
        let why: Vec<&str> = prediction.suspicious.iter().map(|suspicious| suspicious.feature.as_str()).collect();
        writeln!(
            out,
            "{},{},{},{probability},{},{},{}",
            prediction.row,
            prediction.score,
            u8::from(prediction.attack),
            prediction.benign_share,
            field(prediction.kind.as_deref().unwrap_or("")),
            field(&why.join(" "))
        )
        .context(failed)?;
    }
    out.flush().context(failed)
}

/// A CSV field, quoted if it contains a comma, quote or line end.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.into() }
}
