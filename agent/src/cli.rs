//! The agent's command line.

use crate::config::{Config, Delivery, EngineChoice, Span};
use anyhow::bail;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Watches packets, meters flows, scores them with a small quantized autoencoder, and reports what is odd.
#[derive(Debug, Parser)]
#[command(name = "lapwing-agent", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read capture files to their end, then print a summary.
    ///
    /// pcap and pcapng, plain or gzip'd; `-` is standard input. Several files are one stream.
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
    /// Watch packets until told to stop, reporting over MQTT.
    ///
    /// Packets come from the configured interfaces, else from the LAN's, which is looked for; or from a capture file or a
    /// pipe. Live capture needs root or CAP_NET_RAW at the start and gives it up then. SIGINT and SIGTERM end it in order: flows are ended, results
    /// written, messages delivered where the broker can be reached.
    #[command(after_help = "Examples:
  lapwing-agent run
  lapwing-agent run --interface br-lan --release site.lwr --mqtt mqtt://server
  tcpdump -i br-lan -U -w - | lapwing-agent run --input - --config /etc/lapwing/agent.toml")]
    Run {
        /// Capture file or pipe in place of interfaces; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        input: Option<PathBuf>,
        /// Common options.
        #[command(flatten)]
        options: Options,
    },
    /// Show what the running agent sees and does.
    Status {
        /// Which agent.
        #[command(flatten)]
        asked: Asked,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show that again every second.
    Top {
        /// Which agent.
        #[command(flatten)]
        asked: Asked,
    },
    /// Let the running agent send an alert that is marked as a test, all the way to the broker.
    TestAlert {
        /// Which agent.
        #[command(flatten)]
        asked: Asked,
    },
    /// Check a configuration file and everything that it names, and say what is wrong.
    Validate {
        /// Configuration file, TOML.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Show what a release file says, and check its digests and golden vectors on this processor.
    Inspect {
        /// Release file.
        release: PathBuf,
        /// Public key file; the signature is checked against it. May be given up to four times.
        #[arg(long = "key", value_name = "FILE")]
        keys: Vec<PathBuf>,
    },
}

/// Which running agent is asked.
#[derive(Debug, Args)]
pub struct Asked {
    /// Its configuration file, for the socket's path.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The socket [default: /run/lapwing/agent.sock].
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

impl Asked {
    /// The socket's path.
    ///
    /// # Errors
    /// When the configuration file is wrong.
    pub fn socket(&self) -> Result<PathBuf, crate::config::ConfigError> {
        match (&self.socket, &self.config) {
            (Some(path), _) => Ok(path.clone()),
            (None, Some(config)) => Ok(Config::load(config)?.status.socket),
            (None, None) => Ok(Config::default().status.socket),
        }
    }
}

/// Options of `replay` and `run`; each goes before its key in the configuration file.
#[derive(Debug, Default, Args)]
pub struct Options {
    /// Configuration file, TOML; unknown keys are refused.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A flow ends after so long without a packet [default: 60s].
    #[arg(long, value_name = "SPAN")]
    pub idle_timeout: Option<Span>,
    /// A flow record spans at most so long, up to 1h [default: 10s].
    #[arg(long, value_name = "SPAN")]
    pub active_timeout: Option<Span>,
    /// Flows held at most [default: 16384].
    #[arg(long, value_name = "COUNT")]
    pub max_flows: Option<usize>,
    /// Hosts held at most [default: 2048].
    #[arg(long, value_name = "COUNT")]
    pub max_hosts: Option<usize>,
    /// Prefix of the site, like 192.168.1.0/24; may be repeated [default: private addresses].
    #[arg(long = "local-network", value_name = "PREFIX")]
    pub local_networks: Vec<String>,
    /// Engine that scores [default: tract where built in].
    #[arg(long, value_enum)]
    pub engine: Option<EngineChoice>,
    /// Release file to score with.
    #[arg(long, value_name = "PATH")]
    pub release: Option<PathBuf>,
    /// Public key file that the release must be signed with; may be repeated up to four times.
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
    /// INSECURE: let `run` use a release file whose signature nobody checks, because no --key is given.
    #[arg(long)]
    pub insecure_unsigned_release: bool,
    /// False alerts a day that this site accepts, 0.001 to 1000 [default: 1].
    #[arg(long, value_name = "NUMBER")]
    pub alerts_per_day: Option<f32>,
    /// Write flow records there, CSV; `-` is standard output.
    #[arg(long, value_name = "PATH")]
    pub records: Option<PathBuf>,
    /// Write feature vectors there, CSV with header; `-` is standard output.
    #[arg(long, value_name = "PATH")]
    pub features: Option<PathBuf>,
    /// Write alerts there, JSON lines; `-` is standard output.
    #[arg(long, value_name = "PATH")]
    pub alerts: Option<PathBuf>,
    /// Write the summary there as JSON.
    #[arg(long, value_name = "PATH")]
    pub summary_json: Option<PathBuf>,
    /// Report to this broker, like mqtt://host:1883 or mqtts://user:password@host.
    #[arg(long, value_name = "URL")]
    pub mqtt: Option<String>,
    /// Name of this agent at the broker [default: the host's name].
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// Group whose releases are taken [default: default].
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// Certificates to trust for mqtts://, PEM, and no others [default: those that the system trusts].
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// When a message leaves the outbox [default: end-to-end].
    #[arg(long, value_enum)]
    pub delivery: Option<Delivery>,
    /// Directory of the two release slots.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Feature rows sent from each interval, 0 to 256 [default: 128].
    #[arg(long, value_name = "COUNT")]
    pub sample_rows: Option<usize>,
    /// Length of that interval [default: 300s].
    #[arg(long, value_name = "SPAN")]
    pub sample_interval: Option<Span>,
    /// Interface to listen to; may be repeated up to eight times. Only for `run`.
    #[arg(long = "interface", value_name = "NAME")]
    pub interfaces: Vec<String>,
    /// Stop after so many packets, whatever they come from.
    #[arg(long, value_name = "COUNT")]
    pub packets: Option<u64>,
    /// Socket for `status`, `top` and `test-alert`; empty: none. Only for `run`.
    #[arg(long, value_name = "PATH")]
    pub status_socket: Option<String>,
    /// Keep the capture's pace; without it packets are read as fast as possible.
    #[arg(long)]
    pub realtime: bool,
}

impl Options {
    /// The configuration file, or the defaults, with what the command line says put over it.
    ///
    /// # Errors
    /// When the file or a value is wrong.
    pub fn configuration(&self) -> Result<Config, crate::config::ConfigError> {
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
        set(&mut config.mqtt.url, &self.mqtt.clone().map(Some));
        set(&mut config.mqtt.agent, &self.agent);
        set(&mut config.mqtt.group, &self.group);
        set(&mut config.mqtt.ca_file, &self.ca_file.clone().map(Some));
        set(&mut config.mqtt.delivery, &self.delivery);
        set(&mut config.samples.rows, &self.sample_rows);
        set(&mut config.samples.interval, &self.sample_interval);
        config.check()?;
        Ok(config)
    }

    /// Refuses a release file without a key to check its signature with, unless the command line insists.
    ///
    /// # Errors
    /// When there is such a file, or the configuration is wrong.
    pub fn refuse_unsigned(&self) -> anyhow::Result<()> {
        let config = self.configuration()?;
        match &config.detector.release {
            Some(release) if config.update.keys.is_empty() && !self.insecure_unsigned_release => bail!(
                "release {}: no key to check its signature with; name the signer's public key with --key, or insist \
                 with --insecure-unsigned-release",
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

/// Takes a value over where the command line has one.
fn set<T: Clone>(target: &mut T, given: &Option<T>) {
    if let Some(value) = given {
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
    fn run_wants_a_key_for_a_release_file_or_an_insecure_word() {
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
    fn the_command_line_goes_before_the_file() {
        let cli =
            Cli::parse_from(["lapwing-agent", "replay", "x.pcap", "--idle-timeout", "5s", "--alerts-per-day", "3"]);
        let Command::Replay { options, .. } = cli.command else { panic!("replay expected") };
        let config = options.configuration().unwrap();
        assert_eq!(config.meter.idle_timeout, "5s".parse().unwrap());
        assert_eq!(config.detector.alerts_per_day, 3.0);
    }
}
