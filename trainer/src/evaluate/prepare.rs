//! A table and a plan → encoded sides. The encoder and every selection see training rows only.

use super::error::EvaluateError;
use super::fitted::Lesson;
use super::plan::{Categories, MethodName, Plan};
use lapwing_methods::Method;
use lapwing_tables::{CategoryCoding, Encoder, EncoderOptions, Matrix, Scaling, Split, Table, TrainingRows};

/// Most values of one scaled number, in deviations, for methods that measure distances.
const CLIP: f32 = 8.0;
/// Most columns that one category becomes.
const CATEGORY_COLUMNS: usize = 64;
const CONTAMINATION: std::ops::RangeInclusive<f64> = 0.0..=0.2;

/// Encoded rows of one side, and what is true of them.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// Rows of the table.
    pub rows: Vec<usize>,
    /// Encoded.
    pub matrix: Matrix,
    /// Class by the plan's classes.
    pub labels: Vec<u32>,
}

/// Everything that fitting and judging need.
pub struct Prepared {
    /// Fitted on training rows.
    pub encoder: Encoder,
    /// Training rows as the method learns from them.
    pub learned: TrainingRows,
    /// The same, encoded.
    pub training: Side,
    /// Validation rows.
    pub validation: Side,
    /// Test rows.
    pub test: Side,
    /// Hash of the features of each training row.
    pub keys: Vec<u64>,
    /// Class names; 0 is benign.
    pub classes: Vec<String>,
}

impl Prepared {
    /// What the method is given.
    pub fn lesson(&self) -> Lesson {
        Lesson {
            rows: self.training.matrix.clone(),
            labels: self.training.labels.clone(),
            keys: self.keys.clone(),
            classes: self.classes.len(),
            validation: (self.validation.matrix.clone(), self.validation.labels.clone()),
        }
    }
}

/// Chooses, encodes and labels the rows.
///
/// # Errors
/// Settings out of range, kinds that the table does not have, or a side without rows.
pub fn prepare(table: &Table, split: &Split, plan: &Plan) -> Result<Prepared, EvaluateError> {
    check(plan)?;
    let learned = learned_rows(table, split, plan)?;
    let encoder = Encoder::fit(table, &learned, &encoder_options(plan))?;
    let side = |rows: Vec<usize>| -> Result<Side, EvaluateError> {
        let matrix = encoder.transform(table, &rows)?;
        let labels = rows.iter().map(|row| label(table, plan, *row)).collect();
        Ok(Side { rows, matrix, labels })
    };
    let training = side(learned.as_slice().to_vec())?;
    let validation = side(split.validation().to_vec())?;
    let test = side(tested_rows(table, split, plan)?)?;
    needs_benign("validation", &validation, table)?;
    needs_benign("test", &test, table)?;
    let keys = learned.as_slice().iter().map(|row| table.keys()[*row]).collect();
    let classes = if plan.names_kinds() { table.kinds().to_vec() } else { vec!["benign".into(), "attack".into()] };
    Ok(Prepared { encoder, learned, training, validation, test, keys, classes })
}

fn check(plan: &Plan) -> Result<(), EvaluateError> {
    if !CONTAMINATION.contains(&plan.contamination) {
        let found = plan.contamination.to_string();
        return Err(EvaluateError::Setting { setting: "contamination", found, expected: "0 to 0.2" });
    }
    if !(plan.false_positive_rate > 0.0 && plan.false_positive_rate <= 0.5) {
        let found = plan.false_positive_rate.to_string();
        return Err(EvaluateError::Setting { setting: "false-positive-rate", found, expected: "over 0, at most 0.5" });
    }
    if plan.contamination > 0.0 && !plan.method.benign_only() {
        let (found, expected) = (plan.contamination.to_string(), "0 for methods that learn from labels");
        return Err(EvaluateError::Setting { setting: "contamination", found, expected });
    }
    Ok(())
}

