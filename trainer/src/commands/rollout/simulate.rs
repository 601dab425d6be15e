//! A plan, a fleet and a kind of release → how far the release would get: `rollout simulate`.

use anyhow::{Context, bail, ensure};
use clap::Args;
use lapwing_common::output::{write_file, write_json};
use lapwing_common::print_line;
use lapwing_fleet::campaign::Plan;
use lapwing_fleet::simulate::{ReleaseKind, RunResult, Scenario, Summary, simulate};
use lapwing_report::charts::{RolloutLine, Rollouts};
use lapwing_tables::stats::wilson;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Version of the JSON format.
const FORMAT: u32 = 1;
/// Largest fleet.
const AGENTS: u32 = 100_000;
/// Longest time of a chart, hours.
const CHART_HOURS: usize = 96;

/// `rollout simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Plan of the campaign, TOML. Default: the plan that campaigns have by default.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Agents of the group; repeat it for several groups.
    #[arg(long, value_name = "AGENTS", default_values_t = [100], value_parser = clap::value_parser!(u32).range(1..=i64::from(AGENTS)))]
    fleet: Vec<u32>,
    /// Kind of release: good, bad-alerts, blind, slow, refusing, crashing, or all.
    #[arg(long, value_name = "KIND", default_value = "all")]
    release: String,
    /// First seed; the others follow.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Simulations of each fleet and kind.
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    seeds: u64,
    /// Mean alerts per agent and day before the campaign [default: 0.6].
    #[arg(long, value_name = "NUMBER", value_parser = rate)]
    alerts_per_day: Option<f64>,
    /// Factor of the alerts on a bad-alerts release [default: 4].
    #[arg(long, value_name = "FACTOR", value_parser = rate)]
    alerts_factor: Option<f64>,
    /// Write the results to this file as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the share of agents that begin to install each kind of release, as SVG; for the first fleet.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| (0.001..=1_000.0).contains(number));
    number.ok_or_else(|| "expected 0.001 to 1000".into())
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Output<'a> {
    format: u32,
    first_seed: u64,
    plan: &'a Plan,
    results: &'a [ResultRow],
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ResultRow {
    #[serde(flatten)]
    summary: Summary,
    /// Confidence interval of the completed runs, 95 %, percent.
    completed_interval: (f64, f64),
    within_2_percent_interval: (f64, f64),
    within_5_percent_interval: (f64, f64),
}

/// `rollout simulate`.
pub(super) fn run_simulate(args: &SimulateArgs) -> anyhow::Result<()> {
    let plan = args.plan.as_deref().map_or_else(|| Ok(Plan::default()), read_plan)?;
    let kinds = kinds(&args.release)?;
    let is_quiet = args.json.as_deref() == Some(Path::new("-"));
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for (place, agents) in args.fleet.iter().enumerate() {
        for kind in &kinds {
            let scenario = scenario(args, &plan, *agents, *kind);
            let runs = run_seeds(&scenario, args.seed, args.seeds)?;
            let row = row(*agents, *kind, &runs);
            if !is_quiet {
                print(&row);
            }
            rows.push(row);
            if place == 0 {
                lines.push(RolloutLine { name: kind.as_str().into(), points: median_line(*agents, &runs) });
            }
        }
    }
    if let Some(path) = &args.json {
        write_json(path, &Output { format: FORMAT, first_seed: args.seed, plan: &plan, results: &rows })?;
    }
    if let Some(path) = &args.svg {
        let agents = args.fleet.first().copied().unwrap_or_default();
        let note = format!(
            "Agents that have begun to install the release: median of {} simulations of {agents} agents each, seeds from {}.",
            args.seeds, args.seed
        );
        let title = "Simulated rollouts".into();
        write_file(path, Rollouts { title, note, lines }.picture()?.svg.as_bytes())?;
    }
    Ok(())
}

pub(super) fn read_plan(path: &Path) -> anyhow::Result<Plan> {
    let plan: Plan = lapwing_config::read(path)?;
    plan.validate().with_context(|| path.display().to_string())?;
    Ok(plan)
}

fn kinds(name: &str) -> anyhow::Result<Vec<ReleaseKind>> {
    if name == "all" {
        return Ok(ReleaseKind::ALL.to_vec());
    }
    let Some(kind) = ReleaseKind::parse(name) else {
        let known = ReleaseKind::ALL.map(ReleaseKind::as_str).join(", ");
        bail!("--release {name}: expected {known} or all");
    };
    Ok(vec![kind])
}

fn scenario(args: &SimulateArgs, plan: &Plan, agents: u32, kind: ReleaseKind) -> Scenario {
    let usual = Scenario::new(agents, kind);
    Scenario {
        // No person approves in a simulation: with approval, every campaign would end before it begins.
        plan: Plan { approval: false, ..plan.clone() },
        alerts_per_day: args.alerts_per_day.unwrap_or(usual.alerts_per_day),
        alerts_factor: args.alerts_factor.unwrap_or(usual.alerts_factor),
        ..usual
    }
}

