//! The server's process → the same program restarted with a fixed mmap threshold, which keeps memory flat under glibc.
//!
//! Batches, query results and training matrices are large blocks that live briefly between small ones that stay. glibc's
//! dynamic threshold soon allocates them on the heap, which then cannot shrink. With the threshold fixed at its initial
//! value they are mapped and unmapped instead.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Environment variable of the threshold (mallopt(3)).
const VARIABLE: &str = "MALLOC_MMAP_THRESHOLD_";
/// glibc's initial threshold, bytes.
const BYTES: &str = "131072";

/// Restarts this program with the variable set. Returns if it is already set, irrelevant, or the restart fails. Servers
/// call this first in `main`.
pub fn restart_with_fixed_threshold() {
    if !cfg!(target_env = "gnu") || std::env::var_os(VARIABLE).is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        // Returns only on failure; then the server just needs more memory.
        let _ = Command::new(program).args(std::env::args_os().skip(1)).env(VARIABLE, BYTES).exec();
    }
}
