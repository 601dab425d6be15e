//! Status → JSON for other programs; an alert's JSON is [`crate::output::alerts`], the same in files and on MQTT.

use lapwing_shared::messages::Status;
use lapwing_shared::release::digest::Hex;
use serde_json::{Value, json};

/// A status.
pub fn status(status: &Status) -> Value {
    json!({
        "online": status.online, "group": status.group.as_str(), "agent_version": status.agent_version.as_str(),
        "engine": status.engine.as_str(), "release": status.release, "on_trial": status.on_trial,
        "schema": Hex(&status.schema).to_string(),
    })
}
