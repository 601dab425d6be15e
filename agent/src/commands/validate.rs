//! `validate`: a configuration file and everything that it names.

use crate::config::Config;
use crate::engines::Engines;
use crate::network::connection;
use crate::release_file::{Loaded, trusted_keys};
use std::fmt::Write;
use std::path::Path;

/// Checks the file; gives back what a person wants to read about it.
///
/// # Errors
/// The first thing that is wrong.
pub fn validate(path: &Path) -> anyhow::Result<String> {
    let config = Config::load(path)?;
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
        [] => "looked for at the start".to_owned(),
        names => names.join(" "),
    };
    let ring_kib = config.ring_bytes(config.capture.interfaces.len())? >> 10;
    writeln!(report, "  capture: interfaces {interfaces}, ring {ring_kib} KiB each")?;
    let outbox = config.outbox_limits()?;
    writeln!(report, "  outbox: {} messages in {} KiB", outbox.messages, outbox.bytes >> 10)?;
    let keys = trusted_keys(&config.update.keys)?;
    writeln!(report, "  keys: {} trusted", keys.iter().count())?;
    if let Some(release) = &config.detector.release {
        let engines = Engines(config.detector.engine);
        let file = Loaded::open(release)?;
        let installed = file.install(file.verify(&engines, &keys)?, &engines)?;
        writeln!(report, "  release: version {}, golden vectors reproduced", installed.manifest.version)?;
    }
    match connection(&config)? {
        Some((agent, connection)) => writeln!(report, "  broker: {}, to which it is {agent}", connection.url())?,
        None => writeln!(report, "  broker: none, the agent keeps to itself")?,
    }
    if config.mqtt.url.is_some() && config.update.state_dir.is_none() {
        writeln!(report, "  warning: no update.state-dir: a restart forgets release, messages and highest version")?;
    }
    if config.update.state_dir.is_some() && config.update.keys.is_empty() {
        writeln!(report, "  warning: update.state-dir without update.keys: no release can be verified")?;
    }
    Ok(report)
}
