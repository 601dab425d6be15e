//! Addresses → nft scripts, and their execution.
//!
//! Everything is in one table of its own; entries expire by themselves. Scripts go to nft's standard input without a shell,
//! and addresses in them are formatted from their binary form.

use lapwing_shared::units::Address;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Capacity of each set; nft refuses more addresses, which is logged.
const BLOCKED: usize = 256;

/// Creates table, sets and chain, unless they exist.
pub(crate) fn prepare() -> String {
    format!(
        "add table inet lapwing\n\
         add set inet lapwing blocked4 {{ type ipv4_addr; flags timeout; size {BLOCKED}; }}\n\
         add set inet lapwing blocked6 {{ type ipv6_addr; flags timeout; size {BLOCKED}; }}\n\
         add chain inet lapwing forward {{ type filter hook forward priority -10; policy accept; }}\n\
         flush chain inet lapwing forward\n\
         add rule inet lapwing forward ip saddr @blocked4 drop\n\
         add rule inet lapwing forward ip daddr @blocked4 drop\n\
         add rule inet lapwing forward ip6 saddr @blocked6 drop\n\
         add rule inet lapwing forward ip6 daddr @blocked6 drop\n"
    )
}

/// Adds an address to its set.
pub(crate) fn block(address: &Address, seconds: u64) -> String {
    let set = if address.as_v4().is_some() { "blocked4" } else { "blocked6" };
    format!("add element inet lapwing {set} {{ {address} timeout {seconds}s }}\n")
}

/// Deletes everything.
pub(crate) const REMOVE: &str = "delete table inet lapwing\n";

/// Runs nft with a script.
///
/// # Errors
/// When it cannot be started, or nft's first line of complaint.
pub(crate) fn run(program: &Path, script: &str) -> io::Result<()> {
    let mut child = Command::new(program)
        .args(["-f", "-"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(script.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let first = stderr.lines().next().unwrap_or("it failed without a message");
    if output.status.success() { Ok(()) } else { Err(io::Error::other(first.to_owned())) }
}

#[cfg(test)]
#[path = "nft_tests.rs"]
mod tests;
