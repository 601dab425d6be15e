//! `enroll`: token → identity in the state folder.

use crate::cli::EnrollArgs;
use crate::clock;
use crate::config::Config;
use crate::disk::Folder;
use crate::identity::{Enrolment, Identity, Progress, enrol, read};
use crate::publish::agent_name::agent_name;
use crate::publish::enrolment_port::ask;
use crate::random::fill_random;
use anyhow::Context;
use lapwing_shared::enrolment::TOKEN_BYTES;
use lapwing_shared::messages::AgentName;
use lapwing_shared::release::digest::Hex;
use lapwing_shared::release::name::{NAME_RULE, parse_name};
use lapwing_shared::release::root::SignedRoot;
use lapwing_shared::units::Utc;
use std::fmt::Write;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// Configuration files of packages, of Debian and of OpenWrt; the first that exists is used if none is named.
const PACKAGED_CONFIGS: [&str; 2] = ["/etc/lapwing/agent.toml", "/var/run/lapwing-root/agent.toml"];
/// Digits of a fingerprint to show, as the trainer's lists do.
const SHOWN_DIGITS: usize = 16;
/// Shortest pause between two attempts, seconds; the longest is twice as long, so that gateways that start together spread.
const PAUSE_S: u64 = 30;
/// Most of standard input to read, bytes; a token has half of it at most.
const STDIN_BYTES: u64 = 2 * TOKEN_BYTES as u64;

/// Time between two attempts.
pub(super) fn pause() -> Duration {
    Duration::from_secs(PAUSE_S + fastrand::u64(..PAUSE_S))
}

/// What `enroll` prints, and whether an operator must accept the agent first.
pub(crate) struct Enrolled {
    pub(crate) text: String,
    pub(crate) is_waiting: bool,
}

/// The token of an argument: `-` reads it from standard input, so that no list of processes shows it.
fn token_text(argument: &str) -> anyhow::Result<String> {
    let mut text = argument.to_owned();
    if argument == "-" {
        text.clear();
        std::io::stdin().take(STDIN_BYTES).read_to_string(&mut text).context("cannot read the token")?;
    }
    Ok(text)
}

