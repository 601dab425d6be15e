//! TOML file → the agent's configuration; keys have the same meaning as on the command line.
//!
//! Unknown keys are rejected with the nearest known one; time spans have a unit (`60s`, `500ms`, `5m`, `1h`).

pub(crate) mod enrolled;
mod live;
mod privacy;
mod update;

pub use crate::detector::EngineChoice;
use crate::identity::Identity;
pub use crate::outbox::Delivery;
use crate::sampler::INTERVAL_ROWS;
pub use lapwing_config::ConfigError;
use lapwing_shared::context::local::{LOCAL_PREFIXES, LocalNetworks, Prefix};
use lapwing_shared::enrolment::Token;
use lapwing_shared::features::meter::{DEFAULT_HOSTS, MeterConfig};
use lapwing_shared::flow::lru::CAPACITY_LIMIT;
use lapwing_shared::flow::table::FlowTableConfig;
use lapwing_shared::messages::broker_url::BrokerUrl;
pub use lapwing_shared::units::Span;
use lapwing_shared::units::{Address, Nanos};
use lapwing_shared::verdict::alert::ALERT_ROWS;
pub use live::{CaptureSection, ResponseMode, StatusSection};
pub(crate) use live::{ResourcesSection, ResponseSection, Size};
pub(crate) use privacy::{AddressMode, PrivacySection};
use serde::Deserialize;
use std::path::{Path, PathBuf};
pub(crate) use update::Assignments;
pub use update::UpdateSection;

/// Limit on brokers.
pub(crate) const BROKERS: usize = 4;

/// A whole configuration file: one field for each table.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Config {
    pub meter: MeterSection,
    /// Scoring and alerts.
    pub detector: DetectorSection,
    pub output: OutputSection,
    /// Feature rows for training.
    pub samples: SamplesSection,
    pub mqtt: MqttSection,
    /// Addresses in what the agent publishes.
    pub(crate) privacy: PrivacySection,
    pub update: UpdateSection,
    pub capture: CaptureSection,
    /// Limits and privileges of the process.
    pub(crate) resources: ResourcesSection,
    /// Status on this machine.
    pub status: StatusSection,
    pub(crate) response: ResponseSection,
    /// The identity in the state folder. Not a key of the file.
    #[serde(skip)]
    pub(crate) identity: Option<Identity>,
}

/// `[meter]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MeterSection {
    /// A flow ends after this time without a packet.
    pub idle_timeout: Span,
    /// Longest time that one flow record covers.
    pub(crate) active_timeout: Span,
    /// Capacity of the flow table; about 300 bytes per flow.
    pub max_flows: usize,
    /// Capacity of the host table; about 1,300 bytes per host.
    pub max_hosts: usize,
    /// Prefixes of the site, e.g. `192.168.1.0/24`; empty: private addresses.
    pub(crate) local_networks: Vec<String>,
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
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct DetectorSection {
    pub engine: EngineChoice,
    /// Release file to start with.
    pub release: Option<PathBuf>,
    /// False-alert budget: accepted false alerts a day at this site.
    pub alerts_per_day: f32,
    /// Learns what each service of each host usually does here.
    pub habits: bool,
}

impl Default for DetectorSection {
    fn default() -> Self {
        Self { engine: EngineChoice::default(), release: None, alerts_per_day: 1.0, habits: true }
    }
}

/// `[output]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct OutputSection {
    /// Flow records, CSV.
    pub records: Option<PathBuf>,
    /// Feature vectors, CSV.
    pub features: Option<PathBuf>,
    /// Alerts, JSON lines.
    pub alerts: Option<PathBuf>,
    /// Summary at the end, JSON.
    pub(crate) summary_json: Option<PathBuf>,
}

/// `[samples]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SamplesSection {
    /// Rows sampled per interval, 0 to 256; 0 disables samples.
    pub rows: usize,
    /// Length of an interval.
    pub(crate) interval: Span,
    /// Rows in every alert, 0 to 3: those that raised its evidence most. Default: see [`Self::alert_rows`].
    alert_rows: Option<usize>,
}

impl SamplesSection {
    /// Rows in every alert. Default: the maximum, or 0 if samples are disabled, so that one key keeps all rows at the
    /// gateway.
    pub(crate) fn alert_rows(&self) -> usize {
        self.alert_rows.unwrap_or(if self.rows == 0 { 0 } else { ALERT_ROWS })
    }
}

