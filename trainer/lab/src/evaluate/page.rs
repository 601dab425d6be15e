//! An evaluation → its report page: charts, tables, limitations and the command to repeat it.

use super::error::EvaluateError;
use super::figures::{self, F1};
use super::{Classification, Data, Evaluated, Evaluation, Figure, Figures, Plan, left_out_page, maps};
use lapwing_methods::metrics::{precision_recall, roc};
use lapwing_report::charts::{
    Bar, Confusion, Curve, Group, Histogram, Learning, LearningCurve, LearningPoint, Operating, PrecisionRecall,
    Recalls, Roc,
};
use lapwing_report::run::RunReport;
use lapwing_report::{Fact, KindRow, Measure, Note, Picture};
use lapwing_tables::Table;

/// Maximum rows in the table of reading and encoding.
const TABLE_ROWS: usize = 40;

/// Builds the report page; `maps` adds t-SNE and correlation charts, which take seconds.
///
/// # Errors
/// A chart cannot be drawn.
pub(crate) fn report(
    evaluation: &Evaluation,
    table: &Table,
    evaluated: &Evaluated,
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
        notes: notes(evaluation, evaluated),
        pictures: pictures(evaluation, table, evaluated, maps)?,
        limits: limits(evaluation),
        commands: vec![command],
    })
}

/// The result in one sentence.
pub(crate) fn summary(figures: &Figures) -> String {
    let percent = |figure: &Figure| figure.value.map_or_else(|| "?".into(), |value| format!("{:.2}", value * 100.0));
    match figures.roc_auc.value {
        None => {
            format!("All test rows are benign; the false-positive rate is {} %.", percent(&figures.false_positive_rate))
        }
        Some(auc) => format!(
            "ROC-AUC {auc:.4} on {} test rows; detects {} % of the attacks at a false-positive rate of {} %.",
            figures.rows,
            percent(&figures.recall),
            percent(&figures.false_positive_rate)
        ),
    }
}

fn facts(evaluation: &Evaluation) -> Vec<Fact> {
    let (plan, counts, cost) = (&evaluation.plan, &evaluation.split_counts, &evaluation.cost);
    let mut facts = vec![
        Fact::new("data", describe_data(&evaluation.data)),
        Fact::new("sha256", evaluation.data.sha256.clone()),
        Fact::new("method", plan.method.name()),
        Fact::new("split", describe_split(plan)),
        Fact::new("seed", plan.seed.to_string()),
        Fact::new(
            "training rows",
            format!("{} ({} attacks), {} inputs", counts.training, counts.training_attacks, counts.inputs),
        ),
        Fact::new("validation, test rows", format!("{}, {}", counts.validation, counts.test)),
        Fact::new("test rows also in training", counts.test_repeats.to_string()),
        Fact::new(
            "threshold",
            format!(
                "{:.6}: {} % of benign validation rows score higher",
                evaluation.figures.threshold,
                plan.false_positive_rate * 100.0
            ),
        ),
        Fact::new("run time", format!("{:.1} s to fit, {:.2} µs to score a row", cost.fit_s, cost.score_us)),
    ];
    facts.extend(evaluation.int8.as_ref().map(|int8| Fact::new("on a gateway", int8.sentence())));
    facts.push(Fact::new("program", format!("lapwing-lab {}", evaluation.version)));
    facts.extend(options(plan));
    facts
}

fn describe_data(data: &Data) -> String {
    let files: Vec<&str> = data.files.iter().take(4).map(|file| file.name.as_str()).collect();
    let more = data.files.len().saturating_sub(4);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}: {}{more}, {} rows, {} features", data.kind, files.join(", "), data.rows, data.features)
}

/// Options of the plan that are not at their defaults.
fn options(plan: &Plan) -> impl Iterator<Item = Fact> + '_ {
    let lists = [
        ("excluded features", &plan.exclude),
        ("attack classes trained on", &plan.train_kinds),
        ("attack classes tested on", &plan.test_kinds),
    ];
    let lists =
        lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| Fact::new(name, list.join(", ")));
    let contamination = (plan.contamination > 0.0).then(|| {
        Fact::new("contamination", format!("{} % of the training rows are attacks", plan.contamination * 100.0))
    });
    lists.chain(contamination)
}

