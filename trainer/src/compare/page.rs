//! A comparison → its page.

use super::{Comparison, Runs};
use crate::evaluate::page::split_words;
use crate::evaluate::{EvaluateError, Figures};
use lapwing_methods::metrics::{friedman, mcnemar, wilcoxon_signed_rank};
use lapwing_report::charts::{Curve, MethodRow, Methods, Roc};
use lapwing_report::comparison::{Cell, ComparisonReport, MethodLine};
use lapwing_report::{Fact, Note, Picture};

/// Methods that are tested against the best.
const TESTED: usize = 12;
/// Curves of one picture.
const CURVES: usize = 8;

type Take = fn(&Figures) -> Option<f64>;

const MEASURES: [(&str, Take); 7] = [
    ("ROC-AUC", |figures| figures.roc_auc.value),
    ("average precision", |figures| figures.average_precision.value),
    ("recall", |figures| figures.recall.value),
    ("false-positive rate", |figures| figures.false_positive_rate.value),
    ("F1", |figures| figures.f1.value),
    ("accuracy", |figures| figures.accuracy.value),
    ("accuracy of the class", |figures| figures.by_probability.as_ref().map(|naming| naming.accuracy)),
];

/// The page.
///
/// # Errors
/// When a picture cannot be drawn.
pub fn comparison(found: &Comparison, command: String) -> Result<ComparisonReport, EvaluateError> {
    Ok(ComparisonReport {
        title: found.title.clone(),
        summary: summary(found),
        warnings: warnings(found),
        facts: facts(found),
        measures: MEASURES.iter().map(|(name, _)| (*name).into()).collect(),
        methods: found.runs.iter().map(line).collect(),
        notes: tests(found),
        pictures: pictures(found)?,
        limits: vec![
            "Seeds change split, training and thresholds together; the spread is that of the whole procedure on this data, \
             not of other networks."
                .into(),
            "Runs of different seeds share rows, so p-values over seeds are too small rather than too large.".into(),
        ],
        commands: vec![command],
    })
}

/// The best method in one sentence.
fn summary(found: &Comparison) -> String {
    let Some(best) = found.runs.first() else { return "Nothing was run.".into() };
    let cell = cell(best, MEASURES[0].1);
    let seeds = found.seeds.len();
    format!(
        "{} is best by ROC-AUC: {} over {seeds} seed{}.",
        best.name,
        cell.shown(),
        if seeds == 1 { "" } else { "s" }
    )
}

fn warnings(found: &Comparison) -> Vec<String> {
    let mut warnings = Vec::new();
    let splits: std::collections::BTreeSet<&str> = found.runs.iter().map(|runs| runs.plan.split_name()).collect();
    if splits.len() > 1 {
        warnings.push("these runs use different splits, so their figures cannot be compared".into());
    }
    if splits.contains("random") {
        warnings.push("a random split puts repeats and neighbours on both sides; figures elsewhere are lower".into());
    }
    if found.seeds.len() < 3 {
        warnings.push("with fewer than three seeds the spread says little".into());
    }
    warnings
}

fn facts(found: &Comparison) -> Vec<Fact> {
    let files: Vec<&str> = found.data.files.iter().take(4).map(|file| file.name.as_str()).collect();
    let seeds: Vec<String> = found.seeds.iter().map(u64::to_string).collect();
    let mut facts = vec![
        Fact::new("data", format!("{}: {}, {} rows", found.data.kind, files.join(", "), found.data.rows)),
        Fact::new("sha256", found.data.sha256.clone()),
        Fact::new("seeds", seeds.join(", ")),
        Fact::new("program", format!("lapwing-trainer {}", found.version)),
    ];
    if let Some(first) = found.runs.first() {
        facts.push(Fact::new("split", split_words(&first.plan)));
        let rate = first.plan.false_positive_rate * 100.0;
        facts.push(Fact::new("threshold", format!("{rate} % of benign validation rows score higher")));
    }
    facts
}

/// Mean, where every value is defined.
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

