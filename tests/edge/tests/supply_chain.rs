//! `.cargo/deny.toml`, lock files and the dependencies that cargo resolves → licences, crates, versions and sources that
//! are not allowed.
//!
//! cargo-deny reads the same file. This test needs no other program and no network, so every run of the tests enforces it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod tree;

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use tree::root;

/// The whole file: an unknown key is an error, so that no rule is written down without a check.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    graph: Graph,
    /// Checked by cargo-deny only.
    #[serde(rename = "advisories")]
    _advisories: toml::Table,
    licenses: Licences,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Licences {
    allow: BTreeSet<String>,
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Bans {
    multiple_versions: String,
    /// cargo-deny counts path dependencies; `a_dependency_names_a_version_of_the_registry` does not.
    #[serde(rename = "wildcards")]
    _wildcards: String,
    deny: Vec<Named>,
    skip: Vec<Named>,
}

/// `NAME` or `NAME:VERSION`, and why it is in the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(rename = "crate")]
    spec: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Sources {
    unknown_registry: String,
    unknown_git: String,
    allow_registry: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    licence: String,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn rules() -> Rules {
    toml::from_str(&read(".cargo/deny.toml")).unwrap_or_else(|error| panic!(".cargo/deny.toml: {error}"))
}

/// Every crate of a registry that is compiled for one of the systems, build scripts and tests included.
fn packages(rules: &Rules) -> BTreeSet<Package> {
    let mut packages = BTreeSet::new();
    for target in &rules.graph.targets {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--locked", "--workspace", "--edges", "normal,build,dev", "--prefix", "none"])
            .args(["--format", "{p}|{l}", "--target", target])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
        packages.extend(String::from_utf8(output.stdout).unwrap().lines().filter_map(package));
    }
    assert!(packages.len() > 200, "found only {} crates", packages.len());
    packages
}

/// A crate from a line such as `ring v0.17.14|Apache-2.0 AND ISC (*)`; `None` for one of the workspace.
fn package(line: &str) -> Option<Package> {
    let (id, licence) = line.trim_end_matches(" (*)").split_once('|')?;
    let (name, rest) = id.split_once(" v")?;
    let version = rest.split(' ').next()?;
    let is_local = rest.contains("(/");
    (!is_local).then(|| Package { name: name.into(), version: version.into(), licence: licence.into() })
}

/// Whether a choice of the licence expression (SPDX; older crates write `/` for `OR`) is allowed. Licences that decide
/// it are added to `used`.
fn is_allowed<'a>(expression: &'a str, allowed: &BTreeSet<String>, used: &mut BTreeSet<&'a str>) -> bool {
    let expression = expression.trim();
    for (operator, all) in [(" OR ", false), ("/", false), (" AND ", true)] {
        let parts = split_outside_parentheses(expression, operator);
        if parts.len() > 1 {
            let mut each = parts.into_iter().map(|part| is_allowed(part, allowed, used));
            return if all { each.all(|allowed| allowed) } else { each.any(|allowed| allowed) };
        }
    }
    if let Some(inner) = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        return is_allowed(inner, allowed, used);
    }
    let is_allowed = allowed.contains(expression);
    used.extend(is_allowed.then_some(expression));
    is_allowed
}

fn split_outside_parentheses<'a>(text: &'a str, operator: &str) -> Vec<&'a str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (index, c) in text.char_indices() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth == 0 && index >= start && text[index..].starts_with(operator) {
            parts.push(&text[start..index]);
            start = index + operator.len();
        }
    }
    parts.push(&text[start..]);
    parts
}

fn licence_problems(rules: &Licences, packages: &BTreeSet<Package>) -> Vec<String> {
    let (mut problems, mut used, mut excepted) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for Package { name, version, licence } in packages {
        if is_allowed(licence, &rules.allow, &mut used) {
            continue;
        }
        match rules.exceptions.iter().find(|exception| exception.name == *name) {
            Some(exception) if is_allowed(licence, &exception.allow, &mut BTreeSet::new()) => {
                excepted.insert(name.as_str());
            }
            _ => problems.push(format!("{name} {version}: licence `{licence}` is not in [licenses]")),
        }
    }
    let unused = rules.allow.iter().filter(|licence| !used.contains(licence.as_str()));
    problems.extend(unused.map(|licence| format!("[licenses] allow: no crate needs {licence}; remove it")));
    let unused = rules.exceptions.iter().filter(|exception| !excepted.contains(exception.name.as_str()));
    problems.extend(unused.map(|exception| format!("[licenses] exceptions: {} is not needed", exception.name)));
    problems
}

/// Whether a version satisfies the caret requirement of `NAME:VERSION`; true without a version.
fn matches(spec: &str, package: &Package) -> bool {
    let (name, version) = spec.split_once(':').unwrap_or((spec, ""));
    let satisfies = |version| package.version == version || package.version.starts_with(&format!("{version}."));
    package.name == name && (version.is_empty() || satisfies(version))
}

fn ban_problems(rules: &Bans, packages: &BTreeSet<Package>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&Package>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().push(package);
        if let Some(ban) = rules.deny.iter().find(|ban| matches(&ban.spec, package)) {
            problems.push(format!("{} is banned: {}", package.name, ban.reason));
        }
    }
    for (name, found) in &versions {
        let unlisted = found.iter().filter(|package| !rules.skip.iter().any(|skip| matches(&skip.spec, package)));
        if unlisted.count() > 1 {
            let found: Vec<&str> = found.iter().map(|package| package.version.as_str()).collect();
            problems
                .push(format!("{name} has several versions: {}; update, or list it in [bans] skip", found.join(", ")));
        }
    }
    for skip in &rules.skip {
        let is_needed = versions.values().any(|found| found.len() > 1 && found.iter().any(|p| matches(&skip.spec, p)));
        if !is_needed {
            problems.push(format!("[bans] skip: {} has no second version; remove it", skip.spec));
        }
    }
    problems
}

