//! The trainer's configuration: a TOML file, each key of which has the command line's meaning.
//!
//! Unknown keys are refused with the nearest known one; spans are written with their unit (`60s`, `500ms`, `5m`, `1h`).

use crate::collect::Options;
use crate::collect::broker::BrokerLimits;
use crate::collect::outside::Outside;
use crate::store::Limits;
use lapwing_shared::release::manifest::Name;
use lapwing_shared::release::name::parse_name;
use lapwing_shared::units::Nanos;
pub use lapwing_shared::units::Span;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML, has unknown keys, or a value has the wrong type.
    #[error("configuration {}: {message}", path.display())]
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

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Where everything is kept.
    pub store: StoreSection,
    /// The broker.
    pub broker: BrokerSection,
    /// How messages are taken in.
    pub collect: CollectSection,
    /// When a new release is made, and for whom.
    pub retrain: RetrainSection,
    /// What names the kinds of alerts.
    pub kinds: KindsSection,
    /// The dashboard.
    pub http: HttpSection,
}

/// `[store]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StoreSection {
    /// The store's file.
    pub path: PathBuf,
    /// Payload of kept sample batches, at most, MiB.
    pub sample_mib: u64,
    /// Feature rows kept, at most.
    pub sample_rows: u64,
    /// Alert messages kept, at most.
    pub alerts: u64,
    /// Update reports kept, at most.
    pub updates: u64,
    /// Agents known, at most.
    pub agents: u64,
}

impl Default for StoreSection {
    fn default() -> Self {
        let Limits { sample_bytes, sample_rows, alerts, updates, agents } = Limits::default();
        Self { path: "lapwing.sqlite".into(), sample_mib: sample_bytes >> 20, sample_rows, alerts, updates, agents }
    }
}

/// `[broker]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BrokerSection {
    /// Address of the embedded broker.
    pub listen: SocketAddr,
    /// Use this broker instead of the embedded one.
    pub url: Option<String>,
    /// PEM file with the authority that an `mqtts` broker's certificate comes from; the system's when absent.
    pub authority: Option<PathBuf>,
    /// MQTT client identifier at an outside broker, one of its own for each collector.
    pub client: String,
    /// Connections to the embedded broker, at most.
    pub connections: usize,
    /// Sample batches that the embedded broker holds for the collector, MiB; of alerts it holds an eighth.
    pub held_mib: usize,
}

impl Default for BrokerSection {
    fn default() -> Self {
        let limits = BrokerLimits::default();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 1883)),
            url: None,
            authority: None,
            client: "lapwing-trainer".into(),
            connections: limits.connections,
            held_mib: limits.held_bytes >> 20,
        }
    }
}

/// `[collect]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CollectSection {
    /// Messages in one transaction, at most.
    pub batch: usize,
    /// How long a transaction waits for more messages; default 50ms, with an outside broker 5ms.
    pub linger: Option<Span>,
    /// Messages between intake and store.
    pub queue: usize,
    /// Shortest time between two acknowledgements to one agent.
    pub acknowledge_every: Span,
}

impl Default for CollectSection {
    fn default() -> Self {
        let options = Options::default();
        let acknowledge_every = Span(options.acknowledge_every.into());
        Self { batch: options.batch, linger: None, queue: options.queue, acknowledge_every }
    }
}

/// `[retrain]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RetrainSection {
    /// Group of agents that releases are for.
    pub group: String,
    /// Secret key that signs releases.
    pub key: Option<PathBuf>,
    /// Folder of release files.
    pub releases: PathBuf,
    /// Make a release so often; absent: never by the clock.
    pub every: Option<Span>,
    /// Make a release after so many new feature rows; 0: never by rows.
    pub after_rows: u64,
    /// Feature rows without which no release is made.
    pub min_rows: u64,
    /// Pause after a release that could not be made.
    pub retry_pause: Span,
    /// How long a release may be taken up.
    pub expires_after: Span,
    /// Seed of every random choice in training.
    pub seed: u64,
}

impl Default for RetrainSection {
    fn default() -> Self {
        Self {
            group: "default".into(),
            key: None,
            releases: "releases".into(),
            every: None,
            after_rows: 0,
            min_rows: 2_000,
            retry_pause: Span(Nanos::from_secs(600)),
            expires_after: Span(Nanos::from_secs(365 * 86_400)),
            seed: 1,
        }
    }
}

/// `[kinds]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct KindsSection {
    /// Two-stage model whose second stage names the kind of every alert; absent: alerts are not named.
    pub model: Option<PathBuf>,
}