/// Enrols this agent, or renews its certificate, and describes the result.
///
/// # Errors
/// When the token, the name or the state folder is invalid, or the trainer refuses.
pub(crate) fn enroll(args: &EnrollArgs) -> anyhow::Result<Enrolled> {
    let config = configuration(args.config.as_deref())?;
    let folder = args.identity_dir.as_deref().or(config.identity_dir());
    let folder = folder.context("no folder for the identity; set update.state-dir, or name one with --identity-dir")?;
    let mut disk = open(folder)?;
    let is_enrolled = matches!(read(&mut disk), Ok(Some(_)));
    let argument = args.token.as_deref().map(token_text).transpose()?;
    let token = argument.as_deref().or(config.mqtt.token.as_deref().filter(|_| !is_enrolled));
    let enrolment = enrolment(token, args.name.as_deref(), &config)?;
    loop {
        match enrol(&mut disk, &enrolment, ask) {
            Ok(Progress::Enrolled(identity)) => {
                return Ok(Enrolled { text: described(&identity)?, is_waiting: false });
            }
            Ok(Progress::Waiting { name, fingerprint, retry_after_s }) => {
                let text = described_wait(&name, &fingerprint);
                if !args.wait {
                    let text = text + "then run `lapwing-agent enroll` again, or use --wait\n";
                    return Ok(Enrolled { text, is_waiting: true });
                }
                tracing::info!("{}", one_line(&text));
                std::thread::sleep(Duration::from_secs(retry_after_s.into()).max(pause()));
            }
            Err(error) if args.wait && error.is_temporary() => {
                tracing::warn!(%error, "enrolment failed; trying again");
                std::thread::sleep(pause());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn open(folder: &Path) -> anyhow::Result<Folder> {
    Folder::open(folder).with_context(|| format!("cannot use folder {} for the identity", folder.display()))
}

fn configuration(named: Option<&Path>) -> anyhow::Result<Config> {
    let packaged = || PACKAGED_CONFIGS.into_iter().map(Path::new).find(|path| path.exists());
    Ok(named.or_else(packaged).map_or_else(|| Ok(Config::default()), Config::load)?)
}

/// What the command line and the configuration ask for.
pub(super) fn enrolment(token: Option<&str>, name: Option<&str>, config: &Config) -> anyhow::Result<Enrolment> {
    let token = token.map(|text| text.trim().parse()).transpose()?;
    let chosen = name.or(Some(config.mqtt.agent.as_str())).filter(|name| !name.is_empty());
    let chosen =
        chosen.map(|name| parse_name(name).with_context(|| format!("agent name {name:?}: expected {NAME_RULE}")));
    let mut seed = [0; 32];
    fill_random(&mut seed).context("cannot get random bytes from the system")?;
    Ok(Enrolment { token, chosen: chosen.transpose()?, default_name: agent_name("", Path::new("/"))?, seed })
}

/// What the operator compares with the trainer's list.
pub(super) fn described_wait(name: &AgentName, fingerprint: &[u8; 32]) -> String {
    let digits: String = Hex(fingerprint).to_string().chars().take(SHOWN_DIGITS).collect();
    format!(
        "{name} waits for an operator. On the trainer, run\n  lapwing-trainer agents accept {name} --fingerprint {digits}\n"
    )
}

/// A text for the log.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn described(identity: &Identity) -> Result<String, std::fmt::Error> {
    let enrolled = &identity.enrolled;
    let mut text = String::new();
    writeln!(
        text,
        "{}: certificate valid until {} UTC, group {}",
        identity.name,
        Utc(enrolled.until_s),
        enrolled.group
    )?;
    let brokers: Vec<&str> = enrolled.brokers.iter().map(|url| url.as_str()).collect();
    let brokers = if brokers.is_empty() { "none; set mqtt.url".to_owned() } else { brokers.join(" ") };
    writeln!(text, "  brokers: {brokers}")?;
    match SignedRoot::decode(&enrolled.root).and_then(|root| root.first_trusted()) {
        Ok(root) => writeln!(text, "  keys of root document {root}")?,
        Err(_) => writeln!(text, "  keys for releases: {}", enrolled.keys.len())?,
    }
    writeln!(text, "  a running agent uses it within seconds; after its first enrolment it starts again")?;
    if clock::wall_s().is_none() {
        writeln!(
            text,
            "  warning: the clock is not set; the certificate of the trainer was accepted regardless of the time"
        )?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, testing::parsed};

    fn parse(arguments: &[&str]) -> EnrollArgs {
        let Ok(Command::Enroll(args)) = parsed(&[&["enroll"], arguments].concat()) else { panic!("enroll expected") };
        args
    }

    #[test]
    fn a_name_comes_from_the_command_line_or_the_configuration() {
        let token = lapwing_shared::enrolment::Token::new([1; 32], 7, [2; 16], "hub:8481").unwrap();
        let config = Config::parse("[mqtt]\nagent = 'attic'\n").unwrap();
        let from_file = enrolment(Some(&format!(" {}\n", token.text())), None, &config).unwrap();
        assert_eq!((from_file.token, from_file.chosen.as_deref()), (Some(token), Some("attic")));
        let named = enrolment(None, Some("cellar"), &config).unwrap();
        assert_eq!((named.token, named.chosen.as_deref()), (None, Some("cellar")));
        assert_ne!(named.seed, from_file.seed);
        assert_eq!(enrolment(None, None, &Config::default()).unwrap().chosen, None);
        let error = enrolment(Some("lapwing2.x"), None, &config).unwrap_err().to_string();
        assert!(error.contains("newer trainer"), "{error}");
        assert!(enrolment(None, Some("_x"), &config).unwrap_err().to_string().contains("letter or digit first"));
    }

    #[test]
    fn without_a_state_folder_the_error_names_the_key() {
        let error = enroll(&parse(&["--config", "/dev/null"])).err().unwrap().to_string();
        assert!(error.contains("update.state-dir"), "{error}");
    }
}