fn lock_problems(file: &str, text: &str, rules: &Sources) -> Vec<String> {
    let lock: Lock = toml::from_str(text).unwrap();
    let allowed: Vec<String> = rules.allow_registry.iter().map(|url| format!("registry+{url}")).collect();
    let mut problems = Vec::new();
    for Locked { name, version, source, checksum } in lock.package {
        let is_local = source.is_none() && name.starts_with("lapwing-");
        let is_known = source.as_ref().is_some_and(|source| allowed.contains(source));
        let is_checked = checksum.is_some_and(|sum| sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit()));
        if !(is_local || is_known && is_checked) {
            problems.push(format!("{file}: {name} {version}: expected a crate of {allowed:?} with a checksum"));
        }
    }
    problems
}

/// Dependencies without a version, with `*`, or from git, of a manifest or of the workspace.
fn manifest_problems(file: &str, manifest: &toml::Table) -> Vec<String> {
    let mut problems = Vec::new();
    for (key, value) in manifest {
        let Some(table) = value.as_table() else { continue };
        if !["dependencies", "dev-dependencies", "build-dependencies"].contains(&key.as_str()) {
            problems.extend(manifest_problems(file, table));
            continue;
        }
        for (name, dependency) in table {
            let field = |field: &str| dependency.get(field).is_some();
            let version = dependency.as_str().or_else(|| dependency.get("version")?.as_str());
            let is_local = field("path") || field("workspace");
            if field("git") || (!is_local && version.is_none_or(|version| version.contains('*'))) {
                problems.push(format!("{file}: {name}: expected a version of the registry"));
            }
        }
    }
    problems
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let rules = rules();
    let problems = licence_problems(&rules.licenses, &packages(&rules));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn no_dependency_is_banned_or_has_an_unlisted_second_version() {
    let rules = rules();
    assert_eq!(rules.bans.multiple_versions, "deny");
    let problems = ban_problems(&rules.bans, &packages(&rules));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_locked_dependency_comes_from_the_registry_with_a_checksum() {
    let rules = rules().sources;
    assert_eq!((rules.unknown_registry.as_str(), rules.unknown_git.as_str()), ("deny", "deny"));
    let problems: Vec<String> = ["Cargo.lock", "tests/fuzz/Cargo.lock"]
        .into_iter()
        .flat_map(|file| lock_problems(file, &read(file), &rules))
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_dependency_names_a_version_of_the_registry() {
    let is_manifest = |path: &std::path::Path| path.file_name().is_some_and(|name| name == "Cargo.toml");
    let mut problems = Vec::new();
    for (file, text) in tree::files(&root(), &|path, _| is_manifest(path)) {
        problems.extend(manifest_problems(&file, &toml::from_str(&text).unwrap()));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn an_expression_is_allowed_if_one_choice_has_only_allowed_licences() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(String::from).into();
    let is_allowed = |expression| is_allowed(expression, &allowed, &mut BTreeSet::new());
    for good in ["MIT", "GPL-3.0 OR MIT", "GPL-3.0/MIT", "(MIT OR X) AND ISC", "X OR Apache-2.0 WITH LLVM-exception"] {
        assert!(is_allowed(good), "{good}");
    }
    for bad in ["", "Apache-2.0", "GPL-3.0 AND MIT", "MIT AND (X OR Y)", "X / Y", "(MIT AND X) OR Y"] {
        assert!(!is_allowed(bad), "{bad}");
    }
}

#[test]
fn each_rule_reports_a_violation_and_an_exception_without_use() {
    let package = |name: &str, version: &str, licence: &str| Package {
        name: name.into(),
        version: version.into(),
        licence: licence.into(),
    };
    let packages =
        [package("a", "1.0.0", "MIT"), package("a", "2.0.0", "GPL-3.0"), package("bad", "1.2.0", "MIT")].into();
    let licences = Licences { allow: ["MIT", "ISC"].map(String::from).into(), exceptions: Vec::new() };
    let problems = licence_problems(&licences, &packages);
    assert!(problems[0].starts_with("a 2.0.0: licence `GPL-3.0`") && problems[1].contains("ISC"), "{problems:?}");
    let named = |spec: &str| Named { spec: spec.into(), reason: "test".into() };
    let bans =
        |skip| Bans { multiple_versions: "deny".into(), _wildcards: String::new(), deny: vec![named("bad:1")], skip };
    let problems = ban_problems(&bans(vec![named("bad:1")]), &packages);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert_eq!(ban_problems(&bans(vec![named("a:1")]), &packages), ["bad is banned: test"]);
    let lock = "[[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"git+https://example.org/b#1\"";
    assert_eq!(lock_problems("x", lock, &rules().sources).len(), 1);
    let manifest =
        toml::from_str("[dependencies]\nb = '*'\nc = { git = 'x' }\nd = '1'\n[target.x.dependencies]\ne = '*'");
    assert_eq!(manifest_problems("x", &manifest.unwrap()).len(), 3);
}
