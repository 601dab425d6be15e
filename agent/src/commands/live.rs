//! `run` on interfaces: configuration → interfaces and release to use, and open packet sockets.

use crate::clock;
use crate::config::Config;
use crate::config::enrolled::PACKAGED_KEY;
use crate::lan;
use anyhow::Context;
use lapwing_live::{LiveOptions, LiveSource};
use lapwing_shared::release::signature::TRUSTED_KEYS;
use lapwing_shared::units::Timestamp;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Release of the package, used if none is configured.
const PACKAGED_RELEASE: &str = "/usr/share/lapwing/release.lwr";

/// Fills in interface and release if they are not configured.
///
/// # Errors
/// When no LAN interface is found.
pub(crate) fn complete(config: &mut Config) -> anyhow::Result<()> {
    if config.capture.interfaces.is_empty() {
        let choice = lan::find().context(
            "no interface is configured and no LAN interface was found; name one with --interface or capture.interfaces",
        )?;
        tracing::info!(interface = %choice.interface, reason = %choice.reason, "interface chosen");
        config.capture.interfaces.push(choice.interface);
    }
    if config.detector.release.is_none() && Path::new(PACKAGED_RELEASE).exists() {
        config.detector.release = Some(PACKAGED_RELEASE.into());
        if Path::new(PACKAGED_KEY).exists()
            && config.update.keys.len() + config.update.enrolled_keys.len() < TRUSTED_KEYS
        {
            config.update.keys.push(PACKAGED_KEY.into());
        }
        tracing::info!(
            release = PACKAGED_RELEASE,
            "starting with the packaged release; the agent now learns the normal traffic of this site"
        );
    }
    Ok(())
}

/// Opens the sockets.
///
/// # Errors
/// When the configuration is invalid or a packet socket cannot be opened.
pub(crate) fn open(config: &Config, stopped: &Arc<AtomicBool>) -> anyhow::Result<LiveSource> {
    let capture = &config.capture;
    // If the clock is not set, flow times start at the newest second that has certainly passed.
    let floor = if clock::wall_s().is_some() { Timestamp::EPOCH } else { Timestamp::from_secs(clock::floor_s()) };
    let options = LiveOptions {
        interfaces: capture.interfaces.clone(),
        promiscuous: capture.promiscuous,
        ring_bytes: config.ring_bytes(capture.interfaces.len())?,
        filter: config.filter()?,
        clock: clock::reading,
        floor,
    };
    warn_of_names(config);
    for name in lan::absent(&capture.interfaces) {
        tracing::warn!("{}", lan::absent_text(&name));
    }
    let source = LiveSource::open(&options, Arc::clone(stopped))?;
    tracing::info!(
        interfaces = %capture.interfaces.join(" "),
        ring_bytes = options.ring_bytes,
        clock_set = clock::wall_s().is_some(),
        "listening"
    );
    Ok(source)
}

/// The address of a name may change at any time.
fn warn_of_names(config: &Config) {
    if config.capture.exclude.iter().any(|text| text == "broker") {
        for url in config.mqtt.brokers().iter().filter(|url| url.host.parse::<IpAddr>().is_err()) {
            tracing::warn!(broker = %url.host, "cannot exclude the broker by name: use its IP address in mqtt.url");
        }
    }
}
