//! Scores of test rows and the threshold from validation rows → figures with their spread.

use super::error::EvaluateError;
use super::fitted::Answers;
use super::plan::Plan;
use super::prepare::{Prepared, Side};
use lapwing_methods::metrics::{
    self, ClassFigures, ConfusionMatrix, KindRecall, bootstrap_interval, rates_at, threshold_at,
};
use lapwing_tables::Table;
use serde::Serialize;
use std::collections::BTreeMap;

/// Bootstrap resamples sort all rows: with more rows than this fewer resamples do.
const MANY_ROWS: usize = 50_000;
const CONFIDENCE: f64 = 0.95;

/// A figure and its 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figure {
    /// Nothing where it is not defined, like AUC with one class.
    pub value: Option<f64>,
    /// Percentile bootstrap over test rows, or Wilson's for shares.
    pub interval: Option<(f64, f64)>,
}

/// How one kind fared.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KindFigures {
    /// Kind; `benign` gives the false-positive rate.
    pub kind: String,
    /// Test rows.
    pub rows: usize,
    /// Share over the threshold.
    pub flagged: f64,
    /// Wilson's 95 % interval of that share.
    pub interval: (f64, f64),
    /// Area under the curve of this kind against benign test rows.
    pub auc: Option<f64>,
}

/// What the classes are worth that the method names itself, by its own judgement of each row.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Naming {
    /// Share of rows named rightly.
    pub accuracy: f64,
    /// Over all classes, benign one of them: benign rows are many and easy, so it stands above `kinds`.
    pub all: F1,
    /// Over attack kinds only, end to end and strict: what is missed, called benign or unknown counts against it.
    pub kinds: Option<F1>,
    /// Over attack kinds, on attack rows taken as attacks: what naming alone is worth.
    pub on_attacks: Option<F1>,
    /// True class × answer.
    pub confusion: Vec<Vec<u64>>,
    /// True classes.
    pub classes: Vec<String>,
    /// Answers: the classes, and `unknown` where it was given.
    pub answers: Vec<String>,
}

/// F1 over classes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct F1 {
    /// Every class by its rows.
    pub weighted: f64,
    /// Every class alike.
    #[serde(rename = "macro")]
    pub macro_average: f64,
}

/// Everything measured on test rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Figures {
    /// Area under the ROC curve.
    pub roc_auc: Figure,
    /// Average precision.
    pub average_precision: Figure,
    /// Score over which a row is flagged: from benign validation rows.
    pub threshold: f32,
    /// Share of attacks over it.
    pub recall: Figure,
    /// Share of benign rows over it.
    pub false_positive_rate: Figure,
    /// Share of flagged rows that are attacks.
    pub precision: Figure,
    /// Harmonic mean of precision and recall.
    pub f1: Figure,
    /// Share of rows on their right side of the threshold.
    pub accuracy: Figure,
    /// By kind, benign first.
    pub kinds: Vec<KindFigures>,
    /// By the class that the method names itself, where it does.
    pub by_probability: Option<Naming>,
    /// Attack rows among the test rows.
    pub attacks: usize,
    /// Test rows.
    pub rows: usize,
}

/// Measures.
///
/// # Errors
/// Scores that are not finite, or no benign validation rows.
pub(super) fn measure(
    table: &Table,
    prepared: &Prepared,
    plan: &Plan,
    validation: &Answers,
    test: &Answers,
) -> Result<Figures, EvaluateError> {
    let threshold = threshold(table, &prepared.validation, &validation.scores, plan.false_positive_rate)?;
    let truth = attacks(table, &prepared.test);
    let rates = rates_at(&test.scores, &truth, threshold)?;
    let flagged: Vec<bool> = test.scores.iter().map(|score| *score > threshold).collect();
    let attack_rows = truth.iter().filter(|attack| **attack).count();
    let benign_rows = truth.len() - attack_rows;
    let right = flagged.iter().zip(&truth).filter(|(flagged, attack)| flagged == attack).count();
    let found = flagged.iter().filter(|flagged| **flagged).count();
    let share = |value: Option<f64>, rows: usize| Figure { value, interval: value.map(|value| wilson(value, rows)) };
    let f1 =
        rates.recall.zip(rates.precision).map(|(recall, precision)| 2.0 * recall * precision / (recall + precision));
    Ok(Figures {
        roc_auc: ranked(plan, &test.scores, &truth, &|scores, truth| metrics::auc(scores, truth).ok()),
        average_precision: ranked(plan, &test.scores, &truth, &|scores, truth| {
            metrics::precision_recall(scores, truth).ok().map(|curve| curve.average_precision)
        }),
        threshold,
        recall: share(rates.recall, attack_rows),
        false_positive_rate: share(rates.false_positive_rate, benign_rows),
        precision: share(rates.precision, found),
        f1: Figure { value: f1.filter(|value| value.is_finite()), interval: None },
        accuracy: share(Some(right as f64 / truth.len().max(1) as f64), truth.len()),
        kinds: by_kind(table, &prepared.test, &test.scores, threshold)?,
        by_probability: naming(&prepared.classes, &prepared.test.labels, test)?,
        attacks: attack_rows,
        rows: truth.len(),
    })
}

