//! The source tree → violations of rules that the compiler does not check: imports between modules and crates, lengths
//! of files and functions, names of tests in the docs.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod tree;

use std::collections::BTreeSet;
use std::path::Path;
use tree::root;

/// Modules of `shared` in data-flow order: each may use those before it, and itself.
const ORDER: [&str; 12] = [
    "units",
    "packet",
    "flow",
    "lanes",
    "context",
    "features",
    "verdict",
    "release",
    "privacy",
    "rollout",
    "messages",
    "enrolment",
];

/// A crate and the crates of this workspace that it may depend on, tests and benchmarks excluded.
struct Crate {
    name: &'static str,
    may_use: &'static [&'static str],
}

const fn may_use(name: &'static str, may_use: &'static [&'static str]) -> Crate {
    Crate { name, may_use }
}

/// Every crate of the workspace. Only tests use the programs (agent, trainer, lab).
const CRATES: &[Crate] = &[
    may_use("shared", &[]),
    may_use("capture", &["shared"]),
    may_use("config", &[]),
    may_use("live", &["shared", "capture"]),
    may_use("agent", &["shared", "capture", "config", "live"]),
    may_use("common", &["shared"]),
    may_use("tables", &["capture"]),
    may_use("methods", &["tables"]),
    may_use("neural", &["tables", "methods"]),
    may_use("report", &[]),
    may_use("fleet", &["shared"]),
    may_use("people", &["shared"]),
    may_use("segments", &["shared", "common"]),
    may_use("store", &["shared", "common", "fleet", "people", "segments", "skips"]),
    may_use("collect", &["shared", "common", "fleet", "store"]),
    may_use("campaigns", &["shared", "common", "fleet", "store"]),
    may_use("authority", &["shared", "common", "fleet", "store"]),
    may_use("models", &["shared", "config", "tables", "methods", "neural"]),
    may_use("pipeline", &["shared", "capture", "common", "tables", "methods", "neural", "report", "segments", "store"]),
    may_use(
        "web",
        &["shared", "common", "fleet", "people", "authority", "report", "store", "campaigns", "models", "pipeline"],
    ),
    may_use(
        "trainer",
        &[
            "shared",
            "config",
            "common",
            "fleet",
            "people",
            "tables",
            "report",
            "segments",
            "store",
            "campaigns",
            "authority",
            "collect",
            "models",
            "pipeline",
            "web",
        ],
    ),
    may_use("lab", &["shared", "config", "common", "tables", "methods", "neural", "report", "models", "pipeline"]),
    may_use("skips", &[]),
    may_use("edge-tests", &["shared", "agent"]),
    may_use(
        "system-tests",
        &[
            "shared",
            "capture",
            "agent",
            "common",
            "fleet",
            "store",
            "authority",
            "collect",
            "pipeline",
            "trainer",
            "web",
            "skips",
        ],
    ),
    may_use("qemu-tests", &["shared", "capture"]),
];

/// An external crate and the only crates that may depend on it.
const EXTERNAL: [(&str, &[&str]); 8] = [
    ("argon2", &["people"]),
    ("parquet", &["tables", "segments"]),
    ("rusqlite", &["store"]),
    ("postgres", &["store"]),
    ("axum", &["web"]),
    ("askama", &["web", "report"]),
    ("burn", &["neural"]),
    ("pkcs8", &["authority"]),
];

/// Most lines of a file before its tests.
const FILE_LINES: usize = 400;
/// Most lines of a function.
const FUNCTION_LINES: usize = 70;

#[test]
fn a_module_of_shared_imports_only_modules_before_it() {
    let place = |module: &str| ORDER.iter().position(|other| *other == module);
    let mut imports = 0;
    for (name, text) in rust_files(&root().join("shared/src")) {
        let module = name.trim_end_matches(".rs").split('/').next().unwrap();
        if module == "lib" || name.contains("test") {
            continue;
        }
        let own = place(module).unwrap_or_else(|| panic!("shared/src/{name}: {module} is not in ORDER"));
        for (number, line) in code_lines(&text) {
            for path in line.split("crate::").skip(1) {
                assert!(!path.starts_with('{'), "shared/src/{name}:{number}: write one `use` for each module");
                let other = identifier(path);
                let used =
                    place(other).unwrap_or_else(|| panic!("shared/src/{name}:{number}: {other} is not in ORDER"));
                imports += 1;
                assert!(used <= own, "shared/src/{name}:{number}: {module} may not import {other}");
            }
        }
    }
    assert!(imports > 50, "found only {imports} imports");
}

#[test]
fn a_crate_depends_only_on_the_crates_that_the_table_allows() {
    let root_manifest: toml::Table = read_manifest("Cargo.toml");
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    for member in root_manifest["workspace"]["members"].as_array().unwrap() {
        let path = format!("{}/Cargo.toml", member.as_str().unwrap());
        let manifest = read_manifest(&path);
        let name = manifest["package"]["name"].as_str().unwrap().trim_start_matches("lapwing-").to_owned();
        let Some(rule) = CRATES.iter().find(|rule| rule.name == name) else {
            problems.push(format!("{path}: add {name} to CRATES"));
            continue;
        };
        for dependency in dependencies(&manifest) {
            let own = dependency.strip_prefix("lapwing-");
            if own.is_some_and(|own| !rule.may_use.contains(&own)) {
                problems.push(format!("{path}: {name} may not depend on {dependency}"));
            }
            let limited = EXTERNAL.iter().find(|(external, _)| *external == dependency);
            if limited.is_some_and(|(_, users)| !users.contains(&name.as_str())) {
                problems.push(format!("{path}: {name} may not depend on {dependency}"));
            }
        }
        names.insert(name);
    }
    let missing = CRATES.iter().filter(|rule| !names.contains(rule.name));
    problems.extend(missing.map(|rule| format!("{} is in CRATES but not in the workspace", rule.name)));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_rules_of_the_fleet_read_no_clock_file_socket_or_database() {
    let manifest = read_manifest("trainer/fleet/Cargo.toml");
    // JSON is the form in which a campaign is stored; it is text, and needs no file.
    let expected = ["lapwing-shared", "serde", "serde_json", "utoipa"];
    assert_eq!(dependencies(&manifest), expected, "plain types and rules need no more");
    assert_eq!(
        manifest["dependencies"]["utoipa"]["optional"].as_bool(),
        Some(true),
        "only the web server describes them"
    );
    let files = rust_files(&root().join("trainer/fleet/src"));
    assert!(files.len() > 5, "found only {} files", files.len());
    let banned = ["std::fs", "std::net", "std::io", "std::thread", "std::env", "std::process", "Instant", "SystemTime"];
    for (name, text) in &files {
        for (number, line) in code_lines(text) {
            for word in banned {
                assert!(
                    !line.contains(word),
                    "trainer/fleet/src/{name}:{number}: the fleet's rules may not use {word}"
                );
            }
        }
    }
}

#[test]
fn files_and_functions_are_short() {
    let mut problems = Vec::new();
    let mut functions = 0;
    for (name, text) in rust_files(&root()) {
        let lines = code(&text).lines().count();
        if lines > FILE_LINES {
            problems.push(format!("{name}: {lines} lines before its tests, expected at most {FILE_LINES}"));
        }
        for (line, lines) in function_lengths(&text) {
            functions += 1;
            if lines > FUNCTION_LINES {
                problems.push(format!("{name}:{line}: function of {lines} lines, expected at most {FUNCTION_LINES}"));
            }
        }
    }
    assert!(functions > 2_000, "found only {functions} functions");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn tests_that_the_docs_name_exist() {
    let mut functions = BTreeSet::new();
    let is_source = |extension: &str| ["rs", "py"].contains(&extension);
    for (_, text) in tree::files(&root(), &|path, _| path.extension().is_some_and(|e| is_source(&e.to_string_lossy())))
    {
        for line in text.lines() {
            let line = line.trim_start();
            let signature = line.split("fn ").nth(1).or_else(|| line.strip_prefix("def "));
            functions.extend(signature.map(|signature| identifier(signature).to_owned()));
        }
    }
    let mut problems = Vec::new();
    for (name, text) in tree::files(&root(), &|path, _| path.extension().is_some_and(|extension| extension == "md")) {
        for (index, line) in text.lines().enumerate() {
            // Names with four underscores or more are those of tests.
            let quoted = line.split('`').skip(1).step_by(2).filter(|word| word.matches('_').count() >= 4);
            for word in quoted.filter(|word| identifier(word) == *word && !functions.contains(*word)) {
                problems.push(format!("{name}:{}: there is no test `{word}`", index + 1));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_length_of_a_function_includes_its_signature_and_last_brace() {
    let text =
        "impl A {\n    pub fn a(\n        x: u8,\n    ) {\n        x;\n    }\n\n    fn b() {}\n}\n\nfn c() {\n}\n";
    assert_eq!(function_lengths(text), [(2, 5), (8, 1), (11, 2)]);
}

fn rust_files(folder: &Path) -> Vec<(String, String)> {
    tree::files(folder, &|path, _| path.extension().is_some_and(|extension| extension == "rs"))
}

fn read_manifest(path: &str) -> toml::Table {
    toml::from_str(&std::fs::read_to_string(root().join(path)).unwrap()).unwrap()
}

/// Names of all dependencies of a manifest that its library and programs use.
fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let table = |table: &toml::Table| {
        let dependencies = table.get("dependencies").and_then(|dependencies| dependencies.as_table());
        dependencies.into_iter().flatten().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let targets = manifest.get("target").and_then(|target| target.as_table()).into_iter().flatten();
    let of_targets = targets.filter_map(|(_, target)| target.as_table()).flat_map(table);
    table(manifest).into_iter().chain(of_targets).collect()
}

/// The part of a file before its tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default()
}

/// Number and text of the code lines that are not comments.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = code(text).lines().enumerate();
    lines.filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(index, line)| (index + 1, line))
}

fn identifier(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// First line and number of lines of each function, by the indentation that rustfmt gives it.
fn function_lengths(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut lengths = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let before = trimmed.split("fn ").next().unwrap_or_default();
        let is_function = trimmed.contains("fn ") && before.split_whitespace().all(is_function_qualifier);
        if !is_function {
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - trimmed.len()]);
        let one_line = line.ends_with('}') || line.ends_with(';');
        let rest = if one_line { Some(0) } else { lines[index..].iter().position(|line| *line == end) };
        lengths.extend(rest.map(|rest| (index + 1, rest + 1)));
    }
    lengths
}

fn is_function_qualifier(word: &str) -> bool {
    word.starts_with("pub")
        || word.starts_with("in ")
        || ["const", "async", "unsafe", "extern", "\"C\""].contains(&word)
}
