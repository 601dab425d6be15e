//! `predict`: CSV in, CSV out, or one row with its suspicious features.

use super::answer::Prediction;
use super::model::Model;
use super::rows::{csv_table, json_table};
use crate::commands::write_json;
use crate::evaluate::args::{TableKind, read_kind};
use crate::tell::tell;
use anyhow::{Context, bail};
use clap::{ArgGroup, Args};
use lapwing_tables::BadRows;
use serde_json::{Map, Value as Json};
use std::io::Write;
use std::path::PathBuf;

/// `predict`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("asked").required(true)))]
pub struct PredictArgs {
    /// Model, as `evaluate --save` writes it.
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// CSV file with a header that names the model's features; gzip is fine.
    #[arg(group = "asked", value_name = "CSV")]
    pub input: Option<PathBuf>,
    /// One row instead of a file: NAME=VALUE with commas between them; features not named are missing. Names the
    /// suspicious features.
    #[arg(long, group = "asked", value_name = "NAME=VALUE,…", value_delimiter = ',')]
    pub row: Option<Vec<String>>,
    /// Describe the model instead: features, kinds, threshold, origin.
    #[arg(long, group = "asked")]
    pub about: bool,
    /// Read the file as this kind, as for `evaluate`, instead of by a header.
    #[arg(long, value_enum)]
    pub kind: Option<TableKind>,
    /// Schema for --kind table.
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
    /// Name the suspicious features of every row that is an attack, too.
    #[arg(long)]
    pub explain: bool,
    /// CSV with the answers; without it standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the answers there as JSON; `-` is standard output, which then has no CSV.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `predict`.
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
        (None, None, _) => bail!("name a CSV file or give --row"),
    };
    let predictions = model.predict(&table, single || args.explain)?;
    if single {
        predictions.iter().for_each(|prediction| tell_prediction(prediction, &model));
    } else if args.json.as_deref() != Some(std::path::Path::new("-")) {
        write_csv(args, &predictions)?;
    }
    if let Some(path) = &args.json {
        write_json(path, &predictions)?;
    }
    let attacks = predictions.iter().filter(|prediction| prediction.attack).count();
    eprintln!("{} rows, {attacks} of them attacks", predictions.len());
    Ok(())
}

fn about(model: &Model, args: &PredictArgs) -> anyhow::Result<()> {
    tell!("{} on {} (data {}), made by {}", model.plan.method, model.kind, &model.data_sha256, model.program);
    tell!("classes: {}; threshold {}", model.classes.join(", "), model.threshold);
    for feature in &model.features {
        tell!("  {:<28} {:?}", feature.name, feature.usual);
    }
    match &args.json {
        Some(path) => write_json(path, &model.features),
        None => Ok(()),
    }
}

/// Features by name; numbers where the model wants numbers.
fn row(model: &Model, pairs: &[String]) -> anyhow::Result<Map<String, Json>> {
    let needs = model.encoder.needs();
    let mut row: Map<String, Json> = needs.iter().map(|(name, _)| ((*name).to_string(), Json::Null)).collect();
    for pair in pairs {
        let (name, value) = pair.split_once('=').with_context(|| format!("--row: `{pair}` is no NAME=VALUE"))?;
        let number = needs.iter().find(|(need, _)| *need == name).is_none_or(|(_, number)| *number);
        let parsed = value.parse::<f64>().ok().and_then(serde_json::Number::from_f64).filter(|_| number);
        row.insert(name.into(), parsed.map_or_else(|| Json::String(value.into()), Json::Number));
    }
    Ok(row)
}

fn tell_prediction(prediction: &Prediction, model: &Model) {
    let word = if prediction.attack { "attack" } else { "benign" };
    let kind =
        prediction.kind.as_deref().filter(|kind| *kind != word).map_or(String::new(), |kind| format!(" ({kind})"));
    let share = prediction.benign_share * 100.0;
    tell!(
        "{word}{kind}: score {} (threshold {}); {share:.1} % of benign rows score as high",
        prediction.score,
        model.threshold
    );
    for suspicious in &prediction.suspicious {
        tell!(
            "  {} is {}, usually {}; as usual the score were {}",
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
    let failed = "cannot write the answers";
    writeln!(out, "row,score,attack,probability,benign_share,kind,suspicious").context(failed)?;
    for prediction in predictions {
        let probability = prediction.probability.map_or_else(String::new, |value| value.to_string());
        let why: Vec<&str> = prediction.suspicious.iter().map(|found| found.feature.as_str()).collect();
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

/// Quoted where a comma, quote or line end stands in it.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.into() }
}
