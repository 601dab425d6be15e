//! `validate`: configuration file → a summary of it, after checking every file that it names.

use crate::config::{AddressMode, Config};
use crate::engines::Engines;
use crate::lan;
use crate::privacy;
use crate::publish::network_thread::{NamedConnection, PASSWORD_IN_CLEAR, connection};
use crate::release_file::{Loaded, UNBOUND, configured_keys, first_root, trusted_keys, unbound};
use lapwing_shared::release::root::SignedRoot;
use lapwing_shared::units::Utc;
use std::fmt::Write;
use std::path::Path;

/// Checks the file and describes it.
///
/// # Errors
/// When the configuration, or a file that it names, is invalid.
pub(crate) fn validate(path: &Path) -> anyhow::Result<String> {
    let mut config = Config::load(path)?;
    config.read_identity()?;
    let meter = config.meter_config()?;
    let mut report = String::new();
    writeln!(report, "{}: configuration is valid", path.display())?;
    writeln!(
        report,
        "  meter: {} flows, {} hosts, idle timeout {} s, active timeout {} s",
        meter.flows.capacity,
        meter.hosts,
        meter.flows.idle_timeout.as_secs_f64(),
        meter.flows.active_timeout.as_secs_f64()
    )?;
    let interfaces = match &config.capture.interfaces[..] {
        [] => "chosen at startup".to_owned(),
        names => names.join(" "),
    };
    let ring_kib = config.ring_bytes(config.capture.interfaces.len())? >> 10;
    writeln!(report, "  capture: interfaces {interfaces}, ring {ring_kib} KiB each")?;
    let outbox = config.outbox_limits()?;
    writeln!(report, "  outbox: {} messages in {} KiB", outbox.messages, outbox.bytes >> 10)?;
    check_files(&config, &mut report)?;
    if config.mqtt.has_broker() && config.update.state_dir.is_none() {
        let lost = match &config.update.version_dir {
            Some(_) => "release and messages",
            None => "release, messages and highest confirmed version",
        };
        writeln!(report, "  warning: no update.state-dir: {lost} are lost at a restart")?;
    }
    for warning in config.identity_warnings() {
        writeln!(report, "  warning: {warning}")?;
    }
    for name in lan::absent(&config.capture.interfaces) {
        writeln!(report, "  warning: {}", lan::absent_text(&name))?;
    }
    let has_root = config.update.root.is_some() || !config.update.enrolled_root.is_empty();
    if config.update.state_dir.is_some() && !config.has_keys() && !has_root {
        writeln!(report, "  warning: update.state-dir without update.keys: releases cannot be verified")?;
    }
    Ok(report)
}

/// Checks the key of pseudonyms.
fn check_privacy(config: &Config, report: &mut String) -> anyhow::Result<()> {
    match config.privacy.addresses {
        AddressMode::Plain => writeln!(report, "  addresses in alerts: plain")?,
        AddressMode::None => writeln!(report, "  addresses in alerts: none")?,
        AddressMode::Pseudonym => match privacy::stored_key(config)? {
            Some(key) => writeln!(report, "  addresses in alerts: pseudonyms, key {}", key.id())?,
            None => writeln!(report, "  addresses in alerts: pseudonyms; `run` creates the key")?,
        },
    }
    Ok(())
}

/// Checks key files, release file, certificates and broker URL.
fn check_files(config: &Config, report: &mut String) -> anyhow::Result<()> {
    let keys = configured_keys(&config.update)?;
    writeln!(report, "  keys: {} trusted", keys.iter().count())?;
    for key in unbound(&keys) {
        writeln!(report, "  warning: key {key}: {UNBOUND}")?;
    }
    let rollout_keys = trusted_keys(&config.update.rollout_keys)?.iter().count();
    if rollout_keys > 0 {
        writeln!(report, "  keys for rollouts: {rollout_keys} trusted")?;
    }
    if let Some(bytes) = first_root(&config.update)? {
        writeln!(report, "  first root document: {}", SignedRoot::decode(&bytes)?.first_trusted()?)?;
    }
    check_privacy(config, report)?;
    if config.detector.release.is_some() && !config.has_keys() {
        let until = match config.enrolment_token() {
            Some(_) => "`run` uses the release after the enrolment, which brings keys",
            None => "`run` refuses the release; set update.keys, enrol the agent, or give --key",
        };
        writeln!(report, "  warning: no key to check the release's signature with: {until}")?;
    }
    if let Some(release) = &config.detector.release {
        let engines = Engines(config.detector.engine);
        let file = Loaded::open(release)?;
        let installed = file.install(file.verify(&engines, &keys)?, &engines)?;
        writeln!(report, "  release: version {}, golden vectors reproduced", installed.manifest.version)?;
    }
    match connection(config)? {
        Some(NamedConnection { agent, connection }) => {
            if let Some(identity) = &config.identity {
                let until = Utc(identity.enrolled.until_s);
                writeln!(report, "  certificate: of agent {}, valid until {until} UTC", identity.name)?;
            }
            for url in connection.urls() {
                writeln!(report, "  broker: {url}, as agent {agent}")?;
                if url.sends_password_in_clear() {
                    writeln!(report, "  warning: {PASSWORD_IN_CLEAR}")?;
                }
            }
        }
        None if config.enrolment_token().is_some() => {
            writeln!(report, "  broker: none before the enrolment; `run` enrols with mqtt.token")?;
        }
        None => writeln!(report, "  broker: none")?,
    }
    Ok(())
}
