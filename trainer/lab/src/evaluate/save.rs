//! An evaluated method → a model to save, with typical values of each feature that explain single rows.

use super::{EncodedRows, EvaluateError, Evaluated};
use lapwing_models::{Feature, Model, Plan, Usual};
use lapwing_neural::models::indicators::usual_row;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::release::digest::Hex;
use lapwing_tables::stats::nearest_quantile;
use lapwing_tables::{Table, Values};

/// Format whose features are those of an agent.
const CAPTURE: &str = "capture";
/// Benign scores to save, at evenly spaced ranks.
const SCORES: usize = 1_001;
/// Training rows that typical values are computed from.
const USUAL_ROWS: usize = 20_000;
/// Most common values to save per categorical feature.
const USUAL_NAMES: usize = 5;

/// Converts an evaluated method into a model to save.
///
/// # Errors
/// No benign training rows, or rows that cannot be encoded.
pub fn saved_model(kind: &str, table: &Table, plan: &Plan, evaluated: Evaluated) -> Result<Model, EvaluateError> {
    let prepared = evaluated.prepared;
    let benign: Vec<usize> = prepared.training_rows.benign(table).sample(USUAL_ROWS, plan.seed).as_slice().to_vec();
    if benign.is_empty() {
        return Err(EvaluateError::Rows {
            part: "training",
            found: "none of them benign".into(),
            expected: "benign rows, to compute typical values",
            advice: "train on more rows",
        });
    }
    let features = prepared.encoder.needs().iter().map(|(name, _)| feature(table, name, &benign)).collect();
    let usual = usual_row(&prepared.encoder.transform(table, &benign)?, &prepared.encoder.features());
    let figures = &evaluated.figures;
    Ok(Model {
        program: env!("CARGO_PKG_VERSION").into(),
        kind: kind.into(),
        data_sha256: table.digest(),
        schema: (kind == CAPTURE).then(|| Hex(&schema_id()).to_string()),
        plan: plan.clone(),
        benign_scores: sampled_scores(table, &prepared.validation, &evaluated.validation.scores),
        encoder: prepared.encoder,
        fitted: evaluated.fitted,
        classes: prepared.classes,
        threshold: figures.threshold,
        features,
        usual,
        figures: [figures.roc_auc.value, figures.recall.value, figures.false_positive_rate.value],
    })
}

fn sampled_scores(table: &Table, encoded: &EncodedRows, scores: &[f32]) -> Vec<f32> {
    let benign = encoded.rows.iter().zip(scores).filter(|(row, _)| table.kind()[**row] == 0);
    let mut sorted: Vec<f32> = benign.map(|(_, score)| *score).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    if sorted.len() <= SCORES {
        return sorted;
    }
    (0..SCORES).map(|rank| sorted[rank * (sorted.len() - 1) / (SCORES - 1)]).collect()
}

fn feature(table: &Table, name: &str, rows: &[usize]) -> Feature {
    let usual = match table.column(name).map(|column| &column.values) {
        Some(Values::Numbers(numbers)) => {
            let mut sorted: Vec<f32> = rows.iter().map(|row| numbers[*row]).filter(|value| value.is_finite()).collect();
            sorted.sort_unstable_by(f32::total_cmp);
            let at = |share: f64| nearest_quantile(&sorted, share).unwrap_or(0.0);
            Usual::Number { low: at(0.05), middle: at(0.5), high: at(0.95) }
        }
        Some(Values::Categories { names, codes }) => {
            let mut counts = vec![0_usize; names.len()];
            rows.iter().for_each(|row| counts[usize::from(codes[*row])] += 1);
            let mut order: Vec<usize> = (0..names.len()).filter(|category| counts[*category] > 0).collect();
            order.sort_by_key(|category| std::cmp::Reverse(counts[*category]));
            Usual::Names(order.into_iter().take(USUAL_NAMES).map(|category| names[category].clone()).collect())
        }
        None => Usual::Names(Vec::new()),
    };
    Feature { name: name.into(), usual }
}
