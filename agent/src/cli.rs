//! The agent's command line.

mod update;

use crate::config::{Config, Delivery, EngineChoice, Span};
use anyhow::bail;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
pub(crate) use update::UpdateChange;

/// Captures packets, meters flows, scores them with a small quantized autoencoder, and reports anomalies.
#[derive(Debug, Parser)]
#[command(name = "lapwing-agent", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// The subcommand.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read capture files to their end, then print a summary.
    ///
    /// Reads pcap and pcapng, plain or compressed with gzip; `-` is standard input. Several files are one stream.
    #[command(after_help = "Examples:
  lapwing-agent replay demo.pcap --features -
  lapwing-agent replay monday.pcap.gz --release site.lwr --alerts alerts.jsonl
  tcpdump -w - | lapwing-agent replay - --records records.csv")]
    Replay {
        /// Capture files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Common options.
        #[command(flatten)]
        options: Options,
    },
    /// Capture packets until SIGINT or SIGTERM, and report over MQTT.
    ///
    /// Captures from the configured interfaces, from the LAN interface if none is configured, or from a capture file or
    /// pipe. Live capture needs root or CAP_NET_RAW at the start and drops it afterwards. On SIGINT and SIGTERM the agent
    /// ends all flows, writes results, and delivers messages if the broker is reachable.
    #[command(after_help = "Examples:
  lapwing-agent run
  lapwing-agent run --interface br-lan --release site.lwr --mqtt mqtt://server
  tcpdump -i br-lan -U -w - | lapwing-agent run --input - --config /etc/lapwing/agent.toml")]
    Run {
        /// Capture file or pipe to read instead of interfaces; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        input: Option<PathBuf>,
        /// Common options.
        #[command(flatten)]
        options: Options,
    },
    /// Show the status of the running agent.
    Status {
        /// Which agent.
        #[command(flatten)]
        agent: AgentSocket,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the status, refreshed every second.
    Top {
        /// Which agent.
        #[command(flatten)]
        agent: AgentSocket,
    },
    /// Make the running agent send an alert marked as a test, to check delivery to the broker.
    TestAlert {
        /// Which agent.
        #[command(flatten)]
        agent: AgentSocket,
    },
    /// Hold or release updates of the running agent, or change its channel.
    ///
    /// Settings outlast a restart of the agent if update.state-dir or update.version-dir is set.
    #[command(after_help = "Examples:
  lapwing-agent update hold
  lapwing-agent update channel late")]
    Update {
        /// Which agent.
        #[command(flatten)]
        agent: AgentSocket,
        /// What to do.
        #[command(subcommand)]
        change: UpdateChange,
    },
    /// Check a configuration file and the files that it names.
    Validate {
        /// Configuration file, TOML.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Get a certificate from the trainer, and with it brokers, group and keys; or renew the certificate.
    ///
    /// The token comes from `lapwing-trainer enroll`. Without one, an enrolment that has begun goes on, or an enrolled agent
    /// renews its certificate with its key. Run it as root. A running agent uses the result within seconds; after its first
    /// enrolment it starts again. Exit code 3: the agent waits for an operator.
    #[cfg(feature = "tls")]
    #[command(after_help = "Examples:
  lapwing-agent enroll lapwing1.paWl…
  lapwing-agent enroll --config /etc/lapwing/agent.toml")]
    Enroll(EnrollArgs),
    /// Run nft for the agent that starts this program; settings and addresses come on standard input.
    #[command(hide = true)]
    ResponseHelper,
    /// Show a release file's manifest, and check its digests and golden vectors on this processor.
    Inspect {
        /// Release file.
        release: PathBuf,
        /// Public key file to check the signature with; repeatable, at most 4.
        #[arg(long = "key", value_name = "FILE")]
        keys: Vec<PathBuf>,
    },
}

/// `enroll`.
#[cfg(feature = "tls")]
#[derive(Debug, Args)]
pub(crate) struct EnrollArgs {
    /// Token; `-` reads it from standard input [default: mqtt.token in the configuration file, if the agent is not enrolled].
    pub(crate) token: Option<String>,
    /// Configuration file [default: that of the package, if there is one].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder for the identity [default: update.version-dir, otherwise update.state-dir].
    #[arg(long, value_name = "DIR")]
    pub(crate) identity_dir: Option<PathBuf>,
    /// Name of this agent [default: mqtt.agent, or the token's name, or the host name and 8 digits].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Repeat the request until the trainer can be reached and has accepted the agent.
    #[arg(long)]
    pub(crate) wait: bool,
}

/// Selects the running agent.
#[derive(Debug, Args)]
pub(crate) struct AgentSocket {
    /// The agent's configuration file, which has the socket's path.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The agent's socket [default: /run/lapwing/agent.sock].
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
}

impl AgentSocket {
    /// The socket's path.
    ///
    /// # Errors
    /// When the configuration file is invalid.
    pub(crate) fn socket(&self) -> Result<PathBuf, crate::config::ConfigError> {
        match (&self.socket, &self.config) {
            (Some(path), _) => Ok(path.clone()),
            (None, Some(config)) => Ok(Config::load(config)?.status.socket),
            (None, None) => Ok(Config::default().status.socket),
        }
    }
}

/// Options of `replay` and `run`; each overrides its key in the configuration file.
#[derive(Debug, Default, Args)]
pub struct Options {
    /// Configuration file, TOML; unknown keys are rejected.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A flow ends after this time without a packet [default: 60s].
    #[arg(long, value_name = "SPAN")]
    pub idle_timeout: Option<Span>,
    /// Longest time that one flow record covers, at most 1h [default: 10s].
    #[arg(long, value_name = "SPAN")]
    pub active_timeout: Option<Span>,
    /// Maximum number of flows in the flow table [default: 16384].
    #[arg(long, value_name = "COUNT")]
    pub max_flows: Option<usize>,
    /// Maximum number of hosts in the host table [default: 2048].
    #[arg(long, value_name = "COUNT")]
    pub max_hosts: Option<usize>,
    /// Prefix of the site, e.g. 192.168.1.0/24; repeatable [default: private addresses].
    #[arg(long = "local-network", value_name = "PREFIX")]
    pub local_networks: Vec<String>,
    /// Inference engine [default: tract if built in, otherwise int8].
    #[arg(long, value_enum)]
    pub engine: Option<EngineChoice>,
    /// Release file to score with.
    #[arg(long, value_name = "PATH")]
    pub release: Option<PathBuf>,
    /// Public key file to check the release's signature with; repeatable, at most 4.
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
    /// INSECURE: let `run` use a release file without checking its signature if no --key is given.
    #[arg(long)]
    pub insecure_unsigned_release: bool,
    /// False-alert budget: false alerts per day that you accept at this site, 0.001 to 1000 [default: 1].
    #[arg(long, value_name = "NUMBER")]
    pub alerts_per_day: Option<f32>,
    /// Write flow records to this file, CSV; `-` is standard output.
    #[arg(long, value_name = "PATH")]
    pub records: Option<PathBuf>,
    /// Write feature vectors to this file, CSV with header; `-` is standard output.
    #[arg(long, value_name = "PATH")]
    pub features: Option<PathBuf>,
    /// Write alerts to this file, JSON lines; `-` is standard output.
    #[arg(long, value_name = "PATH")]
    pub alerts: Option<PathBuf>,
    /// Write the summary to this file, JSON.
    #[arg(long, value_name = "PATH")]
    pub summary_json: Option<PathBuf>,
    /// Broker to report to, e.g. mqtt://host:1883 or mqtts://user:password@host; repeatable, at most 4 [default: none].
    #[arg(long, value_name = "URL")]
    pub mqtt: Vec<String>,
    /// Name of this agent at the broker [default: the host name and 8 digits that identify the device].
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// Group whose releases the agent installs [default: default].
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// PEM file with the only certificates to trust for mqtts:// [default: the system's certificates].
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Who confirms messages, which the agent then deletes from its outbox [default: end-to-end].
    #[arg(long, value_enum)]
    pub delivery: Option<Delivery>,
    /// Directory of the two release slots and the outbox's journal [default: none, both are in memory].
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Feature rows sent per sampling interval, 0 to 256; 0 disables samples [default: 128].
    #[arg(long, value_name = "COUNT")]
    pub sample_rows: Option<usize>,
    /// Sampling interval [default: 300s].
    #[arg(long, value_name = "SPAN")]
    pub sample_interval: Option<Span>,
    /// Interface to capture from; repeatable, at most 8. Only for `run`.
    #[arg(long = "interface", value_name = "NAME")]
    pub interfaces: Vec<String>,
    /// Stop after this number of packets [default: unlimited].
    #[arg(long, value_name = "COUNT")]
    pub packets: Option<u64>,
    /// Socket for `status`, `top` and `test-alert`; "" disables it. Only for `run` [default: /run/lapwing/agent.sock].
    #[arg(long, value_name = "PATH")]
    pub status_socket: Option<String>,
    /// Replay at the capture's own pace [default: as fast as possible].
    #[arg(long)]
    pub realtime: bool,
}

impl Options {
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_refuses_a_release_file_without_a_key_unless_insecure_is_given() {
        let refused = |more: &[&str]| {
            let cli = Cli::parse_from(["lapwing-agent", "run", "--release", "x.lwr"].iter().chain(more));
            let Command::Run { options, .. } = cli.command else { panic!("run expected") };
            options.refuse_unsigned().err().map(|error| error.to_string())
        };
        assert!(refused(&[]).unwrap().contains("--key"));
        assert_eq!(refused(&["--key", "a.pub"]), None);
        assert_eq!(refused(&["--insecure-unsigned-release"]), None);
    }

    #[test]
    fn the_command_line_overrides_the_file() {
        let cli =
            Cli::parse_from(["lapwing-agent", "replay", "x.pcap", "--idle-timeout", "5s", "--alerts-per-day", "3"]);
        let Command::Replay { options, .. } = cli.command else { panic!("replay expected") };
        let config = options.configuration().unwrap();
        assert_eq!(config.meter.idle_timeout, "5s".parse().unwrap());
        assert_eq!(config.detector.alerts_per_day, 3.0);
    }
}
