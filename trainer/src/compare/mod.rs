//! Several methods, several seeds → one table with spread, tests of the difference, one page.
//!
//! ```toml
//! title = "Detectors on UNSW-NB15"
//! kind = "unsw-nb15"
//! train = ["UNSW_NB15.csv"]
//! seeds = [1, 2, 3]
//! split = "group"                 # any setting of a plan, for every run
//!
//! [[run]]
//! method = "pca"                  # and of one run alone
//! [[run]]
//! name = "forest without TTLs"
//! method = "isolation-forest"
//! exclude = ["sttl", "dttl", "ct_state_ttl"]
//! ```

mod config;
mod page;

pub use config::{CompareConfig, ConfigError};
pub use page::comparison;

use crate::evaluate::{Cost, Data, EvaluateError, Figures, Plan, judge};
use lapwing_methods::Progress;
use lapwing_tables::{Split, Table};
use serde::Serialize;

/// One method over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Runs {
    /// Name in the table.
    pub name: String,
    /// What was done; the seed is the first one's.
    pub plan: Plan,
    /// Figures by seed.
    pub figures: Vec<Figures>,
    /// Cost by seed.
    pub cost: Vec<Cost>,
    /// Points of the first seed's ROC curve.
    #[serde(skip)]
    pub roc: Vec<(f64, f64)>,
    /// Per seed and test row: called rightly or not, at the threshold.
    #[serde(skip)]
    pub right: Vec<Vec<bool>>,
    /// Test rows by seed, so that only equal rows are paired.
    #[serde(skip)]
    pub tested: Vec<Vec<usize>>,
}

/// All methods.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Comparison {
    /// `lapwing-comparison-1`.
    pub format: &'static str,
    /// Version of this program.
    pub version: &'static str,
    /// Heading.
    pub title: String,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Data.
    pub data: Data,
    /// Methods, best mean ROC-AUC first.
    pub runs: Vec<Runs>,
}

/// Runs every method with every seed on one table; `told` hears what begins.
///
/// # Errors
/// The first run that fails, by its name and seed.
pub fn run(
    config: &CompareConfig,
    table: &Table,
    kind: &str,
    told: &mut dyn FnMut(&str, u64),
    progress: Progress<'_>,
) -> Result<Comparison, CompareError> {
    let mut runs = Vec::new();
    for (name, plan) in config.plans() {
        let failed = |seed: u64| {
            let run = name.clone();
            move |source: EvaluateError| CompareError { run, seed, source: Box::new(source) }
        };
        let mut less = None;
        if !plan.exclude.is_empty() {
            let mut table = table.clone();
            table.without(&plan.exclude).map_err(|error| failed(plan.seed)(error.into()))?;
            less = Some(table);
        }
        let table = less.as_ref().unwrap_or(table);
        let mut of = Runs {
            name: name.clone(),
            plan: plan.clone(),
            figures: Vec::new(),
            cost: Vec::new(),
            roc: Vec::new(),
            right: Vec::new(),
            tested: Vec::new(),
        };
        for seed in &config.seeds {
            told(&name, *seed);
            one(table, &Plan { seed: *seed, ..plan.clone() }, &mut of, progress).map_err(failed(*seed))?;
        }
        runs.push(of);
    }
    let mean = |runs: &Runs| page::mean(runs.figures.iter().map(|figures| figures.roc_auc.value));
    runs.sort_by(|a, b| mean(b).unwrap_or(0.0).total_cmp(&mean(a).unwrap_or(0.0)));
    Ok(Comparison {
        format: "lapwing-comparison-1",
        version: env!("CARGO_PKG_VERSION"),
        title: config.title.clone(),
        seeds: config.seeds.clone(),
        data: Data::of(kind, table),
        runs,
    })
}

/// Which run failed, and why.
#[derive(Debug, thiserror::Error)]
#[error("run {run}, seed {seed}: {source}")]
pub struct CompareError {
    /// Name of the run.
    pub run: String,
    /// Its seed.
    pub seed: u64,
    /// Why.
    pub source: Box<EvaluateError>,
}

fn one(table: &Table, plan: &Plan, into: &mut Runs, progress: Progress<'_>) -> Result<(), EvaluateError> {
    let split = Split::make(table, &plan.split_options())?;
    let judged = judge(table, &split, plan, progress)?;
    let side = &judged.prepared.test;
    let truth: Vec<bool> = side.rows.iter().map(|row| table.kind()[*row] != 0).collect();
    if into.roc.is_empty()
        && let Ok(roc) = lapwing_methods::metrics::roc(&judged.test.scores, &truth)
    {
        into.roc = roc.points.iter().map(|point| (point.false_positive_rate, point.true_positive_rate)).collect();
    }
    let threshold = judged.figures.threshold;
    let right = judged.test.scores.iter().zip(&truth).map(|(score, attack)| (*score > threshold) == *attack).collect();
    into.right.push(right);
    into.tested.push(side.rows.clone());
    into.figures.push(judged.figures);
    into.cost.push(judged.cost);
    Ok(())
}

#[cfg(test)]
mod tests;