impl Default for SamplesSection {
    fn default() -> Self {
        Self { rows: 128, interval: Span(Nanos::from_secs(300)), alert_rows: None }
    }
}

/// What an agent that has a key seals. It accepts no acknowledgement without a seal in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SealScope {
    /// Its status, by which the trainer knows that it has a key: for programs other than the trainer that read the agent's
    /// binary messages.
    Acknowledgements,
    /// Every message except the JSON forms.
    #[default]
    All,
}

/// `[mqtt]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MqttSection {
    /// Broker, e.g. `mqtt://user:password@host:1883` or `mqtts://host`.
    pub url: Option<String>,
    /// Several brokers, in addition to `url`, at most 4 in all: the agent uses one of them, and another if it fails.
    pub(crate) urls: Vec<String>,
    /// Name of this agent; empty: the host's name and a suffix that identifies the device.
    pub agent: String,
    /// Group whose releases the agent installs; empty: `default`.
    pub group: String,
    /// Certificates to trust for `mqtts://`, PEM; no others are trusted then. Default: the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// Certificate of another authority for this agent, PEM, with the certificates between it and the authority. Default:
    /// that of the identity.
    pub(crate) certificate: Option<PathBuf>,
    /// Its Ed25519 key, PEM (PKCS #8).
    pub(crate) key: Option<PathBuf>,
    /// When a message leaves the outbox.
    pub(crate) delivery: Delivery,
    /// What an agent with an identity seals.
    pub(crate) seal: SealScope,
    /// Token for `enroll`, in images for many gateways. Default: none.
    pub(crate) token: Option<String>,
}

impl MqttSection {
    /// Every broker.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &String> {
        self.url.iter().chain(&self.urls)
    }

    pub(crate) fn has_broker(&self) -> bool {
        self.urls().next().is_some()
    }

    /// Every broker whose URL is valid.
    pub(crate) fn brokers(&self) -> Vec<BrokerUrl> {
        self.urls().filter_map(|url| url.parse().ok()).collect()
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it cannot be read, is not TOML, or has unknown keys or values out of range.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config: Self = lapwing_config::read(path)?;
        config.check()?;
        Ok(config)
    }

    /// Reads TOML text without checking ranges.
    ///
    /// # Errors
    /// When it is not TOML or has unknown keys.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Checks every range.
    ///
    /// # Errors
    /// Names the first key that is out of range, and the range.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.meter_config()?;
        let alerts = self.detector.alerts_per_day;
        if !(0.001..=1000.0).contains(&alerts) {
            return Err(ConfigError::value("detector.alerts-per-day", alerts, "expected 0.001 to 1000 alerts a day"));
        }
        if self.samples.rows > INTERVAL_ROWS {
            return Err(ConfigError::value("samples.rows", self.samples.rows, "expected 0 to 256 rows"));
        }
        if self.samples.alert_rows() > ALERT_ROWS {
            return Err(ConfigError::value("samples.alert-rows", self.samples.alert_rows(), "expected 0 to 3 rows"));
        }
        if self.detector.engine == EngineChoice::Tract && !cfg!(feature = "tract") {
            return Err(ConfigError::value("detector.engine", "tract", "this build has only the int8 engine"));
        }
        if self.mqtt.urls().count() > BROKERS {
            return Err(ConfigError::value("mqtt.urls", self.mqtt.urls().count(), "expected at most 4 brokers"));
        }
        if let Some(Err(error)) = self.mqtt.token.as_ref().map(|token| token.trim().parse::<Token>()) {
            return Err(ConfigError::value("mqtt.token", "…", error.to_string()));
        }
        if self.mqtt.certificate.is_some() != self.mqtt.key.is_some() {
            let expected = "expected mqtt.certificate and mqtt.key, both or neither";
            return Err(ConfigError::value("mqtt.certificate", "…", expected.to_owned()));
        }
        self.check_live()?;
        for (key, files) in [("update.keys", &self.update.keys), ("update.rollout-keys", &self.update.rollout_keys)] {
            if files.len() > 4 {
                return Err(ConfigError::value(key, files.len(), "expected at most 4 keys"));
            }
        }
        if self.update.pin == Some(0) {
            return Err(ConfigError::value("update.pin", 0, "expected the version of a release, 1 or more"));
        }
        Ok(())
    }

    /// The meter's configuration.
    ///
    /// # Errors
    /// Names the key that is out of range.
    pub(crate) fn meter_config(&self) -> Result<MeterConfig, ConfigError> {
        let meter = &self.meter;
        for (key, count) in [("meter.max-flows", meter.max_flows), ("meter.max-hosts", meter.max_hosts)] {
            if !(16..=CAPACITY_LIMIT).contains(&count) {
                return Err(ConfigError::value(key, count, format!("expected 16 to {CAPACITY_LIMIT}")));
            }
        }
        if meter.active_timeout.0 > FlowTableConfig::ACTIVE_TIMEOUT_LIMIT {
            let seconds = meter.active_timeout.0.as_secs_f64();
            return Err(ConfigError::value("meter.active-timeout", format!("{seconds}s"), "expected at most 1h"));
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
        ConfigError::value("meter.local-networks", texts.len(), format!("expected at most {LOCAL_PREFIXES} prefixes"))
    })
}