fn kinds(table: &Table, names: &[String]) -> Result<Option<Vec<u16>>, EvaluateError> {
    if names.is_empty() {
        return Ok(None);
    }
    let found: Result<Vec<u16>, _> = names.iter().map(|name| table.kind_named(name)).collect();
    Ok(Some(found?))
}

fn learned_rows(table: &Table, split: &Split, plan: &Plan) -> Result<TrainingRows, EvaluateError> {
    let mut rows = split.training().clone();
    if let Some(kinds) = kinds(table, &plan.train_kinds)? {
        rows = rows.keep(|row| table.kind()[row] == 0 || kinds.contains(&table.kind()[row]));
    }
    if plan.method.benign_only() {
        rows = contaminated(table, &rows, plan);
    } else if let Some(ratio) = plan.undersample {
        rows = rows.undersample(table, ratio, plan.seed);
    }
    if let Some(limit) = plan.training_rows {
        rows = rows.sample(limit, plan.seed);
    }
    if rows.is_empty() {
        return Err(EvaluateError::Side {
            side: "training",
            found: "none is left to learn from".into(),
            expected: "at least one benign row",
            advice: "change the split or the kinds",
        });
    }
    Ok(rows)
}

/// Benign rows, and so many attack rows that they make up the share.
fn contaminated(table: &Table, rows: &TrainingRows, plan: &Plan) -> TrainingRows {
    let benign = rows.benign(table);
    let wanted = (benign.len() as f64 * plan.contamination / (1.0 - plan.contamination)).round() as usize;
    if wanted == 0 {
        return benign;
    }
    let strays = rows.keep(|row| table.kind()[row] != 0).sample(wanted, plan.seed);
    let strays = strays.as_slice();
    rows.keep(|row| table.kind()[row] == 0 || strays.binary_search(&row).is_ok())
}

fn tested_rows(table: &Table, split: &Split, plan: &Plan) -> Result<Vec<usize>, EvaluateError> {
    let kinds = kinds(table, &plan.test_kinds)?;
    let tested = |row: &usize| {
        let kind = table.kind()[*row];
        kind == 0 || kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
    };
    Ok(split.test().iter().copied().filter(tested).collect())
}

fn label(table: &Table, plan: &Plan, row: usize) -> u32 {
    let kind = u32::from(table.kind()[row]);
    if plan.names_kinds() { kind } else { kind.min(1) }
}

fn needs_benign(side: &'static str, rows: &Side, table: &Table) -> Result<(), EvaluateError> {
    if rows.rows.iter().any(|row| table.kind()[*row] == 0) {
        return Ok(());
    }
    let found = format!("{} rows, none of them benign", rows.rows.len());
    let advice = "the threshold comes from benign validation rows: use another split or larger shares";
    Err(EvaluateError::Side { side, found, expected: "benign rows", advice })
}

/// How a method takes its inputs unless the plan says otherwise.
pub fn encoder_options(plan: &Plan) -> EncoderOptions {
    let trees = plan.method.of_trees();
    let own = match plan.method {
        _ if trees => Scaling::None,
        MethodName::TwoStage => Scaling::None,
        MethodName::Autoencoder | MethodName::LatentLogistic | MethodName::KfacNetwork => Scaling::QuantileNormal,
        // Its cuts fall evenly over a column's range: only numbers as they are let huge ones stand alone early.
        MethodName::Plain(Method::IsolationForest) => Scaling::None,
        MethodName::Plain(_) => Scaling::LogStandard,
    };
    let scaling = plan.scaling.unwrap_or(own);
    let categories = match plan.categories {
        Categories::OneHot => CategoryCoding::OneHot { limit: CATEGORY_COLUMNS },
        Categories::Surprisal => CategoryCoding::Surprisal,
        Categories::Drop => CategoryCoding::Drop,
    };
    EncoderOptions {
        scaling,
        categories,
        combinations: plan.combine.iter().map(|names| names.split('+').map(str::to_owned).collect()).collect(),
        clip: (scaling != Scaling::None).then_some(CLIP),
        ..EncoderOptions::default()
    }
}
