//! A table, a split and a plan → encoded rows. Encoder and undersampling use training rows only.

use super::error::EvaluateError;
use super::fitted::TrainingData;
use lapwing_methods::Method;
use lapwing_models::{Categories, MethodName, Plan};
use lapwing_tables::{CategoryCoding, Encoder, EncoderOptions, Matrix, Scaling, Split, Table, TrainingRows};

/// Clip of scaled numbers, in standard deviations, for methods that measure distances.
const CLIP: f32 = 8.0;
/// Maximum number of one-hot columns per categorical feature.
const CATEGORY_COLUMNS: usize = 64;
const CONTAMINATION: std::ops::RangeInclusive<f64> = 0.0..=0.2;

/// Encoded rows of one part of the split, and their labels.
#[derive(Clone, Debug, Default)]
pub(crate) struct EncodedRows {
    /// Indices of the rows in the table.
    pub(crate) rows: Vec<usize>,
    /// Encoded features, rows × inputs.
    pub(crate) matrix: Matrix,
    /// Class of each row, an index into [`Prepared::classes`].
    pub(crate) labels: Vec<u32>,
}

/// Encoder and rows, ready for fitting and evaluation.
pub(crate) struct Prepared {
    /// Encoder, fitted on the training rows.
    pub(crate) encoder: Encoder,
    /// Training rows, after selection and subsampling.
    pub(crate) training_rows: TrainingRows,
    /// Encoded training rows.
    pub(crate) training: EncodedRows,
    /// Encoded validation rows.
    pub(crate) validation: EncodedRows,
    /// Encoded test rows.
    pub(crate) test: EncodedRows,
    /// Hash of the features of each training row.
    pub(crate) keys: Vec<u64>,
    /// Class names; 0 is benign.
    pub(crate) classes: Vec<String>,
}

impl Prepared {
    /// Input of the fit.
    pub(crate) fn training_data(&self) -> TrainingData {
        TrainingData {
            rows: self.training.matrix.clone(),
            labels: self.training.labels.clone(),
            keys: self.keys.clone(),
            classes: self.classes.len(),
            validation: (self.validation.matrix.clone(), self.validation.labels.clone()),
        }
    }
}

/// Selects, encodes and labels the rows.
///
/// # Errors
/// Settings out of range, kinds that the table does not have, or a part of the split without benign rows.
pub(crate) fn prepare(table: &Table, split: &Split, plan: &Plan) -> Result<Prepared, EvaluateError> {
    check(plan)?;
    let training_rows = select_training_rows(table, split, plan)?;
    let encoder = Encoder::fit(table, &training_rows, &encoder_options(plan))?;
    let encode = |rows: Vec<usize>| -> Result<EncodedRows, EvaluateError> {
        let matrix = encoder.transform(table, &rows)?;
        let labels = rows.iter().map(|row| label(table, plan, *row)).collect();
        Ok(EncodedRows { rows, matrix, labels })
    };
    let training = encode(training_rows.as_slice().to_vec())?;
    let validation = encode(split.validation().to_vec())?;
    let test = encode(test_rows(table, split, plan)?)?;
    require_benign("validation", &validation, table)?;
    require_benign("test", &test, table)?;
    let keys = training_rows.as_slice().iter().map(|row| table.keys()[*row]).collect();
    let classes = if plan.names_kinds() { table.kinds().to_vec() } else { vec!["benign".into(), "attack".into()] };
    Ok(Prepared { encoder, training_rows, training, validation, test, keys, classes })
}

fn check(plan: &Plan) -> Result<(), EvaluateError> {
    if !CONTAMINATION.contains(&plan.contamination) {
        let found = plan.contamination.to_string();
        return Err(EvaluateError::Setting { setting: "contamination", found, expected: "0 to 0.2" });
    }
    if !(plan.false_positive_rate > 0.0 && plan.false_positive_rate <= 0.5) {
        let found = plan.false_positive_rate.to_string();
        return Err(EvaluateError::Setting { setting: "false-positive-rate", found, expected: "above 0, at most 0.5" });
    }
    if plan.contamination > 0.0 && !plan.method.benign_only() {
        let (found, expected) = (plan.contamination.to_string(), "0 for supervised methods");
        return Err(EvaluateError::Setting { setting: "contamination", found, expected });
    }
    Ok(())
}

fn kinds(table: &Table, names: &[String]) -> Result<Option<Vec<u16>>, EvaluateError> {
    if names.is_empty() {
        return Ok(None);
    }
    let kinds: Result<Vec<u16>, _> = names.iter().map(|name| table.kind_named(name)).collect();
    Ok(Some(kinds?))
}

fn select_training_rows(table: &Table, split: &Split, plan: &Plan) -> Result<TrainingRows, EvaluateError> {
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
        return Err(EvaluateError::Rows {
            part: "training",
            found: "none remain after selection".into(),
            expected: "at least one benign row",
            advice: "change the split or the attack classes",
        });
    }
    Ok(rows)
}

/// Benign rows, and as many attack rows as give the plan's contamination.
fn contaminated(table: &Table, rows: &TrainingRows, plan: &Plan) -> TrainingRows {
    let benign = rows.benign(table);
    let attack_rows = (benign.len() as f64 * plan.contamination / (1.0 - plan.contamination)).round() as usize;
    if attack_rows == 0 {
        return benign;
    }
    let attacks = rows.keep(|row| table.kind()[row] != 0).sample(attack_rows, plan.seed);
    let attacks = attacks.as_slice();
    rows.keep(|row| table.kind()[row] == 0 || attacks.binary_search(&row).is_ok())
}

fn test_rows(table: &Table, split: &Split, plan: &Plan) -> Result<Vec<usize>, EvaluateError> {
    let kinds = kinds(table, &plan.test_kinds)?;
    let selected = |row: &usize| {
        let kind = table.kind()[*row];
        kind == 0 || kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
    };
    Ok(split.test().iter().copied().filter(selected).collect())
}

fn label(table: &Table, plan: &Plan, row: usize) -> u32 {
    let kind = u32::from(table.kind()[row]);
    if plan.names_kinds() { kind } else { kind.min(1) }
}

fn require_benign(part: &'static str, rows: &EncodedRows, table: &Table) -> Result<(), EvaluateError> {
    if rows.rows.iter().any(|row| table.kind()[*row] == 0) {
        return Ok(());
    }
    let found = format!("{} rows, none of them benign", rows.rows.len());
    let advice = "use another split or larger shares; benign rows are needed to set the threshold and to measure the false-positive rate";
    Err(EvaluateError::Rows { part, found, expected: "benign rows", advice })
}

/// Encoding of the inputs: the method's default, unless the plan overrides it.
pub(crate) fn encoder_options(plan: &Plan) -> EncoderOptions {
    let trees = plan.method.of_trees();
    let default = match plan.method {
        _ if trees => Scaling::None,
        MethodName::TwoStage => Scaling::None,
        MethodName::Autoencoder | MethodName::LatentLogistic | MethodName::KfacNetwork => Scaling::QuantileNormal,
        // Random cuts are uniform over a column's range, so unscaled outliers are isolated early.
        MethodName::Plain(Method::IsolationForest) => Scaling::None,
        MethodName::Plain(_) => Scaling::LogStandard,
    };
    let scaling = plan.scaling.unwrap_or(default);
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
