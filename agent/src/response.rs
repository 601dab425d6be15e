//! Alerts → addresses in an nftables set with a time-out, through the `nft` program; off unless the operator says
//! otherwise, and then first as a rehearsal that only says what would be done.
//!
//! An episode's host is blocked where it was the source; where it was the target, its busiest peer is. Never blocked are
//! this machine's own addresses, its gateways, what is no unicast address, and what the operator names. All lives in one
//! table of our own that goes when the agent ends; nothing else is touched, and every entry ends by itself. Scripts go to
//! nft's standard input, no shell sees them, and addresses in them are written by us from their binary form.

use crate::config::{Config, ResponseMode};
use lapwing_shared::context::local::Prefix;
use lapwing_shared::messages::{Alert, AlertState, Role};
use lapwing_shared::units::Address;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Addresses in each set at most; nft refuses more, which is said.
const BLOCKED: usize = 256;
/// Alerts that may wait for nft.
const WAITING: usize = 16;

/// Makes table, sets and chain, or leaves them as they are.
fn prepare() -> String {
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

/// Puts one address in its set.
fn block(address: &Address, seconds: u64) -> String {
    let set = if address.as_v4().is_some() { "blocked4" } else { "blocked6" };
    format!("add element inet lapwing {set} {{ {address} timeout {seconds}s }}\n")
}

/// Takes everything away.
const REMOVE: &str = "delete table inet lapwing\n";

/// Who is to be blocked for an alert.
pub fn culprit(alert: &Alert) -> Option<Address> {
    if alert.state != AlertState::Opened || crate::output::alerts::is_test(alert) {
        return None;
    }
    match alert.role {
        Role::Source => Some(alert.host),
        Role::Target => alert.peers.first().map(|peer| peer.address),
    }
}

/// Why an address is not blocked, where it is not.
pub fn spared(address: &Address, never: &[Prefix], own: &[Address]) -> Option<&'static str> {
    let is_link_local = match address.as_v4() {
        Some(octets) => Ipv4Addr::from(octets).is_loopback() || Ipv4Addr::from(octets).is_link_local(),
        None => Ipv6Addr::from(address.0).is_loopback() || address.0[0] == 0xfe && address.0[1] & 0xc0 == 0x80,
    };
    if address.is_multicast() || address.is_unspecified() || is_link_local {
        return Some("it is no address of one host beyond the link");
    }
    if own.contains(address) {
        return Some("it is this machine or one of its gateways");
    }
    never.iter().any(|prefix| prefix.contains(address)).then_some("the operator named it")
}

/// This machine's addresses and gateways, as /proc tells them now.
pub fn own_addresses() -> Vec<Address> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
    let mut own = local_v4(&read("fib_trie"));
    own.extend(gateways_v4(&read("route")));
    own.extend(read("if_inet6").lines().filter_map(|line| v6(line.get(..32)?)));
    own.extend(read("ipv6_route").lines().filter_map(|line| v6(line.split_ascii_whitespace().nth(4)?)));
    own
}

/// Leaves of the routing trie that say "host LOCAL" below their address.
fn local_v4(trie: &str) -> Vec<Address> {
    let mut leaf = None;
    let mut own = Vec::new();
    for line in trie.lines() {
        if let Some((_, address)) = line.split_once("|-- ") {
            leaf = address.trim().parse::<Ipv4Addr>().ok();
        } else if line.contains("host LOCAL") {
            own.extend(leaf.map(|address| Address::from_v4(address.octets())));
        }
    }
    own
}

fn gateways_v4(routes: &str) -> Vec<Address> {
    let gateway = |line: &str| u32::from_str_radix(line.split_ascii_whitespace().nth(2)?, 16).ok();
    let set = routes.lines().filter_map(gateway).filter(|gateway| *gateway != 0);
    set.map(|gateway| Address::from_v4(gateway.swap_bytes().to_be_bytes())).collect()
}

fn v6(digits: &str) -> Option<Address> {
    let number = u128::from_str_radix(digits, 16).ok().filter(|number| *number != 0)?;
    Some(Address(number.to_be_bytes()))
}

/// Runs nft with a script.
fn nft(program: &PathBuf, script: &str) -> io::Result<()> {
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
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next().unwrap_or("it ended without a word");
    if output.status.success() { Ok(()) } else { Err(io::Error::other(first.to_owned())) }
}

/// The thread that speaks to nft, or nobody where the response is off.
pub struct Responder {
    mode: ResponseMode,
    alerts: Option<SyncSender<Address>>,
    thread: Option<JoinHandle<()>>,
    /// Addresses that the full queue left out.
    pub left_out: u64,
}

impl Responder {
    /// Prepares the table where addresses are to be blocked.
    ///
    /// # Errors
    /// When the configuration is wrong or nft does not do what it is asked.
    pub fn start(config: &Config) -> anyhow::Result<Self> {
        let mode = config.response.mode;
        if mode == ResponseMode::Off {
            return Ok(Self { mode, alerts: None, thread: None, left_out: 0 });
        }
        let program = config.response.nft.clone();
        if mode == ResponseMode::Block {
            nft(&program, &prepare())
                .map_err(|error| anyhow::anyhow!("{} does not make the table: {error}", program.display()))?;
        }
        let (never, seconds) = (config.response.never()?, config.response.duration.0.0 / 1_000_000_000);
        let (alerts, culprits) = sync_channel::<Address>(WAITING);
        let thread = std::thread::Builder::new().name("response".into()).spawn(move || {
            for address in culprits {
                respond(mode, &program, &address, &never, seconds);
            }
            if mode == ResponseMode::Block
                && let Err(error) = nft(&program, REMOVE)
            {
                tracing::warn!(%error, "the table of blocked addresses is still there");
            }
        })?;
        Ok(Self { mode, alerts: Some(alerts), thread: Some(thread), left_out: 0 })
    }

    /// Takes an alert; never waits.
    pub fn alert(&mut self, alert: &Alert) {
        if let (Some(alerts), Some(address)) = (&self.alerts, culprit(alert))
            && alerts.try_send(address).is_err()
        {
            self.left_out += 1;
        }
    }

    /// What is done, for status.
    pub fn mode(&self) -> ResponseMode {
        self.mode
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.alerts = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn respond(mode: ResponseMode, program: &PathBuf, address: &Address, never: &[Prefix], seconds: u64) {
    if let Some(why) = spared(address, never, &own_addresses()) {
        return tracing::warn!(%address, why, "not blocked");
    }
    if mode == ResponseMode::DryRun {
        return tracing::warn!(%address, seconds, "would be blocked (dry run)");
    }
    match nft(program, &block(address, seconds)) {
        Ok(()) => tracing::warn!(%address, seconds, "blocked"),
        Err(error) => tracing::warn!(%address, %error, "could not be blocked"),
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
