//! The agent's configuration: a TOML file, each key of which has the command line's meaning.
//!
//! Unknown keys are refused with the nearest known one; spans are written with their unit (`60s`, `500ms`, `5m`, `1h`).

mod live;

pub use crate::outbox::Delivery;
use crate::sampler::INTERVAL_ROWS;
use lapwing_shared::context::local::{LOCAL_PREFIXES, LocalNetworks, Prefix};
use lapwing_shared::features::meter::{DEFAULT_HOSTS, MeterConfig};
use lapwing_shared::flow::lru::CAPACITY_LIMIT;
use lapwing_shared::flow::table::FlowTableConfig;
pub use lapwing_shared::units::Span;
use lapwing_shared::units::{Address, Nanos};
use lapwing_shared::verdict::alert::ALERT_ROWS;
pub use live::{CaptureSection, ResourcesSection, ResponseMode, ResponseSection, Size, StatusSection};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML, or a value has the wrong type.
    #[error("configuration {path}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column, what was expected.
        message: String,
    },
    /// A value is out of range.
    #[error("{key} = {value}: {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What was given.
        value: String,
        /// What was expected.
        expected: String,
    },
}

fn bad_value(key: &'static str, value: impl ToString, expected: impl Into<String>) -> ConfigError {
    ConfigError::Value { key, value: value.to_string(), expected: expected.into() }
}

/// Which engine scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EngineChoice {
    /// tract on the release's ONNX form.
    Tract,
    /// The built-in integer engine on the release's int8 form.
    Int8,
}

impl Default for EngineChoice {
    /// tract where it was built in.
    fn default() -> Self {
        if cfg!(feature = "tract") { Self::Tract } else { Self::Int8 }
    }
}

/// The file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Metering.
    pub meter: MeterSection,
    /// Scoring and alerts.
    pub detector: DetectorSection,
    /// Files that are written.
    pub output: OutputSection,
    /// Feature rows for training.
    pub samples: SamplesSection,
    /// The broker.
    pub mqtt: MqttSection,
    /// Releases.
    pub update: UpdateSection,
    /// Live packets.
    pub capture: CaptureSection,
    /// What the agent may take and do.
    pub resources: ResourcesSection,
    /// What the agent tells on this machine.
    pub status: StatusSection,
    /// What it does against a host in an alert.
    pub response: ResponseSection,
}

/// `[meter]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MeterSection {
    /// A flow ends after so long without a packet.
    pub idle_timeout: Span,
    /// A record spans at most so long.
    pub active_timeout: Span,
    /// Flows held at most; about 300 bytes each.
    pub max_flows: usize,
    /// Hosts held at most; about 1,200 bytes each.
    pub max_hosts: usize,
    /// Prefixes of the site, like `192.168.1.0/24`; private addresses when empty.
    pub local_networks: Vec<String>,
}

impl Default for MeterSection {
    fn default() -> Self {
        let flows = FlowTableConfig::default();
        Self {
            idle_timeout: Span(flows.idle_timeout),
            active_timeout: Span(flows.active_timeout),
            max_flows: flows.capacity,
            max_hosts: DEFAULT_HOSTS,
            local_networks: Vec::new(),
        }
    }
}

/// `[detector]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DetectorSection {
    /// Engine.
    pub engine: EngineChoice,
    /// Release file to start with.
    pub release: Option<PathBuf>,
    /// The operator's knob: false alerts a day that this site accepts.
    pub alerts_per_day: f32,
}

impl Default for DetectorSection {
    fn default() -> Self {
        Self { engine: EngineChoice::default(), release: None, alerts_per_day: 1.0 }
    }
}

/// `[output]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct OutputSection {
    /// Flow records, CSV.
    pub records: Option<PathBuf>,
    /// Feature vectors, CSV.
    pub features: Option<PathBuf>,
    /// Alerts, JSON lines.
    pub alerts: Option<PathBuf>,
    /// Summary at the end, JSON.
    pub summary_json: Option<PathBuf>,
}

