//! Feature rows → the numbers that methods take. Everything learned (fill-ins, scales, categories, which columns are
//! constant) comes from training rows and is stored in the encoder, which is saved with the model.
//!
//! Output columns stand in the table's order: a number gives one column (and one more where
//! [`EncoderOptions::missing_indicators`] asks for it), a category one for each common value; combinations of features
//! follow them. Columns and categories
//! are found by name, so that an encoder serves every table that has them, in whatever order.

mod fit;
mod normal;
mod scale;
mod surprisal;

use crate::error::{TableError, listed};
use crate::matrix::Matrix;
use crate::split::TrainingRows;
use crate::table::{Table, Values};
use scale::Scale;
pub(crate) use scale::quantile;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use surprisal::Combination;

/// How numbers are scaled. Spreads of zero count as 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// As they are, for trees.
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
    /// Share of training values below, 0 to 1, by at most 1,000 stored knots.
    QuantileUniform,
    /// The same as a normal deviate, −5.2 to 5.2.
    QuantileNormal,
}

/// How categories become numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CategoryCoding {
    /// One column of 0 and 1 for each of the `limit` most frequent values, and one for the others where training has
    /// others. A value that training never had gives zeros everywhere.
    OneHot {
        /// Most columns for one feature, `other` not counted; 1 to 1,024.
        limit: usize,
    },
    /// The value's rank by frequency, 0 for the commonest; unseen values get the next number. Never scaled.
    Ordinal,
    /// One column: how rare the value is, −ln of its share of the training rows, standardised over them. A value that
    /// training never had counts as half a row. However many values a feature has, it stays one input.
    Surprisal,
    /// Categories are left out.
    Drop,
}

/// What an encoder does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct EncoderOptions {
    /// Numbers.
    pub scaling: Scaling,
    /// Categories.
    pub categories: CategoryCoding,
    /// Scaled numbers beyond ± this become this; nothing leaves them.
    pub clip: Option<f32>,
    /// One more column of 0 and 1 for each number that training rows lack somewhere.
    pub missing_indicators: bool,
    /// Keep columns that have one value only in training. They tell nothing there, but for anomaly detection another
    /// value later does.
    pub keep_constant: bool,
    /// One more column for each of these combinations of features: how rare their values are together.
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

