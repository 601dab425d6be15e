//! Figures of left-out kinds → terminal lines, and a table and a chart of the report page.

use super::error::EvaluateError;
use super::left_out::LeftOut;
use super::{Evaluation, LeftOutMean};
use lapwing_report::charts::{Bar, Recalls};
use lapwing_report::{Note, Picture};

/// Lines for a terminal: one per kind, then the mean.
pub(crate) fn lines(evaluation: &Evaluation) -> Vec<String> {
    let row = |kind: &LeftOut| {
        let flagged = kind.recall.map_or_else(|| "–".into(), |share| format!("{share:.4}"));
        let name = format!("{} (unseen)", kind.kind);
        format!("  {name:<24} {:>8} {flagged:>8} {:>8}", kind.rows, with_spread(kind.auc, kind.auc_deviation))
    };
    let mut lines: Vec<String> = evaluation.left_out.iter().map(row).collect();
    lines.extend(evaluation.left_out_mean.as_ref().map(|mean| format!("  {}", sentence(mean))));
    lines
}

/// The mean and its standard deviations as a sentence.
fn sentence(mean: &LeftOutMean) -> String {
    let spread = |name: &str, value: Option<f64>| value.map(|value| format!(", ± {value:.4} over {name}"));
    let kinds = spread("kinds", mean.deviation_over_kinds).unwrap_or_default();
    let seeds = spread(&format!("{} seeds", mean.by_seed.len()), mean.deviation_over_seeds).unwrap_or_default();
    format!("Mean AUC on unseen attack classes, weighted equally: {:.4}{kinds}{seeds}.", mean.auc)
}

/// Table of the report page.
pub(super) fn note(evaluation: &Evaluation) -> Option<Note> {
    let mean = evaluation.left_out_mean.as_ref()?;
    let header = ["class", "test rows", "AUC against benign", "recall at the threshold", "AUC by seed"];
    let row = |kind: &LeftOut| {
        let by_seed: Vec<String> = kind.runs.iter().map(|run| with_spread(run.auc, None)).collect();
        vec![
            kind.kind.clone(),
            kind.rows.to_string(),
            with_spread(kind.auc, kind.auc_deviation),
            with_spread(kind.recall, None),
            by_seed.join(", "),
        ]
    };
    Some(Note {
        title: "One attack class left out at a time".into(),
        text: format!(
            "Training and validation contain no rows of the class, and no attack rows with the same features. {} ± is one \
             standard deviation.",
            sentence(mean)
        ),
        header: header.map(String::from).to_vec(),
        rows: evaluation.left_out.iter().map(row).collect(),
    })
}

/// Bar chart by kind, if kinds were left out.
pub(super) fn picture(evaluation: &Evaluation) -> Result<Option<Picture>, EvaluateError> {
    let Some(mean) = &evaluation.left_out_mean else { return Ok(None) };
    let range = |kind: &LeftOut| {
        let aucs = || kind.runs.iter().filter_map(|run| run.auc);
        (kind.runs.len() > 1).then(|| (aucs().fold(f64::INFINITY, f64::min), aucs().fold(0.0, f64::max)))
    };
    let bar = |kind: &LeftOut| Bar {
        name: kind.kind.clone(),
        rows: kind.rows,
        value: kind.auc.unwrap_or(f64::NAN),
        interval: range(kind),
    };
    let seeds = mean.by_seed.len();
    let lines =
        if seeds > 1 { format!(" Lines span the lowest to the highest of {seeds} seeds.") } else { String::new() };
    let recalls = Recalls {
        title: "AUC on unseen attack classes".into(),
        axis: "ROC-AUC of the class's rows against benign test rows".into(),
        note: format!("Test rows in brackets; a random guess has 0.5. {}{lines}", sentence(mean)),
        bars: evaluation.left_out.iter().map(bar).collect(),
    };
    Ok(Some(recalls.picture()?))
}

/// A figure, with its standard deviation if known.
fn with_spread(value: Option<f64>, deviation: Option<f64>) -> String {
    let spread = deviation.map_or_else(String::new, |deviation| format!(" ± {deviation:.4}"));
    value.map_or_else(|| "–".into(), |value| format!("{value:.4}{spread}"))
}