/// The score over which the given share of benign validation rows lies.
pub(super) fn threshold(table: &Table, side: &Side, scores: &[f32], rate: f64) -> Result<f32, EvaluateError> {
    let benign = side.rows.iter().zip(scores).filter(|(row, _)| table.kind()[**row] == 0);
    let benign: Vec<f32> = benign.map(|(_, score)| *score).collect();
    Ok(threshold_at(&benign, rate)?)
}

/// Which rows are attacks.
pub(super) fn attacks(table: &Table, side: &Side) -> Vec<bool> {
    side.rows.iter().map(|row| table.kind()[*row] != 0).collect()
}

/// A figure of scores against what is true; nothing where it is not defined.
type RankFigure<'a> = &'a dyn Fn(&[f32], &[bool]) -> Option<f64>;

fn ranked(plan: &Plan, scores: &[f32], truth: &[bool], figure: RankFigure<'_>) -> Figure {
    let Some(value) = figure(scores, truth) else { return Figure::default() };
    let resamples = if scores.len() > MANY_ROWS { plan.resamples.min(50) } else { plan.resamples };
    if resamples == 0 {
        return Figure { value: Some(value), interval: None };
    }
    let (mut drawn_scores, mut drawn_truth) = (Vec::new(), Vec::new());
    let interval = bootstrap_interval(scores.len(), resamples, CONFIDENCE, plan.seed, |rows| {
        drawn_scores.clear();
        drawn_truth.clear();
        drawn_scores.extend(rows.iter().map(|row| scores[*row]));
        drawn_truth.extend(rows.iter().map(|row| truth[*row]));
        figure(&drawn_scores, &drawn_truth)
    });
    Figure { value: Some(value), interval: interval.ok().map(|interval| (interval.low, interval.high)) }
}

/// Wilson 1927: the interval of a share that also holds near 0 and 1.
pub fn wilson(share: f64, rows: usize) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    if rows == 0 {
        return (0.0, 1.0);
    }
    let (rows, square) = (rows as f64, Z * Z);
    let middle = (share + square / (2.0 * rows)) / (1.0 + square / rows);
    let half = Z / (1.0 + square / rows) * (share * (1.0 - share) / rows + square / (4.0 * rows * rows)).sqrt();
    // At the ends the formula gives 0 and 1 but for rounding.
    let low = if share <= 0.0 { 0.0 } else { (middle - half).max(0.0) };
    (low, if share >= 1.0 { 1.0 } else { (middle + half).min(1.0) })
}

fn by_kind(table: &Table, side: &Side, scores: &[f32], threshold: f32) -> Result<Vec<KindFigures>, EvaluateError> {
    let names: Vec<&str> =
        side.rows.iter().map(|row| table.kinds()[usize::from(table.kind()[*row])].as_str()).collect();
    let recalls: BTreeMap<String, KindRecall> = metrics::recall_by_kind(scores, &names, threshold)?
        .into_iter()
        .map(|recall| (recall.kind.clone(), recall))
        .collect();
    let mut figures = Vec::new();
    for (index, kind) in table.kinds().iter().enumerate() {
        let Some(recall) = recalls.get(kind) else { continue };
        let auc = if index == 0 { None } else { kind_auc(table, side, scores, index as u16) };
        figures.push(KindFigures {
            kind: kind.clone(),
            rows: recall.rows,
            flagged: recall.recall,
            interval: wilson(recall.recall, recall.rows),
            auc,
        });
    }
    figures.get_mut(1..).unwrap_or_default().sort_by(|a, b| b.rows.cmp(&a.rows).then(a.kind.cmp(&b.kind)));
    Ok(figures)
}

