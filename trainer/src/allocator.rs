//! Keeps the server's memory flat under glibc: starts the program anew with the allocator's threshold fixed.
//!
//! The embedded broker replaces blocks of 330 KiB all the time, of which it touches little. glibc's moving threshold
//! takes such blocks from the heap after a while, where each new one touches other pages (measured: 0.8 MiB a second at
//! 20,000 messages/s). With the threshold fixed at its first value they are mapped and unmapped instead.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// glibc's name for it (mallopt(3)).
const VARIABLE: &str = "MALLOC_MMAP_THRESHOLD_";
/// Its first value, bytes.
const BYTES: &str = "131072";

/// Replaces this process by itself with the variable set; returns where it is set already, does not matter, or cannot
/// be set. To be called first thing in `main`, by programs that serve.
pub fn settle() {
    if !cfg!(target_env = "gnu") || std::env::var_os(VARIABLE).is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        // Only comes back when it failed; then the server merely needs more memory.
        let _ = Command::new(program).args(std::env::args_os().skip(1)).env(VARIABLE, BYTES).exec();
    }
}
