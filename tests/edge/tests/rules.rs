//! Rules of the code base that the compiler does not hold.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::path::{Path, PathBuf};

/// Modules of `shared` in data-flow order: each may use those before it, and itself.
const ORDER: [&str; 8] = ["units", "packet", "flow", "context", "features", "verdict", "release", "messages"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn a_module_of_shared_uses_only_those_before_it() {
    let src = root().join("shared/src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut uses = 0;
    for file in &files {
        let name = file.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
        if name.contains("test") {
            continue;
        }
        let Some(own) = ORDER.iter().position(|module| name.trim_end_matches(".rs").split('/').next() == Some(module))
        else {
            continue;
        };
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        for (index, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for used in line.split("crate::").skip(1) {
                let module = used.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
                let Some(place) = ORDER.iter().position(|other| *other == module) else { continue };
                uses += 1;
                assert!(place <= own, "{name}:{}: {} may not use {module}", index + 1, ORDER[own]);
            }
        }
    }
    assert!(uses > 50, "the scan found only {uses} uses: it does not see the code");
}

#[test]
fn the_two_sides_do_not_know_each_other_and_nobody_knows_the_tests() {
    let manifest = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let forbidden = [
        ("shared/Cargo.toml", vec!["lapwing-"]),
        ("shared/capture/Cargo.toml", vec!["lapwing-agent", "lapwing-trainer", "tests"]),
        ("agent/Cargo.toml", vec!["lapwing-trainer", "lapwing-system", "lapwing-edge"]),
        ("trainer/Cargo.toml", vec!["lapwing-agent", "lapwing-system", "lapwing-edge"]),
    ];
    for (path, names) in forbidden {
        let text = manifest(path);
        let dependencies = text.split("[dependencies]").nth(1).unwrap_or_default();
        for name in names {
            assert!(!dependencies.contains(name), "{path} depends on {name}");
        }
    }
}