/// Runs all seeds on all cores. The results are in the order of the seeds.
fn run_seeds(scenario: &Scenario, first: u64, seeds: u64) -> anyhow::Result<Vec<RunResult>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(0);
    let work = || {
        let mut results = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= seeds {
                return results;
            }
            results.push((number, simulate(scenario, first.wrapping_add(number))));
        }
    };
    let mut results: Vec<(u64, Result<RunResult, String>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
    });
    ensure!(results.len() as u64 == seeds, "a simulation has failed");
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result.map_err(anyhow::Error::msg)).collect()
}

fn row(agents: u32, kind: ReleaseKind, runs: &[RunResult]) -> ResultRow {
    let summary = Summary::of(agents, kind.as_str(), runs);
    let interval = |count: usize| {
        let (low, high) = wilson(count as f64 / summary.runs.max(1) as f64, summary.runs);
        (low * 100.0, high * 100.0)
    };
    ResultRow {
        completed_interval: interval(summary.completed),
        within_2_percent_interval: interval(summary.within_2_percent),
        within_5_percent_interval: interval(summary.within_5_percent),
        summary,
    }
}

/// Median share of the agents that have begun, percent, by hour. A run that has ended stays where it was.
fn median_line(agents: u32, runs: &[RunResult]) -> Vec<(f64, f64)> {
    let hours = runs.iter().map(|run| run.samples.len()).max().unwrap_or(0).min(CHART_HOURS);
    let at = |hour: usize| {
        let touched = |run: &RunResult| run.samples.get(hour).or(run.samples.last()).map_or(0, |sample| sample.touched);
        let mut all: Vec<u32> = runs.iter().map(touched).collect();
        all.sort_unstable();
        let median = all.get(all.len() / 2).copied().unwrap_or(0);
        (hour as f64 + 1.0, 100.0 * f64::from(median) / f64::from(agents.max(1)))
    };
    (0..hours).map(at).collect()
}

fn print(row: &ResultRow) {
    let Summary { agents, release, runs, completed, paused, aborted, .. } = &row.summary;
    let Summary { touched_percent: touched, hours, soak_hours: soak, .. } = &row.summary;
    let (low, high) = row.completed_interval;
    print_line!(
        "{release}, {agents} agents, {runs} runs: {completed} completed ({low:.1} to {high:.1} %), {paused} paused, {aborted} aborted"
    );
    print_line!(
        "  agents that began: median {:.2} %, 99th percentile {:.2} %, maximum {:.2} %; at most 2 % in {} runs, 5 % in {}",
        touched[0],
        touched[1],
        touched[2],
        row.summary.within_2_percent,
        row.summary.within_5_percent
    );
    print_line!(
        "  ended after: median {:.0} h, 99th percentile {:.0} h, maximum {:.0} h; soak of that: median {:.0} h",
        hours[0],
        hours[1],
        hours[2],
        soak[0]
    );
    let most = row.summary.most_publications;
    print_line!(
        "  most publications of a run: {most}; most agents on a withdrawn release: {}",
        row.summary.most_not_back
    );
    for (reason, count) in &row.summary.reasons {
        print_line!("  {count:>5} × {reason}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_plan_is_what_a_plan_file_without_keys_gives() {
        let plan: Plan = toml::from_str("").unwrap();
        assert_eq!(plan, Plan::default());
        let text = toml::to_string(&plan).unwrap();
        assert_eq!(toml::from_str::<Plan>(&text).unwrap(), plan, "{text}");
        assert!(toml::from_str::<Plan>("soak = 1").unwrap_err().to_string().contains("unknown field"));
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let scenario = Scenario::new(5, ReleaseKind::Refusing);
        let runs = run_seeds(&scenario, 3, 9).unwrap();
        let alone: Vec<RunResult> = (3..12).map(|seed| simulate(&scenario, seed).unwrap()).collect();
        assert_eq!(runs, alone);
        let row = row(5, ReleaseKind::Refusing, &runs);
        assert!(row.summary.completed == 0 && row.completed_interval.1 < 40.0);
        assert!(!median_line(5, &runs).is_empty());
    }

    #[test]
    fn an_unknown_kind_lists_the_known_ones() {
        assert_eq!(kinds("all").unwrap().len(), 6);
        assert_eq!(kinds("blind").unwrap(), [ReleaseKind::Blind]);
        let error = kinds("bad").unwrap_err().to_string();
        assert!(error.contains("bad-alerts, blind, slow, refusing, crashing, good or all"), "{error}");
    }
}
