//! What the short subcommands do.

pub mod compare;
pub mod drift;
mod explore;
pub(crate) mod evaluate;
pub mod import;
pub(crate) mod inspect;
pub(crate) mod keys;
pub mod knob;
pub mod learn;
pub(crate) mod lists;
pub mod serve;

use anyhow::Context;
use serde::Serialize;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Writes a result as JSON; `-` is standard output.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    if path.as_os_str() == "-" {
        return std::io::stdout().write_all(text.as_bytes()).context("standard output");
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Tells where the embedded broker listens, complete or not at all.
pub(crate) fn write_address(path: Option<&Path>, address: Option<SocketAddr>) -> anyhow::Result<()> {
    let (Some(path), Some(address)) = (path, address) else { return Ok(()) };
    let spare = path.with_extension("new");
    let written = std::fs::write(&spare, format!("{address}\n")).and_then(|()| std::fs::rename(&spare, path));
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// Name of the user, for labels and requests; a number where the environment has no name, as in containers.
pub(crate) fn user() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let number = || std::fs::metadata("/proc/self").ok().map(|process| format!("user {}", process.uid()));
    named.or_else(number).unwrap_or_else(|| "unknown".into())
}
