//! The file of a comparison.

use crate::evaluate::Plan;
use crate::evaluate::args::TableKind;
use clap::ValueEnum;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Most runs and seeds, so that a slip does not take a week.
const MOST: usize = 100;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("comparison {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It says something else than it must.
    #[error("comparison {}: {found}, expected {expected}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
}

/// What is to be compared.
#[derive(Clone, Debug)]
pub struct CompareConfig {
    /// Heading.
    pub title: String,
    /// What the files hold.
    pub kind: TableKind,
    /// Schema of a table.
    pub schema: Option<PathBuf>,
    /// Training files, as they stand in the file: relative to it.
    pub train: Vec<PathBuf>,
    /// Test files.
    pub test: Vec<PathBuf>,
    /// Seeds.
    pub seeds: Vec<u64>,
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

/// Keys of the head; every other one is a setting of all plans.
const HEAD: [&str; 7] = ["title", "kind", "schema", "train", "test-files", "seeds", "run"];

impl CompareConfig {
    /// Reads the file; paths in it are relative to its folder.
    ///
    /// # Errors
    /// A file that cannot be read, a key that nobody knows, no run, or too many.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Self::parse(&text, &folder).map_err(|(found, expected)| ConfigError::Content {
            path: path.into(),
            found,
            expected,
        })
    }

    /// From the text of a file in this folder; on failure what was found and what was expected.
    pub(crate) fn parse(text: &str, folder: &Path) -> Result<Self, (String, String)> {
        let wrong =
            |error: toml::de::Error, expected: &str| (error.to_string().trim_end().to_owned(), expected.to_owned());
        let mut table: Table = toml::from_str(text).map_err(|error| wrong(error, "TOML"))?;
        let head: Head = Value::Table(table.clone())
            .try_into()
            .map_err(|error| wrong(error, "kind, train, seeds, [[run]] with a method, and settings of plans"))?;
        HEAD.iter().for_each(|key| drop(table.remove(*key)));
        let count = |what: &str, found: usize| -> Result<(), (String, String)> {
            let fits = (1..=MOST).contains(&found);
            if fits { Ok(()) } else { Err((format!("{found} {what}"), format!("1 to {MOST}"))) }
        };
        count("runs", head.run.len())?;
        count("seeds", head.seeds.len())?;
        let kind = TableKind::from_str(&head.kind, false).map_err(|_| {
            let known: Vec<_> =
                TableKind::value_variants().iter().filter_map(|kind| kind.to_possible_value()).collect();
            let known: Vec<&str> = known.iter().map(clap::builder::PossibleValue::get_name).collect();
            (format!("kind = \"{}\"", head.kind), known.join(", "))
        })?;
        let mut runs = Vec::new();
        for (place, own) in head.run.into_iter().enumerate() {
            let mut settings = table.clone();
            settings.extend(own);
            let name = settings.remove("name");
            if !settings.contains_key("method") {
                return Err((format!("run {} without a method", place + 1), "method = \"…\"".into()));
            }
            let plan: Plan = Value::Table(settings)
                .try_into()
                .map_err(|error: toml::de::Error| wrong(error, &format!("settings of a plan in run {}", place + 1)))?;
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
    pub fn plans(&self) -> impl Iterator<Item = (String, Plan)> + '_ {
        self.runs.iter().cloned()
    }
}
