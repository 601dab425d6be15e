//! How rare values are: −ln of their share of the training rows, standardised over these rows.
//!
//! A category may become its surprisal, and so may a combination of features, numbers by their exact value: what is
//! ordinary feature by feature may hardly ever stand together. A value or combination that training never had counts as
//! half a row.

use crate::error::{TableError, listed};
use crate::keys::row_keys;
use crate::split::TrainingRows;
use crate::table::{Column, Table};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Every value counts so many rows more than training has, so that one that it lacks is rare and not impossible.
const UNSEEN_ROWS: f64 = 0.5;
/// Most combinations that are remembered, the commonest; the others count as never seen.
const COMBINATIONS: usize = 8192;
/// Most features of one combination.
const MAX_PARTS: usize = 8;

/// A combination of features with the surprisal of its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Combination {
    /// What is combined.
    pub(super) features: Vec<String>,
    /// Hash of the values and their surprisal, ascending by hash.
    known: Vec<(u64, f32)>,
    unseen: f32,
}

impl Combination {
    /// Learns from training rows.
    pub(super) fn fit(table: &Table, training: &TrainingRows, features: &[String]) -> Result<Self, TableError> {
        if !(1..=MAX_PARTS).contains(&features.len()) {
            return Err(TableError::Unfit {
                needs: format!("a combination takes 1 to {MAX_PARTS} features"),
                found: format!("one has {}", features.len()),
                advice: "name fewer".into(),
            });
        }
        let keys = keys_of(table, features)?;
        let mut counts: HashMap<u64, usize> = HashMap::new();
        training.as_slice().iter().for_each(|row| *counts.entry(keys[*row]).or_default() += 1);
        let mut counts: Vec<(u64, usize)> = counts.into_iter().collect();
        counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        let (surprisals, unseen) = surprisals(&counts.iter().map(|(_, count)| *count).collect::<Vec<_>>());
        let mut known: Vec<(u64, f32)> = counts.iter().map(|(key, _)| *key).zip(surprisals).collect();
        known.truncate(COMBINATIONS);
        known.sort_unstable_by_key(|(key, _)| *key);
        Ok(Self { features: features.to_vec(), known, unseen })
    }

    /// Name of the input.
    pub(super) fn name(&self) -> String {
        format!("rarity({})", self.features.join("+"))
    }

    /// One value a given row of a table.
    pub(super) fn of(&self, table: &Table, rows: &[usize]) -> Result<Vec<f32>, TableError> {
        let keys = keys_of(table, &self.features)?;
        let surprisal = |row: &usize| {
            let place = self.known.binary_search_by_key(&keys[*row], |(key, _)| *key);
            place.map_or(self.unseen, |place| self.known[place].1)
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

/// Surprisal of values with these numbers of training rows, mean 0 and deviation 1 over the rows; and that of a value
/// without any.
pub(super) fn surprisals(counts: &[usize]) -> (Vec<f32>, f32) {
    let rows = counts.iter().sum::<usize>() as f64;
    let of = |count: f64| -libm::log((count + UNSEEN_ROWS) / rows);
    let mean_of = |value: &dyn Fn(f64) -> f64| {
        counts.iter().map(|count| *count as f64 * value(of(*count as f64))).sum::<f64>() / rows
    };
    let mean = mean_of(&|surprisal| surprisal);
    let deviation = mean_of(&|surprisal| (surprisal - mean).powi(2)).sqrt();
    // Values that are all equally frequent differ in nothing; an unseen one still does.
    let factor = if deviation > f64::EPSILON { 1.0 / deviation } else { 1.0 };
    let scaled = |count: f64| ((of(count) - mean) * factor) as f32;
    (counts.iter().map(|count| scaled(*count as f64)).collect(), scaled(0.0))
}
