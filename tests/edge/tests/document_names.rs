//! Tests and constants that the documents name exist in the code.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const DOCUMENTS: [&str; 4] = ["docs/architecture.md", "docs/threat-model.md", "docs/live.md", "docs/mqtt.md"];
const FOLDERS: [&str; 4] = ["shared", "agent", "trainer", "tests"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn add_sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            add_sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The identifiers behind a keyword, such as the names of all functions behind `fn `.
fn defined<'a>(code: &'a str, keyword: &str) -> BTreeSet<&'a str> {
    let end = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    code.split(keyword).skip(1).map(|rest| &rest[..end(rest)]).collect()
}

/// A name of at least four words in lower case, as tests have.
fn is_test_name(name: &str) -> bool {
    name.matches('_').count() >= 3 && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// A name in upper case with an underscore, as constants have.
fn is_constant(name: &str) -> bool {
    name.contains('_') && name.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
}

#[test]
fn tests_and_constants_that_documents_name_exist() {
    let mut code = String::new();
    FOLDERS.iter().for_each(|folder| add_sources(&root().join(folder), &mut code));
    let (functions, constants) = (defined(&code, "fn "), defined(&code, "const "));
    let mut missing = Vec::new();
    let mut names = 0;
    for document in DOCUMENTS {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        for (index, line) in text.lines().enumerate() {
            for name in line.split('`').skip(1).step_by(2) {
                let exists = match name {
                    name if is_constant(name) => constants.contains(name),
                    // Names of counters and features look alike; only the column of tests has names as long as these.
                    name if is_test_name(name) && name.len() > 30 => functions.contains(name),
                    _ => continue,
                };
                names += 1;
                if !exists {
                    missing.push(format!("{document}:{}: `{name}` is not defined", index + 1));
                }
            }
        }
    }
    assert!(names > 50, "found only {names} names: the scan is broken");
    assert!(missing.is_empty(), "documents name tests or constants that do not exist:\n{}", missing.join("\n"));
}
