//! The report → answers to people and programs on this machine: a Unix socket, a Prometheus port, and the commands that
//! ask them.

pub(crate) mod ask;
pub(crate) mod metrics;
pub(crate) mod server;
pub(crate) mod text;

use serde::Serialize;
use std::fmt;

/// Start of a line that reports a failure.
const ERROR: &str = "error: ";

/// The socket's answer to `test-alert`, as JSON, and to `test-alert-text`, as a line for people.
#[derive(Debug, Serialize)]
struct TestAlertAnswer {
    episode: u64,
    queued: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl fmt::Display for TestAlertAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Some(error) => write!(f, "{ERROR}{error}"),
            None => {
                let broker = self.connection.as_deref().unwrap_or_default();
                write!(f, "test alert {} queued; broker: {broker}", self.episode)
            }
        }
    }
}