/// `[http]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HttpSection {
    /// Address of the dashboard and the HTTP API; absent: none.
    pub listen: Option<SocketAddr>,
    /// Names that they answer to on the loopback, besides the loopback's own.
    pub names: Vec<String>,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it cannot be read, is no TOML, has unknown keys or values out of range.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let parse = |error| ConfigError::Parse { path: path.to_owned(), message: with_nearest_key(&error) };
        let config: Self = toml::from_str(&text).map_err(parse)?;
        config.check()?;
        Ok(config)
    }

    /// Checks every range.
    ///
    /// # Errors
    /// Names the first key that is out of its range, and the range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let linger = self.collect.linger.map_or(0, millis);
        let ranges = [
            ("store.sample-mib", u128::from(self.store.sample_mib), 1, 1 << 30),
            ("store.sample-rows", u128::from(self.store.sample_rows), 1, 1 << 40),
            ("store.alerts", u128::from(self.store.alerts), 1, 1 << 40),
            ("store.updates", u128::from(self.store.updates), 1, 1 << 40),
            ("store.agents", u128::from(self.store.agents), 1, 1 << 30),
            ("broker.connections", self.broker.connections as u128, 3, 1_000_000),
            ("broker.held-mib", self.broker.held_mib as u128, 1, 1 << 20),
            ("collect.batch", self.collect.batch as u128, 1, 100_000),
            ("collect.queue", self.collect.queue as u128, 1, 1_000_000),
            ("collect.linger in ms", linger, 0, 10_000),
            ("collect.acknowledge-every in ms", millis(self.collect.acknowledge_every), 0, 60_000),
            ("retrain.min-rows", u128::from(self.retrain.min_rows), 1, 1 << 40),
            ("retrain.expires-after in ms", millis(self.retrain.expires_after), 1_000, 1 << 50),
        ];
        for (key, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                let (value, expected) = (value.to_string(), format!("expected {low} to {high}"));
                return Err(ConfigError::Value { key, value, expected });
            }
        }
        self.group().map(drop)
    }

    /// The group's name.
    ///
    /// # Errors
    /// When it is no name.
    pub fn group(&self) -> Result<Name, ConfigError> {
        let group = &self.retrain.group;
        let expected = "expected 1 to 32 of a-z A-Z 0-9 - _ .".into();
        let wrong = || ConfigError::Value { key: "retrain.group", value: group.clone(), expected };
        parse_name(group).ok_or_else(wrong)
    }

    /// The store's limits.
    pub fn limits(&self) -> Limits {
        let StoreSection { sample_mib, sample_rows, alerts, updates, agents, .. } = self.store;
        Limits { sample_bytes: sample_mib << 20, sample_rows, alerts, updates, agents }
    }

    /// The embedded broker's limits.
    pub fn broker_limits(&self) -> BrokerLimits {
        let held_bytes = self.broker.held_mib << 20;
        BrokerLimits { connections: self.broker.connections, held_bytes, ..BrokerLimits::default() }
    }

    /// The outside broker, where one is named.
    pub fn outside(&self) -> Option<Outside> {
        let BrokerSection { client, authority, .. } = &self.broker;
        let url = self.broker.url.clone()?;
        Some(Outside { url, client: client.clone(), authority: authority.clone() })
    }

    /// How the collector works.
    pub fn options(&self) -> Options {
        // An outside broker stops at its window of unconfirmed deliveries: waiting for more would only add delay.
        let linger = if self.broker.url.is_some() { Duration::from_millis(5) } else { Options::default().linger };
        Options {
            batch: self.collect.batch,
            linger: self.collect.linger.map_or(linger, |span| span.0.into()),
            queue: self.collect.queue,
            acknowledge_every: self.collect.acknowledge_every.0.into(),
            ..Options::default()
        }
    }
}

/// The parser's message, and the known key that an unknown one is most like.
fn with_nearest_key(error: &toml::de::Error) -> String {
    let text = error.to_string().trim_end().to_owned();
    let quoted: Vec<&str> = error.message().split('`').skip(1).step_by(2).collect();
    let nearest = match quoted.split_first() {
        Some((unknown, known)) if error.message().starts_with("unknown field") => {
            known.iter().max_by(|a, b| strsim::jaro(unknown, a).total_cmp(&strsim::jaro(unknown, b)))
        }
        _ => None,
    };
    nearest.map_or(text.clone(), |nearest| format!("{text}\ndid you mean `{nearest}`?"))
}

fn millis(span: Span) -> u128 {
    Duration::from(span.0).as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Folder;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let folder = Folder::new();
        let path = folder.path().join("trainer.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    #[test]
    fn the_example_is_valid_and_gives_every_default() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/trainer.toml");
        assert_eq!(Config::load(&path).unwrap(), Config::default());
        let text = std::fs::read_to_string(&path).unwrap();
        let optional = ["url", "authority", "linger", "key", "every", "model"];
        assert!(optional.iter().all(|key| text.contains(&format!("# {key} = "))), "an optional key is not shown");
    }

    #[test]
    fn every_optional_key_of_the_example_is_valid_when_it_is_uncommented() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/trainer.toml");
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().map(|line| if line.contains(" = ") { line.trim_start_matches("# ") } else { line });
        let config = load(&lines.collect::<Vec<_>>().join("\n")).unwrap();
        assert!(config.broker.url.is_some() && config.retrain.every.is_some() && config.collect.linger.is_some());
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let error = load("[retrain]\nafter-row = 5\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("did you mean `after-rows`?"), "{error}");
        let error = load("[brokr]\n").unwrap_err().to_string();
        assert!(error.contains("did you mean `broker`?"), "{error}");
    }

    #[test]
    fn values_out_of_range_name_key_and_range() {
        let error = load("[collect]\nbatch = 0\n").unwrap_err().to_string();
        assert_eq!(error, "collect.batch = 0: expected 1 to 100000");
        let error = load("[retrain]\ngroup = 'a b'\n").unwrap_err().to_string();
        assert!(error.contains("retrain.group = a b"), "{error}");
        let error = load("[retrain]\nevery = '7 fortnights'\n").unwrap_err().to_string();
        assert!(error.contains("like 500ms, 60s, 5m, 1h"), "{error}");
    }
}