/// Area of one kind's rows against benign rows.
pub(super) fn kind_auc(table: &Table, side: &Side, scores: &[f32], kind: u16) -> Option<f64> {
    let of = side.rows.iter().zip(scores).map(|(row, score)| (table.kind()[*row], *score));
    let (truth, scores): (Vec<bool>, Vec<f32>) =
        of.filter(|(found, _)| *found == 0 || *found == kind).map(|(found, score)| (found != 0, score)).unzip();
    metrics::auc(&scores, &truth).ok()
}

fn naming(names: &[String], truth: &[u32], test: &Answers) -> Result<Option<Naming>, EvaluateError> {
    if test.named.is_empty() {
        return Ok(None);
    }
    let classes = names.len();
    // One more answer than classes: unknown.
    let confusion = ConfusionMatrix::new(truth, &test.named, classes + 1)?;
    let unknown = test.named.iter().any(|class| *class as usize == classes);
    let answers = classes + usize::from(unknown);
    let counts = (0..classes).map(|truth| (0..answers).map(|named| confusion.count(truth, named)).collect()).collect();
    let figures: Vec<ClassFigures> = confusion.per_class().into_iter().filter(|class| class.rows > 0).collect();
    let kinds: Vec<ClassFigures> = figures.iter().copied().filter(|class| class.class > 0).collect();
    let on_attacks = if test.likeliest.is_empty() {
        None
    } else {
        let attacks = (0..truth.len()).filter(|row| truth[*row] != 0);
        let (is, named): (Vec<u32>, Vec<u32>) = attacks.map(|row| (truth[row], test.likeliest[row])).unzip();
        let told = ConfusionMatrix::new(&is, &named, classes).ok();
        told.map(|told| averages(&told.per_class().into_iter().filter(|class| class.rows > 0).collect::<Vec<_>>()))
    };
    let told = names.iter().cloned().chain(unknown.then(|| "unknown".to_string())).collect();
    Ok(Some(Naming {
        accuracy: confusion.accuracy(),
        all: averages(&figures),
        kinds: (classes > 2 && !kinds.is_empty()).then(|| averages(&kinds)),
        on_attacks,
        confusion: counts,
        classes: names.to_vec(),
        answers: told,
    }))
}

/// F1 over classes that have rows.
fn averages(classes: &[ClassFigures]) -> F1 {
    let rows: u64 = classes.iter().map(|class| class.rows).sum();
    let weighted = classes.iter().map(|class| class.f1 * class.rows as f64).sum::<f64>() / rows.max(1) as f64;
    F1 { weighted, macro_average: classes.iter().map(|class| class.f1).sum::<f64>() / classes.len().max(1) as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_with_benign_counts_ten_benign_rows_and_strict_kind_f1_does_not() {
        let names = ["benign", "scan", "flood"].map(String::from);
        let mut truth = vec![0; 10];
        truth.extend([1, 1, 2, 2]);
        // All benign rows right; one scan missed, one unknown; one flood right, one called scan.
        let mut named = vec![0; 10];
        named.extend([0, 3, 2, 1]);
        let likeliest = [vec![1; 10], vec![1, 2, 2, 1]].concat();
        let naming = naming(&names, &truth, &Answers { named, likeliest, ..Answers::default() }).unwrap().unwrap();
        let near = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-9, "{found} against {wanted}");
        let (benign, flood) = (20.0 / 21.0, 2.0 / 3.0);
        near(naming.all.weighted, (10.0 * benign + 2.0 * flood) / 14.0);
        near(naming.all.macro_average, (benign + flood) / 3.0);
        let (strict, on_attacks) = (naming.kinds.unwrap(), naming.on_attacks.unwrap());
        near(strict.weighted, flood / 2.0);
        near(strict.macro_average, flood / 2.0);
        near(on_attacks.weighted, 0.5);
        assert_eq!(naming.answers, ["benign", "scan", "flood", "unknown"]);
    }

    #[test]
    fn wilsons_interval_is_the_textbooks() {
        let (low, high) = wilson(0.9, 10);
        assert!((low - 0.5958).abs() < 1e-3 && (high - 0.9821).abs() < 1e-3, "{low} {high}");
        let (low, high) = wilson(1.0, 50);
        assert!(low > 0.92 && low < 0.94 && high == 1.0, "{low} {high}");
        assert_eq!(wilson(0.0, 57).0, 0.0);
        assert_eq!(wilson(0.5, 0), (0.0, 1.0));
    }
}
