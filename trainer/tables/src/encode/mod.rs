//! Feature rows → numbers for the methods. Everything learned (fill values, scales, categories, constant columns) comes
//! from training rows and is stored in the encoder, which is saved with the model.
//!
//! Output columns follow the table's order: a number gives one column (two with
//! [`EncoderOptions::missing_indicators`]), a category one for each common value; combinations of features come last.
//! Columns and categories are matched by name, so an encoder works on every table that has them, in any order.

mod fit;
mod normal;
mod scale;
mod surprisal;

use crate::column::Values;
use crate::error::{TableError, listed};
use crate::matrix::Matrix;
use crate::split::TrainingRows;
use crate::table::Table;
use scale::Scale;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use surprisal::Combination;

/// How numbers are scaled. A spread of zero counts as 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// Unscaled, for trees.
    None,
    /// (x − mean) / standard deviation.
    #[default]
    Standard,
    /// (x − min) / (max − min).
    MinMax,
    /// (x − median) / (75th − 25th percentile).
    Robust,
    /// sign(x) ln(1 + |x|), then standard: for counts and times that span decades.
    LogStandard,
    /// Share of smaller training values, 0 to 1, from at most 1,000 stored knots.
    QuantileUniform,
    /// The same share as a normal deviate, −5.2 to 5.2.
    QuantileNormal,
}

/// How categories become numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CategoryCoding {
    /// One column of 0 and 1 for each of the `limit` most frequent values, and one for all others if training has more.
    /// A value without training rows gives zeros.
    OneHot {
        /// Maximum number of columns for one feature, without `other`; 1 to 1,024.
        limit: usize,
    },
    /// The value's rank by frequency, 0 for the most frequent; unseen values get the next number. Never scaled.
    Ordinal,
    /// One column with the surprisal of the value: −ln of its share of the training rows, standardised over them. A
    /// value without training rows counts as half a row.
    Surprisal,
    /// Categories are left out.
    Drop,
}

/// Options of an encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct EncoderOptions {
    pub scaling: Scaling,
    pub categories: CategoryCoding,
    /// Scaled numbers are clamped to ± this. Default: not clamped.
    pub clip: Option<f32>,
    /// Adds a column of 0 and 1 for each number with missing values in training.
    pub missing_indicators: bool,
    /// Keeps columns with a single value in training: for anomaly detection a different value is informative.
    pub keep_constant: bool,
    /// Adds a column for each of these combinations of features with the surprisal of their values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub combinations: Vec<Vec<String>>,
}

impl Default for EncoderOptions {
    fn default() -> Self {
        Self {
            scaling: Scaling::default(),
            categories: CategoryCoding::OneHot { limit: 64 },
            clip: None,
            missing_indicators: false,
            keep_constant: false,
            combinations: Vec::new(),
        }
    }
}

/// A feature that is not an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct DroppedColumn {
    pub name: String,
    pub reason: String,
}

/// A feature with its coding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Input {
    name: String,
    coding: Coding,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Coding {
    /// Missing values become `fill`; `indicator` adds a column that marks them.
    Number { fill: f32, scale: Scale, indicator: bool },
    /// Values in the order of their columns; `other` lists the remaining training values, which share a column.
    OneHot { names: Vec<String>, other: Vec<String> },
    /// Values by rank.
    Ordinal { names: Vec<String> },
    /// Values with their surprisals; `unseen` for all others.
    Surprisal { names: Vec<String>, surprisals: Vec<f32>, unseen: f32 },
    /// Combined values of several features with their surprisals.
    Combination(Combination),
}

impl Coding {
    fn width(&self) -> usize {
        match self {
            Self::Number { indicator, .. } => 1 + usize::from(*indicator),
            Self::OneHot { names, other } => names.len() + usize::from(!other.is_empty()),
            Self::Ordinal { .. } | Self::Surprisal { .. } | Self::Combination(_) => 1,
        }
    }
}

/// A fitted transform of a table's features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Encoder {
    options: EncoderOptions,
    inputs: Vec<Input>,
    dropped: Vec<DroppedColumn>,
    names: Vec<String>,
}

impl Encoder {
    /// Fits an encoder to training rows.
    ///
    /// # Errors
    /// No training rows, or no feature that varies among them.
    pub fn fit(table: &Table, training: &TrainingRows, options: &EncoderOptions) -> Result<Self, TableError> {
        fit::fit(table, training, options)
    }

    /// Encodes the given rows of a table: `rows.len()` × [`Self::names`], every value finite.
    ///
    /// # Errors
    /// A feature that is missing or has another type, or a row that is out of range.
    pub fn transform(&self, table: &Table, rows: &[usize]) -> Result<Matrix, TableError> {
        if let Some(row) = rows.iter().find(|row| **row >= table.rows()) {
            return Err(TableError::Index { row: *row, problem: "is not in the table" });
        }
        let mut matrix = Matrix::zeros(rows.len(), self.names.len());
        let mut at = 0;
        for input in &self.inputs {
            if let Coding::Combination(combination) = &input.coding {
                let clip = self.options.clip.unwrap_or(f32::MAX).abs();
                for (to, surprisal) in combination.of(table, rows)?.into_iter().enumerate() {
                    matrix.row_mut(to)[at] = surprisal.clamp(-clip, clip);
                }
                at += 1;
                continue;
            }
            let column = table.column(&input.name).ok_or_else(|| TableError::Unknown {
                what: "column",
                name: input.name.clone(),
                found: listed(&table.column_names()),
            })?;
            self.fill(&mut matrix, at, input, &column.values, rows)?;
            at += input.coding.width();
        }
        Ok(matrix)
    }