/// A feature that gives no input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedColumn {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A feature that gives inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Input {
    name: String,
    coding: Coding,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Coding {
    /// Missing values become `fill`; `indicator` adds a column that says so.
    Number { fill: f32, scale: Scale, indicator: bool },
    /// Values in the order of their columns; `other` adds one for the rest of those that training had.
    OneHot { names: Vec<String>, other: Vec<String> },
    /// Values by rank.
    Ordinal { names: Vec<String> },
    /// Values with how rare they are; `unseen` for all others.
    Surprisal { names: Vec<String>, surprisals: Vec<f32>, unseen: f32 },
    /// Values of several features with how rare they are together.
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
    /// Learns from training rows, and from nothing else.
    ///
    /// # Errors
    /// No training rows, or no feature that varies among them.
    pub fn fit(table: &Table, training: &TrainingRows, options: &EncoderOptions) -> Result<Self, TableError> {
        fit::fit(table, training, options)
    }

    /// The given rows of a table as numbers: `rows.len()` × [`Self::names`], every value finite.
    ///
    /// # Errors
    /// A feature that the table lacks or that has another type there, or a row that it does not have.
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

    fn fill(
        &self,
        matrix: &mut Matrix,
        at: usize,
        input: &Input,
        values: &Values,
        rows: &[usize],
    ) -> Result<(), TableError> {
        match (&input.coding, values) {
            (Coding::Number { fill, scale, indicator }, Values::Numbers(numbers)) => {
                let clip = self.options.clip.unwrap_or(f32::MAX).abs();
                for (to, row) in rows.iter().enumerate() {
                    let (value, to) = (numbers[*row], matrix.row_mut(to));
                    to[at] = scale.apply(if value.is_nan() { *fill } else { value }).clamp(-clip, clip);
                    if *indicator {
                        to[at + 1] = f32::from(u8::from(value.is_nan()));
                    }
                }
            }
            (Coding::OneHot { names, other }, Values::Categories { names: there, codes }) => {
                let places = places(there, names, other);
                for (to, row) in rows.iter().enumerate() {
                    if let Some(place) = places[usize::from(codes[*row])] {
                        matrix.row_mut(to)[at + place] = 1.0;
                    }
                }
            }
            (Coding::Ordinal { names }, Values::Categories { names: there, codes }) => {
                let places = places(there, names, &[]);
                for (to, row) in rows.iter().enumerate() {
                    matrix.row_mut(to)[at] = places[usize::from(codes[*row])].unwrap_or(names.len()) as f32;
                }
            }
            (Coding::Surprisal { names, surprisals, unseen }, Values::Categories { names: there, codes }) => {
                let clip = self.options.clip.unwrap_or(f32::MAX).abs();
                let surprisal = |place: Option<usize>| place.and_then(|place| surprisals.get(place)).unwrap_or(unseen);
                let places = places(there, names, &[]);
                for (to, row) in rows.iter().enumerate() {
                    matrix.row_mut(to)[at] = surprisal(places[usize::from(codes[*row])]).clamp(-clip, clip);
                }
            }
            _ => return Err(other_type(&input.name, values)),
        }
        Ok(())
    }

    /// Names of the output columns: the feature's, `feature=value` for categories, `feature=missing` for indicators.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Per output column the feature that it comes from; a combination stands for itself.
    pub fn features(&self) -> Vec<&str> {
        self.inputs.iter().flat_map(|input| vec![input.name.as_str(); input.coding.width()]).collect()
    }

    /// Features that gave no input, and why.
    pub fn dropped(&self) -> &[DroppedColumn] {
        &self.dropped
    }

    /// Features that a table must have, with whether they are numbers.
    pub fn needs(&self) -> Vec<(&str, bool)> {
        let needs = self.inputs.iter().filter(|input| !matches!(input.coding, Coding::Combination(_)));
        needs.map(|input| (input.name.as_str(), matches!(input.coding, Coding::Number { .. }))).collect()
    }

    /// What it was fitted with.
    pub fn options(&self) -> &EncoderOptions {
        &self.options
    }

    /// Takes output columns out (feature selection): keeps those at these places of [`Self::names`], by feature. A
    /// categorical feature stays whole when one of its columns is named; a combination stays while its features do.
    ///
    /// # Errors
    /// When nothing would be left.
    pub fn select(&self, keep: &[usize]) -> Result<Self, TableError> {
        let features = self.features();
        let kept: Vec<&str> = keep.iter().filter_map(|place| features.get(*place).copied()).collect();
        let (inputs, out): (Vec<Input>, Vec<Input>) =
            self.inputs.iter().cloned().partition(|input| match &input.coding {
                Coding::Combination(combination) => combination.features.iter().all(|f| kept.contains(&f.as_str())),
                _ => kept.contains(&input.name.as_str()),
            });
        let mut dropped = self.dropped.clone();
        dropped.extend(out.into_iter().map(|input| DroppedColumn { name: input.name, reason: "not selected".into() }));
        fit::assemble(self.options.clone(), inputs, dropped)
    }
}

/// Per category of a table its output column, by name.
fn places(there: &[String], names: &[String], other: &[String]) -> Vec<Option<usize>> {
    let known: HashMap<&str, usize> = names.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
    let place =
        |name: &String| known.get(name.as_str()).copied().or_else(|| other.contains(name).then_some(names.len()));
    there.iter().map(place).collect()
}

fn other_type(name: &str, values: &Values) -> TableError {
    let (found, needs) = if values.numbers().is_some() { ("numbers", "categories") } else { ("categories", "numbers") };
    TableError::Unfit {
        needs: format!("column `{name}` needs {needs}, as in training"),
        found: format!("it holds {found}"),
        advice: "read both tables by the same schema".into(),
    }
}

#[cfg(test)]
mod tests;
