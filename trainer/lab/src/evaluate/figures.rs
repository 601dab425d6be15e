//! Scores of test rows and a threshold from validation rows → figures with confidence intervals.

use super::error::EvaluateError;
use super::prepare::{EncodedRows, Prepared};
use lapwing_methods::metrics::{
    self, ClassFigures, ConfusionMatrix, KindRecall, bootstrap_interval, rates_at, threshold_at,
};
use lapwing_models::Answers;
use lapwing_models::Plan;
use lapwing_tables::Table;
use lapwing_tables::stats::wilson;
use serde::Serialize;
use std::collections::BTreeMap;

/// Above this number of rows at most 50 bootstrap resamples are drawn, because each sorts all rows.
const MANY_ROWS: usize = 50_000;
const CONFIDENCE: f64 = 0.95;

/// A figure and its 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// `None` where it is undefined, like AUC with one class.
    pub(crate) value: Option<f64>,
    /// Percentile bootstrap over test rows, or Wilson's for shares.
    pub(crate) interval: Option<(f64, f64)>,
}

/// Figures of one kind's test rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct KindFigures {
    /// Kind; for `benign`, `flagged` is the false-positive rate.
    pub(crate) kind: String,
    /// Test rows.
    pub(crate) rows: usize,
    /// Share of rows over the threshold.
    pub(crate) flagged: f64,
    /// Wilson 95 % interval of `flagged`.
    pub(crate) interval: (f64, f64),
    /// ROC-AUC of this kind's rows against benign test rows.
    pub(crate) auc: Option<f64>,
}

/// Figures of the predicted classes, independent of the threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Classification {
    /// Share of rows classified correctly.
    pub(crate) accuracy: f64,
    /// F1 over all classes including benign; higher than `kinds`, because benign rows are many and easy.
    pub(crate) all: F1,
    /// F1 over attack kinds only, end to end: an attack classified as benign or unknown counts as an error.
    pub(crate) kinds: Option<F1>,
    /// F1 over attack kinds on attack rows, with detection taken as given: the attack classifier alone.
    pub(crate) on_attacks: Option<F1>,
    /// Confusion matrix: true class × answer.
    pub(crate) confusion: Vec<Vec<u64>>,
    /// True classes.
    pub(crate) classes: Vec<String>,
    /// Answers: the classes, and `unknown` if it occurs.
    pub(crate) answers: Vec<String>,
}

/// F1 over classes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct F1 {
    /// Classes weighted by their rows.
    pub(crate) weighted: f64,
    /// Classes weighted equally.
    #[serde(rename = "macro")]
    pub(crate) macro_average: f64,
}

/// All figures of the test rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Figures {
    /// Area under the ROC curve.
    pub(crate) roc_auc: Figure,
    pub(crate) average_precision: Figure,
    /// Rows with a higher score are flagged; set from benign validation rows.
    pub(crate) threshold: f32,
    /// Share of attack rows over the threshold.
    pub(crate) recall: Figure,
    /// Share of benign rows over the threshold.
    pub(crate) false_positive_rate: Figure,
    /// Share of flagged rows that are attacks.
    pub(crate) precision: Figure,
    /// Harmonic mean of precision and recall.
    pub(crate) f1: Figure,
    /// Share of rows on the correct encoded of the threshold.
    pub(crate) accuracy: Figure,
    /// By kind, benign first.
    pub(crate) kinds: Vec<KindFigures>,
    /// Figures of the predicted classes, if the method classifies.
    #[serde(rename = "by-probability")]
    pub(crate) classification: Option<Classification>,
    /// Attack rows among the test rows.
    pub(crate) attacks: usize,
    /// Test rows.
    pub(crate) rows: usize,
}

/// Computes all figures.
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
    let correct = flagged.iter().zip(&truth).filter(|(flagged, attack)| flagged == attack).count();
    let flagged_rows = flagged.iter().filter(|flagged| **flagged).count();
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
        precision: share(rates.precision, flagged_rows),
        f1: Figure { value: f1.filter(|value| value.is_finite()), interval: None },
        accuracy: share(Some(correct as f64 / truth.len().max(1) as f64), truth.len()),
        kinds: by_kind(table, &prepared.test, &test.scores, threshold)?,
        classification: classification(&prepared.classes, &prepared.test.labels, test)?,
        attacks: attack_rows,
        rows: truth.len(),
    })
}

