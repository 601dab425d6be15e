//! `compare`: configuration file → figures of every method and seed, as text, JSON and report page.

use crate::compare::{self, CompareConfig, comparison_page};
use crate::evaluate::args::FitBar;
use clap::Args;
use lapwing_common::output::write_json;
use lapwing_common::output::{command_line, write_page};
use lapwing_common::print_line;
use lapwing_methods::Step;
use lapwing_pipeline::dataset::source::read_kind;
use lapwing_report::comparison::ComparisonReport;
use lapwing_tables::BadRows;
use std::path::{Path, PathBuf};

/// Options of `compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Comparison to run (TOML), e.g. docs/examples/compare.toml.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Write all figures to this JSON file; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a report page with charts (index.html) and comparison.json to this folder.
    #[arg(long, value_name = "FOLDER")]
    pub report: Option<PathBuf>,
}

pub(crate) fn run_compare(args: &CompareArgs) -> anyhow::Result<()> {
    let config = CompareConfig::load(&args.config)?;
    let schema = config.schema.as_deref();
    let table = read_kind(config.kind, schema, BadRows::Refuse, &config.train, &config.test)?;
    let bar = FitBar::new("compare".into());
    let step = |at: Step| bar.step(at);
    let mut started = |name: &str, seed: u64| eprintln!("{name}, seed {seed}");
    let result = compare::run(&config, &table, &config.kind.name(), &mut started, &step)?;
    bar.done();
    let page = comparison_page(&result, command_line("lapwing-lab"))?;
    if args.json.as_deref() != Some(Path::new("-")) {
        print(&page);
    }
    if let Some(path) = &args.json {
        write_json(path, &result)?;
    }
    if let Some(folder) = &args.report {
        write_page(folder, &page.html()?)?;
        write_json(&folder.join("comparison.json"), &result)?;
    }
    Ok(())
}

/// Prints the first four measures, which fit a terminal.
fn print(page: &ComparisonReport) {
    print_line!("{}", page.summary);
    let widest = page.methods.iter().map(|method| method.name.chars().count()).max().unwrap_or(0).max(6);
    let measures: Vec<String> = page.measures.iter().take(4).map(|name| format!("{name:>19}")).collect();
    print_line!("{:<widest$} {}", "method", measures.join(" "));
    for method in &page.methods {
        let cells: Vec<String> = method.cells.iter().take(4).map(|cell| format!("{:>19}", cell.shown())).collect();
        print_line!("{:<widest$} {}", method.name, cells.join(" "));
    }
    for warning in &page.warnings {
        print_line!("warning: {warning}");
    }
}
