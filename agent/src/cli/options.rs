//! Options of `replay` and `run`.

use super::arguments::{Arguments, UsageError};
use crate::config::{Config, Delivery, EngineChoice, Span};
use anyhow::bail;
use std::path::PathBuf;

/// Options of `replay` and `run`; each overrides its key in the configuration file.
#[derive(Debug, Default)]
pub struct Options {
    /// Configuration file, TOML; unknown keys are rejected.
    pub config: Option<PathBuf>,
    /// A flow ends after this time without a packet [default: 60s].
    pub idle_timeout: Option<Span>,
    /// Longest time that one flow record covers, at most 1h [default: 10s].
    pub active_timeout: Option<Span>,
    /// Maximum number of flows in the flow table [default: 16384].
    pub max_flows: Option<usize>,
    /// Maximum number of hosts in the host table [default: 2048].
    pub max_hosts: Option<usize>,
    /// Prefix of the site, e.g. 192.168.1.0/24; repeatable [default: private addresses].
    pub local_networks: Vec<String>,
    /// Inference engine [default: tract if built in, otherwise int8].
    pub engine: Option<EngineChoice>,
    /// Release file to score with.
    pub release: Option<PathBuf>,
    /// Public key file to check the release's signature with; repeatable, at most 4.
    pub keys: Vec<PathBuf>,
    /// INSECURE: let `run` use a release file without checking its signature if no --key is given.
    pub insecure_unsigned_release: bool,
    /// False-alert budget: false alerts per day that you accept at this site, 0.001 to 1000 [default: 1].
    pub alerts_per_day: Option<f32>,
    /// Write flow records to this file, CSV; `-` is standard output.
    pub records: Option<PathBuf>,
    /// Write feature vectors to this file, CSV with header; `-` is standard output.
    pub features: Option<PathBuf>,
    /// Write alerts to this file, JSON lines; `-` is standard output.
    pub alerts: Option<PathBuf>,
    /// Write the summary to this file, JSON.
    pub summary_json: Option<PathBuf>,
    /// Broker to report to, e.g. mqtt://host:1883 or mqtts://user:password@host; repeatable, at most 4 [default: none].
    pub mqtt: Vec<String>,
    /// Name of this agent at the broker [default: the host name and 8 digits that identify the device].
    pub agent: Option<String>,
    /// Group whose releases the agent installs [default: default].
    pub group: Option<String>,
    /// PEM file with the only certificates to trust for mqtts:// [default: the system's certificates].
    pub ca_file: Option<PathBuf>,
    /// Who confirms messages, which the agent then deletes from its outbox [default: end-to-end].
    pub delivery: Option<Delivery>,
    /// Directory of the two release slots and the outbox's journal [default: none, both are in memory].
    pub state_dir: Option<PathBuf>,
    /// Feature rows sent per sampling interval, 0 to 256; 0 disables samples [default: 128].
    pub sample_rows: Option<usize>,
    /// Sampling interval [default: 300s].
    pub sample_interval: Option<Span>,
    /// Interface to capture from; repeatable, at most 8. Only for `run`.
    pub interfaces: Vec<String>,
    /// Stop after this number of packets [default: unlimited].
    pub packets: Option<u64>,
    /// Socket for `status`, `top` and `test-alert`; "" disables it. Only for `run` [default: /run/lapwing/agent.sock].
    pub status_socket: Option<String>,
    /// Replay at the capture's own pace [default: as fast as possible].
    pub realtime: bool,
}

impl Options {
    /// Takes the value of an option from the command line.
    ///
    /// # Errors
    /// When the value is missing or invalid.
    pub(super) fn take(&mut self, arguments: &mut Arguments, option: &str) -> Result<(), UsageError> {
        let (rest, whole) = (arguments, "a whole number");
        match option {
            "config" => rest.path(&mut self.config, option),
            "packets" => rest.parsed_as(&mut self.packets, option, whole),
            "realtime" => rest.flag(&mut self.realtime, option),
            "interface" => rest.texts(&mut self.interfaces, option),
            "status-socket" => rest.text(&mut self.status_socket, option),
            "idle-timeout" => rest.parsed(&mut self.idle_timeout, option),
            "active-timeout" => rest.parsed(&mut self.active_timeout, option),
            "max-flows" => rest.parsed_as(&mut self.max_flows, option, whole),
            "max-hosts" => rest.parsed_as(&mut self.max_hosts, option, whole),
            "local-network" => rest.texts(&mut self.local_networks, option),
            "release" => rest.path(&mut self.release, option),
            "key" => rest.paths(&mut self.keys, option),
            "insecure-unsigned-release" => rest.flag(&mut self.insecure_unsigned_release, option),
            "engine" => rest.parsed_as(&mut self.engine, option, "tract or int8"),
            "alerts-per-day" => rest.parsed_as(&mut self.alerts_per_day, option, "a number"),
            _ => self.take_output(rest, option),
        }
    }