/// The split in words.
pub(crate) fn describe_split(plan: &Plan) -> String {
    let words = match plan.split_name() {
        "given" => "given: separate training and test files",
        "random" => "random: each row independently",
        "group" => "group: rows with equal features stay together",
        "time" => "time: train on the earliest rows, test on the latest",
        _ => "day: test on other days than in training",
    };
    let days = if plan.test_days.is_empty() { String::new() } else { format!(" ({})", plan.test_days.join(", ")) };
    format!("{words}{days}; {} % validation, {} % test", plan.validation * 100.0, plan.test * 100.0)
}

fn measure(id: &str, name: &str, figure: Figure) -> Measure {
    Measure::new(id, name, figure.value.unwrap_or(f64::NAN)).within(figure.interval)
}

/// The figures as measures of the report page.
pub(crate) fn measures(figures: &Figures, plan: &Plan) -> Vec<Measure> {
    let target = format!("target: {} %", plan.false_positive_rate * 100.0);
    let mut measures = vec![
        measure("roc-auc", "ROC-AUC", figures.roc_auc),
        measure("average-precision", "average precision", figures.average_precision).noted(format!(
            "{:.1} % of the test rows are attacks",
            100.0 * figures.attacks as f64 / figures.rows.max(1) as f64
        )),
        measure("recall", "recall", figures.recall),
        measure("false-positive-rate", "false-positive rate", figures.false_positive_rate).noted(target),
        measure("precision", "precision", figures.precision),
        measure("f1", "F1", figures.f1),
        measure("accuracy", "accuracy", figures.accuracy),
    ];
    measures.extend(figures.classification.iter().flat_map(class_measures));
    measures
}

