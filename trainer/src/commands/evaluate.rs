//! `evaluate`: one method on one table, judged on one split, with figures, page and model.

use crate::commands::write_json;
use crate::evaluate::args::{EvaluateArgs, FitBar};
use crate::evaluate::page::{measures, report, summary};
use crate::evaluate::{
    self, Data, Evaluation, Judged, LeftOutMean, Plan, cross_validate, judge, leave_out_kinds, measure_int8, warnings,
};
use crate::predict::model::Model;
use crate::tell::tell;
use anyhow::Context;
use lapwing_methods::Step;
use lapwing_report::run::RunReport;
use lapwing_tables::{Split, Table};
use std::path::Path;

/// `evaluate`.
pub(crate) fn run_evaluate(args: &EvaluateArgs) -> anyhow::Result<()> {
    let table = args.source.read()?;
    let plan = args.plan();
    let split = Split::make(&table, &plan.split_options())?;
    let bar = FitBar::new(plan.method.to_string());
    let step = |at: Step| bar.step(at);
    let judged = judge(&table, &split, &plan, &step)?;
    let left_out = match args.leave_out_kinds {
        true => leave_out_kinds(&table, &plan, args.leave_out_seeds, &step)?,
        false => Vec::new(),
    };
    let folds = match args.folds {
        Some(count) => cross_validate(&table, &plan, count, &step)?,
        None => Vec::new(),
    };
    bar.done();
    let data = Data::of(&args.source.kind.name(), &table);
    let evaluation = Evaluation {
        format: evaluate::FORMAT,
        version: env!("CARGO_PKG_VERSION"),
        warnings: warnings(&data, &table, &plan, &judged),
        plan,
        data,
        sides: judged.sides,
        figures: judged.figures.clone(),
        int8: measure_int8(&table, &judged)?,
        left_out_mean: LeftOutMean::of(&left_out),
        left_out,
        folds,
        cost: judged.cost,
    };
    // Standard output belongs to the JSON where that was asked for.
    if args.json.as_deref() != Some(Path::new("-")) {
        tell(&evaluation);
    }
    if let Some(path) = &args.json {
        write_json(path, &evaluation)?;
    }
    if let Some(folder) = &args.report {
        let page = report(&evaluation, &table, &judged, args.maps, command_line())?;
        write_report(folder, &page, &evaluation)?;
    }
    if let Some(path) = &args.save {
        save(path, args, &table, &evaluation, judged)?;
    }
    Ok(())
}

/// The command as it was given, quoted where a shell needs it.
pub(crate) fn command_line() -> String {
    let plain =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=,:+%@".contains(c));
    let quoted = |text: String| if plain(&text) { text } else { format!("'{}'", text.replace('\'', "'\\''")) };
    let mut words: Vec<String> = std::env::args().map(quoted).collect();
    if let Some(program) = words.first_mut() {
        *program = "lapwing-trainer".into();
    }
    words.join(" ")
}

fn tell(evaluation: &Evaluation) {
    tell!("{}", summary(&evaluation.figures));
    for measure in measures(&evaluation.figures, &evaluation.plan) {
        let interval = measure.shown_interval();
        let interval = if interval.is_empty() { String::new() } else { format!("  ({interval})") };
        tell!("  {:<24} {:>8}{interval}", measure.name, measure.shown());
    }
    tell!("  {:<24} {:>8} {:>8} {:>8}", "kind", "rows", "flagged", "AUC");
    for kind in &evaluation.figures.kinds {
        let auc = kind.auc.map_or_else(|| "–".into(), |auc| format!("{auc:.4}"));
        tell!("  {:<24} {:>8} {:>8.4} {auc:>8}", kind.kind, kind.rows, kind.flagged);
    }
    if let Some(int8) = &evaluation.int8 {
        tell!("  {}", int8.sentence());
    }
    for line in evaluate::left_out_lines(evaluation) {
        tell!("{line}");
    }
    for (place, fold) in evaluation.folds.iter().enumerate() {
        let auc = fold.roc_auc.value.map_or_else(|| "–".into(), |auc| format!("{auc:.4}"));
        tell!("  {:<24} {:>8} {:>8} {auc:>8}", format!("fold {}", place + 1), fold.rows, "");
    }
    for warning in &evaluation.warnings {
        tell!("beware: {warning}");
    }
}

/// `index.html` and `evaluation.json` in the folder.
fn write_report(folder: &Path, page: &RunReport, evaluation: &Evaluation) -> anyhow::Result<()> {
    write_page(folder, &page.html()?)?;
    write_json(&folder.join("evaluation.json"), evaluation)
}

/// `index.html` in the folder, which is made where it is missing.
pub(crate) fn write_page(folder: &Path, page: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join("index.html");
    std::fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("page: {}", path.display());
    Ok(())
}

fn save(
    path: &Path,
    args: &EvaluateArgs,
    table: &Table,
    evaluation: &Evaluation,
    judged: Judged,
) -> anyhow::Result<()> {
    let plan: &Plan = &evaluation.plan;
    let model = Model::new(&args.source.kind.name(), table, plan, judged)?;
    let bytes = model.save(path)?;
    eprintln!("model: {}, {bytes} bytes", path.display());
    Ok(())
}