    /// Writes one feature's columns, from column `at` on.
    fn fill(
        &self,
        matrix: &mut Matrix,
        at: usize,
        input: &Input,
        values: &Values,
        rows: &[usize],
    ) -> Result<(), TableError> {
        let clip = self.options.clip.unwrap_or(f32::MAX).abs();
        match (&input.coding, values) {
            (Coding::Number { fill, scale, indicator }, Values::Numbers(numbers)) => {
                for (to, row) in rows.iter().enumerate() {
                    let (value, to) = (numbers[*row], matrix.row_mut(to));
                    to[at] = scale.apply(if value.is_nan() { *fill } else { value }).clamp(-clip, clip);
                    if *indicator {
                        to[at + 1] = f32::from(u8::from(value.is_nan()));
                    }
                }
            }
            (Coding::OneHot { names, other }, Values::Categories { names: present, codes }) => {
                let places = places(present, names, other);
                for (to, row) in rows.iter().enumerate() {
                    if let Some(place) = places[usize::from(codes[*row])] {
                        matrix.row_mut(to)[at + place] = 1.0;
                    }
                }
            }
            (Coding::Ordinal { names }, Values::Categories { names: present, codes }) => {
                let rank = |place: Option<usize>| place.unwrap_or(names.len()) as f32;
                let ranks: Vec<f32> = places(present, names, &[]).into_iter().map(rank).collect();
                fill_codes(matrix, at, rows, codes, &ranks);
            }
            (Coding::Surprisal { names, surprisals, unseen }, Values::Categories { names: present, codes }) => {
                let surprisal = |place: Option<usize>| place.and_then(|place| surprisals.get(place)).unwrap_or(unseen);
                let clipped = |place| surprisal(place).clamp(-clip, clip);
                let surprisals: Vec<f32> = places(present, names, &[]).into_iter().map(clipped).collect();
                fill_codes(matrix, at, rows, codes, &surprisals);
            }
            _ => return Err(other_type(&input.name, values)),
        }
        Ok(())
    }

    /// Names of the output columns: `feature`, `feature=value` for categories, `feature=missing` for indicators.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The feature of each output column; for a combination its own name.
    pub fn features(&self) -> Vec<&str> {
        self.inputs.iter().flat_map(|input| vec![input.name.as_str(); input.coding.width()]).collect()
    }

    /// Features that are not inputs, with the reason.
    pub fn dropped(&self) -> &[DroppedColumn] {
        &self.dropped
    }

    /// Features that a table must have, and whether they are numbers.
    pub fn needs(&self) -> Vec<(&str, bool)> {
        let needs = self.inputs.iter().filter(|input| !matches!(input.coding, Coding::Combination(_)));
        needs.map(|input| (input.name.as_str(), matches!(input.coding, Coding::Number { .. }))).collect()
    }

    /// The options that it was fitted with.
    pub fn options(&self) -> &EncoderOptions {
        &self.options
    }

    /// Feature selection: keeps the features of the output columns with these indices of [`Self::names`]. A categorical
    /// feature keeps all its columns; a combination is kept if all its features are.
    ///
    /// # Errors
    /// No column left.
    pub fn select(&self, keep: &[usize]) -> Result<Self, TableError> {
        let features = self.features();
        let kept: Vec<&str> = keep.iter().filter_map(|place| features.get(*place).copied()).collect();
        let (inputs, removed): (Vec<Input>, Vec<Input>) =
            self.inputs.iter().cloned().partition(|input| match &input.coding {
                Coding::Combination(combination) => combination.features.iter().all(|f| kept.contains(&f.as_str())),
                _ => kept.contains(&input.name.as_str()),
            });
        let mut dropped = self.dropped.clone();
        dropped
            .extend(removed.into_iter().map(|input| DroppedColumn { name: input.name, reason: "not selected".into() }));
        fit::assemble(self.options.clone(), inputs, dropped)
    }
}

/// Writes the number of each row's category into one column.
fn fill_codes(matrix: &mut Matrix, at: usize, rows: &[usize], codes: &[u16], numbers: &[f32]) {
    for (to, row) in rows.iter().enumerate() {
        matrix.row_mut(to)[at] = numbers[usize::from(codes[*row])];
    }
}

/// The output column of each category of a table, by name.
fn places(present: &[String], names: &[String], other: &[String]) -> Vec<Option<usize>> {
    let known: HashMap<&str, usize> = names.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
    let place =
        |name: &String| known.get(name.as_str()).copied().or_else(|| other.contains(name).then_some(names.len()));
    present.iter().map(place).collect()
}

fn other_type(name: &str, values: &Values) -> TableError {
    let (found, needs) = if values.numbers().is_some() { ("numbers", "categories") } else { ("categories", "numbers") };
    TableError::Unfit {
        needs: format!("column `{name}` needs {needs}, as in training"),
        found: format!("it holds {found}"),
        advice: "read both tables with the same schema".into(),
    }
}

#[cfg(test)]
mod tests;