/// Measures of the predicted classes.
fn class_measures(classes: &Classification) -> Vec<Measure> {
    let note = "of the predicted classes, independent of the threshold";
    let mut measures = vec![Measure::new("class-accuracy", "class accuracy", classes.accuracy).noted(note)];
    let mut add = |ids: [&str; 2], name: &str, f1: F1, note: &str| {
        let averages = [("weighted", f1.weighted), ("macro", f1.macro_average)];
        measures.extend(
            ids.into_iter()
                .zip(averages)
                .map(|(id, (average, value))| Measure::new(id, format!("{name}, {average}"), value).noted(note)),
        );
    };
    let all = ["class-f1-weighted", "class-f1-macro"];
    match classes.kinds {
        None => add(all, "class F1", classes.all, note),
        Some(kinds) => {
            add(
                all,
                "F1 with benign",
                classes.all,
                "over all classes including benign, which dominates the weighted average",
            );
            let note = "over attack classes, end to end: missed and unknown attacks count as errors";
            add(["kind-f1-weighted", "kind-f1-macro"], "strict attack F1", kinds, note);
        }
    }
    if let Some(on_attacks) = classes.on_attacks {
        let note = "over attack classes, on attack rows only, assuming that all were detected";
        add(["naming-f1-weighted", "naming-f1-macro"], "attack classifier F1", on_attacks, note);
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
    evaluated: &Evaluated,
    maps: bool,
) -> Result<Vec<Picture>, EvaluateError> {
    let figures = &evaluation.figures;
    let truth = figures::attacks(table, &evaluated.prepared.test);
    let mut pictures = Vec::new();
    if figures.roc_auc.value.is_some() {
        pictures.extend(curves(evaluation, evaluated, &truth)?);
    }
    pictures.push(histogram(evaluation, evaluated, &truth)?);
    pictures.push(confusion(evaluated, &truth, figures.threshold).picture()?);
    if let Some(classes) = figures.classification.as_ref().filter(|classes| classes.classes.len() > 2) {
        let title = "Predicted attack classes".into();
        let (truth, answers) = (classes.classes.clone(), classes.answers.clone());
        pictures.push(Confusion { title, truth, answers, counts: classes.confusion.clone() }.picture()?);
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
        let note = "Test rows in brackets. Lines are 95 % Wilson intervals, which assume independent rows.".into();
        let (title, axis) = ("Recall by attack class".into(), "share of the class's rows above the threshold".into());
        pictures.push(Recalls { title, axis, note, bars }.picture()?);
    }
    pictures.extend(left_out_page::picture(evaluation)?);
    pictures.extend(learning(evaluated)?);
    pictures.extend(maps::clusters(&evaluation.plan, evaluated)?);
    if maps {
        pictures.push(maps::tsne(table, &evaluation.plan, evaluated)?);
        pictures.extend(maps::correlation(table, evaluated)?);
    }
    Ok(pictures)
}

fn curves(evaluation: &Evaluation, evaluated: &Evaluated, truth: &[bool]) -> Result<Vec<Picture>, EvaluateError> {
    let (figures, scores) = (&evaluation.figures, &evaluated.test.scores);
    let name = evaluation.plan.method.to_string();
    let recall = figures.recall.value.unwrap_or(0.0);
    let false_rate = figures.false_positive_rate.value.unwrap_or(0.0);
    let roc = roc(scores, truth)?;
    let points = roc.points.iter().map(|point| (point.false_positive_rate, point.true_positive_rate)).collect();
    let (benign_rows, attack_rows) = (figures.rows - figures.attacks, figures.attacks);
    let curve = Curve { name: name.clone(), points, area: Some(roc.auc) };
    let operating = vec![Operating { curve: 0, x: false_rate, y: recall }];
    let picture = Roc { curves: vec![curve], operating, log_from: None, benign_rows, attack_rows };
    let few = Roc { log_from: Some((0.5 / benign_rows.max(1) as f64).clamp(1e-6, 0.01)), ..picture.clone() };
    let curve = precision_recall(scores, truth)?;
    let points = curve.points.iter().map(|point| (point.recall, point.precision)).collect();
    let curves = vec![Curve { name, points, area: Some(curve.average_precision) }];
    let operating = vec![Operating { curve: 0, x: recall, y: figures.precision.value.unwrap_or(0.0) }];
    let precision = PrecisionRecall { curves, operating, base_rate: curve.positive_share };
    let mut few = few.picture()?;
    few.title += ", low false-positive rates";
    Ok(vec![picture.picture()?, few, precision.picture()?])
}

fn histogram(evaluation: &Evaluation, evaluated: &Evaluated, truth: &[bool]) -> Result<Picture, EvaluateError> {
    let of = |is_attack: bool| {
        let scores = evaluated.test.scores.iter().zip(truth).filter(|(_, attack)| **attack == is_attack);
        scores.map(|(score, _)| f64::from(*score)).collect::<Vec<_>>()
    };
    let groups = [("benign", of(false)), ("attack", of(true))]
        .into_iter()
        .filter(|(_, scores)| !scores.is_empty())
        .map(|(name, scores)| Group { name: name.into(), scores })
        .collect();
    let probability = evaluated.test.probabilities;
    let score = if probability { "probability of an attack" } else { "anomaly score" };
    let title = "Scores of benign and attack test rows".into();
    let threshold = Some(f64::from(evaluation.figures.threshold));
    Ok(Histogram { title, score: score.into(), groups, threshold, log: !probability }.picture()?)
}

fn learning(evaluated: &Evaluated) -> Result<Option<Picture>, EvaluateError> {
    let curve = |(name, losses): &(String, Vec<lapwing_neural::CurvePoint>)| LearningCurve {
        name: name.clone(),
        points: losses
            .iter()
            .map(|at| LearningPoint { step: at.step as f64, seconds: at.seconds, loss: at.validation_loss })
            .collect(),
    };
    let curves: Vec<LearningCurve> = evaluated.losses.iter().map(curve).collect();
    if curves.is_empty() {
        return Ok(None);
    }
    Ok(Some(Learning { step: "optimizer steps".into(), loss: "validation loss".into(), curves, log: true }.picture()?))
}

fn confusion(evaluated: &Evaluated, truth: &[bool], threshold: f32) -> Confusion {
    let mut counts = vec![vec![0_u64; 2]; 2];
    for (score, attack) in evaluated.test.scores.iter().zip(truth) {
        counts[usize::from(*attack)][usize::from(*score > threshold)] += 1;
    }
    let names = |names: [&str; 2]| names.map(String::from).to_vec();
    Confusion {
        title: "Confusion matrix at the threshold".into(),
        truth: names(["benign", "attack"]),
        answers: names(["not flagged", "flagged"]),
        counts,
    }
}

fn notes(evaluation: &Evaluation, evaluated: &Evaluated) -> Vec<Note> {
    let share = |value: Option<f64>| value.map_or_else(|| "–".into(), |value| format!("{value:.4}"));
    let header = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect::<Vec<_>>();
    let mut notes = Vec::new();
    notes.extend(left_out_page::note(evaluation));
    if !evaluation.folds.is_empty() {
        let row = |(index, fold): (usize, &Figures)| {
            let class = fold.classification.as_ref().map(|classes| classes.accuracy);
            let cells = [fold.roc_auc.value, fold.recall.value, fold.false_positive_rate.value, class];
            std::iter::once((index + 1).to_string()).chain(cells.map(share)).collect()
        };
        notes.push(Note {
            title: format!("Cross-validation, {} folds", evaluation.folds.len()),
            text: "Every row is tested once; each fold fits its own encoder, method and threshold.".into(),
            header: header(&["fold", "ROC-AUC", "recall", "false-positive rate", "class accuracy"]),
            rows: evaluation.folds.iter().enumerate().map(row).collect(),
        });
    }
    notes.extend(importance(evaluated));
    notes.extend(reading(evaluation, evaluated));
    notes
}

fn importance(evaluated: &Evaluated) -> Option<Note> {
    let shares = evaluated.fitted.importance()?;
    let features = evaluated.prepared.encoder.features();
    let mut by_feature: std::collections::BTreeMap<&str, f64> = std::collections::BTreeMap::new();
    features.iter().zip(&shares).for_each(|(name, share)| *by_feature.entry(name).or_default() += share);
    let mut order: Vec<(&str, f64)> = by_feature.into_iter().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    Some(Note {
        title: "Feature importance".into(),
        text: "The fifteen features with the largest share of importance.".into(),
        header: vec!["feature".into(), "share".into()],
        rows: order
            .iter()
            .take(15)
            .map(|(name, share)| vec![(*name).into(), format!("{:.1} %", share * 100.0)])
            .collect(),
    })
}

fn reading(evaluation: &Evaluation, evaluated: &Evaluated) -> Option<Note> {
    let counts = &evaluation.data.counts;
    let mut rows: Vec<Vec<String>> = Vec::new();
    rows.extend(counts.dropped.iter().map(|(reason, rows)| vec![format!("rows dropped: {reason}"), rows.to_string()]));
    rows.extend(counts.repaired.iter().map(|(column, repairs)| {
        let what = format!(
            "values repaired in {column}: {} missing, {} infinite, {} flags above 1",
            repairs.missing, repairs.infinite, repairs.stray
        );
        vec![what, (repairs.missing + repairs.infinite + repairs.stray).to_string()]
    }));
    rows.extend(
        counts.relabelled.iter().map(|(rule, rows)| vec![format!("rows relabelled: {rule}"), rows.to_string()]),
    );
    rows.extend(
        counts
            .left_out
            .iter()
            .map(|(column, why)| vec![format!("column {column} not used as a feature: {why}"), "–".into()]),
    );
    let dropped = evaluated.prepared.encoder.dropped().iter();
    rows.extend(
        dropped.map(|column| {
            vec![format!("feature {} dropped by the encoder: {}", column.name, column.reason), "–".into()]
        }),
    );
    let more = rows.len().saturating_sub(TABLE_ROWS);
    rows.truncate(TABLE_ROWS);
    if more > 0 {
        rows.push(vec![format!("{more} more lines, see the JSON"), "–".into()]);
    }
    let (title, text) = ("Reading and encoding".into(), format!("{} rows read.", counts.rows_read));
    (!rows.is_empty()).then(|| Note { title, text, header: vec!["event".into(), "count".into()], rows })
}

fn limits(evaluation: &Evaluation) -> Vec<String> {
    let mut limits = vec![
        "Each public data set comes from one testbed; benign traffic of other networks differs. Measure on your own network \
         before you rely on a threshold."
            .to_string(),
        "Intervals assume independent rows. Rows of one attack run are not independent, so the true intervals are wider.".into(),
    ];
    if evaluation.folds.is_empty() {
        limits.push("One split and one seed; `lapwing-lab compare` measures the spread over several seeds.".into());
    }
    limits
}