/// `[samples]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SamplesSection {
    /// Rows chosen from each interval, 0 to 256; 0 sends none.
    pub rows: usize,
    /// Length of an interval.
    pub interval: Span,
    /// Rows in every alert, 0 to 3: those that raised its evidence most; 0 sends none. See [`Self::alert_rows`].
    alert_rows: Option<usize>,
}

impl SamplesSection {
    /// Where nothing is said, as many as there can be; but none where no rows are sampled, because whoever wants no rows
    /// to leave should not have to say it twice.
    pub fn alert_rows(&self) -> usize {
        self.alert_rows.unwrap_or(if self.rows == 0 { 0 } else { ALERT_ROWS })
    }
}

impl Default for SamplesSection {
    fn default() -> Self {
        Self { rows: 128, interval: Span(Nanos::from_secs(300)), alert_rows: None }
    }
}

/// `[mqtt]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MqttSection {
    /// Broker, like `mqtt://user:password@host:1883` or `mqtts://host`.
    pub url: Option<String>,
    /// This agent's name; the host's name when empty.
    pub agent: String,
    /// Group whose releases it takes; `default` when empty.
    pub group: String,
    /// Certificates to trust for `mqtts://`, PEM, and no others; those that the system trusts when absent.
    pub ca_file: Option<PathBuf>,
    /// When a message leaves the outbox.
    pub delivery: Delivery,
}

/// `[update]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct UpdateSection {
    /// Directory of the two release slots and the outbox's journal; without it they live in memory.
    pub state_dir: Option<PathBuf>,
    /// Public key files of those who may sign releases, 4 at most.
    pub keys: Vec<PathBuf>,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it cannot be read, is no TOML, has unknown keys or values out of range.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let config = Self::parse(&text)
            .map_err(|error| ConfigError::Parse { path: path.to_owned(), message: with_nearest_key(&error) })?;
        config.check()?;
        Ok(config)
    }

    /// Reads TOML text without checking ranges.
    ///
    /// # Errors
    /// When it is no TOML or has unknown keys.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Checks every range.
    ///
    /// # Errors
    /// Names the first key that is out of its range, and the range.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.meter_config()?;
        let alerts = self.detector.alerts_per_day;
        if !(0.001..=1000.0).contains(&alerts) {
            return Err(bad_value("detector.alerts-per-day", alerts, "expected 0.001 to 1000 alerts a day"));
        }
        if self.samples.rows > INTERVAL_ROWS {
            return Err(bad_value("samples.rows", self.samples.rows, "expected 0 to 256 rows"));
        }
        if self.samples.alert_rows() > ALERT_ROWS {
            return Err(bad_value("samples.alert-rows", self.samples.alert_rows(), "expected 0 to 3 rows"));
        }
        if self.detector.engine == EngineChoice::Tract && !cfg!(feature = "tract") {
            return Err(bad_value("detector.engine", "tract", "this build has only the int8 engine"));
        }
        self.check_live()?;
        if self.update.keys.len() > 4 {
            return Err(bad_value("update.keys", self.update.keys.len(), "expected at most 4 keys"));
        }
        Ok(())
    }

    /// What the meter needs.
    ///
    /// # Errors
    /// Names the key that is out of its range.
    pub fn meter_config(&self) -> Result<MeterConfig, ConfigError> {
        let meter = &self.meter;
        for (key, count) in [("meter.max-flows", meter.max_flows), ("meter.max-hosts", meter.max_hosts)] {
            if !(16..=CAPACITY_LIMIT).contains(&count) {
                return Err(bad_value(key, count, format!("expected 16 to {CAPACITY_LIMIT}")));
            }
        }
        if meter.active_timeout.0 > FlowTableConfig::ACTIVE_TIMEOUT_LIMIT {
            let seconds = meter.active_timeout.0.as_secs_f64();
            return Err(bad_value("meter.active-timeout", format!("{seconds}s"), "expected at most 1h"));
        }
        Ok(MeterConfig {
            flows: FlowTableConfig {
                capacity: self.sizes()?.map_or(meter.max_flows, |sizes| sizes.flows),
                idle_timeout: meter.idle_timeout.0,
                active_timeout: meter.active_timeout.0,
                hash_seed: fastrand::u64(..),
            },
            hosts: self.sizes()?.map_or(meter.max_hosts, |sizes| sizes.hosts),
            local: local_networks(&meter.local_networks)?,
        })
    }
}

