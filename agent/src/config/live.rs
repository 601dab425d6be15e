//! The sections that only a live run has: `[capture]`, `[resources]`, `[status]`, `[response]`.

use super::{Config, ConfigError, Span, bad_value, prefix};
use crate::budget::{self, Sizes};
use crate::outbox::Limits;
use lapwing_live::filter::{Exclusion, Filter, FilterError};
use lapwing_live::{INTERFACES, RING_BYTES, SNAPLEN};
use lapwing_shared::context::local::Prefix;
use lapwing_shared::units::Nanos;
use serde::Deserialize;
use std::path::PathBuf;
use std::str::FromStr;

/// Ring of one interface where no memory budget is given, bytes.
const DEFAULT_RING_BYTES: usize = 1 << 20;
/// Prefixes that are never blocked, at most.
const NEVER: usize = 64;

/// An amount of memory as written by people: a number and `KiB`, `MiB` or `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("`{text}` is no amount of memory; expected a number with a unit, like 512KiB or 12MiB");
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
        let (number, unit) = text.split_at(digits);
        let shift = match unit.trim() {
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err(expected()),
        };
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
        bytes.map(Self).ok_or_else(expected)
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// `[capture]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CaptureSection {
    /// Interfaces to listen to; the LAN's is looked for when empty.
    pub interfaces: Vec<String>,
    /// Also frames that are not for this machine.
    pub promiscuous: bool,
    /// Octets captured of a packet; headers are enough.
    pub snaplen: u32,
    /// Ring of each interface; from the memory budget, else 1 MiB, when absent.
    pub ring: Option<Size>,
    /// What the kernel leaves out; `broker` stands for this agent's own connection.
    pub exclude: Vec<String>,
    /// Output of `tcpdump -ddd` in place of exclusions.
    pub bpf_file: Option<PathBuf>,
}

impl Default for CaptureSection {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            promiscuous: true,
            snaplen: 512,
            ring: None,
            exclude: Vec::new(),
            bpf_file: None,
        }
    }
}

/// `[resources]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ResourcesSection {
    /// All memory that the agent may take; sizes every table. Absent: the sizes of the other sections.
    pub memory: Option<Size>,
    /// How far the agent gives way to other programs, 0 to 19.
    pub nice: i32,
    /// Share of one core from which on only a part of the flows is looked at, per cent; 0: any.
    pub cpu_percent: u64,
    /// User that the agent becomes once its sockets are open; absent: it stays who it is, without capabilities.
    pub user: Option<String>,
    /// Take away system calls and files that are not needed, where the kernel can.
    pub sandbox: bool,
}

impl Default for ResourcesSection {
    fn default() -> Self {
        Self { memory: None, nice: 5, cpu_percent: 0, user: None, sandbox: true }
    }
}

/// `[status]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StatusSection {
    /// Unix socket for `status`, `top` and `test-alert`; none when empty.
    pub socket: PathBuf,
    /// Loopback address where Prometheus may read, like `127.0.0.1:9464`.
    pub prometheus: Option<String>,
}

impl Default for StatusSection {
    fn default() -> Self {
        Self { socket: "/run/lapwing/agent.sock".into(), prometheus: None }
    }
}

/// What is done against a host in an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResponseMode {
    /// Nothing.
    #[default]
    Off,
    /// It is only said what would be done.
    DryRun,
    /// It is put into the set.
    Block,
}

/// `[response]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ResponseSection {
    /// What is done.
    pub mode: ResponseMode,
    /// How long an address stays in the set.
    pub duration: Span,
    /// Prefixes that are never put there, besides this machine's own addresses and its gateways.
    pub never: Vec<String>,
    /// The nft program.
    pub nft: PathBuf,
}

impl Default for ResponseSection {
    fn default() -> Self {
        let duration = Span(Nanos::from_secs(600));
        Self { mode: ResponseMode::Off, duration, never: Vec::new(), nft: "/usr/sbin/nft".into() }
    }
}

impl ResponseSection {
    /// The prefixes.
    ///
    /// # Errors
    /// Names the one that is none.
    pub fn never(&self) -> Result<Vec<Prefix>, ConfigError> {
        self.never.iter().map(|text| prefix("response.never", text)).collect()
    }
}

impl Config {
    /// Sizes of all tables, where there is a memory budget.
    ///
    /// # Errors
    /// When the budget is too small; says what the least is.
    pub fn sizes(&self) -> Result<Option<Sizes>, ConfigError> {
        let Some(Size(bytes)) = self.resources.memory else { return Ok(None) };
        let least_mib = budget::least(self.detector.engine).div_ceil(1 << 20);
        let expected = || format!("expected at least {least_mib}MiB with this engine");
        let sizes = budget::share(bytes, self.detector.engine);
        sizes.map(Some).ok_or_else(|| bad_value("resources.memory", format!("{}KiB", bytes >> 10), expected()))
    }

    /// Bounds of the outbox.
    ///
    /// # Errors
    /// As [`Config::sizes`].
    pub fn outbox_limits(&self) -> Result<Limits, ConfigError> {
        Ok(self.sizes()?.map_or_else(Limits::default, |sizes| sizes.outbox))
    }

    /// Bytes of each interface's ring, for so many interfaces.
    ///
    /// # Errors
    /// As [`Config::sizes`].
    pub fn ring_bytes(&self, interfaces: usize) -> Result<usize, ConfigError> {
        let from_budget = self.sizes()?.map(|sizes| (sizes.ring_bytes / interfaces.max(1)).max(*RING_BYTES.start()));
        let given = self.capture.ring.map(|Size(bytes)| usize::try_from(bytes).unwrap_or(usize::MAX));
        Ok(given.or(from_budget).unwrap_or(DEFAULT_RING_BYTES))
    }

