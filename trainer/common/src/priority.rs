//! Thread → lower scheduling priority, for work that must not slow down collection.

use std::process::{Command, Stdio};

/// Nice value of background threads and the threads that they start.
const NICENESS: &str = "10";

/// Lowers the calling thread's priority with `renice`. If that fails, the thread continues at its priority.
pub fn lower_priority() {
    let thread = std::fs::read_link("/proc/thread-self").ok();
    let number = thread.as_deref().and_then(|path| path.file_name()).and_then(|name| name.to_str());
    let Some(number) = number else { return };
    let mut run = Command::new("renice");
    run.args(["-n", NICENESS, "-p", number]).stdout(Stdio::null()).stderr(Stdio::null());
    if !run.status().is_ok_and(|status| status.success()) {
        tracing::debug!("background work runs at normal priority: renice is missing or was refused");
    }
}