fn local_networks(texts: &[String]) -> Result<LocalNetworks, ConfigError> {
    if texts.is_empty() {
        return Ok(LocalNetworks::default());
    }
    let prefixes = texts.iter().map(|text| prefix("meter.local-networks", text)).collect::<Result<Vec<_>, _>>()?;
    LocalNetworks::new(&prefixes).ok_or_else(|| {
        bad_value("meter.local-networks", texts.len(), format!("expected at most {LOCAL_PREFIXES} prefixes"))
    })
}

fn prefix(key: &'static str, text: &str) -> Result<Prefix, ConfigError> {
    let wrong = || bad_value(key, text, "expected a prefix like 192.168.1.0/24 or fd00::/8");
    let (address, length) = text.split_once('/').ok_or_else(wrong)?;
    let length: u8 = length.parse().map_err(|_| wrong())?;
    match address.parse().map_err(|_| wrong())? {
        std::net::IpAddr::V4(address) if length <= 32 => Ok(Prefix::v4(address.octets(), length)),
        std::net::IpAddr::V6(address) if length <= 128 => Ok(Prefix::new(Address(address.octets()), length)),
        _ => Err(wrong()),
    }
}

/// serde's text, and the nearest known key where the key was unknown.
fn with_nearest_key(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let text = text.trim_end();
    let quoted: Vec<&str> = error.message().split('`').skip(1).step_by(2).collect();
    let Some((unknown, known)) = quoted.split_first().filter(|_| error.message().starts_with("unknown field")) else {
        return text.to_owned();
    };
    match known.iter().max_by(|a, b| strsim::jaro(unknown, a).total_cmp(&strsim::jaro(unknown, b))) {
        Some(nearest) => format!("{text}\ndid you mean `{nearest}`?"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_error(text: &str) -> String {
        let file = std::env::temp_dir().join(format!("lapwing-config-{}-{}.toml", std::process::id(), text.len()));
        std::fs::write(&file, text).unwrap();
        let error = Config::load(&file).unwrap_err().to_string();
        std::fs::remove_file(&file).unwrap();
        error
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let error = load_error("[meter]\nidle-timeot = \"60s\"\n");
        assert!(error.contains("did you mean `idle-timeout`?") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn values_out_of_range_name_key_and_range() {
        let error = load_error("[detector]\nalerts-per-day = 0\n");
        assert!(error.contains("detector.alerts-per-day = 0") && error.contains("0.001 to 1000"), "{error}");
        let error = load_error("[meter]\nlocal-networks = [\"192.168.1.0\"]\n");
        assert!(error.contains("expected a prefix like"), "{error}");
        let error = load_error("[meter]\nactive-timeout = \"2h\"\n");
        assert!(error.contains("at most 1h"), "{error}");
    }

    #[test]
    fn whoever_samples_no_rows_sends_none_in_alerts_unless_asked_to() {
        let rows = |text| Config::parse(text).unwrap().samples.alert_rows();
        assert_eq!(rows(""), ALERT_ROWS);
        assert_eq!(rows("[samples]\nrows = 0\n"), 0);
        assert_eq!(rows("[samples]\nrows = 0\nalert-rows = 2\n"), 2);
        assert_eq!(rows("[samples]\nalert-rows = 0\n"), 0);
    }

    #[test]
    fn the_example_file_is_the_defaults() {
        let text = include_str!("../../docs/examples/agent.toml");
        let config = Config::parse(text).unwrap();
        config.check().unwrap();
        assert_eq!(config.meter.idle_timeout, MeterSection::default().idle_timeout);
        let defaults = SamplesSection::default();
        assert_eq!((config.samples.rows, config.samples.alert_rows()), (defaults.rows, defaults.alert_rows()));
    }
}
