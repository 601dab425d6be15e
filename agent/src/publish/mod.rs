//! What the agent tells and hears over MQTT.
pub mod url;
