//! Training rows → an encoder.

use super::scale::Scale;
use super::{CategoryCoding, Coding, DroppedColumn, Encoder, EncoderOptions, Input};
use crate::error::TableError;
use crate::split::TrainingRows;
use crate::table::{Table, Values};

/// Most columns of one one-hot feature.
const MAX_ONE_HOT: usize = 1024;
/// Every value counts so many rows more than training has, so that one that it lacks is rare and not impossible.
const UNSEEN_ROWS: f64 = 0.5;

pub(super) fn fit(table: &Table, training: &TrainingRows, options: &EncoderOptions) -> Result<Encoder, TableError> {
    if training.is_empty() {
        return Err(unfit("an encoder needs training rows", "there are none", "use more rows or another split"));
    }
    if training.as_slice().iter().any(|row| *row >= table.rows()) {
        return Err(unfit("training rows must be the table's", "some lie beyond it", "split this very table"));
    }
    if let CategoryCoding::OneHot { limit } = options.categories
        && !(1..=MAX_ONE_HOT).contains(&limit)
    {
        return Err(unfit("one-hot coding takes 1 to 1,024 columns a feature", "the limit is another", "change it"));
    }
    let (mut inputs, mut dropped) = (Vec::new(), Vec::new());
    let mut scratch = Vec::with_capacity(training.len());
    for column in table.columns() {
        let coding = match &column.values {
            Values::Numbers(numbers) => number(numbers, training, options, &mut scratch),
            Values::Categories { names, codes } => category(names, codes, training, options),
        };
        match coding {
            Ok(coding) => inputs.push(Input { name: column.name.clone(), coding }),
            Err(reason) => dropped.push(DroppedColumn { name: column.name.clone(), reason: reason.into() }),
        }
    }
    assemble(options.clone(), inputs, dropped)
}

/// Names the output columns; refuses an encoder without any.
pub(super) fn assemble(
    options: EncoderOptions,
    inputs: Vec<Input>,
    dropped: Vec<DroppedColumn>,
) -> Result<Encoder, TableError> {
    if inputs.is_empty() {
        return Err(TableError::Unfit {
            needs: "an encoder needs a feature that varies among the training rows".into(),
            found: format!("all {} were left out as constant, missing or unselected", dropped.len()),
            advice: "look at the table with `lapwing-trainer import`".into(),
        });
    }
    let mut names = Vec::new();
    for Input { name, coding } in &inputs {
        match coding {
            Coding::Number { indicator, .. } => {
                names.push(name.clone());
                names.extend(indicator.then(|| format!("{name}=missing")));
            }
            Coding::OneHot { names: values, other } => {
                names.extend(values.iter().map(|value| format!("{name}={value}")));
                names.extend((!other.is_empty()).then(|| format!("{name}=other")));
            }
            Coding::Ordinal { .. } | Coding::Surprisal { .. } => names.push(name.clone()),
        }
    }
    Ok(Encoder { options, inputs, dropped, names })
}

fn number(
    numbers: &[f32],
    training: &TrainingRows,
    options: &EncoderOptions,
    scratch: &mut Vec<f32>,
) -> Result<Coding, &'static str> {
    scratch.clear();
    scratch.extend(training.as_slice().iter().map(|row| numbers[*row]).filter(|value| !value.is_nan()));
    let missing = scratch.len() < training.len();
    if scratch.is_empty() {
        return Err("missing in every training row");
    }
    let first = scratch[0];
    let indicator = options.missing_indicators && missing;
    if scratch.iter().all(|value| *value == first) && !options.keep_constant && !indicator {
        return Err("one value in all training rows");
    }
    let middle = scratch.len() / 2;
    let fill = *scratch.select_nth_unstable_by(middle, f32::total_cmp).1;
    Ok(Coding::Number { fill, scale: Scale::fit(options.scaling, scratch), indicator })
}

fn category(
    names: &[String],
    codes: &[u16],
    training: &TrainingRows,
    options: &EncoderOptions,
) -> Result<Coding, &'static str> {
    let limit = match options.categories {
        CategoryCoding::Drop => return Err("categories are left out"),
        CategoryCoding::OneHot { limit } => limit,
        CategoryCoding::Ordinal | CategoryCoding::Surprisal => usize::MAX,
    };
    let mut counts = vec![0_usize; names.len()];
    training.as_slice().iter().for_each(|row| counts[usize::from(codes[*row])] += 1);
    let mut seen: Vec<usize> = (0..names.len()).filter(|code| counts[*code] > 0).collect();
    if seen.len() < 2 && !options.keep_constant {
        return Err("one value in all training rows");
    }
    seen.sort_by(|a, b| counts[*b].cmp(&counts[*a]).then_with(|| names[*a].cmp(&names[*b])));
    if options.categories == CategoryCoding::Surprisal {
        let names = seen.iter().map(|code| names[*code].clone()).collect();
        return Ok(surprisal(names, &seen.iter().map(|code| counts[*code]).collect::<Vec<_>>()));
    }
    let mut seen: Vec<String> = seen.into_iter().map(|code| names[code].clone()).collect();
    if options.categories == CategoryCoding::Ordinal {
        return Ok(Coding::Ordinal { names: seen });
    }
    let other = seen.split_off(limit.min(seen.len()));
    Ok(Coding::OneHot { names: seen, other })
}

/// How rare each value is, by its number of training rows: mean 0 and deviation 1 over these rows.
fn surprisal(names: Vec<String>, counts: &[usize]) -> Coding {
    let rows: usize = counts.iter().sum();
    let of = |count: f64| -libm::log((count + UNSEEN_ROWS) / rows as f64);
    let mean_of = |value: &dyn Fn(f64) -> f64| {
        counts.iter().map(|count| *count as f64 * value(of(*count as f64))).sum::<f64>() / rows as f64
    };
    let mean = mean_of(&|surprisal| surprisal);
    let deviation = mean_of(&|surprisal| (surprisal - mean).powi(2)).sqrt();
    // Values that are all equally frequent differ in nothing; an unseen one still does.
    let factor = if deviation > f64::EPSILON { 1.0 / deviation } else { 1.0 };
    let scaled = |count: f64| ((of(count) - mean) * factor) as f32;
    Coding::Surprisal {
        names,
        surprisals: counts.iter().map(|count| scaled(*count as f64)).collect(),
        unseen: scaled(0.0),
    }
}

fn unfit(needs: &str, found: &str, advice: &str) -> TableError {
    TableError::Unfit { needs: needs.into(), found: found.into(), advice: advice.into() }
}
