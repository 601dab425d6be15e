//! An evaluation → the page of it: pictures, tables, what it does not say, how to repeat it.

use super::error::EvaluateError;
use super::{Evaluation, Figure, Figures, Judged, Plan, figures, left_out_page, maps};
use lapwing_methods::metrics::{precision_recall, roc};
use lapwing_report::charts::{
    Bar, Confusion, Curve, Group, Histogram, Learning, LearningCurve, LearningPoint, Operating, PrecisionRecall,
    Recalls, Roc,
};
use lapwing_report::run::RunReport;
use lapwing_report::{Fact, KindRow, Measure, Note, Picture};
use lapwing_tables::Table;

/// Rows of the tables of repairs.
const TABLE_ROWS: usize = 40;

/// Builds the page. `maps` adds t-SNE and correlations, which take seconds.
///
/// # Errors
/// When a picture cannot be drawn.
pub fn report(
    evaluation: &Evaluation,
    table: &Table,
    judged: &Judged,
    maps: bool,
    command: String,
) -> Result<RunReport, EvaluateError> {
    let plan = &evaluation.plan;
    Ok(RunReport {
        title: format!("{} on {}", plan.method, evaluation.data.kind),
        summary: summary(&evaluation.figures),
        warnings: evaluation.warnings.clone(),
        facts: facts(evaluation),
        measures: measures(&evaluation.figures, plan),
        kinds: evaluation.figures.kinds.iter().map(kind_row).collect(),
        notes: notes(evaluation, judged),
        pictures: pictures(evaluation, table, judged, maps)?,
        limits: limits(evaluation),
        commands: vec![command],
    })
}

/// The result in one sentence.
pub fn summary(figures: &Figures) -> String {
    let percent = |figure: &Figure| figure.value.map_or_else(|| "?".into(), |value| format!("{:.2}", value * 100.0));
    match figures.roc_auc.value {
        None => format!(
            "Test rows are all of one class: {} % of the benign ones are flagged.",
            percent(&figures.false_positive_rate)
        ),
        Some(auc) => format!(
            "ROC-AUC {auc:.4} on {} test rows; at {} % false alarms it finds {} % of the attacks.",
            figures.rows,
            percent(&figures.false_positive_rate),
            percent(&figures.recall)
        ),
    }
}

fn facts(evaluation: &Evaluation) -> Vec<Fact> {
    let (plan, data, sides) = (&evaluation.plan, &evaluation.data, &evaluation.sides);
    let files: Vec<&str> = data.files.iter().take(4).map(|file| file.name.as_str()).collect();
    let more = data.files.len().saturating_sub(4);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let mut facts = vec![
        Fact::new(
            "data",
            format!("{}: {}{more}, {} rows, {} features", data.kind, files.join(", "), data.rows, data.features),
        ),
        Fact::new("sha256", data.sha256.clone()),
        Fact::new("method", plan.method.name()),
        Fact::new("split", split_words(plan)),
        Fact::new("seed", plan.seed.to_string()),
        Fact::new(
            "training rows",
            format!("{} ({} attacks), {} inputs", sides.training, sides.training_attacks, sides.inputs),
        ),
        Fact::new("validation, test rows", format!("{}, {}", sides.validation, sides.test)),
        Fact::new("test rows seen in training", sides.test_repeats.to_string()),
        Fact::new(
            "threshold",
            format!(
                "{:.6}: {} % of benign validation rows score higher",
                evaluation.figures.threshold,
                plan.false_positive_rate * 100.0
            ),
        ),
        Fact::new(
            "cost here",
            format!("fitted in {:.1} s, {:.2} µs to score a row", evaluation.cost.fit_s, evaluation.cost.score_us),
        ),
    ];
    facts.extend(evaluation.int8.as_ref().map(|int8| Fact::new("as gateways run it", int8.sentence())));
    facts.push(Fact::new("program", format!("lapwing-trainer {}", evaluation.version)));
    let lists = [
        ("features taken out", &plan.exclude),
        ("kinds trained on", &plan.train_kinds),
        ("kinds tested on", &plan.test_kinds),
    ];
    facts.extend(
        lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| Fact::new(name, list.join(", "))),
    );
    if plan.contamination > 0.0 {
        facts.push(Fact::new(
            "contamination",
            format!("{} % of the rows learned from are attacks", plan.contamination * 100.0),
        ));
    }
    facts
}