/// The score that the given share of benign rows exceeds.
pub(super) fn threshold(table: &Table, encoded: &EncodedRows, scores: &[f32], rate: f64) -> Result<f32, EvaluateError> {
    let benign = encoded.rows.iter().zip(scores).filter(|(row, _)| table.kind()[**row] == 0);
    let benign: Vec<f32> = benign.map(|(_, score)| *score).collect();
    Ok(threshold_at(&benign, rate)?)
}

/// True for each row that is an attack.
pub(super) fn attacks(table: &Table, encoded: &EncodedRows) -> Vec<bool> {
    encoded.rows.iter().map(|row| table.kind()[*row] != 0).collect()
}

/// Figure of scores and truth; `None` where it is undefined.
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

fn by_kind(
    table: &Table,
    encoded: &EncodedRows,
    scores: &[f32],
    threshold: f32,
) -> Result<Vec<KindFigures>, EvaluateError> {
    let names: Vec<&str> =
        encoded.rows.iter().map(|row| table.kinds()[usize::from(table.kind()[*row])].as_str()).collect();
    let recalls: BTreeMap<String, KindRecall> = metrics::recall_by_kind(scores, &names, threshold)?
        .into_iter()
        .map(|recall| (recall.kind.clone(), recall))
        .collect();
    let mut figures = Vec::new();
    for (index, kind) in table.kinds().iter().enumerate() {
        let Some(recall) = recalls.get(kind) else { continue };
        let auc = if index == 0 { None } else { kind_auc(table, encoded, scores, index as u16) };
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

/// ROC-AUC of one kind's rows against benign rows.
pub(super) fn kind_auc(table: &Table, encoded: &EncodedRows, scores: &[f32], kind: u16) -> Option<f64> {
    let of = encoded.rows.iter().zip(scores).map(|(row, score)| (table.kind()[*row], *score));
    let (truth, scores): (Vec<bool>, Vec<f32>) =
        of.filter(|(of_row, _)| *of_row == 0 || *of_row == kind).map(|(of_row, score)| (of_row != 0, score)).unzip();
    metrics::auc(&scores, &truth).ok()
}

fn classification(names: &[String], truth: &[u32], test: &Answers) -> Result<Option<Classification>, EvaluateError> {
    if test.named.is_empty() {
        return Ok(None);
    }
    let classes = names.len();
    // The last answer, after the classes, is unknown.
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
        let matrix = ConfusionMatrix::new(&is, &named, classes).ok();
        matrix
            .map(|matrix| averages(&matrix.per_class().into_iter().filter(|class| class.rows > 0).collect::<Vec<_>>()))
    };
    let answer_names = names.iter().cloned().chain(unknown.then(|| "unknown".to_string())).collect();
    Ok(Some(Classification {
        accuracy: confusion.accuracy(),
        all: averages(&figures),
        kinds: (classes > 2 && !kinds.is_empty()).then(|| averages(&kinds)),
        on_attacks,
        confusion: counts,
        classes: names.to_vec(),
        answers: answer_names,
    }))
}

/// Weighted and macro average of F1 over classes that have rows.
fn averages(classes: &[ClassFigures]) -> F1 {
    let rows: u64 = classes.iter().map(|class| class.rows).sum();
    let weighted = classes.iter().map(|class| class.f1 * class.rows as f64).sum::<f64>() / rows.max(1) as f64;
    F1 { weighted, macro_average: classes.iter().map(|class| class.f1).sum::<f64>() / classes.len().max(1) as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_of_kinds_leaves_benign_rows_out_and_f1_of_all_does_not() {
        let names = ["benign", "scan", "flood"].map(String::from);
        let mut truth = vec![0; 10];
        truth.extend([1, 1, 2, 2]);
        // Benign rows all correct; one scan missed, one unknown; one flood correct, one classified as scan.
        let mut named = vec![0; 10];
        named.extend([0, 3, 2, 1]);
        let likeliest = [vec![1; 10], vec![1, 2, 2, 1]].concat();
        let result =
            classification(&names, &truth, &Answers { named, likeliest, ..Answers::default() }).unwrap().unwrap();
        let near = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-9, "{value}, expected {expected}");
        let (benign, flood) = (20.0 / 21.0, 2.0 / 3.0);
        near(result.all.weighted, (10.0 * benign + 2.0 * flood) / 14.0);
        near(result.all.macro_average, (benign + flood) / 3.0);
        let (strict, on_attacks) = (result.kinds.unwrap(), result.on_attacks.unwrap());
        near(strict.weighted, flood / 2.0);
        near(strict.macro_average, flood / 2.0);
        near(on_attacks.weighted, 0.5);
        assert_eq!(result.answers, ["benign", "scan", "flood", "unknown"]);
    }
}
