//! A TOML file → the trainer's configuration.
//!
//! Unknown keys are rejected with a suggestion; durations have a unit (`60s`, `500ms`, `5m`, `1h`).

mod broker;
mod enrolment;
mod groups;
mod http;
mod rollout;

pub(crate) use broker::BrokerSection;
pub(crate) use enrolment::EnrolmentSection;
pub(crate) use groups::GroupSection;
pub(crate) use http::{HttpSection, HttpTls};
use lapwing_collect::{Options, Unsealed};
pub(crate) use lapwing_config::ConfigError;
use lapwing_shared::release::name::parse_name;
use lapwing_shared::units::Nanos;
pub(crate) use lapwing_shared::units::Span;
use lapwing_store::{Limits, StoreUrl};
pub(crate) use rollout::{CampaignStart, GroupRolloutSection, RolloutSection};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const NAME_RULE: &str = "expected 1 to 32 of a-z A-Z 0-9 - _ . with a letter or digit first";

/// Whole configuration file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    pub(crate) store: StoreSection,
    /// Embedded or outside broker.
    pub(crate) broker: BrokerSection,
    /// Collecting messages.
    pub(crate) collect: CollectSection,
    /// Making releases of the only group, or the defaults of all groups.
    pub(crate) retrain: RetrainSection,
    /// Rollouts of releases in waves; the defaults of all groups.
    pub(crate) rollout: RolloutSection,
    /// Several groups. Default: none (one group, of all agents, by `retrain`).
    pub(crate) groups: Vec<GroupSection>,
    /// Rights of agents.
    pub(crate) agents: AgentsSection,
    /// Classifying alerts.
    pub(crate) kinds: KindsSection,
    /// The dashboard.
    pub(crate) http: HttpSection,
    /// Identities of agents.
    pub(crate) enrolment: EnrolmentSection,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct StoreSection {
    /// Path of the SQLite file, or `sqlite:PATH`.
    pub(crate) path: StoreUrl,
    /// Folder of the feature rows' segments, or `s3://BUCKET/PREFIX`. Default: beside the SQLite file.
    pub(crate) segments: Option<String>,
    /// Maximum size of stored sample batches and segments, MiB.
    pub(crate) sample_mib: u64,
    /// Maximum number of stored feature rows.
    pub(crate) sample_rows: u64,
    /// Maximum number of stored alert messages.
    pub(crate) alerts: u64,
    /// Maximum number of stored update reports.
    pub(crate) updates: u64,
    /// Maximum number of known agents.
    pub(crate) agents: u64,
    /// Age at which alerts, update reports and feature rows are deleted, days. Default: none.
    pub(crate) max_age_days: Option<u64>,
}

