//! An alert as one line of JSON, for people, scripts and home automation.
//!
//! Addresses and features stand by name, times as seconds since the epoch, so that nothing else is needed to read it.

use lapwing_shared::features::schema::SCHEMA;
use lapwing_shared::messages::{Alert, AlertState, Role};
use lapwing_shared::units::{Address, Timestamp};
use serde::Serialize;

#[derive(Serialize)]
struct ReasonJson {
    feature: &'static str,
    unit: &'static str,
    value: f32,
    normal_low: f32,
    normal_high: f32,
    share: f32,
}

#[derive(Serialize)]
struct PeerJson {
    address: String,
    flows: u32,
}

#[derive(Serialize)]
struct AlertJson<'a> {
    episode: u64,
    state: &'static str,
    host: String,
    role: &'static str,
    since_s: f64,
    at_s: f64,
    evidence_nats: f32,
    peak_nats: f32,
    limit_nats: f32,
    flows: u32,
    odd_flows: u32,
    peers: Vec<PeerJson>,
    service_port: u16,
    reasons: Vec<ReasonJson>,
    resembles: Option<&'a str>,
    release: u64,
    test: bool,
}

/// What a test alert resembles; with release 0, which no release has, it is the mark of one.
const TEST: &str = "test";

/// An alert of no host, to try the way that alerts go; `number` tells several apart.
pub fn test_alert(at: Timestamp, number: u64) -> Alert {
    Alert {
        episode: number,
        state: AlertState::Opened,
        host: Address::from_v4([0; 4]),
        role: Role::Source,
        since: at,
        at,
        evidence_nats: 0.0,
        peak_nats: 0.0,
        limit_nats: 0.0,
        flows: 0,
        odd_flows: 0,
        peers: heapless::Vec::new(),
        service_port: 0,
        reasons: heapless::Vec::new(),
        resembles: TEST.try_into().ok(),
        release: 0,
        rows: heapless::Vec::new(),
    }
}

/// Whether this is a test alert.
pub fn is_test(alert: &Alert) -> bool {
    alert.release == 0 && alert.resembles.as_deref() == Some(TEST)
}

/// Lower-case name of an alert's state.
pub fn state_name(state: AlertState) -> &'static str {
    match state {
        AlertState::Opened => "opened",
        AlertState::Updated => "updated",
        AlertState::Closed => "closed",
    }
}

/// The JSON text, without a line feed.
pub fn to_json(alert: &Alert) -> String {
    let seconds = |time: Timestamp| time.as_nanos() as f64 / 1e9;
    let reasons = alert.reasons.iter().filter_map(|reason| {
        let feature = SCHEMA.get(usize::from(reason.feature))?;
        Some(ReasonJson {
            feature: feature.name,
            unit: feature.unit,
            value: reason.value,
            normal_low: reason.normal_low,
            normal_high: reason.normal_high,
            share: f32::from(reason.share_permille) / 1000.0,
        })
    });
    let peer =
        |peer: &lapwing_shared::messages::Peer| PeerJson { address: peer.address.to_string(), flows: peer.flows };
    let json = AlertJson {
        episode: alert.episode,
        state: state_name(alert.state),
        host: alert.host.to_string(),
        role: if alert.role == Role::Source { "source" } else { "target" },
        since_s: seconds(alert.since),
        at_s: seconds(alert.at),
        evidence_nats: alert.evidence_nats,
        peak_nats: alert.peak_nats,
        limit_nats: alert.limit_nats,
        flows: alert.flows,
        odd_flows: alert.odd_flows,
        peers: alert.peers.iter().map(peer).collect(),
        service_port: alert.service_port,
        reasons: reasons.collect(),
        resembles: alert.resembles.as_deref(),
        release: alert.release,
        test: is_test(alert),
    };
    // Strings, numbers and lists always have a JSON form.
    serde_json::to_string(&json).unwrap_or_default()
}
