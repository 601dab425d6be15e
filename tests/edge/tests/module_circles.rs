//! The modules of a crate of the trainer import each other without circles.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod tree;

use std::collections::{BTreeMap, BTreeSet};
use tree::root;

/// Folders of the crates, below `trainer`; the empty one is the trainer's program.
const CRATES: [&str; 14] = [
    "", "common", "fleet", "segments", "store", "collect", "pipeline", "models", "web", "lab", "tables", "methods",
    "neural", "report",
];

type Imports = BTreeMap<String, BTreeSet<String>>;

#[test]
fn modules_of_the_trainers_crates_import_each_other_without_circles() {
    let mut problems = Vec::new();
    let mut imports = 0;
    for name in CRATES {
        let graph = imports_of(name);
        imports += graph.values().map(BTreeSet::len).sum::<usize>();
        let circle = in_circles(graph);
        if !circle.is_empty() {
            problems.push(format!("trainer/{name}: these modules import each other: {}", circle.join(", ")));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(imports > 100, "the scan found only {imports} imports: it does not see the code");
}

#[test]
fn a_circle_is_found_and_a_chain_is_none() {
    let graph = |edges: &[(&str, &str)]| -> Imports {
        let mut graph = Imports::new();
        for (from, to) in edges {
            graph.entry((*from).into()).or_default().insert((*to).into());
            graph.entry((*to).into()).or_default();
        }
        graph
    };
    assert!(in_circles(graph(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
    assert_eq!(in_circles(graph(&[("a", "b"), ("b", "c"), ("c", "b")])), ["b", "c"]);
}

/// Top-level modules of a crate → the top-level modules that each imports.
fn imports_of(name: &str) -> Imports {
    let src = root().join("trainer").join(name).join("src");
    let files = tree::files(&src, &|path, _| path.extension().is_some_and(|extension| extension == "rs"));
    let mut graph = Imports::new();
    for (path, text) in &files {
        let module = path.split('/').next().unwrap().trim_end_matches(".rs");
        if ["lib", "main"].contains(&module) || path.contains("test") {
            continue;
        }
        let is_top = !path.contains('/') || path.ends_with("/mod.rs") && path.matches('/').count() == 1;
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join(" ");
        let used = graph.entry(module.into()).or_default();
        used.extend(names_after("crate::", &lines));
        if is_top {
            used.extend(names_after("super::", &lines));
        }
    }
    let modules: BTreeSet<String> = graph.keys().cloned().collect();
    for (module, used) in &mut graph {
        used.retain(|other| other != module && modules.contains(other));
    }
    graph
}

/// The names that follow a path prefix, in a `{…}` group too.
fn names_after(prefix: &str, code: &str) -> Vec<String> {
    let name = |text: &str| {
        text.trim_start().split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap().to_owned()
    };
    let mut names = Vec::new();
    for path in code.split(prefix).skip(1) {
        match path.strip_prefix('{') {
            Some(group) => names.extend(group.split('}').next().unwrap().split(',').map(name)),
            None => names.push(name(path)),
        }
    }
    names
}

/// Modules that remain when those without imports are removed again and again, and those that no module imports.
fn in_circles(mut graph: Imports) -> Vec<String> {
    loop {
        let used: BTreeSet<String> = graph.values().flatten().cloned().collect();
        let before = graph.len();
        graph.retain(|module, imports| !imports.is_empty() && used.contains(module));
        let left: BTreeSet<String> = graph.keys().cloned().collect();
        graph.values_mut().for_each(|imports| imports.retain(|module| left.contains(module)));
        if graph.len() == before {
            return left.into_iter().collect();
        }
    }
}