    /// What the kernel leaves out. `broker` is the broker's address and port, where it is known.
    ///
    /// # Errors
    /// When an exclusion or the program's file is wrong.
    pub fn filter(&self, broker: Option<Exclusion>) -> Result<Filter, ConfigError> {
        let capture = &self.capture;
        let wrong = |error: FilterError| bad_value("capture.exclude", "", error.to_string());
        let Some(path) = &capture.bpf_file else {
            let mut exclusions = Vec::new();
            for text in &capture.exclude {
                match text.as_str() {
                    "broker" => exclusions.extend(broker),
                    text => exclusions.push(text.parse().map_err(wrong)?),
                }
            }
            return Filter::new(&exclusions, capture.snaplen).map_err(wrong);
        };
        if !capture.exclude.is_empty() {
            return Err(bad_value("capture.bpf-file", path.display(), "expected no capture.exclude beside it"));
        }
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        Filter::from_tcpdump(&text).map_err(|error| bad_value("capture.bpf-file", path.display(), error.to_string()))
    }

    /// Checks the ranges of these sections.
    pub(super) fn check_live(&self) -> Result<(), ConfigError> {
        self.sizes()?;
        self.filter(None)?;
        self.response.never()?;
        let (capture, resources) = (&self.capture, &self.resources);
        if capture.interfaces.len() > INTERFACES {
            let expected = format!("expected at most {INTERFACES} interfaces");
            return Err(bad_value("capture.interfaces", capture.interfaces.len(), expected));
        }
        if let Some(name) = capture.interfaces.iter().find(|name| !(1..16).contains(&name.len())) {
            return Err(bad_value("capture.interfaces", name, "expected names of 1 to 15 characters"));
        }
        if !SNAPLEN.contains(&capture.snaplen) {
            let expected = format!("expected {} to {} octets", SNAPLEN.start(), SNAPLEN.end());
            return Err(bad_value("capture.snaplen", capture.snaplen, expected));
        }
        let ring_bytes = self.ring_bytes(1)?;
        if !RING_BYTES.contains(&ring_bytes) {
            return Err(bad_value("capture.ring", ring_bytes, "expected 128KiB to 256MiB"));
        }
        if !(0..=19).contains(&resources.nice) {
            return Err(bad_value("resources.nice", resources.nice, "expected 0 to 19"));
        }
        if resources.cpu_percent > 100 {
            return Err(bad_value("resources.cpu-percent", resources.cpu_percent, "expected 0 to 100"));
        }
        self.check_status_and_response()
    }

    fn check_status_and_response(&self) -> Result<(), ConfigError> {
        if let Some(address) = &self.status.prometheus {
            let parsed = address.parse::<std::net::SocketAddr>();
            if !parsed.is_ok_and(|address| address.ip().is_loopback()) {
                let expected = "expected a loopback address with a port, like 127.0.0.1:9464";
                return Err(bad_value("status.prometheus", address, expected));
            }
        }
        let seconds = self.response.duration.0.0 / 1_000_000_000;
        if !(10..=86_400).contains(&seconds) {
            return Err(bad_value("response.duration", format!("{seconds}s"), "expected 10s to 24h"));
        }
        if self.response.never.len() > NEVER {
            return Err(bad_value("response.never", self.response.never.len(), format!("expected at most {NEVER}")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse(text)
            .map_err(|error| error.to_string())
            .and_then(|config| config.check().map_err(|error| error.to_string()))
            .unwrap_err()
    }

    #[test]
    fn each_wrong_value_names_its_key_and_what_was_expected() {
        for (text, key, expected) in [
            ("[resources]\nmemory = \"1MiB\"", "resources.memory", "at least"),
            ("[resources]\nmemory = \"12\"", "12", "12MiB"),
            ("[resources]\nnice = 20", "resources.nice", "0 to 19"),
            ("[resources]\ncpu-percent = 101", "resources.cpu-percent", "0 to 100"),
            ("[capture]\ninterfaces = [\"a-name-that-is-too-long\"]", "capture.interfaces", "15 characters"),
            ("[capture]\nsnaplen = 20", "capture.snaplen", "96 to"),
            ("[capture]\nring = \"64KiB\"", "capture.ring", "128KiB"),
            ("[capture]\nexclude = [\"not this\"]", "capture.exclude", "host 192.168.1.5"),
            ("[status]\nprometheus = \"0.0.0.0:9464\"", "status.prometheus", "loopback"),
            ("[response]\nduration = \"1s\"", "response.duration", "10s to 24h"),
            ("[response]\nnever = [\"here\"]", "response.never", "prefix"),
        ] {
            let error = error(text);
            assert!(error.contains(key) && error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn one_number_sizes_every_table() {
        let config = |memory: &str| {
            Config::parse(&format!("[detector]\nengine = \"int8\"\n[resources]\nmemory = \"{memory}\"")).unwrap()
        };
        let (small, large) = (config("7MiB"), config("64MiB"));
        let flows = |config: &Config| config.meter_config().unwrap().flows.capacity;
        assert!(flows(&small) >= 1024 && flows(&large) > 20 * flows(&small));
        assert!(large.ring_bytes(1).unwrap() > small.ring_bytes(1).unwrap());
        assert!(large.outbox_limits().unwrap().bytes > small.outbox_limits().unwrap().bytes);
        assert_eq!(Config::default().ring_bytes(2).unwrap(), 1 << 20);
    }
}
