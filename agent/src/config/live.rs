//! Sections for live runs: `[capture]`, `[resources]`, `[status]`, `[response]`.

use super::{Config, ConfigError, Span, prefix};
use crate::budget::{self, Sizes};
use crate::outbox::Limits;
use lapwing_live::filter::{Exclusion, Filter, FilterError};
use lapwing_live::{INTERFACES, RING_BYTES, SNAPLEN};
use lapwing_shared::context::local::Prefix;
use lapwing_shared::units::Nanos;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::str::FromStr;

/// Ring of one interface without a memory budget, bytes.
const DEFAULT_RING_BYTES: usize = 1 << 20;
/// Limit for `response.never`.
const MAX_NEVER: usize = 64;

/// An amount of memory: a number with the unit `KiB`, `MiB` or `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("invalid amount of memory `{text}`: expected a number with a unit, e.g. 512KiB or 12MiB");
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
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CaptureSection {
    /// Interfaces to capture from; empty: the LAN interface.
    pub interfaces: Vec<String>,
    /// Capture frames for other machines too.
    pub(crate) promiscuous: bool,
    /// Octets captured of a packet; headers are enough.
    pub snaplen: u32,
    /// Ring of each interface. Default: from the memory budget if there is one, otherwise 1 MiB.
    pub(crate) ring: Option<Size>,
    /// Traffic that the kernel leaves out; `broker` is this agent's own connection.
    pub(crate) exclude: Vec<String>,
    /// Output of `tcpdump -ddd`, replaces the exclusions.
    pub(crate) bpf_file: Option<PathBuf>,
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

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ResourcesSection {
    /// Memory budget, from which every table is sized. Default: none, the other sections' sizes apply.
    pub(crate) memory: Option<Size>,
    /// Scheduling priority, 0 to 19; higher values yield more to other programs.
    pub(crate) nice: i32,
    /// CPU limit, per cent of one core, above which load is shed; 0: none.
    pub(crate) cpu_percent: u64,
    /// User to run as once the sockets are open. Default: none, the user does not change.
    pub(crate) user: Option<String>,
    /// Restrict system calls and files, if the kernel can.
    pub(crate) sandbox: bool,
    /// Log system calls outside the sandbox's list instead of refusing them.
    pub(crate) seccomp_log_only: bool,
}

impl Default for ResourcesSection {
    fn default() -> Self {
        Self { memory: None, nice: 5, cpu_percent: 0, user: None, sandbox: true, seccomp_log_only: false }
    }
}

/// `[status]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StatusSection {
    /// Unix socket for `status`, `top` and `test-alert`; empty: disabled.
    pub socket: PathBuf,
    /// Loopback address for Prometheus, e.g. `127.0.0.1:9464`. Default: none.
    pub(crate) prometheus: Option<String>,
}

impl Default for StatusSection {
    fn default() -> Self {
        Self { socket: "/run/lapwing/agent.sock".into(), prometheus: None }
    }
}

/// What happens to the host of an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResponseMode {
    /// Nothing.
    #[default]
    Off,
    /// The agent only logs what it would block.
    DryRun,
    /// The agent adds it to the set.
    Block,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ResponseSection {
    pub(crate) mode: ResponseMode,
    /// How long an address stays in the set.
    pub(crate) duration: Span,
    /// Prefixes that are never blocked, in addition to this machine's addresses and those that it depends on.
    pub(crate) never: Vec<String>,
    /// The nft program.
    pub(crate) nft: PathBuf,
}

impl Default for ResponseSection {
    fn default() -> Self {
        let duration = Span(Nanos::from_secs(600));
        Self { mode: ResponseMode::Off, duration, never: Vec::new(), nft: "/usr/sbin/nft".into() }
    }
}

impl ResponseSection {
    /// The prefixes that are never blocked.
    ///
    /// # Errors
    /// Names the invalid one.
    pub(crate) fn never(&self) -> Result<Vec<Prefix>, ConfigError> {
        self.never.iter().map(|text| prefix("response.never", text)).collect()
    }
}

impl Config {
    /// Sizes of all tables, if there is a memory budget.
    ///
    /// # Errors
    /// When the budget is too small; names the minimum.
    pub(crate) fn sizes(&self) -> Result<Option<Sizes>, ConfigError> {
        let Some(Size(bytes)) = self.resources.memory else { return Ok(None) };
        let minimum_mib = budget::minimum(self.detector.engine).div_ceil(1 << 20);
        let expected = || format!("expected at least {minimum_mib}MiB with this engine");
        let sizes = budget::share(bytes, self.detector.engine);
        sizes.map(Some).ok_or_else(|| ConfigError::value("resources.memory", format!("{}KiB", bytes >> 10), expected()))
    }

