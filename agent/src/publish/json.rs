//! Agent status → JSON for other programs; for alerts see [`crate::output::alerts`].

use lapwing_shared::messages::Status;
use lapwing_shared::release::digest::Hex;
use serde::Serialize;

/// Keys in alphabetical order.
#[derive(Serialize)]
struct StatusJson<'a> {
    agent_version: &'a str,
    engine: &'a str,
    group: &'a str,
    on_trial: bool,
    online: bool,
    release: u64,
    schema: String,
}

/// The retained status message.
pub fn status(status: &Status) -> String {
    let json = StatusJson {
        agent_version: &status.agent_version,
        engine: &status.engine,
        group: &status.group,
        on_trial: status.on_trial,
        online: status.online,
        release: status.release,
        schema: Hex(&status.schema).to_string(),
    };
    serde_json::to_string(&json).unwrap_or_default()
}
