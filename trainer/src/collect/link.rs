//! What the collector needs of MQTT, so that neither the client's nor the broker's crate is seen anywhere else.

use lapwing_shared::messages::broker_url::UrlError;
use std::time::Duration;

/// Why a link to the broker failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Another program listens on the embedded broker's address.
    #[error("cannot listen on {address}: {reason}; stop what listens there, or give another address with `--listen`")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The broker's URL cannot be read; it is not repeated, since it may hold a password.
    #[error("{0}, as in mqtt://[user:password@]host[:port] or mqtts://…")]
    Url(#[from] UrlError),
    /// The certificate file cannot be used.
    #[error("certificates for the broker, {path}: {reason}; expected a PEM file with the authority's certificate")]
    Certificates {
        /// File.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The embedded broker or the client has ended.
    #[error("the link to the broker has ended: {reason}")]
    Ended {
        /// Why, as the crate says it.
        reason: String,
    },
    /// The outgoing queue is full; the same may be tried again later.
    #[error("the queue to the broker is full")]
    Full,
}

/// What the broker is told once a delivery is on the disk. Empty for the embedded broker, which asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Packet identifier.
    pub packet: u16,
    /// Number of the connection that brought it: an identifier means nothing on another one.
    pub connection: u64,
}

/// One publication from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// To be confirmed after the commit, in the order of arrival.
    pub receipt: Option<Receipt>,
}

/// Where deliveries come in.
pub trait Inlet: Send {
    /// The next delivery; nothing when none came within the span.
    ///
    /// # Errors
    /// When the link has ended for good.
    fn next(&mut self, span: Duration) -> Result<Option<Delivery>, LinkError>;
}

/// Where publications go out.
pub trait Outlet: Send {
    /// Publishes; retained where asked. An empty retained payload clears the topic.
    ///
    /// # Errors
    /// [`LinkError::Full`] when it may be tried again, another when the link has ended for good.
    fn publish(&mut self, topic: &str, payload: Vec<u8>, retain: bool) -> Result<(), LinkError>;

    /// Confirms deliveries to the broker, in the order of arrival.
    ///
    /// # Errors
    /// When the link has ended for good.
    fn confirm(&mut self, receipts: &[Receipt]) -> Result<(), LinkError>;
}

/// Both ends of a link: one for the collector, one more outlet for releases.
pub struct Link {
    /// Agents' messages.
    pub inlet: Box<dyn Inlet>,
    /// Acknowledgements.
    pub outlet: Box<dyn Outlet>,
    /// Releases.
    pub releases: Box<dyn Outlet>,
}
