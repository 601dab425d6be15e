//! What a session asks of its client.

use crate::outbox::MessageId;

/// What the client is to do, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Subscribe at QoS 1.
    Subscribe(String),
    Unsubscribe(String),
    Publish {
        topic: String,
        payload: Vec<u8>,
        /// QoS 1, else 0.
        acknowledged: bool,
        /// Retained by the broker.
        retain: bool,
        /// Outbox entry that a PUBACK is for.
        id: Option<MessageId>,
    },
}
