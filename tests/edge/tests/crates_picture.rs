//! `cargo metadata` → the picture of the workspace's crates in docs/architecture.md, which must be current.
//!
//! `BLESS=1 cargo test -p lapwing-edge-tests --test crates_picture` rewrites it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const BEGIN: &str = "<!-- crates:begin -->\n";
const END: &str = "<!-- crates:end -->\n";
/// Top-level folders in the order of the data.
const FOLDERS: [&str; 4] = ["shared", "agent", "trainer", "tests"];

/// Crates without the prefix `lapwing-` → the crates of the workspace that they use, development excluded.
type Uses = BTreeMap<String, BTreeSet<String>>;

struct Workspace {
    uses: Uses,
    /// Crates of each of [`FOLDERS`].
    folders: Vec<BTreeSet<String>>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn short(name: &Value) -> String {
    let name = name.as_str().unwrap();
    name.strip_prefix("lapwing-").unwrap_or(name).to_owned()
}

fn workspace() -> Workspace {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<String> = packages.iter().map(|package| short(&package["name"])).collect();
    let mut workspace = Workspace { uses: Uses::new(), folders: vec![BTreeSet::new(); FOLDERS.len()] };
    for package in packages {
        let dependencies = package["dependencies"].as_array().unwrap();
        let normal = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
        let uses = normal.map(|dependency| short(&dependency["name"])).filter(|name| names.contains(name));
        workspace.uses.insert(short(&package["name"]), uses.collect());
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let folder = manifest.strip_prefix(root()).unwrap().iter().next().unwrap();
        let place = FOLDERS.iter().position(|known| *known == folder).unwrap();
        workspace.folders[place].insert(short(&package["name"]));
    }
    workspace
}

/// Whether one crate uses another, directly or through others.
fn reaches(uses: &Uses, from: &str, to: &str) -> bool {
    uses[from].iter().any(|direct| direct == to || reaches(uses, direct, to))
}

fn picture(workspace: &Workspace) -> String {
    let uses = &workspace.uses;
    let mut text = String::from("\n```mermaid\ngraph TD\n");
    for (folder, crates) in FOLDERS.iter().zip(&workspace.folders) {
        writeln!(text, "    subgraph folder-{folder}[\"{folder}/\"]").unwrap();
        crates.iter().for_each(|name| writeln!(text, "        {name}").unwrap());
        text.push_str("    end\n");
    }
    for (name, direct) in uses {
        // An arrow that a longer way implies is left out.
        let implied = |to: &str| direct.iter().any(|other| reaches(uses, other, to));
        let shown = direct.iter().filter(|to| !implied(to));
        shown.for_each(|to| writeln!(text, "    {name} --> {to}").unwrap());
    }
    text.push_str("```\n\n| crate | uses directly |\n|---|---|\n");
    for name in workspace.folders.iter().flatten() {
        let direct: Vec<&str> = uses[name].iter().map(String::as_str).collect();
        writeln!(text, "| {name} | {} |", if direct.is_empty() { "–".into() } else { direct.join(", ") }).unwrap();
    }
    text.push('\n');
    text
}

#[test]
fn the_picture_of_the_crates_is_current() {
    let path = root().join("docs/architecture.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (block, after) = rest.split_once(END).unwrap();
    let current = picture(&workspace());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, [before, BEGIN, &current, END, after].concat()).unwrap();
        return;
    }
    assert!(
        block == current,
        "docs/architecture.md shows other crates or dependencies than `cargo metadata`; \
         run `BLESS=1 cargo test -p lapwing-edge-tests --test crates_picture`. Expected:\n{current}"
    );
}

#[test]
fn every_crate_has_a_row_with_its_purpose() {
    let document = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    for name in workspace().uses.keys() {
        assert!(
            document.contains(&format!("\n| `lapwing-{name}` | `")),
            "docs/architecture.md: no row for lapwing-{name}"
        );
    }
}
