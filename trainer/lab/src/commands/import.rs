//! `import`: files of one kind → a clean table, and a summary with what was dropped, repaired and is suspect.

use super::explore;
use anyhow::Context;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use lapwing_common::output::write_json;
use lapwing_common::print_line;
use lapwing_pipeline::dataset::source::{TableKind, format, read_kind};
use lapwing_report::run::RunReport;
use lapwing_report::{Fact, Note};
use lapwing_tables::explore::{Exploration, ExploreOptions};
use lapwing_tables::{Attempted, BadRows, ColumnSummary, Format, Limits, ReadOptions, Summary, Table, read};
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Label of attempted attacks in the corrected CIC-IDS2017.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AttemptedWord {
    /// Benign, as the authors of the corrected labels decided.
    Benign,
    /// The attack that was attempted.
    Attack,
    /// Drop and count the rows.
    Drop,
}

/// Options of `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Format of the files.
    #[arg(long, value_enum)]
    kind: TableKind,
    /// Files or folders: .csv, .txt, .tsv, .log, .json, .parquet, each also with .gz; captures for --kind capture.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Schema (TOML) of the table; required with --kind table.
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Label of attempted attacks in the corrected CIC-IDS2017.
    #[arg(long, value_enum, default_value = "benign")]
    attempted: AttemptedWord,
    /// Features to exclude, comma-separated.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    exclude: Vec<String>,
    /// Drop and count rows that cannot be parsed, instead of stopping at the first one.
    #[arg(long)]
    drop_bad_rows: bool,
    /// Memory limit of the table, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    max_memory: usize,
    /// Compare benign and attack rows: hypothesis tests of every numeric feature, percentiles by class, correlations.
    /// Computed from all rows, so do not select features by it and then evaluate on the same rows.
    #[arg(long)]
    explore: bool,
    /// Write the clean table to this file, .parquet or .csv, and its schema to FILE.schema.toml for --kind table.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the summary to this JSON file; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the summary as a report page (index.html) and import.json to this folder.
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
}

pub(crate) fn run_import(args: &ImportArgs) -> anyhow::Result<()> {
    let mut table = args.read()?;
    if !args.exclude.is_empty() {
        table.without(&args.exclude).context("--exclude")?;
    }
    let summary = table.summary();
    let explored = args.explore.then(|| table.explore(&all(&table), &ExploreOptions::default())).transpose();
    let explored = explored.context("--explore")?;
    // `--json -`: standard output carries the JSON alone.
    if args.json.as_deref() != Some(Path::new("-")) {
        print_line!("{}", lines(&summary).trim_end());
        if let Some(exploration) = &explored {
            print_line!("{}", explore::lines(exploration).trim_end());
        }
    }
    let imported = Imported { summary: &summary, exploration: explored.as_ref() };
    if let Some(path) = &args.json {
        write_json(path, &imported)?;
    }
    if let Some(folder) = &args.report {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let path = folder.join("index.html");
        let html = page(args, &table, &imported).html()?;
        std::fs::write(&path, html).with_context(|| format!("cannot write {}", path.display()))?;
        write_json(&folder.join("import.json"), &imported)?;
    }
    if let Some(path) = &args.out {
        table.write(path)?;
        eprintln!("{}: {} rows, and {}.schema.toml", path.display(), table.rows(), path.display());
    }
    Ok(())
}

fn all(table: &Table) -> Vec<usize> {
    (0..table.rows()).collect()
}

/// Content of the JSON: the summary's fields, and the exploration with `--explore`.
#[derive(Serialize)]
struct Imported<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    exploration: Option<&'a Exploration>,
}

impl ImportArgs {
    fn format(&self) -> anyhow::Result<Format> {
        let attempted = match self.attempted {
            AttemptedWord::Benign => Attempted::Benign,
            AttemptedWord::Attack => Attempted::Attack,
            AttemptedWord::Drop => Attempted::Drop,
        };
        Ok(match self.kind {
            TableKind::CicIds2017 => Format::CicIds2017 { attempted },
            kind => format(kind, self.schema.as_deref())?,
        })
    }

    fn read(&self) -> anyhow::Result<Table> {
        if self.kind == TableKind::Capture {
            return read_kind(self.kind, None, BadRows::Drop, &self.files, &[]);
        }
        let mut options = ReadOptions::new(self.format()?);
        options.limits = Limits { memory_bytes: self.max_memory.saturating_mul(1 << 20), ..Limits::default() };
        if self.drop_bad_rows {
            options.bad_rows = BadRows::Drop;
        }
        let bar = ProgressBar::new(0);
        bar.set_style(ProgressStyle::with_template("{bar:32} {bytes}/{total_bytes} {msg}")?);
        let table = read(&self.files, &[], &options, &mut |progress| {
            bar.set_length(progress.bytes_total);
            bar.set_position(progress.bytes_read);
            bar.set_message(format!("{}, {} rows", progress.file.display(), progress.rows));
        });
        bar.finish_and_clear();
        Ok(table?)
    }
}

