//! Several methods and seeds on one table → figures of every run, best method first, and a report page.
//!
//! ```toml
//! title = "Detectors on UNSW-NB15"
//! kind = "unsw-nb15"
//! train = ["UNSW_NB15.csv"]
//! seeds = [1, 2, 3]
//! split = "group"                 # settings of all runs
//!
//! [[run]]
//! method = "pca"                  # settings of one run
//! [[run]]
//! name = "forest without TTLs"
//! method = "isolation-forest"
//! exclude = ["sttl", "dttl", "ct_state_ttl"]
//! ```

mod config;
mod page;

pub(crate) use config::CompareConfig;
pub(crate) use page::comparison_page;

use crate::evaluate::{Cost, Data, EvaluateError, Figures, evaluate};
use lapwing_methods::FitProgress;
use lapwing_models::Plan;
use lapwing_tables::{Split, Table};
use serde::Serialize;

/// One method's runs over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Runs {
    /// Name in tables and charts.
    pub(crate) name: String,
    /// Plan; each run replaces its seed.
    pub(crate) plan: Plan,
    /// Figures, by seed.
    pub(crate) figures: Vec<Figures>,
    /// Run time, by seed.
    pub(crate) cost: Vec<Cost>,
    /// ROC curve of the first seed.
    #[serde(skip)]
    pub(crate) roc: Vec<(f64, f64)>,
    /// By seed and test row: whether the decision at the threshold is correct.
    #[serde(skip)]
    pub(crate) correct: Vec<Vec<bool>>,
    /// Test rows by seed; only runs with the same test rows are paired.
    #[serde(skip)]
    pub(crate) test_rows: Vec<Vec<usize>>,
}

/// Results of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Comparison {
    /// `lapwing-comparison-1`.
    pub(crate) format: &'static str,
    /// Version of this program.
    pub(crate) version: &'static str,
    /// Title of the report page.
    pub(crate) title: String,
    pub(crate) seeds: Vec<u64>,
    /// Description of the data.
    pub(crate) data: Data,
    /// Runs by method, highest mean ROC-AUC first.
    pub(crate) runs: Vec<Runs>,
}

/// Runs every method with every seed on one table; calls `started` with name and seed of each run.
///
/// # Errors
/// The first run that fails, with its name and seed.
pub(crate) fn run(
    config: &CompareConfig,
    table: &Table,
    kind: &str,
    started: &mut dyn FnMut(&str, u64),
    progress: FitProgress<'_>,
) -> Result<Comparison, CompareError> {
    let mut runs = Vec::new();
    for (name, plan) in config.plans() {
        let failed = |seed: u64| {
            let run = name.clone();
            move |source: EvaluateError| CompareError { run, seed, source: Box::new(source) }
        };
        let mut reduced = None;
        if !plan.exclude.is_empty() {
            let mut table = table.clone();
            table.without(&plan.exclude).map_err(|error| failed(plan.seed)(error.into()))?;
            reduced = Some(table);
        }
        let table = reduced.as_ref().unwrap_or(table);
        let mut method_runs = Runs {
            name: name.clone(),
            plan: plan.clone(),
            figures: Vec::new(),
            cost: Vec::new(),
            roc: Vec::new(),
            correct: Vec::new(),
            test_rows: Vec::new(),
        };
        for seed in &config.seeds {
            started(&name, *seed);
            run_one(table, &Plan { seed: *seed, ..plan.clone() }, &mut method_runs, progress).map_err(failed(*seed))?;
        }
        runs.push(method_runs);
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

#[derive(Debug, thiserror::Error)]
#[error("run {run}, seed {seed}: {source}")]
pub(crate) struct CompareError {
    pub(crate) run: String,
    /// Seed of the run.
    pub(crate) seed: u64,
    pub(crate) source: Box<EvaluateError>,
}

fn run_one(table: &Table, plan: &Plan, into: &mut Runs, progress: FitProgress<'_>) -> Result<(), EvaluateError> {
    let split = Split::make(table, &plan.split_options())?;
    let evaluated = evaluate(table, &split, plan, progress)?;
    let rows = &evaluated.prepared.test.rows;
    let truth: Vec<bool> = rows.iter().map(|row| table.kind()[*row] != 0).collect();
    if into.roc.is_empty()
        && let Ok(roc) = lapwing_methods::metrics::roc(&evaluated.test.scores, &truth)
    {
        into.roc = roc.points.iter().map(|point| (point.false_positive_rate, point.true_positive_rate)).collect();
    }
    let threshold = evaluated.figures.threshold;
    let correct =
        evaluated.test.scores.iter().zip(&truth).map(|(score, attack)| (*score > threshold) == *attack).collect();
    into.correct.push(correct);
    into.test_rows.push(rows.clone());
    into.figures.push(evaluated.figures);
    into.cost.push(evaluated.cost);
    Ok(())
}

#[cfg(test)]
mod tests;
