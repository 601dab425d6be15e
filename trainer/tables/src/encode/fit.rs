//! Training rows → an encoder.

use super::scale::Scale;
use super::surprisal::{Combination, surprisals};
use super::{CategoryCoding, Coding, DroppedColumn, Encoder, EncoderOptions, Input};
use crate::column::Values;
use crate::error::TableError;
use crate::split::TrainingRows;
use crate::stats::upper_median;
use crate::table::Table;

/// Reason why a number without any training value is dropped.
const ALL_MISSING: &str = "missing in every training row";
/// Maximum number of columns of one one-hot feature.
const MAX_ONE_HOT: usize = 1024;

pub(super) fn fit(table: &Table, training: &TrainingRows, options: &EncoderOptions) -> Result<Encoder, TableError> {
    if training.is_empty() {
        return Err(unfit("an encoder needs training rows", "the split has none", "use more rows or another split"));
    }
    if training.as_slice().iter().any(|row| *row >= table.rows()) {
        return Err(unfit("training rows must belong to the table", "some are out of range", "split this table"));
    }
    if let CategoryCoding::OneHot { limit } = options.categories
        && !(1..=MAX_ONE_HOT).contains(&limit)
    {
        return Err(unfit(
            "one-hot coding needs a limit of 1 to 1,024 columns",
            "the limit is out of range",
            "change it",
        ));
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
    for features in &options.combinations {
        let combination = Combination::fit(table, training, features)?;
        let unavailable = features.iter().find(|feature| !inputs.iter().any(|input| input.name == **feature));
        if let Some(feature) = unavailable {
            let found = format!("`{feature}` was left out, as constant or missing in training");
            return Err(unfit(
                "a combination needs features that are inputs",
                &found,
                "remove it from the combination",
            ));
        }
        inputs.push(Input { name: combination.name(), coding: Coding::Combination(combination) });
    }
    assemble(options.clone(), inputs, dropped)
}

/// Names the output columns; rejects an encoder without columns.
pub(super) fn assemble(
    options: EncoderOptions,
    inputs: Vec<Input>,
    dropped: Vec<DroppedColumn>,
) -> Result<Encoder, TableError> {
    if inputs.is_empty() {
        return Err(TableError::Unfit {
            needs: "an encoder needs a feature that varies among the training rows".into(),
            found: format!("all {} are constant, missing or not selected", dropped.len()),
            advice: "inspect the table with the import command".into(),
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
            Coding::Ordinal { .. } | Coding::Surprisal { .. } | Coding::Combination(_) => names.push(name.clone()),
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
    let Some(first) = scratch.first().copied() else { return Err(ALL_MISSING) };
    let indicator = options.missing_indicators && missing;
    if scratch.iter().all(|value| *value == first) && !options.keep_constant && !indicator {
        return Err("one value in all training rows");
    }
    let Some(fill) = upper_median(scratch) else { return Err(ALL_MISSING) };
    Ok(Coding::Number { fill, scale: Scale::fit(options.scaling, scratch), indicator })
}

fn category(
    names: &[String],
    codes: &[u16],
    training: &TrainingRows,
    options: &EncoderOptions,
) -> Result<Coding, &'static str> {
    let limit = match options.categories {
        CategoryCoding::Drop => return Err("categories are excluded"),
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
        let (surprisals, unseen) = surprisals(&seen.iter().map(|code| counts[*code]).collect::<Vec<_>>());
        return Ok(Coding::Surprisal { names, surprisals, unseen });
    }
    let mut seen: Vec<String> = seen.into_iter().map(|code| names[code].clone()).collect();
    if options.categories == CategoryCoding::Ordinal {
        return Ok(Coding::Ordinal { names: seen });
    }
    let other = seen.split_off(limit.min(seen.len()));
    Ok(Coding::OneHot { names: seen, other })
}

fn unfit(needs: &str, found: &str, advice: &str) -> TableError {
    TableError::Unfit { needs: needs.into(), found: found.into(), advice: advice.into() }
}