    /// The options that name files, and those about reports.
    fn take_output(&mut self, rest: &mut Arguments, option: &str) -> Result<(), UsageError> {
        match option {
            "records" => rest.path(&mut self.records, option),
            "features" => rest.path(&mut self.features, option),
            "alerts" => rest.path(&mut self.alerts, option),
            "summary-json" => rest.path(&mut self.summary_json, option),
            "state-dir" => rest.path(&mut self.state_dir, option),
            "mqtt" => rest.texts(&mut self.mqtt, option),
            "ca-file" => rest.path(&mut self.ca_file, option),
            "agent" => rest.text(&mut self.agent, option),
            "group" => rest.text(&mut self.group, option),
            "delivery" => rest.parsed_as(&mut self.delivery, option, "end-to-end or broker"),
            "sample-rows" => rest.parsed_as(&mut self.sample_rows, option, "a whole number"),
            "sample-interval" => rest.parsed(&mut self.sample_interval, option),
            _ => Err(rest.error(format!("--{option} is not supported"))),
        }
    }

    /// The configuration file, or the defaults, overridden by the command line.
    ///
    /// # Errors
    /// When the file or a value is invalid.
    pub(crate) fn configuration(&self) -> Result<Config, crate::config::ConfigError> {
        let mut config = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        self.override_metering(&mut config);
        self.override_files(&mut config);
        set(&mut config.status.socket, &self.status_socket.as_ref().map(PathBuf::from));
        if !self.interfaces.is_empty() {
            config.capture.interfaces.clone_from(&self.interfaces);
        }
        if !self.mqtt.is_empty() {
            (config.mqtt.url, config.mqtt.urls) = (None, self.mqtt.clone());
        }
        set(&mut config.mqtt.agent, &self.agent);
        set(&mut config.mqtt.group, &self.group);
        set(&mut config.mqtt.ca_file, &self.ca_file.clone().map(Some));
        set(&mut config.mqtt.delivery, &self.delivery);
        set(&mut config.samples.rows, &self.sample_rows);
        set(&mut config.samples.interval, &self.sample_interval);
        config.check()?;
        config.use_identity();
        // The agent must start without its release to enrol: the enrolment brings the keys.
        if config.enrolment_token().is_some()
            && !config.has_keys()
            && !self.insecure_unsigned_release
            && let Some(release) = config.detector.release.take()
        {
            tracing::warn!(release = %release.display(), "not used before the enrolment, which brings the keys");
        }
        Ok(config)
    }

    /// Refuses a release file without a key to check its signature with, unless `--insecure-unsigned-release` is given.
    ///
    /// # Errors
    /// When a release file is configured without a key, or the configuration is invalid.
    pub(crate) fn refuse_unsigned(&self) -> anyhow::Result<()> {
        let config = self.configuration()?;
        match &config.detector.release {
            Some(release) if !config.has_keys() && !self.insecure_unsigned_release => bail!(
                "release {}: no key to check its signature with; name the signer's public key with --key, or accept \
                 an unsigned release with --insecure-unsigned-release",
                release.display()
            ),
            _ => Ok(()),
        }
    }

    fn override_metering(&self, config: &mut Config) {
        set(&mut config.meter.idle_timeout, &self.idle_timeout);
        set(&mut config.meter.active_timeout, &self.active_timeout);
        set(&mut config.meter.max_flows, &self.max_flows);
        set(&mut config.meter.max_hosts, &self.max_hosts);
        set(&mut config.detector.engine, &self.engine);
        set(&mut config.detector.alerts_per_day, &self.alerts_per_day);
        if !self.local_networks.is_empty() {
            config.meter.local_networks.clone_from(&self.local_networks);
        }
    }

    fn override_files(&self, config: &mut Config) {
        set(&mut config.detector.release, &self.release.clone().map(Some));
        set(&mut config.output.records, &self.records.clone().map(Some));
        set(&mut config.output.features, &self.features.clone().map(Some));
        set(&mut config.output.alerts, &self.alerts.clone().map(Some));
        set(&mut config.output.summary_json, &self.summary_json.clone().map(Some));
        set(&mut config.update.state_dir, &self.state_dir.clone().map(Some));
        if !self.keys.is_empty() {
            config.update.keys.clone_from(&self.keys);
        }
    }
}

/// Overrides `target` with an option that is given.
fn set<T: Clone>(target: &mut T, option: &Option<T>) {
    if let Some(value) = option {
        target.clone_from(value);
    }
}
