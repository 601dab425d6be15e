//! `run` on interfaces: which ones, with which release, and what is given up before the first packet.

use crate::clock;
use crate::config::Config;
use crate::lan;
use anyhow::Context;
use lapwing_live::filter::Exclusion;
use lapwing_live::{LiveOptions, LiveSource};
use lapwing_shared::messages::broker_url::BrokerUrl;
use lapwing_shared::units::Timestamp;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Release of the package, used where none is configured.
const PACKAGED_RELEASE: &str = "/usr/share/lapwing/release.lwr";
/// Key that it is signed with.
const PACKAGED_KEY: &str = "/usr/share/lapwing/release.pub";

/// Fills in what a first start does not say: interface and release.
///
/// # Errors
/// When no interface can be found.
pub fn complete(config: &mut Config) -> anyhow::Result<()> {
    if config.capture.interfaces.is_empty() {
        let choice = lan::find().context(
            "no interface was named, and none looks like the LAN's; name one with --interface or capture.interfaces",
        )?;
        tracing::info!(interface = %choice.interface, why = %choice.why, "interface chosen");
        config.capture.interfaces.push(choice.interface);
    }
    if config.detector.release.is_none() && Path::new(PACKAGED_RELEASE).exists() {
        config.detector.release = Some(PACKAGED_RELEASE.into());
        if Path::new(PACKAGED_KEY).exists() && config.update.keys.len() < 4 {
            config.update.keys.push(PACKAGED_KEY.into());
        }
        tracing::info!(
            release = PACKAGED_RELEASE,
            "starting with the package's release; what is ordinary here is learned from now on"
        );
    }
    Ok(())
}

/// Opens the sockets.
///
/// # Errors
/// When the configuration is wrong or the system does not give a packet socket.
pub fn open(config: &Config, stopped: &Arc<AtomicBool>) -> anyhow::Result<LiveSource> {
    let capture = &config.capture;
    // Before 2025 the clock was never set: flow times begin at the newest second that has certainly passed.
    let floor = if clock::wall_s().is_some() { Timestamp::EPOCH } else { Timestamp::from_secs(clock::floor_s()) };
    let options = LiveOptions {
        interfaces: capture.interfaces.clone(),
        promiscuous: capture.promiscuous,
        ring_bytes: config.ring_bytes(capture.interfaces.len())?,
        filter: config.filter(broker(config))?,
        clock: clock::reading,
        floor,
    };
    let source = LiveSource::open(&options, Arc::clone(stopped))?;
    tracing::info!(
        interfaces = %capture.interfaces.join(" "),
        ring_bytes = options.ring_bytes,
        clock_set = clock::wall_s().is_some(),
        "listening"
    );
    Ok(source)
}

/// The broker's service, where its address is written as such: names may change their address any time.
fn broker(config: &Config) -> Option<Exclusion> {
    let url: BrokerUrl = config.mqtt.url.as_ref()?.parse().ok()?;
    let host = url.host.parse().ok();
    if host.is_none() && config.capture.exclude.iter().any(|text| text == "broker") {
        tracing::warn!(broker = %url.host, "seen like all traffic: give its address in place of its name to leave it out");
    }
    Some(Exclusion::service(host?, url.port))
}
