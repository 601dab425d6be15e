//! State and counters of the trainer's link to one broker.

use serde::Serialize;

/// The trainer's link to one broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BrokerLink {
    /// URL without the login, or `embedded, ` and the address.
    pub broker: String,
    /// There is a connection.
    pub connected: bool,
    /// Connections since the start of the trainer, including reconnections.
    pub connections: u64,
    /// Failed attempts to connect, and connections that ended.
    pub failures: u64,
    /// Publications received.
    pub received: u64,
    /// Acknowledgements sent.
    pub acknowledgements: u64,
    /// Publications that the broker refused.
    pub refusals: u64,
    /// Times that the broker lacked parts of the current releases, which were then published.
    pub refills: u64,
    /// Times that it lacked them again afterwards.
    pub releases_missing: u64,
    /// Parts of the current releases that the broker lacked when it was last checked.
    pub missing_parts: u64,
    /// Why there is no connection, if that is known.
    pub failure: Option<String>,
}