/// What the split does, for people.
pub fn split_words(plan: &Plan) -> String {
    let words = match plan.split_name() {
        "given" => "given: test files apart from training files",
        "random" => "random: row by row",
        "group" => "group: equal feature rows stay on one side",
        "time" => "time: first rows train, latest test",
        _ => "day: other days test",
    };
    let days = if plan.test_days.is_empty() { String::new() } else { format!(" ({})", plan.test_days.join(", ")) };
    format!("{words}{days}; {} % validation, {} % test", plan.validation * 100.0, plan.test * 100.0)
}

fn measure(id: &str, name: &str, figure: Figure) -> Measure {
    Measure::new(id, name, figure.value.unwrap_or(f64::NAN)).within(figure.interval)
}

/// Figures for people and scripts.
pub fn measures(figures: &Figures, plan: &Plan) -> Vec<Measure> {
    let asked = format!("{} % was asked for", plan.false_positive_rate * 100.0);
    let mut measures = vec![
        measure("roc-auc", "ROC-AUC", figures.roc_auc),
        measure("average-precision", "average precision", figures.average_precision).noted(format!(
            "{:.1} % of the test rows are attacks",
            100.0 * figures.attacks as f64 / figures.rows.max(1) as f64
        )),
        measure("recall", "recall", figures.recall),
        measure("false-positive-rate", "false-positive rate", figures.false_positive_rate).noted(asked),
        measure("precision", "precision", figures.precision),
        measure("f1", "F1", figures.f1),
        measure("accuracy", "accuracy", figures.accuracy),
    ];
    if let Some(naming) = &figures.by_probability {
        let note = "by the class that the method names itself";
        measures.push(Measure::new("class-accuracy", "accuracy of the class", naming.accuracy).noted(note));
        let all = match naming.kinds {
            Some(_) => [
                (
                    "F1 with benign, weighted",
                    "all classes by their rows: mostly what benign ones, many and easy, are worth",
                ),
                ("F1 with benign, macro", "all classes alike, benign one of them"),
            ],
            None => [("F1 of classes, weighted", note), ("F1 of classes, macro", note)],
        };
        let [(weighted, weighted_note), (macro_average, macro_note)] = all;
        measures.push(Measure::new("class-f1-weighted", weighted, naming.all.weighted).noted(weighted_note));
        measures.push(Measure::new("class-f1-macro", macro_average, naming.all.macro_average).noted(macro_note));
        if let Some(kinds) = naming.kinds {
            let note = "attack kinds only, end to end: missed and unknown ones count against it";
            measures.push(Measure::new("kind-f1-weighted", "kind F1 strict, weighted", kinds.weighted).noted(note));
            measures.push(Measure::new("kind-f1-macro", "kind F1 strict, macro", kinds.macro_average).noted(note));
        }
        if let Some(kinds) = naming.on_attacks {
            let note = "attack rows taken as attacks: what naming alone is worth";
            measures.push(Measure::new("naming-f1-weighted", "naming F1, weighted", kinds.weighted).noted(note));
            measures.push(Measure::new("naming-f1-macro", "naming F1, macro", kinds.macro_average).noted(note));
        }
    }
    measures
}

fn kind_row(kind: &super::KindFigures) -> KindRow {
    KindRow {
        kind: kind.kind.clone(),
        rows: kind.rows,
        flagged: kind.flagged,
        interval: Some(kind.interval),
        auc: kind.auc,
    }
}

fn pictures(
    evaluation: &Evaluation,
    table: &Table,
    judged: &Judged,
    maps: bool,
) -> Result<Vec<Picture>, EvaluateError> {
    let figures = &evaluation.figures;
    let truth = figures::attacks(table, &judged.prepared.test);
    let mut pictures = Vec::new();
    if figures.roc_auc.value.is_some() {
        pictures.extend(curves(evaluation, judged, &truth)?);
    }
    pictures.push(histogram(evaluation, judged, &truth)?);
    pictures.push(confusion(judged, &truth, figures.threshold).picture()?);
    if let Some(naming) = figures.by_probability.as_ref().filter(|naming| naming.classes.len() > 2) {
        let title = "Kinds, as the method names them".into();
        let (truth, answers) = (naming.classes.clone(), naming.answers.clone());
        pictures.push(Confusion { title, truth, answers, counts: naming.confusion.clone() }.picture()?);
    }
    let kinds = figures.kinds.iter().skip(1);
    let bars: Vec<Bar> = kinds
        .map(|kind| Bar {
            name: kind.kind.clone(),
            rows: kind.rows,
            value: kind.flagged,
            interval: Some(kind.interval),
        })
        .collect();
    if !bars.is_empty() {
        let note = "Test rows in brackets. Lines are 95 % Wilson intervals; they take rows for independent.".into();
        let (title, axis) = ("Recall by attack kind".into(), "share of the kind's rows over the threshold".into());
        pictures.push(Recalls { title, axis, note, bars }.picture()?);
    }
    pictures.extend(left_out_page::picture(evaluation)?);
    pictures.extend(learning(judged)?);
    pictures.extend(maps::clusters(&evaluation.plan, judged)?);
    if maps {
        pictures.push(maps::tsne(table, &evaluation.plan, judged)?);
        pictures.extend(maps::correlation(table, judged)?);
    }
    Ok(pictures)
}

