//! The repository on disk → paths and texts of its source files.

use std::path::{Path, PathBuf};

/// Folders that are not part of the source.
const IGNORED: [&str; 5] = [".git", "target", "dist", "__pycache__", "captures"];

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Path relative to `folder`, and text, of each file below it that `is_wanted`; sorted.
pub(crate) fn files(folder: &Path, is_wanted: &dyn Fn(&Path, &str) -> bool) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(folder, folder, is_wanted, &mut found);
    found.sort();
    assert!(!found.is_empty(), "no files in {}", folder.display());
    found
}

fn collect(root: &Path, folder: &Path, is_wanted: &dyn Fn(&Path, &str) -> bool, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !path.is_symlink() && !IGNORED.contains(&name.as_str()) {
                collect(root, &path, is_wanted, found);
            }
        } else if let Ok(text) = std::fs::read_to_string(&path)
            && is_wanted(&path, &text)
        {
            found.push((path.strip_prefix(root).unwrap().to_string_lossy().into_owned(), text));
        }
    }
}
