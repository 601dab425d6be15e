//! What tests of the agent's program need: quickly made releases, a broker at which the test acts as trainer, and the
//! program itself with packets to read.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod authority;
pub mod brokers;
pub mod fleet;
pub mod gateway;
pub mod listener;
pub mod mosquitto;
pub mod operator;
pub mod packets;
pub mod ports;
pub mod postgres;
pub mod releases;
pub mod site;
pub mod station;
pub mod stores;
pub mod trainer;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longest wait for a single event.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A capture that ships with the project.
pub fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/captures").join(name)
}

/// A path below a folder, as text.
fn path_text(folder: &Folder, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

/// A temporary folder, removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// An empty folder of the caller's own.
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lapwing-{name}-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path below it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Calls `look` after every change below `folder` until it returns something.
///
/// # Panics
/// After [`PATIENCE`], with `what` was expected.
pub fn wait_for<T>(what: &str, folder: &Path, look: impl FnMut() -> Option<T>) -> T {
    let seen = crate::watch::until(folder, PATIENCE, look).unwrap();
    seen.unwrap_or_else(|| panic!("no {what} within {} s", PATIENCE.as_secs()))
}

/// Waits until a file exists.
///
/// # Panics
/// After [`PATIENCE`].
pub fn wait_for_file(path: &Path) {
    let folder = path.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap();
    wait_for(&path.display().to_string(), folder, || path.exists().then_some(()));
}