impl Default for StoreSection {
    fn default() -> Self {
        let Limits { sample_bytes, sample_rows, alerts, updates, agents, age_s: _ } = Limits::default();
        Self {
            path: Path::new("lapwing.sqlite").into(),
            segments: None,
            sample_mib: sample_bytes >> 20,
            sample_rows,
            alerts,
            updates,
            agents,
            max_age_days: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct CollectSection {
    /// Maximum number of messages per transaction.
    pub(crate) batch: usize,
    /// Time to wait for more messages per transaction. Default: 50ms, with an outside broker 5ms.
    pub(crate) linger: Option<Span>,
    /// Maximum number of messages queued between intake and store.
    pub(crate) queue: usize,
    /// Minimum interval between two acknowledgements to one agent.
    pub(crate) acknowledge_every: Span,
    /// Maximum average number of messages per second of one agent; further ones are not stored.
    pub(crate) agent_rate: u32,
    /// What to do with messages without a seal of agents that have a key.
    pub(crate) unsealed: Unsealed,
}

impl Default for CollectSection {
    fn default() -> Self {
        let options = Options::default();
        let acknowledge_every = Span(options.acknowledge_every.into());
        let Options { batch, queue, agent_rate, unsealed, .. } = options;
        Self { batch, linger: None, queue, acknowledge_every, agent_rate, unsealed }
    }
}

/// Where releases are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SigningPlace {
    /// By this server, with `key`.
    #[default]
    Here,
    /// On another machine: every release waits for `approve --signed`.
    Elsewhere,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RetrainSection {
    /// Group of agents to make releases for; not with `[[groups]]`.
    pub(crate) group: String,
    /// Where releases are signed.
    pub(crate) sign: SigningPlace,
    /// Secret key that signs releases; required for retraining, unless they are signed elsewhere.
    pub(crate) key: Option<PathBuf>,
    /// Folder for release files.
    pub(crate) releases: PathBuf,
    /// Retraining interval. Default: none (no scheduled retraining).
    pub(crate) every: Option<Span>,
    /// Retrain after this many new feature rows; 0 disables it.
    pub(crate) after_rows: u64,
    /// Minimum number of feature rows for training.
    pub(crate) min_rows: u64,
    /// Back-off after a failed training.
    pub(crate) retry_pause: Span,
    /// Time after which agents reject a release.
    pub(crate) expires_after: Span,
    /// Lowest version to which agents that accept a release ever go back; 0: none.
    pub(crate) floor: u64,
    /// Random seed for training.
    pub(crate) seed: u64,
    /// Maximum share of rows of one agent in a training.
    pub(crate) max_agent_share: f64,
    /// Rows from which the others may be cut to an agent's size.
    pub(crate) min_agent_rows: usize,
    /// Hold a release back until an operator approves it, if it detects fewer attacks than the previous one or its limits
    /// change a lot.
    pub(crate) gate: bool,
}

impl Default for RetrainSection {
    fn default() -> Self {
        Self {
            group: "default".into(),
            sign: SigningPlace::Here,
            key: None,
            releases: "releases".into(),
            every: None,
            after_rows: 0,
            min_rows: 2_000,
            retry_pause: Span(Nanos::from_secs(600)),
            expires_after: Span(Nanos::from_secs(365 * 86_400)),
            floor: 0,
            seed: 1,
            max_agent_share: 0.5,
            min_agent_rows: 100,
            gate: true,
        }
    }
}

/// `[agents]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AgentsSection {
    /// Agents whose rows train and whose unlabelled alerts count. Default: none (all agents).
    pub(crate) teach: Option<Vec<String>>,
}

/// `[kinds]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct KindsSection {
    /// Two-stage model that classifies the attack type of every alert. Default: none (alerts are not classified).
    pub(crate) model: Option<PathBuf>,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When the file cannot be read, is not TOML, or has unknown keys or values out of range.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let config: Self = lapwing_config::read(path)?;
        config.check()?;
        Ok(config)
    }

    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// The first key that is out of range, with the range.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let linger = self.collect.linger.map_or(0, millis);
        let ranges = [
            ("store.sample-mib", u128::from(self.store.sample_mib), 1, 1 << 30),
            ("store.sample-rows", u128::from(self.store.sample_rows), 1, 1 << 40),
            ("store.alerts", u128::from(self.store.alerts), 1, 1 << 40),
            ("store.updates", u128::from(self.store.updates), 1, 1 << 40),
            ("store.agents", u128::from(self.store.agents), 1, 1 << 30),
            ("store.max-age-days", self.store.max_age_days.unwrap_or(1).into(), 1, 36_500),
            ("broker.connections", self.broker.connections as u128, 3, 1_000_000),
            ("broker.address-connections", self.broker.address_connections as u128, 1, 1_000_000),
            ("broker.held-mib", self.broker.held_mib as u128, 1, 1 << 20),
            ("collect.batch", self.collect.batch as u128, 1, 100_000),
            ("collect.queue", self.collect.queue as u128, 1, 1_000_000),
            ("collect.agent-rate", self.collect.agent_rate.into(), 1, 1_000_000),
            ("collect.linger in ms", linger, 0, 10_000),
            ("collect.acknowledge-every in ms", millis(self.collect.acknowledge_every), 0, 60_000),
        ];
        for (key, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                return Err(ConfigError::value(key, value, format!("expected {low} to {high}")));
            }
        }
        self.check_broker()?;
        for agent in self.agents.teach.iter().flatten() {
            parse_name(agent).ok_or_else(|| ConfigError::value("agents.teach", agent, NAME_RULE))?;
        }
        self.check_enrolment()?;
        self.check_http()?;
        self.check_groups()?;
        self.check_rollouts()
    }

    pub(crate) fn limits(&self) -> Limits {
        let StoreSection { sample_mib, sample_rows, alerts, updates, agents, max_age_days, .. } = self.store;
        let age_s = max_age_days.map(|days| days * 86_400);
        Limits { sample_bytes: sample_mib << 20, sample_rows, alerts, updates, agents, age_s }
    }

    /// Settings of the collector.
    pub(crate) fn options(&self) -> Options {
        // An outside broker stops at its window of unconfirmed deliveries; waiting longer would only add delay.
        let linger = if self.broker.is_external() { Duration::from_millis(5) } else { Options::default().linger };
        Options {
            batch: self.collect.batch,
            linger: self.collect.linger.map_or(linger, |span| span.0.into()),
            queue: self.collect.queue,
            acknowledge_every: self.collect.acknowledge_every.0.into(),
            agent_rate: self.collect.agent_rate,
            unsealed: self.collect.unsealed,
            ..Options::default()
        }
    }
}

fn millis(span: Span) -> u128 {
    Duration::from(span.0).as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_store::testing::Folder;

    pub(super) fn load(text: &str) -> Result<Config, ConfigError> {
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
        let optional = [
            "segments",
            "url",
            "authority",
            "share",
            "linger",
            "key",
            "plan",
            "every",
            "name",
            "teach",
            "model",
            "address",
            "passphrase-file",
            "tls-listen",
            "certificate",
            "trusted",
            "tls",
            "tls-cert",
            "tls-key",
            "user-header",
            "trusted-proxies",
        ];
        assert!(optional.iter().all(|key| text.contains(&format!("# {key} = "))), "an optional key is not shown");
    }

    #[test]
    fn every_optional_key_of_the_example_is_valid_when_it_is_uncommented() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/trainer.toml");
        let text = std::fs::read_to_string(path).unwrap();
        let is_optional = |line: &str| line.contains(" = ") || line.contains("# [[");
        let lines = text.lines().map(|line| if is_optional(line) { line.trim_start_matches("# ") } else { line });
        let config = load(&lines.collect::<Vec<_>>().join("\n")).unwrap();
        assert!(config.broker.url.is_some() && config.retrain.every.is_some() && config.collect.linger.is_some());
        assert_eq!(config.groups()[0].group, "shops");
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
        let error = load("[retrain]\nmax-agent-share = 0.0\n").unwrap_err().to_string();
        assert_eq!(error, "retrain.max-agent-share = 0: expected more than 0, at most 1");
        let error = load("[agents]\nteach = ['gw-1', 'a b']\n").unwrap_err().to_string();
        assert!(error.contains("agents.teach = a b: expected 1 to 32"), "{error}");
        let error = load("[retrain]\ngroup = 'a b'\n").unwrap_err().to_string();
        assert!(error.contains("retrain.group = a b"), "{error}");
        let error = load("[retrain]\nevery = '7 fortnights'\n").unwrap_err().to_string();
        assert!(error.contains("e.g. 500ms, 60s, 5m, 1h"), "{error}");
    }
}