/// The summary as lines for a terminal.
fn lines(summary: &Summary) -> String {
    let mut text = String::new();
    for Fact { name, value } in facts(summary) {
        let _ = writeln!(text, "{name:<24} {value}");
    }
    for note in notes(summary) {
        let _ = writeln!(text, "\n{}", note.title);
        let widths: Vec<usize> = (0..note.header.len())
            .map(|at| {
                let cells = note.rows.iter().filter_map(|row| row.get(at));
                cells.chain(note.header.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        for row in std::iter::once(&note.header).chain(&note.rows) {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let _ = writeln!(text, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
    for warning in warnings(summary) {
        let _ = writeln!(text, "\nwarning: {warning}");
    }
    text
}

fn share(part: usize, of: usize) -> String {
    format!("{part} ({:.1} %)", 100.0 * part as f64 / of.max(1) as f64)
}

fn facts(summary: &Summary) -> Vec<Fact> {
    let dropped: u64 = summary.counts.dropped.values().sum();
    vec![
        Fact::new("rows", format!("{} kept of {} read, {dropped} dropped", summary.rows, summary.counts.rows_read)),
        Fact::new("features", summary.features.to_string()),
        Fact::new("files", summary.files.len().to_string()),
        Fact::new("duplicates", format!("{} rows repeat an earlier one", share(summary.repeats, summary.rows))),
        Fact::new(
            "contradictions",
            format!("{} distinct feature rows have more than one label", summary.contradictions),
        ),
        Fact::new(
            "constant features",
            if summary.constant.is_empty() { "none".into() } else { summary.constant.join(", ") },
        ),
        Fact::new("data digest", summary.digest.clone()),
    ]
}

/// Properties of the table that make results on it look better than they are.
fn warnings(summary: &Summary) -> Vec<String> {
    let mut warnings = Vec::new();
    if !summary.labelled {
        warnings.push("the files have no labels, so every row counts as benign".into());
    } else if summary.kinds.iter().filter(|(_, rows)| *rows > 0).count() < 2 {
        warnings.push("the table has one class only, so no method can be evaluated on it".into());
    }
    if summary.repeats * 20 > summary.rows {
        warnings
            .push("many rows repeat: a random split puts copies in both training and test; use --split group".into());
    }
    if summary.sources > 1 && summary.busiest_attacker > 0.5 {
        let percent = 100.0 * summary.busiest_attacker;
        warnings.push(format!(
            "one source sends {percent:.0} % of the attacks, so a method may learn that attacker instead of the attacks"
        ));
    }
    warnings
}

fn notes(summary: &Summary) -> Vec<Note> {
    let counted = |title: &str, name: &str, rows: &[(String, usize)]| Note {
        title: title.into(),
        header: vec![name.into(), "rows".into()],
        rows: rows.iter().map(|(name, rows)| vec![name.clone(), share(*rows, summary.rows)]).collect(),
        ..Note::default()
    };
    let counts = |title: &str, name: &str, rows: &std::collections::BTreeMap<String, u64>| Note {
        title: title.into(),
        header: vec![name.into(), "rows".into()],
        rows: rows.iter().map(|(name, rows)| vec![name.clone(), rows.to_string()]).collect(),
        ..Note::default()
    };
    let mut notes = vec![
        counted("Kinds", "kind", &summary.kinds),
        counted("Attack names", "attack", &summary.details),
        counted("Days", "day", &summary.days),
        counts("Rows dropped", "reason", &summary.counts.dropped),
        counts("Labels changed by a rule", "rule", &summary.counts.relabelled),
        repairs(summary),
        Note {
            title: "Columns not used as features".into(),
            header: vec!["column".into(), "reason".into()],
            rows: summary.counts.left_out.iter().map(|(name, why)| vec![name.clone(), why.clone()]).collect(),
            ..Note::default()
        },
        columns(summary),
    ];
    notes.retain(|note| !note.rows.is_empty());
    notes
}

fn repairs(summary: &Summary) -> Note {
    let row = |(name, repairs): (&String, &lapwing_tables::Repairs)| {
        vec![name.clone(), repairs.missing.to_string(), repairs.infinite.to_string(), repairs.stray.to_string()]
    };
    Note {
        title: "Values repaired".into(),
        text: "Missing and infinite values are imputed from training rows; a flag above 1 counts as 1.".into(),
        header: ["column", "missing", "infinite", "flags above 1"].map(Into::into).into(),
        rows: summary.counts.repaired.iter().map(row).collect(),
    }
}

fn columns(summary: &Summary) -> Note {
    let number = |value: &Option<f64>| value.map_or_else(|| "–".into(), |value| format!("{value}"));
    let row = |column: &ColumnSummary| match column {
        ColumnSummary::Number { name, min, median, max, missing } => {
            vec![name.clone(), number(min), number(median), number(max), missing.to_string()]
        }
        ColumnSummary::Category { name, distinct, most } => {
            let (top, rows) = most.first().cloned().unwrap_or_default();
            let top = format!("most common {top}: {}", share(rows, summary.rows));
            vec![name.clone(), format!("{distinct} categories"), top, String::new(), String::new()]
        }
    };
    Note {
        title: "Features".into(),
        header: ["feature", "min", "median", "max", "missing"].map(Into::into).into(),
        rows: summary.columns.iter().map(row).collect(),
        ..Note::default()
    }
}

fn page(args: &ImportArgs, table: &Table, imported: &Imported<'_>) -> RunReport {
    let summary = imported.summary;
    let kind = args.kind.to_possible_value().map_or_else(String::new, |kind| kind.get_name().to_owned());
    let attacks = summary.rows - summary.kinds.first().map_or(0, |(_, rows)| *rows);
    let mut facts = facts(summary);
    facts.extend(
        summary
            .files
            .iter()
            .map(|file| Fact::new(file.name.clone(), format!("{} rows, SHA-256 {}", file.rows, file.sha256))),
    );
    let mut notes = notes(summary);
    notes.extend(imported.exploration.into_iter().flat_map(|exploration| explore::notes(exploration, table.kinds())));
    let files: Vec<String> = args.files.iter().map(|path| path.display().to_string()).collect();
    RunReport {
        title: format!("Table of {kind}"),
        summary: format!(
            "{} rows, of which {} are attacks of {} classes",
            summary.rows,
            share(attacks, summary.rows),
            summary.kinds.len().saturating_sub(1)
        ),
        warnings: warnings(summary),
        facts,
        notes,
        pictures: imported.exploration.map(explore::pictures).unwrap_or_default(),
        limits: vec!["The counts do not show how representative these rows are of other networks.".into()],
        commands: vec![format!(
            "lapwing-lab import --kind {kind}{} {}",
            if args.explore { " --explore" } else { "" },
            files.join(" ")
        )],
        ..RunReport::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ImportArgs,
    }

    fn import(words: &[&str]) -> anyhow::Result<()> {
        run_import(&Line::parse_from(std::iter::once(&"import").chain(words)).args)
    }

    #[test]
    fn a_written_table_reads_back_with_its_schema() {
        let folder = std::env::temp_dir().join(format!("lapwing-import-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let at = |name: &str| folder.join(name).display().to_string();
        std::fs::write(at("t.csv"), "n,class\n1,normal\n1,normal\nInfinity,flood\n").unwrap();
        std::fs::write(at("s.toml"), "label = 'class'\nnumbers = ['n']\n").unwrap();
        let (table, schema, out, json) = (at("t.csv"), at("s.toml"), at("o.parquet"), at("o.json"));
        let first = ["--kind", "table", &table, "--schema", &schema, "--out", &out, "--json", &json];
        import(&[&first[..], &["--report", &at("page")]].concat()).unwrap();
        let summary: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        assert_eq!((&summary["rows"], &summary["repeats"]), (&3.into(), &1.into()));
        assert_eq!(summary["counts"]["repaired"]["n"]["infinite"], 1);
        let html = std::fs::read_to_string(folder.join("page/index.html")).unwrap();
        assert!(html.contains("Values repaired") && html.contains("many rows repeat"));
        let written = format!("{out}.schema.toml");
        import(&["--kind", "table", &out, "--schema", &written, "--json", &json]).unwrap();
        let again: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        assert_eq!((&again["kinds"], &again["repeats"]), (&summary["kinds"], &summary["repeats"]));
        assert_eq!(summary["exploration"], serde_json::Value::Null, "not requested");
        let error = import(&["--kind", "table", &table]).unwrap_err().to_string();
        assert!(error.contains("--schema"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn exploration_ranks_the_features_that_differ_and_needs_both_classes() {
        let folder = std::env::temp_dir().join(format!("lapwing-explore-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let at = |name: &str| folder.join(name).display().to_string();
        let rows = (0..60).map(|row| match row % 3 {
            0 => format!("{row},{},flood\n", 500 + row),
            _ => format!("{row},{row},normal\n"),
        });
        std::fs::write(at("t.csv"), std::iter::once("same,apart,class\n".to_owned()).chain(rows).collect::<String>())
            .unwrap();
        std::fs::write(at("one.csv"), "same,apart,class\n1,2,normal\n").unwrap();
        std::fs::write(at("s.toml"), "label = 'class'\nnumbers = ['same', 'apart']\n").unwrap();
        let (table, schema, json, page) = (at("t.csv"), at("s.toml"), at("o.json"), at("page"));
        let words = ["--kind", "table", &table, "--schema", &schema, "--explore", "--json", &json, "--report", &page];
        import(&words).unwrap();
        let result: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        let first = &result["exploration"]["tests"][0];
        assert_eq!(
            (&first["name"], &first["larger_in_attack"], &first["ks_distance"]),
            (&"apart".into(), &1.0.into(), &1.0.into())
        );
        let html = std::fs::read_to_string(folder.join("page/index.html")).unwrap();
        for part in
            ["Which features differ", "by class", "Distance between the distributions", "Rank correlation", "flood"]
        {
            assert!(html.contains(part), "{part}");
        }
        let error = import(&["--kind", "table", &at("one.csv"), "--schema", &schema, "--explore"]).unwrap_err();
        assert!(format!("{error:#}").contains("needs benign and attack rows"), "{error:#}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
