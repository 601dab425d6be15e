//! A comparison → its report page: table of measures, statistical tests, charts.

use super::{Comparison, Runs};
use crate::evaluate::page::describe_split;
use crate::evaluate::{EvaluateError, Figures};
use lapwing_methods::metrics::{friedman, mcnemar, wilcoxon_signed_rank};
use lapwing_report::charts::{Curve, MethodRow, Methods, Roc};
use lapwing_report::comparison::{Cell, ComparisonReport, MethodLine};
use lapwing_report::{Fact, Note, Picture};

/// Maximum number of methods tested against the best.
const TESTED: usize = 12;
/// Maximum number of curves in one chart.
const CURVES: usize = 8;

type Take = fn(&Figures) -> Option<f64>;

const MEASURES: [(&str, Take); 7] = [
    ("ROC-AUC", |figures| figures.roc_auc.value),
    ("average precision", |figures| figures.average_precision.value),
    ("recall", |figures| figures.recall.value),
    ("false-positive rate", |figures| figures.false_positive_rate.value),
    ("F1", |figures| figures.f1.value),
    ("accuracy", |figures| figures.accuracy.value),
    ("class accuracy", |figures| figures.classification.as_ref().map(|classes| classes.accuracy)),
];

/// Builds the report page.
///
/// # Errors
/// A chart cannot be drawn.
pub(crate) fn comparison_page(comparison: &Comparison, command: String) -> Result<ComparisonReport, EvaluateError> {
    Ok(ComparisonReport {
        title: comparison.title.clone(),
        summary: summary(comparison),
        warnings: warnings(comparison),
        facts: facts(comparison),
        measures: MEASURES.iter().map(|(name, _)| (*name).into()).collect(),
        methods: comparison.runs.iter().map(line).collect(),
        notes: tests(comparison),
        pictures: pictures(comparison)?,
        limits: vec![
            "Each seed has its own split, fit and threshold; the spread describes the whole procedure on this data, not \
             other networks."
                .into(),
            "Runs of different seeds share rows, so p-values over seeds tend to be too small.".into(),
        ],
        commands: vec![command],
    })
}

/// The best method in one sentence.
fn summary(comparison: &Comparison) -> String {
    let Some(best) = comparison.runs.first() else { return "No runs.".into() };
    let cell = cell(best, MEASURES[0].1);
    let seeds = comparison.seeds.len();
    format!(
        "{} is best by ROC-AUC: {} over {seeds} seed{}.",
        best.name,
        cell.shown(),
        if seeds == 1 { "" } else { "s" }
    )
}

fn warnings(comparison: &Comparison) -> Vec<String> {
    let mut warnings = Vec::new();
    let splits: std::collections::BTreeSet<&str> = comparison.runs.iter().map(|runs| runs.plan.split_name()).collect();
    if splits.len() > 1 {
        warnings.push("the runs use different splits, so their figures are not comparable".into());
    }
    if splits.contains("random") {
        warnings.push("a random split puts duplicates and neighbouring flows in both training and test; expect lower figures elsewhere".into());
    }
    if comparison.seeds.len() < 3 {
        warnings.push("fewer than three seeds: the standard deviation is unreliable".into());
    }
    warnings
}

fn facts(comparison: &Comparison) -> Vec<Fact> {
    let files: Vec<&str> = comparison.data.files.iter().take(4).map(|file| file.name.as_str()).collect();
    let seeds: Vec<String> = comparison.seeds.iter().map(u64::to_string).collect();
    let mut facts = vec![
        Fact::new("data", format!("{}: {}, {} rows", comparison.data.kind, files.join(", "), comparison.data.rows)),
        Fact::new("sha256", comparison.data.sha256.clone()),
        Fact::new("seeds", seeds.join(", ")),
        Fact::new("program", format!("lapwing-lab {}", comparison.version)),
    ];
    if let Some(first) = comparison.runs.first() {
        facts.push(Fact::new("split", describe_split(&first.plan)));
        let rate = first.plan.false_positive_rate * 100.0;
        facts.push(Fact::new("threshold", format!("{rate} % of benign validation rows score higher")));
    }
    facts
}

/// Mean; `None` if any value is undefined.
pub(super) fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Option<Vec<f64>> = values.collect();
    values.filter(|values| !values.is_empty()).map(|values| values.iter().sum::<f64>() / values.len() as f64)
}

fn cell(runs: &Runs, take: Take) -> Cell {
    let values: Option<Vec<f64>> = runs.figures.iter().map(take).collect();
    let mean = mean(runs.figures.iter().map(take));
    let deviation = values.zip(mean).filter(|(values, _)| values.len() > 1).map(|(values, mean)| {
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (squares / (values.len() - 1) as f64).sqrt()
    });
    Cell { mean, deviation }
}

fn line(runs: &Runs) -> MethodLine {
    let cells = MEASURES.iter().map(|(_, take)| cell(runs, *take)).collect();
    MethodLine { name: runs.name.clone(), runs: runs.figures.len(), cells }
}

