//! `enroll`: token → identity in the state folder.

use crate::cli::EnrollArgs;
use crate::clock;
use crate::config::Config;
use crate::disk::Folder;
use crate::identity::{Enrolment, Identity, Progress, enrol};
use crate::publish::agent_name::agent_name;
use crate::publish::enrolment_port::ask;
use crate::random::fill_random;
use anyhow::Context;
use lapwing_shared::messages::AgentName;
use lapwing_shared::release::digest::Hex;
use lapwing_shared::release::name::{NAME_RULE, parse_name};
use lapwing_shared::units::Utc;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// Configuration file of packages, used if it exists and none is named.
const PACKAGED_CONFIG: &str = "/etc/lapwing/agent.toml";
/// Digits of a fingerprint to show, as the trainer's lists do.
const SHOWN_DIGITS: usize = 16;
/// Pause after a failed attempt with `--wait`.
const PAUSE: Duration = Duration::from_secs(30);

/// Enrols this agent, or renews its certificate, and describes the result.
///
/// # Errors
/// When the token, the name or the state folder is invalid, or the trainer refuses.
pub(crate) fn enroll(args: &EnrollArgs) -> anyhow::Result<String> {
    let config = configuration(args)?;
    let folder = config.update.state_dir.as_deref();
    let folder = folder.context("no folder for the identity; set update.state-dir, or name one with --state-dir")?;
    let mut disk = Folder::open(folder).with_context(|| format!("cannot use state folder {}", folder.display()))?;
    let enrolment = enrolment(args, &config)?;
    loop {
        match enrol(&mut disk, &enrolment, ask) {
            Ok(Progress::Enrolled(identity)) => return Ok(described(&identity)?),
            Ok(Progress::Waiting { name, fingerprint, retry_after_s }) => {
                let text = waiting(&name, &fingerprint);
                if !args.wait {
                    return Ok(text + "then run `lapwing-agent enroll` again, or use --wait\n");
                }
                tracing::info!("{}", text.trim_end().replace('\n', "; "));
                std::thread::sleep(Duration::from_secs(retry_after_s.into()).max(PAUSE));
            }
            Err(error) if args.wait && error.is_temporary() => {
                tracing::warn!(%error, "enrolment failed; trying again");
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn configuration(args: &EnrollArgs) -> anyhow::Result<Config> {
    let mut config = match &args.config {
        Some(path) => Config::load(path)?,
        None if Path::new(PACKAGED_CONFIG).exists() => Config::load(Path::new(PACKAGED_CONFIG))?,
        None => Config::default(),
    };
    config.update.state_dir = args.state_dir.clone().or(config.update.state_dir);
    Ok(config)
}

fn enrolment(args: &EnrollArgs, config: &Config) -> anyhow::Result<Enrolment> {
    let token = args.token.as_ref().or(config.mqtt.token.as_ref()).map(|text| text.trim().parse()).transpose()?;
    let chosen = match (&args.name, config.mqtt.agent.as_str()) {
        (None, "") => None,
        (Some(name), _) => Some(name.as_str()),
        (None, configured) => Some(configured),
    };
    let chosen =
        chosen.map(|name| parse_name(name).with_context(|| format!("agent name {name:?}: expected {NAME_RULE}")));
    let mut seed = [0; 32];
    fill_random(&mut seed).context("cannot get random bytes from the system")?;
    Ok(Enrolment { token, chosen: chosen.transpose()?, default_name: agent_name("", Path::new("/"))?, seed })
}

/// What the operator compares with the trainer's list.
fn waiting(name: &AgentName, fingerprint: &[u8; 32]) -> String {
    let digits: String = Hex(fingerprint).to_string().chars().take(SHOWN_DIGITS).collect();
    format!(
        "{name} waits for an operator. On the trainer, run\n  lapwing-trainer agents accept {name} --fingerprint {digits}\n"
    )
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
    writeln!(text, "  brokers: {brokers}\n  keys for releases: {}", enrolled.keys.len())?;
    writeln!(text, "  restart a running agent, which reads its identity when it starts")?;
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
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn parse(arguments: &[&str]) -> EnrollArgs {
        let cli = Cli::try_parse_from(["lapwing-agent", "enroll"].iter().chain(arguments)).unwrap();
        let Command::Enroll(args) = cli.command else { panic!("enroll expected") };
        args
    }

    #[test]
    fn a_token_and_a_name_come_from_the_command_line_or_the_configuration() {
        let token = lapwing_shared::enrolment::Token::new([1; 32], 7, [2; 16], "hub:8481").unwrap();
        let config = Config::parse(&format!("[mqtt]\nagent = 'attic'\ntoken = '{}'\n", token.text())).unwrap();
        let from_file = enrolment(&parse(&[]), &config).unwrap();
        assert_eq!((from_file.token, from_file.chosen.as_deref()), (Some(token), Some("attic")));
        let named = enrolment(&parse(&["--name", "cellar"]), &config).unwrap();
        assert_eq!(named.chosen.as_deref(), Some("cellar"));
        assert_ne!(named.seed, from_file.seed);
        let none = enrolment(&parse(&[]), &Config::default()).unwrap();
        assert_eq!((none.token, none.chosen), (None, None));
        let error = enrolment(&parse(&["lapwing2.x"]), &config).unwrap_err().to_string();
        assert!(error.contains("newer trainer"), "{error}");
        assert!(
            enrolment(&parse(&["--name", "_x"]), &config).unwrap_err().to_string().contains("letter or digit first")
        );
    }

    #[test]
    fn without_a_state_folder_the_error_names_the_key() {
        let error = enroll(&parse(&["--config", "/dev/null"])).unwrap_err().to_string();
        assert!(error.contains("update.state-dir"), "{error}");
    }
}
