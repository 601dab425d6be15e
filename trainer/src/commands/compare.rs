//! `compare`: several methods, several seeds, one table and one page.

use crate::commands::evaluate::{command_line, write_page};
use crate::commands::write_json;
use crate::compare::{self, CompareConfig, comparison};
use crate::evaluate::args::{FitBar, read_kind};
use crate::tell::tell;
use clap::Args;
use lapwing_methods::Step;
use lapwing_report::comparison::ComparisonReport;
use lapwing_tables::BadRows;
use std::path::{Path, PathBuf};

/// `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// What is compared, TOML; see docs/examples/compare.toml.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Write all figures there, JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a page with pictures and its JSON into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub report: Option<PathBuf>,
}

/// `compare`.
pub(crate) fn run_compare(args: &CompareArgs) -> anyhow::Result<()> {
    let config = CompareConfig::load(&args.config)?;
    let schema = config.schema.as_deref();
    let table = read_kind(config.kind, schema, BadRows::Refuse, &config.train, &config.test)?;
    let bar = FitBar::new("compare".into());
    let step = |at: Step| bar.step(at);
    let mut told = |name: &str, seed: u64| eprintln!("{name}, seed {seed}");
    let found = compare::run(&config, &table, &config.kind.name(), &mut told, &step)?;
    bar.done();
    let page = comparison(&found, command_line())?;
    if args.json.as_deref() != Some(Path::new("-")) {
        tell(&page);
    }
    if let Some(path) = &args.json {
        write_json(path, &found)?;
    }
    if let Some(folder) = &args.report {
        write_page(folder, &page.html()?)?;
        write_json(&folder.join("comparison.json"), &found)?;
    }
    Ok(())
}

/// Columns that fit a terminal: the first four measures.
fn tell(page: &ComparisonReport) {
    tell!("{}", page.summary);
    let widest = page.methods.iter().map(|method| method.name.chars().count()).max().unwrap_or(0).max(6);
    let measures: Vec<String> = page.measures.iter().take(4).map(|name| format!("{name:>19}")).collect();
    tell!("{:<widest$} {}", "method", measures.join(" "));
    for method in &page.methods {
        let cells: Vec<String> = method.cells.iter().take(4).map(|cell| format!("{:>19}", cell.shown())).collect();
        tell!("{:<widest$} {}", method.name, cells.join(" "));
    }
    for warning in &page.warnings {
        tell!("beware: {warning}");
    }
}
