//! `evaluate`: one method on one table → figures, as text, JSON and report page, and a saved model.

use crate::evaluate::args::{EvaluateArgs, FitBar};
use crate::evaluate::page::{measures, report, summary};
use crate::evaluate::{
    self, Data, Evaluated, Evaluation, LeftOutMean, cross_validate, evaluate, leave_out_kinds, measure_int8,
    saved_model, warnings,
};
use lapwing_common::output::{command_line, write_json, write_page};
use lapwing_common::print_line;
use lapwing_methods::Step;
use lapwing_models::Plan;
use lapwing_report::run::RunReport;
use lapwing_tables::{Split, Table};
use std::path::Path;

pub(crate) fn run_evaluate(args: &EvaluateArgs) -> anyhow::Result<()> {
    let table = args.source.read()?;
    let plan = args.plan();
    let split = Split::make(&table, &plan.split_options())?;
    let bar = FitBar::new(plan.method.to_string());
    let step = |at: Step| bar.step(at);
    let evaluated = evaluate(&table, &split, &plan, &step)?;
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
        warnings: warnings(&data, &table, &plan, &evaluated),
        plan,
        data,
        split_counts: evaluated.split_counts,
        figures: evaluated.figures.clone(),
        int8: measure_int8(&table, &evaluated)?,
        left_out_mean: LeftOutMean::of(&left_out),
        left_out,
        folds,
        cost: evaluated.cost,
    };
    // `--json -`: standard output carries the JSON alone.
    if args.json.as_deref() != Some(Path::new("-")) {
        print(&evaluation);
    }
    if let Some(path) = &args.json {
        write_json(path, &evaluation)?;
    }
    if let Some(folder) = &args.report {
        let page = report(&evaluation, &table, &evaluated, args.maps, command_line("lapwing-lab"))?;
        write_report(folder, &page, &evaluation)?;
    }
    if let Some(path) = &args.save {
        save(path, args, &table, &evaluation, evaluated)?;
    }
    Ok(())
}

fn print(evaluation: &Evaluation) {
    print_line!("{}", summary(&evaluation.figures));
    for measure in measures(&evaluation.figures, &evaluation.plan) {
        let interval = measure.shown_interval();
        let interval = if interval.is_empty() { String::new() } else { format!("  ({interval})") };
        print_line!("  {:<24} {:>8}{interval}", measure.name, measure.shown());
    }
    print_line!("  {:<24} {:>8} {:>8} {:>8}", "kind", "rows", "flagged", "AUC");
    for kind in &evaluation.figures.kinds {
        let auc = kind.auc.map_or_else(|| "–".into(), |auc| format!("{auc:.4}"));
        print_line!("  {:<24} {:>8} {:>8.4} {auc:>8}", kind.kind, kind.rows, kind.flagged);
    }
    if let Some(int8) = &evaluation.int8 {
        print_line!("  {}", int8.sentence());
    }
    for line in evaluate::left_out_lines(evaluation) {
        print_line!("{line}");
    }
    for (index, fold) in evaluation.folds.iter().enumerate() {
        let auc = fold.roc_auc.value.map_or_else(|| "–".into(), |auc| format!("{auc:.4}"));
        print_line!("  {:<24} {:>8} {:>8} {auc:>8}", format!("fold {}", index + 1), fold.rows, "");
    }
    for warning in &evaluation.warnings {
        print_line!("warning: {warning}");
    }
}

/// Writes `index.html` and `evaluation.json` into the folder.
fn write_report(folder: &Path, page: &RunReport, evaluation: &Evaluation) -> anyhow::Result<()> {
    write_page(folder, &page.html()?)?;
    write_json(&folder.join("evaluation.json"), evaluation)
}

fn save(
    path: &Path,
    args: &EvaluateArgs,
    table: &Table,
    evaluation: &Evaluation,
    evaluated: Evaluated,
) -> anyhow::Result<()> {
    let plan: &Plan = &evaluation.plan;
    let model = saved_model(&args.source.kind.name(), table, plan, evaluated)?;
    let bytes = model.save(path)?;
    eprintln!("model: {}, {bytes} bytes", path.display());
    Ok(())
}
