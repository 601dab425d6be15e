//! A labelled table → how its features differ between benign and attack rows: summaries by kind, hypothesis tests
//! corrected for their number, rank correlations. Charts are drawn elsewhere.
//!
//! The tests assume independent rows, but rows of flow tables repeat and come in bursts. So each distinct feature row
//! counts once and at most [`ExploreOptions::rows`] of each class are sampled. Prefer the effect size (how often an
//! attack row has the larger value) to p-values: with enough rows every difference is significant.

use crate::column::Values;
use crate::error::TableError;
use crate::stats::{holm, kolmogorov_smirnov, mann_whitney, quantile, standard_ranks};
use crate::table::Table;
use serde::Serialize;
use std::collections::HashSet;

/// Options of the exploration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExploreOptions {
    /// Maximum number of distinct rows of each class for tests and correlations.
    pub rows: usize,
    /// Seed of the sample.
    pub(crate) seed: u64,
}

impl Default for ExploreOptions {
    fn default() -> Self {
        Self { rows: 20_000, seed: 1 }
    }
}

/// Results of an exploration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exploration {
    /// Number of distinct benign and of attack rows in tests and correlations.
    pub tested: (usize, usize),
    /// Distribution of each numeric feature by kind, in the table's order.
    pub by_kind: Vec<FeatureByKind>,
    /// Tests of each numeric feature, benign against attack, largest effect first.
    pub tests: Vec<FeatureTest>,
    /// Numeric features that vary: the rows and columns of `correlations`.
    pub correlated: Vec<String>,
    /// Spearman's rank correlation, −1 to 1.
    pub correlations: Vec<Vec<f64>>,
}

/// Distribution of one feature by kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct FeatureByKind {
    pub name: String,
    /// One entry for each kind of the table; `None` for kinds without values.
    pub kinds: Vec<Option<Spread>>,
}

/// Distribution of values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Spread {
    /// Number of values that are not missing.
    pub rows: usize,
    pub mean: f64,
    /// 5th, 25th, 50th, 75th and 95th percentile.
    pub percentiles: [f64; 5],
}

/// Tests of one feature.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct FeatureTest {
    pub name: String,
    /// Share of (attack, benign) pairs in which the attack row has the larger value, ties one half; 0.5 is no
    /// difference.
    pub larger_in_attack: f64,
    /// Largest distance between the two distribution functions, 0 to 1.
    pub ks_distance: f64,
    /// p-value of the Kolmogorov-Smirnov test, Holm-corrected over all features.
    pub ks_p: f64,
    /// p-value of the Mann-Whitney test, Holm-corrected over all features.
    pub mann_whitney_p: f64,
}

impl Table {
    /// Explores these rows; use training rows if something is fitted afterwards.
    ///
    /// # Errors
    /// Rows out of range, or of one class only.
    pub fn explore(&self, rows: &[usize], options: &ExploreOptions) -> Result<Exploration, TableError> {
        if let Some(row) = rows.iter().find(|row| **row >= self.rows()) {
            return Err(TableError::Index { row: *row, problem: "is not in the table" });
        }
        let (benign, attack) = self.sampled(rows, options);
        if benign.is_empty() || attack.is_empty() {
            return Err(TableError::Unfit {
                needs: "an exploration needs benign and attack rows".into(),
                found: format!("there are {} and {} distinct ones", benign.len(), attack.len()),
                advice: "use labelled rows of both classes".into(),
            });
        }
        let columns =
            || self.columns.iter().filter_map(|c| c.values.numbers().map(|numbers| (c.name.as_str(), numbers)));
        let by_kind = columns().map(|(name, numbers)| self.by_kind(name, numbers, rows)).collect();
        let mut tests: Vec<FeatureTest> =
            columns().filter_map(|(name, numbers)| test(name, numbers, &benign, &attack)).collect();
        correct(&mut tests);
        let effect = |test: &FeatureTest| (test.larger_in_attack - 0.5).abs();
        tests.sort_by(|a, b| effect(b).total_cmp(&effect(a)));
        let (correlated, correlations) = self.correlations(&[&benign[..], &attack[..]].concat());
        Ok(Exploration { tested: (benign.len(), attack.len()), by_kind, tests, correlated, correlations })
    }

    /// Distinct rows of both classes, sampled by seed.
    fn sampled(&self, rows: &[usize], options: &ExploreOptions) -> (Vec<usize>, Vec<usize>) {
        let mut seen = HashSet::new();
        let distinct = rows.iter().copied().filter(|row| seen.insert((self.keys[*row], self.kind[*row] != 0)));
        let (mut benign, mut attack): (Vec<usize>, Vec<usize>) = distinct.partition(|row| self.kind[*row] == 0);
        let mut random = fastrand::Rng::with_seed(options.seed);
        for class in [&mut benign, &mut attack] {
            random.shuffle(class);
            class.truncate(options.rows);
        }
        (benign, attack)
    }