/// Each method against the best: over seeds by Wilcoxon, over the first seed's rows by McNemar; all by Friedman.
fn tests(found: &Comparison) -> Vec<Note> {
    let Some((best, others)) = found.runs.split_first() else { return Vec::new() };
    let auc = |runs: &Runs| runs.figures.iter().map(|figures| figures.roc_auc.value).collect::<Option<Vec<f64>>>();
    let mut rows = Vec::new();
    for other in others.iter().take(TESTED) {
        let seeds = auc(best).zip(auc(other)).and_then(|(a, b)| wilcoxon_signed_rank(&a, &b).ok());
        let same_rows = best.tested.first() == other.tested.first();
        let paired = best.right.first().zip(other.right.first()).filter(|_| same_rows);
        let mcnemar = paired.and_then(|(a, b)| mcnemar(a, b).ok());
        rows.push(vec![
            other.name.clone(),
            seeds.map_or_else(|| "–".into(), |test| p_value(test.p_value)),
            mcnemar.map_or_else(
                || "– (other rows)".into(),
                |test| {
                    format!(
                        "{} ({} rows only {} right, {} only this)",
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
        let least = 2.0 / 2f64.powi(i32::try_from(found.seeds.len().min(60)).unwrap_or(60));
        notes.push(Note {
            title: format!("Is the difference to {} more than chance?", best.name),
            text: format!(
                "Wilcoxon's signed ranks over seeds (ROC-AUC; with {} seeds p cannot fall below {}), and McNemar's test on \
                 the first seed's test rows at the thresholds.",
                found.seeds.len(),
                p_value(least.min(1.0))
            ),
            header: ["method", "p over seeds", "p over rows"].map(String::from).to_vec(),
            rows,
        });
    }
    notes.extend(all_at_once(found, &auc));
    notes
}

fn all_at_once(found: &Comparison, auc: &dyn Fn(&Runs) -> Option<Vec<f64>>) -> Option<Note> {
    let by_run: Vec<Vec<f64>> = found.runs.iter().map(auc).collect::<Option<_>>()?;
    if by_run.len() < 3 || found.seeds.len() < 3 {
        return None;
    }
    let blocks: Vec<Vec<f64>> =
        (0..found.seeds.len()).map(|seed| by_run.iter().map(|run| run[seed]).collect()).collect();
    let test = friedman(&blocks).ok()?;
    let critical = test
        .critical_difference
        .map_or(String::new(), |apart| format!(" Mean ranks further apart than {apart:.2} differ at 5 % (Nemenyi)."));
    let rank = |(runs, rank): (&Runs, &f64)| vec![runs.name.clone(), format!("{rank:.2}")];
    Some(Note {
        title: "All methods at once".into(),
        text: format!(
            "Friedman's test over seeds: p {}.{critical} The highest mean rank is best.",
            p_value(test.p_value)
        ),
        header: ["method", "mean rank of ROC-AUC"].map(String::from).to_vec(),
        rows: found.runs.iter().zip(&test.mean_ranks).map(rank).collect(),
    })
}

fn p_value(p: f64) -> String {
    if p < 0.001 { "< 0.001".into() } else { format!("{p:.3}") }
}

fn pictures(found: &Comparison) -> Result<Vec<Picture>, EvaluateError> {
    let mut pictures = Vec::new();
    for (name, take) in [MEASURES[0], MEASURES[2]] {
        let row = |runs: &Runs| MethodRow {
            name: runs.name.clone(),
            runs: runs.figures.iter().filter_map(take).collect(),
            mean: cell(runs, take).mean.unwrap_or(f64::NAN),
            interval: interval(&cell(runs, take), runs.figures.len()),
        };
        let note = format!(
            "Rings: one run a seed ({}). Bars: 95 % interval of the mean by Student's t, from three seeds on.",
            found.seeds.len()
        );
        let methods = Methods { measure: name.into(), note, rows: found.runs.iter().map(row).collect() };
        pictures.extend(methods.picture().ok());
    }
    let curve = |runs: &Runs| Curve {
        name: runs.name.clone(),
        points: runs.roc.clone(),
        area: runs.figures.first().and_then(|figures| figures.roc_auc.value),
    };
    let rows = found
        .runs
        .first()
        .and_then(|runs| runs.figures.first())
        .map_or((0, 0), |figures| (figures.rows - figures.attacks, figures.attacks));
    let curves: Vec<Curve> = found.runs.iter().filter(|runs| !runs.roc.is_empty()).take(CURVES).map(curve).collect();
    if !curves.is_empty() {
        let mut picture = Roc { curves, operating: Vec::new(), log_from: None, rows }.picture()?;
        picture.caption += &format!(" First seed; the first {CURVES} methods at most.");
        pictures.push(picture);
    }
    Ok(pictures)
}

/// Student's t quantiles of 97.5 % by degrees of freedom, from 2 on; later ones are close to the last.
const T: [f64; 9] = [4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];

fn interval(cell: &Cell, runs: usize) -> Option<(f64, f64)> {
    let (mean, deviation) = cell.mean.zip(cell.deviation)?;
    let t = T.get(runs.checked_sub(3)?).copied().unwrap_or(2.1);
    let half = t * deviation / (runs as f64).sqrt();
    Some((mean - half, mean + half))
}