/// Wilcoxon (over seeds) and McNemar (over the first seed's rows) of each method against the best, and Friedman over all.
fn tests(comparison: &Comparison) -> Vec<Note> {
    let Some((best, others)) = comparison.runs.split_first() else { return Vec::new() };
    let auc = |runs: &Runs| runs.figures.iter().map(|figures| figures.roc_auc.value).collect::<Option<Vec<f64>>>();
    let mut rows = Vec::new();
    for other in others.iter().take(TESTED) {
        let seeds = auc(best).zip(auc(other)).and_then(|(a, b)| wilcoxon_signed_rank(&a, &b).ok());
        let same_rows = best.test_rows.first() == other.test_rows.first();
        let paired = best.correct.first().zip(other.correct.first()).filter(|_| same_rows);
        let mcnemar = paired.and_then(|(a, b)| mcnemar(a, b).ok());
        rows.push(vec![
            other.name.clone(),
            seeds.map_or_else(|| "–".into(), |test| p_value(test.p_value)),
            mcnemar.map_or_else(
                || "– (different test rows)".into(),
                |test| {
                    format!(
                        "{} ({} rows only {} correct, {} only this one)",
                        p_value(test.p_value),
                        test.only_left,
                        best.name,
                        test.only_right
                    )
                },
            ),
        ]);
    }
    let mut notes = Vec::new();
    if !rows.is_empty() {
        let minimum = 2.0 / 2f64.powi(i32::try_from(comparison.seeds.len().min(60)).unwrap_or(60));
        notes.push(Note {
            title: format!("Significance of the difference from {}", best.name),
            text: format!(
                "Wilcoxon signed-rank test of ROC-AUC over seeds (with {} seeds p is at least {}), and McNemar's test of the \
                 decisions on the first seed's test rows.",
                comparison.seeds.len(),
                p_value(minimum.min(1.0))
            ),
            header: ["method", "p over seeds", "p over rows"].map(String::from).to_vec(),
            rows,
        });
    }
    notes.extend(friedman_note(comparison, &auc));
    notes
}

fn friedman_note(comparison: &Comparison, auc: &dyn Fn(&Runs) -> Option<Vec<f64>>) -> Option<Note> {
    let by_run: Vec<Vec<f64>> = comparison.runs.iter().map(auc).collect::<Option<_>>()?;
    if by_run.len() < 3 || comparison.seeds.len() < 3 {
        return None;
    }
    let blocks: Vec<Vec<f64>> =
        (0..comparison.seeds.len()).map(|seed| by_run.iter().map(|run| run[seed]).collect()).collect();
    let test = friedman(&blocks).ok()?;
    let critical = test.critical_difference.map_or(String::new(), |least| {
        format!(" Mean ranks that differ by more than {least:.2} are significant at 5 % (Nemenyi).")
    });
    let rank = |(runs, rank): (&Runs, &f64)| vec![runs.name.clone(), format!("{rank:.2}")];
    Some(Note {
        title: "Friedman test over all methods".into(),
        text: format!("Over seeds: p {}.{critical} The highest mean rank is best.", p_value(test.p_value)),
        header: ["method", "mean rank of ROC-AUC"].map(String::from).to_vec(),
        rows: comparison.runs.iter().zip(&test.mean_ranks).map(rank).collect(),
    })
}

fn p_value(p: f64) -> String {
    if p < 0.001 { "< 0.001".into() } else { format!("{p:.3}") }
}

fn pictures(comparison: &Comparison) -> Result<Vec<Picture>, EvaluateError> {
    let mut pictures = Vec::new();
    for (name, take) in [MEASURES[0], MEASURES[2]] {
        let row = |runs: &Runs| MethodRow {
            name: runs.name.clone(),
            runs: runs.figures.iter().filter_map(take).collect(),
            mean: cell(runs, take).mean.unwrap_or(f64::NAN),
            interval: interval(&cell(runs, take), runs.figures.len()),
        };
        let note = format!(
            "Rings: one run per seed ({}). Bars: 95 % confidence interval of the mean (Student's t), with at least three seeds.",
            comparison.seeds.len()
        );
        let methods = Methods { measure: name.into(), note, rows: comparison.runs.iter().map(row).collect() };
        pictures.extend(methods.picture().ok());
    }
    let curve = |runs: &Runs| Curve {
        name: runs.name.clone(),
        points: runs.roc.clone(),
        area: runs.figures.first().and_then(|figures| figures.roc_auc.value),
    };
    let (benign_rows, attack_rows) = comparison
        .runs
        .first()
        .and_then(|runs| runs.figures.first())
        .map_or((0, 0), |figures| (figures.rows - figures.attacks, figures.attacks));
    let curves: Vec<Curve> =
        comparison.runs.iter().filter(|runs| !runs.roc.is_empty()).take(CURVES).map(curve).collect();
    if !curves.is_empty() {
        let mut picture = Roc { curves, operating: Vec::new(), log_from: None, benign_rows, attack_rows }.picture()?;
        picture.caption += &format!(" First seed; at most {CURVES} methods.");
        pictures.push(picture);
    }
    Ok(pictures)
}

/// 97.5 % quantiles of Student's t with 2 to 10 degrees of freedom; 2.1 is used for more.
const T: [f64; 9] = [4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];

fn interval(cell: &Cell, runs: usize) -> Option<(f64, f64)> {
    let (mean, deviation) = cell.mean.zip(cell.deviation)?;
    let t = T.get(runs.checked_sub(3)?).copied().unwrap_or(2.1);
    let half = t * deviation / (runs as f64).sqrt();
    Some((mean - half, mean + half))
}