    fn by_kind(&self, name: &str, numbers: &[f32], rows: &[usize]) -> FeatureByKind {
        let mut values = vec![Vec::new(); self.kinds.len()];
        for row in rows.iter().filter(|row| !numbers[**row].is_nan()) {
            values[usize::from(self.kind[*row])].push(numbers[*row]);
        }
        let spread = |mut values: Vec<f32>| {
            values.sort_unstable_by(f32::total_cmp);
            let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
            let percentiles = [0.05, 0.25, 0.5, 0.75, 0.95];
            (!values.is_empty()).then(|| Spread {
                rows: values.len(),
                mean,
                percentiles: percentiles.map(|share| quantile(&values, share)),
            })
        };
        FeatureByKind { name: name.into(), kinds: values.into_iter().map(spread).collect() }
    }

    /// Spearman's rank correlations of the numeric features that vary over these rows (which must be in the table):
    /// names, and a square matrix of values from −1 to 1. Missing values rank lowest.
    pub fn correlations(&self, rows: &[usize]) -> (Vec<String>, Vec<Vec<f64>>) {
        let mut names = Vec::new();
        let mut ranked: Vec<Vec<f64>> = Vec::new();
        for column in &self.columns {
            let Values::Numbers(numbers) = &column.values else { continue };
            let value = |row: &usize| if numbers[*row].is_nan() { f64::NEG_INFINITY } else { numbers[*row].into() };
            if let Some(ranks) = standard_ranks(&rows.iter().map(value).collect::<Vec<f64>>()) {
                names.push(column.name.clone());
                ranked.push(ranks);
            }
        }
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>().clamp(-1.0, 1.0);
        let mut values = vec![vec![1.0; names.len()]; names.len()];
        for one in 0..names.len() {
            for other in 0..one {
                let correlation = product(&ranked[one], &ranked[other]);
                values[one][other] = correlation;
                values[other][one] = correlation;
            }
        }
        (names, values)
    }
}

/// Tests a feature; `None` without values in one of the classes.
fn test(name: &str, numbers: &[f32], benign: &[usize], attack: &[usize]) -> Option<FeatureTest> {
    let sorted = |rows: &[usize]| {
        let mut values: Vec<f32> = rows.iter().map(|row| numbers[*row]).filter(|value| !value.is_nan()).collect();
        values.sort_unstable_by(f32::total_cmp);
        values
    };
    let (benign, attack) = (sorted(benign), sorted(attack));
    let (ks_distance, ks_p) = kolmogorov_smirnov(&benign, &attack)?;
    let (larger_in_attack, mann_whitney_p) = mann_whitney(&benign, &attack)?;
    Some(FeatureTest { name: name.into(), larger_in_attack, ks_distance, ks_p, mann_whitney_p })
}

fn correct(tests: &mut [FeatureTest]) {
    let ks = holm(&tests.iter().map(|test| test.ks_p).collect::<Vec<_>>());
    let ranks = holm(&tests.iter().map(|test| test.mann_whitney_p).collect::<Vec<_>>());
    for ((test, ks), ranks) in tests.iter_mut().zip(ks).zip(ranks) {
        (test.ks_p, test.mann_whitney_p) = (ks, ranks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::{ColumnType, Row, TableBuilder, Value};

    #[test]
    fn features_that_differ_are_found_and_others_are_not() {
        let names = ["same", "shifted", "copy", "constant"];
        let mut builder = TableBuilder::new(names.map(|name| (name, ColumnType::Number))).unwrap();
        let mut random = fastrand::Rng::with_seed(3);
        for row in 0..2000 {
            let attack = row % 4 == 0;
            let shifted = random.f32() + if attack { 0.7 } else { 0.0 };
            let values = [random.f32(), shifted, 2.0 * shifted, 1.0].map(Value::Number);
            let about = Row { attack: attack.then_some("flood"), ..Row::default() };
            builder.push(&values, &about).unwrap();
            // Repeats must not count.
            builder.push(&values, &about).unwrap();
        }
        let table = builder.finish().unwrap();
        let rows: Vec<usize> = (0..table.rows()).collect();
        let found = table.explore(&rows, &ExploreOptions::default()).unwrap();
        assert_eq!(found.tested, (1500, 500));
        let of = |name: &str| found.tests.iter().find(|test| test.name == name).unwrap();
        // P(X + 0.7 > Y) for uniform X and Y is 1 − 0.3² / 2.
        assert!((of("shifted").larger_in_attack - 0.955).abs() < 0.02);
        assert!((of("shifted").ks_distance - 0.7).abs() < 0.04);
        assert!(of("shifted").ks_p < 1e-12 && of("shifted").mann_whitney_p < 1e-12);
        assert!(of("same").ks_p > 0.01 && of("same").mann_whitney_p > 0.01);
        assert_eq!((of("constant").larger_in_attack, of("constant").mann_whitney_p), (0.5, 1.0));
        assert_eq!(found.correlated, ["same", "shifted", "copy"]);
        assert!((found.correlations[1][2] - 1.0).abs() < 1e-9 && found.correlations[0][1].abs() < 0.1);
        assert_eq!(found.by_kind[1].kinds[1].unwrap().rows, 1000);
        let benign: Vec<usize> = rows.iter().copied().filter(|row| table.kind()[*row] == 0).collect();
        assert!(table.explore(&benign, &ExploreOptions::default()).is_err());
    }
}
