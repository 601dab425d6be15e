//! Imports between the agent's modules follow one order.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::path::{Path, PathBuf};

/// Modules of the agent in data-flow order, as `agent/src/lib.rs` lists them: each may import those before it, and itself.
const ORDER: [&str; 34] = [
    "clock",
    "log",
    "random",
    "capture",
    "interruptible",
    "lan",
    "pace",
    "shed",
    "detector",
    "output",
    "sampler",
    "scoring",
    "batch",
    "pipeline",
    "coverage",
    "notify",
    "report",
    "monitor",
    "disk",
    "habit_file",
    "outbox",
    "budget",
    "identity",
    "config",
    "privacy",
    "update",
    "engines",
    "release_file",
    "response",
    "publish",
    "status",
    "cli",
    "confine",
    "commands",
];

fn agent_src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../agent/src")
}

fn source_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn place(module: &str, wherefrom: &str) -> usize {
    let place = ORDER.iter().position(|other| *other == module);
    place.unwrap_or_else(|| panic!("{wherefrom}: module `{module}` is not in ORDER"))
}

/// The modules that a line of code names after `crate::`, in a `{…}` group too.
fn imported(line: &str) -> Vec<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = |text: &'_ str| text.split(|c: char| !is_name(c)).next().unwrap_or_default().len();
    let mut modules = Vec::new();
    for path in line.split("crate::").skip(1) {
        match path.strip_prefix('{') {
            Some(group) => modules.extend(group.split(", ").map(|path| &path[..name(path)])),
            None => modules.push(&path[..name(path)]),
        }
    }
    modules
}

#[test]
fn a_module_of_the_agent_imports_only_modules_listed_before_it() {
    let src = agent_src();
    let mut files = Vec::new();
    source_files(&src, &mut files);
    let mut imports = 0;
    for file in &files {
        let name = file.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
        // The program itself, and test files, may import every module.
        if name == "lib.rs" || name == "main.rs" || name.ends_with("_tests.rs") {
            continue;
        }
        let own = place(name.trim_end_matches(".rs").split('/').next().unwrap_or_default(), &name);
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        for (index, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let wherefrom = format!("{name}:{}", index + 1);
            // `super` must not lead out of a top-level module, where the list would not see it.
            let is_top = !name.contains('/') || name.ends_with("/mod.rs") && name.matches('/').count() == 1;
            assert!(!(is_top && line.contains("super::")), "{wherefrom}: write `crate::` in place of `super::`");
            assert!(!line.contains("super::super::"), "{wherefrom}: write `crate::` in place of `super::super::`");
            for module in imported(line) {
                imports += 1;
                assert!(place(module, &wherefrom) <= own, "{wherefrom}: {} may not import {module}", ORDER[own]);
            }
        }
    }
    assert!(imports > 100, "the scan found only {imports} imports: it does not see the code");
}

#[test]
fn the_agents_lib_lists_its_modules_in_that_order() {
    let text = std::fs::read_to_string(agent_src().join("lib.rs")).unwrap();
    let declared: Vec<&str> = text
        .lines()
        .filter_map(|line| {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            line.strip_prefix("mod ").or_else(|| line.strip_prefix("use lapwing_capture as "))?.strip_suffix(';')
        })
        .filter(|module| !module.ends_with("_tests"))
        .collect();
    assert_eq!(declared, ORDER);
}