fn curves(evaluation: &Evaluation, judged: &Judged, truth: &[bool]) -> Result<Vec<Picture>, EvaluateError> {
    let (figures, scores) = (&evaluation.figures, &judged.test.scores);
    let name = evaluation.plan.method.to_string();
    let recall = figures.recall.value.unwrap_or(0.0);
    let false_rate = figures.false_positive_rate.value.unwrap_or(0.0);
    let roc = roc(scores, truth)?;
    let points = roc.points.iter().map(|point| (point.false_positive_rate, point.true_positive_rate)).collect();
    let rows = (figures.rows - figures.attacks, figures.attacks);
    let curve = Curve { name: name.clone(), points, area: Some(roc.auc) };
    let operating = vec![Operating { curve: 0, x: false_rate, y: recall }];
    let picture = Roc { curves: vec![curve], operating, log_from: None, rows };
    let few = Roc { log_from: Some((0.5 / rows.0.max(1) as f64).clamp(1e-6, 0.01)), ..picture.clone() };
    let curve = precision_recall(scores, truth)?;
    let points = curve.points.iter().map(|point| (point.recall, point.precision)).collect();
    let curves = vec![Curve { name, points, area: Some(curve.average_precision) }];
    let operating = vec![Operating { curve: 0, x: recall, y: figures.precision.value.unwrap_or(0.0) }];
    let precision = PrecisionRecall { curves, operating, base_rate: curve.positive_share };
    let mut few = few.picture()?;
    few.title += ", few false alarms";
    Ok(vec![picture.picture()?, few, precision.picture()?])
}

fn histogram(evaluation: &Evaluation, judged: &Judged, truth: &[bool]) -> Result<Picture, EvaluateError> {
    let of = |wanted: bool| {
        let scores = judged.test.scores.iter().zip(truth).filter(|(_, attack)| **attack == wanted);
        scores.map(|(score, _)| f64::from(*score)).collect::<Vec<_>>()
    };
    let groups = [("benign", of(false)), ("attack", of(true))]
        .into_iter()
        .filter(|(_, scores)| !scores.is_empty())
        .map(|(name, scores)| Group { name: name.into(), scores })
        .collect();
    let probability = judged.test.probabilities;
    let score = if probability { "probability of an attack" } else { "anomaly score" };
    let title = "Scores of benign and attack test rows".into();
    let threshold = Some(f64::from(evaluation.figures.threshold));
    Ok(Histogram { title, score: score.into(), groups, threshold, log: !probability }.picture()?)
}

fn learning(judged: &Judged) -> Result<Option<Picture>, EvaluateError> {
    let curve = |(name, losses): &(String, Vec<lapwing_neural::CurvePoint>)| LearningCurve {
        name: name.clone(),
        points: losses
            .iter()
            .map(|at| LearningPoint { step: at.step as f64, seconds: at.seconds, loss: at.validation_loss })
            .collect(),
    };
    let curves: Vec<LearningCurve> = judged.losses.iter().map(curve).collect();
    if curves.is_empty() {
        return Ok(None);
    }
    Ok(Some(Learning { step: "optimizer steps".into(), loss: "validation loss".into(), curves, log: true }.picture()?))
}

