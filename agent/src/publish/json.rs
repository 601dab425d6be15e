//! Alert and status → JSON for other programs: plain names, units in the names, addresses as text, times in seconds
//! since the epoch.

use lapwing_shared::messages::{Alert, AlertState, Role, Status};
use lapwing_shared::release::digest::Hex;
use lapwing_shared::units::{NANOS_PER_SECOND, Timestamp};
use serde_json::{Value, json};

fn seconds(at: Timestamp) -> f64 {
    at.as_nanos() as f64 / NANOS_PER_SECOND as f64
}

/// An alert; `reasons` name features by their index in the schema.
pub fn alert(alert: &Alert) -> Value {
    let state = match alert.state {
        AlertState::Opened => "opened",
        AlertState::Updated => "updated",
        AlertState::Closed => "closed",
    };
    let role = match alert.role {
        Role::Source => "source",
        Role::Target => "target",
    };
    let peers = alert.peers.iter().map(|peer| json!({"address": peer.address.to_string(), "flows": peer.flows}));
    let reasons = alert.reasons.iter().map(|reason| {
        json!({
            "feature": reason.feature, "value": reason.value, "normal_low": reason.normal_low,
            "normal_high": reason.normal_high, "share_permille": reason.share_permille,
        })
    });
    json!({
        "episode": alert.episode, "state": state, "host": alert.host.to_string(), "role": role,
        "since_s": seconds(alert.since), "at_s": seconds(alert.at), "evidence_nats": alert.evidence_nats,
        "peak_nats": alert.peak_nats, "limit_nats": alert.limit_nats, "flows": alert.flows,
        "odd_flows": alert.odd_flows, "peers": peers.collect::<Vec<_>>(), "service_port": alert.service_port,
        "reasons": reasons.collect::<Vec<_>>(),
        "resembles": alert.resembles.as_ref().map(|name| name.as_str()), "release": alert.release,
    })
}

/// A status.
pub fn status(status: &Status) -> Value {
    json!({
        "online": status.online, "group": status.group.as_str(), "agent_version": status.agent_version.as_str(),
        "engine": status.engine.as_str(), "release": status.release, "on_trial": status.on_trial,
        "schema": Hex(&status.schema).to_string(),
    })
}
