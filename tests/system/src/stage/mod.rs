//! What tests of the agent's program stand on: releases made in a moment, a broker at which the test plays the trainer,
//! and the program itself with its packets.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod gateway;
pub mod releases;
pub mod station;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for any one thing to happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A capture that ships with the project.
pub fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/captures").join(name)
}

/// A temporary folder, removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// An empty folder of this process.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lapwing-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A place in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Looks until there is something to see.
///
/// # Panics
/// After [`PATIENCE`], with what was waited for.
pub fn look_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = lapwing_trainer::clock::after(PATIENCE);
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(lapwing_trainer::clock::monotonic() < end, "waited {} s in vain for: {what}", PATIENCE.as_secs());
        std::thread::yield_now();
    }
}

/// Says loudly, past the test harness's capture, that something is not tested here, and why.
pub fn skipped(what: &str, why: &str) {
    // Nothing can be done where standard error is closed.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}: {why}");
}
