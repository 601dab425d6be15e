//! An MQTT broker or client → the traits that the collector uses; no other module depends on their crates.

use super::kept::Expected;
use super::link_state::LinkState;
use lapwing_shared::messages::broker_url::UrlError;
use std::sync::Arc;
use std::time::Duration;

/// Why a link to the broker failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum LinkError {
    /// The embedded broker cannot listen, for example because the address is in use.
    #[error("cannot listen on {address}: {reason}; stop the other listener, or choose another address with `--listen`")]
    Listen { address: String, reason: String },
    /// Invalid broker URL. The error omits it, because it may contain a password.
    #[error("{0}; syntax: mqtt://[user:password@]host[:port] or mqtts://…")]
    Url(#[from] UrlError),
    /// The certificates of the authorities cannot be used.
    #[error(
        "cannot load certificates for the broker from {path}: {reason}; expected a PEM file with the authority's certificate"
    )]
    Certificates {
        /// Path of the file, or the system's store.
        path: String,
        reason: String,
    },
    /// The embedded broker's certificate, key or authorities cannot be used.
    #[error("TLS of the embedded broker: {reason}")]
    Tls { reason: String },
    /// The embedded broker or the client has stopped.
    #[error("the link to the broker has stopped: {reason}")]
    Ended {
        /// Error of the MQTT crate.
        reason: String,
    },
    /// The outgoing queue is full; retry later.
    #[error("the queue to the broker is full")]
    Full,
}

/// Identifies a delivery to confirm to an outside broker once it is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// MQTT packet identifier.
    pub(crate) packet: u16,
    /// Number of the connection; packet identifiers are valid only within one connection.
    pub(crate) connection: u64,
}

/// One publication from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Delivery {
    pub topic: String,
    pub payload: Vec<u8>,
    /// To confirm after the commit, in order of arrival; `None` from the embedded broker and for QoS 0.
    pub receipt: Option<Receipt>,
}

/// Source of deliveries.
pub trait Inlet: Send {
    /// The next delivery; `None` on timeout.
    ///
    /// # Errors
    /// When the link has stopped permanently.
    fn next(&mut self, timeout: Duration) -> Result<Option<Delivery>, LinkError>;
}

/// Sink of publications.
pub trait Outlet: Send {
    /// Publishes a payload. An empty retained payload clears the topic.
    ///
    /// # Errors
    /// [`LinkError::Full`] when the caller should retry later; others when the link has stopped permanently.
    fn publish(&mut self, topic: &str, payload: Vec<u8>, retain: bool) -> Result<(), LinkError>;

    /// Confirms deliveries to the broker, in order of arrival.
    ///
    /// # Errors
    /// When the link has stopped permanently.
    fn confirm(&mut self, receipts: &[Receipt]) -> Result<(), LinkError>;

    /// Requests the retained messages of these topics, to compare them with what was published.
    ///
    /// # Errors
    /// As [`Outlet::publish`].
    fn check(&mut self, _expected: Vec<Expected>) -> Result<(), LinkError> {
        Ok(())
    }

    /// Topics that the broker has not returned as published so far.
    fn missing(&self) -> Vec<String> {
        Vec::new()
    }

    /// Root documents that the broker returned on a topic instead of those that were published.
    fn other_root(&self, _topic: &str) -> Option<Vec<u8>> {
        None
    }

    /// Ends the check.
    fn end_check(&mut self) {}
}

/// The collector's part of a link.
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Ends {
    /// Agents' messages.
    pub inlet: Box<dyn Inlet>,
    /// Acknowledgements.
    pub outlet: Box<dyn Outlet>,
    pub state: Arc<LinkState>,
}

/// The publisher's part of a link.
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Releases {
    pub outlet: Box<dyn Outlet>,
    pub state: Arc<LinkState>,
}

/// A link to one broker.
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Link {
    pub ends: Ends,
    pub releases: Releases,
    /// Certificates for running agents.
    pub renewals: Box<dyn Outlet>,
}
