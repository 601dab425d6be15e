//! Stored messages → agents, alerts and releases as the JSON API returns them and the pages show them.

pub(crate) mod agents;
pub(crate) mod alerts;
pub(crate) mod brokers;
pub(crate) mod campaigns;
pub(crate) mod groups;
pub(crate) mod identities;
pub(crate) mod incidents;
pub(crate) mod process;
pub(crate) mod releases;
pub(crate) mod standing;

/// The value of a label in Prometheus' text format.
fn label_value(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
