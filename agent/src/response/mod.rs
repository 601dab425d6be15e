//! Alerts → addresses in an nftables set with a timeout. Off by default; `dry-run` only logs.
//!
//! Blocks the host of an episode if it is the source, or its busiest peer if it is the target. Source addresses can be
//! forged, and whoever forges one must not choose who is blocked. So an address is blocked only if it completed a TCP
//! connection (`proven`) or has a DHCP lease, and never if the gateway depends on it (`spare`).
//!
//! A process of its own decides and runs `nft` (`nft`, and `commands::response_helper`); it starts before the agent drops
//! its rights. The agent sends it an address and whether that is proven, 17 octets, and gets the [`Outcome`] back.

pub(crate) mod nft;
pub(crate) mod proven;
pub(crate) mod spare;

use crate::config::{Config, ResponseMode};
use crate::report::SharedReport;
use lapwing_shared::flow::record::FlowRecord;
use lapwing_shared::messages::{Alert, AlertState, Role};
use lapwing_shared::packet::Concealment;
use lapwing_shared::release::framing;
use lapwing_shared::units::Address;
use proven::Proven;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Capacity of the queue to the helper, addresses.
const WAITING: usize = 16;
/// Octets of a request.
pub(crate) const REQUEST_OCTETS: usize = 17;
/// Largest encoded settings, octets.
pub(crate) const SETTINGS_OCTETS: usize = 64 * 1024;
/// Version octet of the encoded settings; both ends are the same program.
pub(crate) const SETTINGS_VERSION: u8 = 1;
/// Longest line that refuses a conversation, octets.
const LINE_OCTETS: u64 = 64 * 1024;
/// The helper's answer when it is ready.
pub(crate) const READY: &str = "ready";

/// Settings of the helper, the first that it reads: their length, four octets, and a frame of [`framing`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// `DryRun` or `Block`.
    pub mode: ResponseMode,
    /// The nft program.
    pub nft: PathBuf,
    /// How long an address stays in the set.
    pub seconds: u64,
    /// Prefixes that are never blocked.
    pub never: Vec<String>,
    /// Names or addresses of the brokers.
    pub brokers: Vec<String>,
    /// User to run as.
    pub user: Option<String>,
}

impl Settings {
    /// From the configuration.
    pub fn new(config: &Config) -> Self {
        let response = &config.response;
        Self {
            mode: response.mode,
            nft: response.nft.clone(),
            seconds: response.duration.0.0 / 1_000_000_000,
            never: response.never.clone(),
            brokers: config.mqtt.brokers().iter().map(|url| url.host.trim_matches(['[', ']']).to_owned()).collect(),
            user: config.resources.user.clone(),
        }
    }
}

/// What the helper did about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// Blocked.
    Blocked,
    /// Would be blocked, in mode `dry-run`.
    DryRun,
    /// Never blocked: the gateway depends on it, or the operator excludes it.
    Spared,
    /// Neither a TCP connection nor a lease shows that it is no forged address.
    Unproven,
    /// `nft` failed.
    Failed,
}

impl Outcome {
    const ALL: [Self; 5] = [Self::Blocked, Self::DryRun, Self::Spared, Self::Unproven, Self::Failed];
}

/// The helper process.
pub struct Helper {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts it, if a response is configured. Call before dropping rights and starting threads.
    ///
    /// # Errors
    /// When it cannot be started, or cannot create the table.
    pub fn start(config: &Config) -> anyhow::Result<Option<Self>> {
        if config.response.mode == ResponseMode::Off {
            return Ok(None);
        }
        Self::start_program(Path::new("/proc/self/exe"), &Settings::new(config)).map(Some)
    }

    /// Starts it from an agent program.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_program(program: &Path, settings: &Settings) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        // In a process group of its own, a Ctrl-C does not end it before it has deleted its table.
        command.arg("response-helper").env_clear().process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child =
            command.spawn().map_err(|error| anyhow::anyhow!("cannot start the response helper: {error}"))?;
        let (Some(mut requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            anyhow::bail!("the response helper has no pipes");
        };
        let mut answers = BufReader::new(answers);
        let mut room = vec![0; SETTINGS_OCTETS];
        let frame = framing::encode(SETTINGS_VERSION, settings, &mut room)?;
        requests.write_all(&(frame.len() as u32).to_le_bytes())?;
        requests.write_all(frame)?;
        let mut line = String::new();
        answers.by_ref().take(LINE_OCTETS).read_line(&mut line)?;
        match line.trim() {
            READY => Ok(Self { child, requests, answers }),
            "" => anyhow::bail!("the response helper ended without an answer"),
            error => anyhow::bail!("response.mode: {error}"),
        }
    }

