//! Arguments of each subcommand → what it does.

pub(crate) mod approve;
mod assignments;
pub(crate) mod audit;
pub(crate) mod authority;
pub(crate) mod backup;
pub(crate) mod broker_config;
pub(crate) mod budget_check;
pub(crate) mod drift;
pub(crate) mod enroll;
pub(crate) mod forget;
pub(crate) mod identities;
pub(crate) mod incidents;
pub(crate) mod inspect;
pub(crate) mod keys;
pub(crate) mod lab;
pub(crate) mod lists;
mod other_brokers;
pub(crate) mod people;
pub(crate) mod predict;
pub(crate) mod privacy;
pub(crate) mod roots;
pub(crate) mod rollout;
pub(crate) mod segment_args;
pub(crate) mod serve;
pub(crate) mod signing;
pub(crate) mod store_args;
pub(crate) mod store_copy;
pub(crate) mod store_rows;
pub(crate) mod store_state;
pub(crate) mod tokens;
pub(crate) mod train;
#[cfg(test)]
mod people_tests;
#[cfg(test)]
mod recipe_tests;
#[cfg(test)]
mod release_tests;

use anyhow::Context;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Writes the address on which a server listens to a file, atomically.
pub(crate) fn write_address(path: Option<&Path>, address: Option<SocketAddr>) -> anyhow::Result<()> {
    let (Some(path), Some(address)) = (path, address) else { return Ok(()) };
    let temporary = path.with_extension("new");
    let written = std::fs::write(&temporary, format!("{address}\n")).and_then(|()| std::fs::rename(&temporary, path));
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// User name for labels, requests and the audit log; the user id if the environment has no name, as in containers.
pub(crate) fn user() -> String {
    let from_environment = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let user_id = || std::fs::metadata("/proc/self").ok().map(|process| format!("user {}", process.uid()));
    from_environment.or_else(user_id).unwrap_or_else(|| "unknown".into())
}
