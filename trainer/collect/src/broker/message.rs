//! A publication in the broker's memory, and the queue of each connection.

use super::encode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Memory of a message besides topic and payload, bytes; an estimate.
const OVERHEAD: usize = 256;

/// Topic and payload of a publication.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
}

impl Message {
    /// Memory that it needs.
    pub(super) fn bytes(&self) -> usize {
        OVERHEAD + self.topic.len() + self.payload.len()
    }

    /// Size of its PUBLISH packet.
    pub(super) fn packet_bytes(&self) -> usize {
        encode::publish_bytes(&self.topic, &self.payload)
    }
}

/// What the writer of a connection sends.
pub(super) enum Outgoing {
    /// An encoded reply.
    Reply(Vec<u8>),
    /// A publication.
    Message {
        message: Arc<Message>,
        /// Sent because of a new subscription.
        retained: bool,
        /// `None` for retained messages, which the broker keeps anyway.
        held: Option<Held>,
    },
    /// The last packet of the connection.
    Last(Vec<u8>),
}

/// Bytes of a message in the queue of a connection, in the counters of that queue and of all queues.
pub(super) struct Held {
    bytes: usize,
    counters: [Arc<AtomicUsize>; 2],
}

impl Held {
    /// `None` if one of the counters would exceed its limit.
    pub(super) fn new(bytes: usize, counters: [&Arc<AtomicUsize>; 2], limits: [usize; 2]) -> Option<Self> {
        let held = Self { bytes, counters: counters.map(Arc::clone) };
        let after = held.counters.each_ref().map(|counter| counter.fetch_add(bytes, Ordering::Relaxed) + bytes);
        // Dropping it takes the bytes back.
        after.iter().zip(limits).all(|(after, limit)| *after <= limit).then_some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for counter in &self.counters {
            counter.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}