    /// Asks for an address to be blocked.
    ///
    /// # Errors
    /// When the helper has ended.
    pub fn block(&mut self, address: &Address, is_proven: bool) -> io::Result<Outcome> {
        let mut request = [0; REQUEST_OCTETS];
        request[..16].copy_from_slice(&address.0);
        request[16] = u8::from(is_proven);
        self.requests.write_all(&request)?;
        let mut answer = [0];
        self.answers.read_exact(&mut answer)?;
        Outcome::ALL.get(usize::from(answer[0])).copied().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Ends it: it deletes its table when its input ends.
    pub fn end(self) {
        let Self { mut child, requests, answers } = self;
        drop((requests, answers));
        let _ = child.wait();
    }
}

/// The address to block for an alert.
pub(crate) fn address_to_block(alert: &Alert) -> Option<Address> {
    let names_no_host = alert.host.is_unspecified() || crate::output::alerts::is_test(alert);
    // Whoever hides ports can forge the sender as well.
    let is_forgeable = Concealment::of(alert).is_some();
    if alert.state != AlertState::Opened || names_no_host || is_forgeable {
        return None;
    }
    match alert.role {
        Role::Source => Some(alert.host),
        Role::Target => alert.peers.first().map(|peer| peer.address),
    }
}

/// The scoring thread's end of the response.
pub(crate) struct Responder {
    mode: ResponseMode,
    active: Option<Active>,
}

struct Active {
    proven: Proven,
    requests: Option<SyncSender<(Address, bool)>>,
    thread: Option<JoinHandle<()>>,
    report: SharedReport,
}

impl Responder {
    /// Starts the thread that waits for the helper.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(mode: ResponseMode, helper: Option<Helper>, report: &SharedReport) -> io::Result<Self> {
        let Some(helper) = helper else { return Ok(Self { mode, active: None }) };
        let (requests, addresses) = sync_channel::<(Address, bool)>(WAITING);
        let counted = report.clone();
        let thread = std::thread::Builder::new().name("response".into()).spawn(move || {
            let mut helper = helper;
            for (address, is_proven) in addresses {
                let outcome = helper.block(&address, is_proven);
                if let Err(error) = &outcome {
                    tracing::error!(%address, %error, "the response helper has ended: nothing is blocked any more");
                }
                count(&counted, outcome.unwrap_or(Outcome::Failed));
            }
            helper.end();
        })?;
        let proven = Proven::new(fastrand::u64(..));
        let active = Active { proven, requests: Some(requests), thread: Some(thread), report: report.clone() };
        Ok(Self { mode, active: Some(active) })
    }

    /// Learns from a record which addresses are not forged.
    pub(crate) fn record(&mut self, record: &FlowRecord) {
        if let Some(active) = &mut self.active {
            active.proven.record(record);
        }
    }

    /// Queues the address to block, if there is one; never waits.
    pub(crate) fn alert(&mut self, alert: &Alert) {
        let Some(active) = &mut self.active else { return };
        let Some(address) = address_to_block(alert) else { return };
        let is_proven = active.proven.contains(&address);
        let sent = active.requests.as_ref().is_some_and(|requests| requests.try_send((address, is_proven)).is_ok());
        if !sent {
            active.report.edit().response_counts.left_out += 1;
        }
    }

    /// The mode, for the status.
    pub(crate) fn mode(&self) -> ResponseMode {
        self.mode
    }
}

fn count(report: &SharedReport, outcome: Outcome) {
    let counts = &mut report.edit().response_counts;
    match outcome {
        Outcome::Blocked => counts.blocked += 1,
        Outcome::DryRun => counts.dry_run += 1,
        Outcome::Spared => counts.spared += 1,
        Outcome::Unproven => counts.unproven += 1,
        Outcome::Failed => counts.failed += 1,
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::alerts::test_alert;
    use lapwing_shared::messages::Peer;
    use lapwing_shared::units::Timestamp;

    #[test]
    fn the_source_or_the_targets_busiest_peer_is_blocked() {
        let v4 = Address::from_v4;
        let alert = |role| {
            let mut alert = test_alert(Timestamp::from_secs(1), 1);
            (alert.release, alert.resembles, alert.role, alert.host) = (3, None, role, v4([192, 168, 1, 9]));
            alert.peers.push(Peer { address: v4([203, 0, 113, 5]), flows: 9 }).unwrap();
            alert
        };
        assert_eq!(address_to_block(&alert(Role::Source)), Some(v4([192, 168, 1, 9])));
        assert_eq!(address_to_block(&alert(Role::Target)), Some(v4([203, 0, 113, 5])));
        assert_eq!(address_to_block(&Alert { state: AlertState::Updated, ..alert(Role::Source) }), None);
        assert_eq!(address_to_block(&test_alert(Timestamp::from_secs(1), 1)), None);
    }

    #[test]
    fn the_helper_gets_the_brokers_without_their_logins() {
        let text = "[mqtt]\nurl = \"mqtts://user:secret@[2001:db8::7]:8883\"\nurls = [\"mqtt://u:secret@b\"]\n[response]\nmode = \"block\"\n";
        let settings = Settings::new(&Config::parse(text).unwrap());
        assert_eq!(settings.brokers, ["2001:db8::7", "b"]);
        let mut room = [0; 256];
        let frame = framing::encode(SETTINGS_VERSION, &settings, &mut room).unwrap();
        assert!(!frame.windows(6).any(|part| part == b"secret"));
        assert_eq!(framing::decode::<Settings>(SETTINGS_VERSION, frame, SETTINGS_OCTETS), Ok(settings));
    }
}