    /// Bounds of the outbox.
    ///
    /// # Errors
    /// As [`Config::sizes`].
    pub(crate) fn outbox_limits(&self) -> Result<Limits, ConfigError> {
        Ok(self.sizes()?.map_or_else(Limits::default, |sizes| sizes.outbox))
    }

    /// Bytes of each interface's ring, for this number of interfaces.
    ///
    /// # Errors
    /// As [`Config::sizes`].
    pub(crate) fn ring_bytes(&self, interfaces: usize) -> Result<usize, ConfigError> {
        let from_budget = self.sizes()?.map(|sizes| (sizes.ring_bytes / interfaces.max(1)).max(*RING_BYTES.start()));
        let given = self.capture.ring.map(|Size(bytes)| usize::try_from(bytes).unwrap_or(usize::MAX));
        Ok(given.or(from_budget).unwrap_or(DEFAULT_RING_BYTES))
    }

    /// The capture filter. `broker` excludes the brokers whose URLs have IP addresses.
    ///
    /// # Errors
    /// When an exclusion or `bpf-file` is invalid.
    pub fn filter(&self) -> Result<Filter, ConfigError> {
        let capture = &self.capture;
        let wrong = |error: FilterError| ConfigError::value("capture.exclude", "", error.to_string());
        let Some(path) = &capture.bpf_file else {
            let mut exclusions = Vec::new();
            for text in &capture.exclude {
                match text.as_str() {
                    "broker" => {
                        let brokers = self.mqtt.brokers();
                        let addresses = brokers.iter().filter_map(|url| Some((url.host.parse().ok()?, url.port)));
                        exclusions.extend(addresses.map(|(host, port)| Exclusion::service(host, port)));
                    }
                    text => exclusions.push(text.parse().map_err(wrong)?),
                }
            }
            return Filter::new(&exclusions, capture.snaplen).map_err(wrong);
        };
        if !capture.exclude.is_empty() {
            return Err(ConfigError::value(
                "capture.bpf-file",
                path.display(),
                "expected no capture.exclude together with it",
            ));
        }
        let text = std::fs::read_to_string(path).map_err(|reason| ConfigError::Read { path: path.clone(), reason })?;
        Filter::from_tcpdump(&text)
            .map_err(|error| ConfigError::value("capture.bpf-file", path.display(), error.to_string()))
    }

    /// Checks the ranges of these sections.
    pub(super) fn check_live(&self) -> Result<(), ConfigError> {
        self.sizes()?;
        self.filter()?;
        self.response.never()?;
        let (capture, resources) = (&self.capture, &self.resources);
        if capture.interfaces.len() > INTERFACES {
            let expected = format!("expected at most {INTERFACES} interfaces");
            return Err(ConfigError::value("capture.interfaces", capture.interfaces.len(), expected));
        }
        if let Some(name) = capture.interfaces.iter().find(|name| !(1..16).contains(&name.len())) {
            return Err(ConfigError::value("capture.interfaces", name, "expected names of 1 to 15 characters"));
        }
        if !SNAPLEN.contains(&capture.snaplen) {
            let expected = format!("expected {} to {} octets", SNAPLEN.start(), SNAPLEN.end());
            return Err(ConfigError::value("capture.snaplen", capture.snaplen, expected));
        }
        let ring_bytes = self.ring_bytes(1)?;
        if !RING_BYTES.contains(&ring_bytes) {
            return Err(ConfigError::value("capture.ring", ring_bytes, "expected 128KiB to 256MiB"));
        }
        if !(0..=19).contains(&resources.nice) {
            return Err(ConfigError::value("resources.nice", resources.nice, "expected 0 to 19"));
        }
        if resources.cpu_percent > 100 {
            return Err(ConfigError::value("resources.cpu-percent", resources.cpu_percent, "expected 0 to 100"));
        }
        self.check_status_and_response()
    }

    fn check_status_and_response(&self) -> Result<(), ConfigError> {
        if let Some(address) = &self.status.prometheus {
            let parsed = address.parse::<std::net::SocketAddr>();
            if !parsed.is_ok_and(|address| address.ip().is_loopback()) {
                let expected = "expected a loopback address with a port, e.g. 127.0.0.1:9464";
                return Err(ConfigError::value("status.prometheus", address, expected));
            }
        }
        let seconds = self.response.duration.0.0 / 1_000_000_000;
        if !(10..=86_400).contains(&seconds) {
            return Err(ConfigError::value("response.duration", format!("{seconds}s"), "expected 10s to 24h"));
        }
        if self.response.never.len() > MAX_NEVER {
            return Err(ConfigError::value(
                "response.never",
                self.response.never.len(),
                format!("expected at most {MAX_NEVER}"),
            ));
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
    fn an_invalid_value_names_its_key_and_what_is_expected() {
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
    fn the_memory_budget_sizes_every_table() {
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
