//! A test that cannot run on this machine → one line on standard error and one in the skip report of `tests/run`.
//!
//! libtest hides what a passing test prints with `print!` and `eprint!`, so [`skip`] writes to standard error directly,
//! and appends the same line to the file that the environment variable `LAPWING_SKIPS` names.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Reports that the calling test does not run, and why. The test then returns.
pub fn skip(why: &str) {
    let line = report_line(&test_name(), why);
    // Standard error may be closed; the report still counts the skip.
    let _ = std::io::stderr().write_all(format!("SKIPPED: {line}").as_bytes());
    if let Some(report) = std::env::var_os("LAPWING_SKIPS").filter(|report| !report.is_empty()) {
        append(Path::new(&report), &line).expect("the file that LAPWING_SKIPS names can be written");
    }
}

/// A file or folder of the public data sets, which are not part of the repository; reports a skip if it is missing.
///
/// The data sets are in the folder `LAPWING_PUBLIC_DATA`. Default: `../shared/data` next to the workspace.
pub fn public_data(path: &str) -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let found = std::env::var_os("LAPWING_PUBLIC_DATA").map_or_else(default, PathBuf::from).join(path);
    if !found.exists() {
        skip(&format!("no public data set {path}"));
        return None;
    }
    Some(found)
}

/// `binary::module::test`: libtest gives the thread of a test its name; cargo appends `-` and a hash to the binary's.
fn test_name() -> String {
    let binary = std::env::current_exe().unwrap_or_default();
    let stem = binary.file_stem().unwrap_or_default().to_string_lossy();
    let binary = stem.rsplit_once('-').map_or(&*stem, |(name, _)| name);
    format!("{binary}::{}", std::thread::current().name().unwrap_or("?"))
}

fn report_line(name: &str, why: &str) -> String {
    format!("{name}: {}\n", why.replace('\n', " "))
}

/// One write, so that lines of tests that run at the same time do not mix.
fn append(report: &Path, line: &str) -> std::io::Result<()> {
    OpenOptions::new().create(true).append(true).open(report)?.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_one_line_with_the_name_of_the_test() {
        let line = report_line(&test_name(), "no nft\n(Debian: nftables)");
        assert_eq!(
            line,
            "lapwing_skips::tests::a_skip_is_one_line_with_the_name_of_the_test: no nft (Debian: nftables)\n"
        );
    }

    #[test]
    fn the_report_collects_every_skip() {
        let report = std::env::temp_dir().join(format!("lapwing-skips-{}", std::process::id()));
        append(&report, "a: no root\n").unwrap();
        append(&report, "b: no data\n").unwrap();
        assert_eq!(std::fs::read_to_string(&report).unwrap(), "a: no root\nb: no data\n");
        std::fs::remove_file(&report).unwrap();
    }
}