fn prefix(key: &'static str, text: &str) -> Result<Prefix, ConfigError> {
    let invalid = || ConfigError::value(key, text, "expected a prefix like 192.168.1.0/24 or fd00::/8");
    let (address, length) = text.split_once('/').ok_or_else(invalid)?;
    let length: u8 = length.parse().map_err(|_| invalid())?;
    match address.parse().map_err(|_| invalid())? {
        std::net::IpAddr::V4(address) if length <= 32 => Ok(Prefix::v4(address.octets(), length)),
        std::net::IpAddr::V6(address) if length <= 128 => Ok(Prefix::new(Address(address.octets()), length)),
        _ => Err(invalid()),
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
    fn an_unknown_key_is_rejected_with_the_nearest_known_one() {
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
    fn up_to_four_brokers_are_accepted_and_the_single_url_counts() {
        let config = Config::parse("[mqtt]\nurl = 'mqtt://a'\nurls = ['mqtt://b', 'mqtts://c']\n").unwrap();
        config.check().unwrap();
        let ports: Vec<u16> = config.mqtt.brokers().iter().map(|broker| broker.port).collect();
        assert_eq!(ports, [1883, 1883, 8883]);
        let error = load_error("[mqtt]\nurl = 'mqtt://a'\nurls = ['mqtt://b', 'mqtt://c', 'mqtt://d', 'mqtt://e']\n");
        assert_eq!(error, "mqtt.urls = 5: expected at most 4 brokers");
    }

    #[test]
    fn alerts_have_no_rows_if_sampling_is_off_unless_configured() {
        let rows = |text| Config::parse(text).unwrap().samples.alert_rows();
        assert_eq!(rows(""), ALERT_ROWS);
        assert_eq!(rows("[samples]\nrows = 0\n"), 0);
        assert_eq!(rows("[samples]\nrows = 0\nalert-rows = 2\n"), 2);
        assert_eq!(rows("[samples]\nalert-rows = 0\n"), 0);
    }

    const EXAMPLE: &str = include_str!("../../docs/examples/agent.toml");

    #[test]
    fn the_example_file_is_the_defaults() {
        let config = Config::parse(EXAMPLE).unwrap();
        config.check().unwrap();
        assert_eq!(config, Config::default());
    }

    /// The keys that serde expects in place of an unknown one.
    fn known_keys(text: &str) -> Vec<String> {
        let error = Config::parse(text).unwrap_err();
        error.message().split('`').skip(3).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_example_file_shows_every_key_and_its_commented_keys_are_valid() {
        let uncommented: Vec<&str> = EXAMPLE
            .lines()
            .map(|line| {
                line.strip_prefix("# ").filter(|rest| rest.split_once(" = ").is_some_and(is_key)).unwrap_or(line)
            })
            .collect();
        let example: toml::Table = uncommented.join("\n").parse().unwrap();
        for section in known_keys("[unknown-section]\n") {
            let shown = example.get(&section).and_then(toml::Value::as_table).unwrap_or_else(|| panic!("[{section}]"));
            for key in known_keys(&format!("[{section}]\nunknown-key = 1\n")) {
                assert!(shown.contains_key(&key), "{section}.{key} is not in the example");
            }
        }
        Config::parse(&uncommented.join("\n")).unwrap();
    }

    fn is_key((key, _): (&str, &str)) -> bool {
        key.chars().all(|c| c.is_ascii_lowercase() || c == '-')
    }
}
