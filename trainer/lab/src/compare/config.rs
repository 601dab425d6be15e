//! Configuration file of a comparison (TOML) → seeds, data and one plan per run.

use clap::ValueEnum;
use lapwing_config::ConfigError;
use lapwing_models::Plan;
use lapwing_pipeline::dataset::source::TableKind;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Maximum number of runs, and of seeds; a typo must not start a week of work.
const MAX_COUNT: usize = 100;

/// Configuration of a comparison.
#[derive(Clone, Debug)]
pub(crate) struct CompareConfig {
    /// Title of the report page.
    pub(crate) title: String,
    /// Format of the files.
    pub(crate) kind: TableKind,
    /// Schema, for `kind = "table"`.
    pub(crate) schema: Option<PathBuf>,
    pub(crate) train: Vec<PathBuf>,
    pub(crate) test: Vec<PathBuf>,
    pub(crate) seeds: Vec<u64>,
    runs: Vec<(String, Plan)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Head {
    title: Option<String>,
    kind: String,
    schema: Option<PathBuf>,
    train: Vec<PathBuf>,
    #[serde(default)]
    test_files: Vec<PathBuf>,
    #[serde(default = "one_seed")]
    seeds: Vec<u64>,
    #[serde(default)]
    run: Vec<Table>,
}

fn one_seed() -> Vec<u64> {
    vec![1]
}

/// Keys of [`Head`]; every other top-level key is a setting of all runs.
const HEAD: [&str; 7] = ["title", "kind", "schema", "train", "test-files", "seeds", "run"];

impl CompareConfig {
    /// Loads the file; paths in it are relative to its folder.
    ///
    /// # Errors
    /// An unreadable file, an unknown key, no runs or more than 100.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|reason| ConfigError::Read { path: path.into(), reason })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Self::parse(&text, &folder).map_err(|(found, expected)| ConfigError::Parse {
            path: path.into(),
            message: format!("{found}, expected {expected}"),
        })
    }

    /// Parses the text of a file in `folder`; the error is what was found and what was expected.
    pub(crate) fn parse(text: &str, folder: &Path) -> Result<Self, (String, String)> {
        let wrong =
            |error: toml::de::Error, expected: &str| (error.to_string().trim_end().to_owned(), expected.to_owned());
        let mut table: Table = toml::from_str(text).map_err(|error| wrong(error, "TOML"))?;
        let head: Head = Value::Table(table.clone()).try_into().map_err(|error| {
            wrong(error, "kind, train, seeds, settings of all runs, and [[run]] tables with a method")
        })?;
        HEAD.iter().for_each(|key| drop(table.remove(*key)));
        let check_count = |what: &str, count: usize| -> Result<(), (String, String)> {
            let fits = (1..=MAX_COUNT).contains(&count);
            if fits { Ok(()) } else { Err((format!("{count} {what}"), format!("1 to {MAX_COUNT}"))) }
        };
        check_count("runs", head.run.len())?;
        check_count("seeds", head.seeds.len())?;
        let kind = TableKind::from_str(&head.kind, false).map_err(|_| {
            let kinds: Vec<_> =
                TableKind::value_variants().iter().filter_map(|kind| kind.to_possible_value()).collect();
            let kinds: Vec<&str> = kinds.iter().map(clap::builder::PossibleValue::get_name).collect();
            (format!("kind = \"{}\"", head.kind), kinds.join(", "))
        })?;
        let mut runs = Vec::new();
        for (index, own) in head.run.into_iter().enumerate() {
            let mut settings = table.clone();
            settings.extend(own);
            let name = settings.remove("name");
            if !settings.contains_key("method") {
                return Err((format!("run {} without a method", index + 1), "method = \"…\"".into()));
            }
            let plan: Plan = Value::Table(settings).try_into().map_err(|error: toml::de::Error| {
                wrong(error, &format!("settings of an evaluation in run {}", index + 1))
            })?;
            let name = name.as_ref().and_then(Value::as_str).map_or_else(|| plan.method.to_string(), str::to_owned);
            runs.push((name, plan));
        }
        let paths = |paths: Vec<PathBuf>| paths.into_iter().map(|path| folder.join(path)).collect();
        Ok(Self {
            title: head.title.unwrap_or_else(|| format!("Methods on {}", head.kind)),
            kind,
            schema: head.schema.map(|path| folder.join(path)),
            train: paths(head.train),
            test: paths(head.test_files),
            seeds: head.seeds,
            runs,
        })
    }

    /// Names and plans of the runs.
    pub(crate) fn plans(&self) -> impl Iterator<Item = (String, Plan)> + '_ {
        self.runs.iter().cloned()
    }
}
