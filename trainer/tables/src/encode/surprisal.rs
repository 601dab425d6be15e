//! Training rows → the rarity of values: −ln of their share of the training rows, standardised over these rows.
//!
//! A category can be encoded as its surprisal, and so can a combination of features (numbers by their exact value):
//! values that are common on their own can be rare together. A value or combination without training rows counts as
//! half a row.

use crate::column::Column;
use crate::error::{TableError, listed};
use crate::keys::row_keys;
use crate::split::TrainingRows;
use crate::table::Table;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Added to the row count of every value, so that an unseen value is rare but not impossible.
const UNSEEN_ROWS: f64 = 0.5;
/// Maximum number of stored combinations; the most frequent are kept, the others count as unseen.
const COMBINATIONS: usize = 8192;
/// Maximum number of features of one combination.
const MAX_PARTS: usize = 8;

/// A combination of features with the surprisal of its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Combination {
    pub(super) features: Vec<String>,
    /// Hashes of the values with their surprisal, ascending by hash.
    #[serde(rename = "known")]
    surprisals: Vec<(u64, f32)>,
    unseen: f32,
}

impl Combination {
    /// Fits to training rows.
    pub(super) fn fit(table: &Table, training: &TrainingRows, features: &[String]) -> Result<Self, TableError> {
        if !(1..=MAX_PARTS).contains(&features.len()) {
            return Err(TableError::Unfit {
                needs: format!("a combination needs 1 to {MAX_PARTS} features"),
                found: format!("one has {}", features.len()),
                advice: "change the combination".into(),
            });
        }
        let keys = keys_of(table, features)?;
        let mut counts: HashMap<u64, usize> = HashMap::new();
        training.as_slice().iter().for_each(|row| *counts.entry(keys[*row]).or_default() += 1);
        let mut counts: Vec<(u64, usize)> = counts.into_iter().collect();
        counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        let (surprisals, unseen) = surprisals(&counts.iter().map(|(_, count)| *count).collect::<Vec<_>>());
        let mut by_hash: Vec<(u64, f32)> = counts.iter().map(|(key, _)| *key).zip(surprisals).collect();
        by_hash.truncate(COMBINATIONS);
        by_hash.sort_unstable_by_key(|(key, _)| *key);
        Ok(Self { features: features.to_vec(), surprisals: by_hash, unseen })
    }

    /// Name of the input.
    pub(super) fn name(&self) -> String {
        format!("rarity({})", self.features.join("+"))
    }

    /// Surprisals of the given rows of a table.
    pub(super) fn of(&self, table: &Table, rows: &[usize]) -> Result<Vec<f32>, TableError> {
        let keys = keys_of(table, &self.features)?;
        let surprisal = |row: &usize| {
            let place = self.surprisals.binary_search_by_key(&keys[*row], |(key, _)| *key);
            place.map_or(self.unseen, |place| self.surprisals[place].1)
        };
        Ok(rows.iter().map(surprisal).collect())
    }
}

fn keys_of(table: &Table, features: &[String]) -> Result<Vec<u64>, TableError> {
    let column = |name: &String| {
        table.column(name).ok_or_else(|| TableError::Unknown {
            what: "column",
            name: name.clone(),
            found: listed(&table.column_names()),
        })
    };
    let columns: Vec<&Column> = features.iter().map(column).collect::<Result<_, _>>()?;
    Ok(row_keys(columns, table.rows()))
}

/// Surprisals of values with these numbers of training rows, standardised to mean 0 and deviation 1 over the rows, and
/// the surprisal of an unseen value.
pub(super) fn surprisals(counts: &[usize]) -> (Vec<f32>, f32) {
    let rows = counts.iter().sum::<usize>() as f64;
    let of = |count: f64| -libm::log((count + UNSEEN_ROWS) / rows);
    let mean_of = |value: &dyn Fn(f64) -> f64| {
        counts.iter().map(|count| *count as f64 * value(of(*count as f64))).sum::<f64>() / rows
    };
    let mean = mean_of(&|surprisal| surprisal);
    let deviation = mean_of(&|surprisal| (surprisal - mean).powi(2)).sqrt();
    // With equally frequent values the deviation is 0; only an unseen value differs then.
    let factor = if deviation > f64::EPSILON { 1.0 / deviation } else { 1.0 };
    let scaled = |count: f64| ((of(count) - mean) * factor) as f32;
    (counts.iter().map(|count| scaled(*count as f64)).collect(), scaled(0.0))
}