fn confusion(judged: &Judged, truth: &[bool], threshold: f32) -> Confusion {
    let mut counts = vec![vec![0_u64; 2]; 2];
    for (score, attack) in judged.test.scores.iter().zip(truth) {
        counts[usize::from(*attack)][usize::from(*score > threshold)] += 1;
    }
    let names = |names: [&str; 2]| names.map(String::from).to_vec();
    Confusion {
        title: "Flagged and not, at the threshold".into(),
        truth: names(["benign", "attack"]),
        answers: names(["not flagged", "flagged"]),
        counts,
    }
}

fn notes(evaluation: &Evaluation, judged: &Judged) -> Vec<Note> {
    let share = |value: Option<f64>| value.map_or_else(|| "–".into(), |value| format!("{value:.4}"));
    let header = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect::<Vec<_>>();
    let mut notes = Vec::new();
    notes.extend(left_out_page::note(evaluation));
    if !evaluation.folds.is_empty() {
        let row = |(place, fold): (usize, &Figures)| {
            let class = fold.by_probability.as_ref().map(|naming| naming.accuracy);
            let cells = [fold.roc_auc.value, fold.recall.value, fold.false_positive_rate.value, class];
            std::iter::once((place + 1).to_string()).chain(cells.map(share)).collect()
        };
        notes.push(Note {
            title: format!("{} folds", evaluation.folds.len()),
            text: "Every row is tested once; each fold has its own encoder, method and threshold.".into(),
            header: header(&["fold", "ROC-AUC", "recall", "false-positive rate", "accuracy of the class"]),
            rows: evaluation.folds.iter().enumerate().map(row).collect(),
        });
    }
    notes.extend(importance(judged));
    notes.extend(reading(evaluation, judged));
    notes
}

fn importance(judged: &Judged) -> Option<Note> {
    let shares = judged.fitted.importance()?;
    let features = judged.prepared.encoder.features();
    let mut by_feature: std::collections::BTreeMap<&str, f64> = std::collections::BTreeMap::new();
    features.iter().zip(&shares).for_each(|(name, share)| *by_feature.entry(name).or_default() += share);
    let mut order: Vec<(&str, f64)> = by_feature.into_iter().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    Some(Note {
        title: "Features that the method leans on".into(),
        text: "Share of each feature in what was learnt, first fifteen.".into(),
        header: vec!["feature".into(), "share".into()],
        rows: order
            .iter()
            .take(15)
            .map(|(name, share)| vec![(*name).into(), format!("{:.1} %", share * 100.0)])
            .collect(),
    })
}

fn reading(evaluation: &Evaluation, judged: &Judged) -> Option<Note> {
    let counts = &evaluation.data.counts;
    let mut rows: Vec<Vec<String>> = Vec::new();
    rows.extend(counts.dropped.iter().map(|(reason, rows)| vec![format!("rows left out: {reason}"), rows.to_string()]));
    rows.extend(counts.repaired.iter().map(|(column, repairs)| {
        let what = format!(
            "values of {column}: {} missing, {} infinite, {} stray",
            repairs.missing, repairs.infinite, repairs.stray
        );
        vec![what, (repairs.missing + repairs.infinite + repairs.stray).to_string()]
    }));
    rows.extend(
        counts.relabelled.iter().map(|(rule, rows)| vec![format!("rows relabelled: {rule}"), rows.to_string()]),
    );
    rows.extend(
        counts.left_out.iter().map(|(column, why)| vec![format!("column {column} is no feature: {why}"), "–".into()]),
    );
    let dropped = judged.prepared.encoder.dropped().iter();
    rows.extend(
        dropped.map(|column| vec![format!("feature {} gives no input: {}", column.name, column.reason), "–".into()]),
    );
    let more = rows.len().saturating_sub(TABLE_ROWS);
    rows.truncate(TABLE_ROWS);
    if more > 0 {
        rows.push(vec![format!("and {more} more lines, in the JSON"), "–".into()]);
    }
    let (title, text) = ("What reading and encoding did".into(), format!("{} rows were read.", counts.rows_read));
    (!rows.is_empty()).then(|| Note { title, text, header: vec!["what".into(), "count".into()], rows })
}

fn limits(evaluation: &Evaluation) -> Vec<String> {
    let mut limits = vec![
        "Public captures come from one testbed each; a network of your own has other benign traffic. Measure there before \
         trusting a threshold."
            .to_string(),
        "Intervals take rows for independent. Rows of one attack run are not, so the true spread is wider.".into(),
    ];
    if evaluation.folds.is_empty() {
        limits.push("One split and one seed; compare shows the spread over several.".into());
    }
    limits
}
