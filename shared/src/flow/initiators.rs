//! TCP flows that went idle → who initiated them, for later packets of the same connection.
//!
//! A connection outlives the idle timeout. When its server speaks first after a pause, the packet alone does not show
//! which side opened the connection, unless the server has a system port.

use crate::flow::key::{End, FlowKey, SYSTEM_PORTS, TCP};
use crate::flow::lru::LruTable;
use crate::packet::{Packet, tcp_flags};
use crate::units::{Nanos, Timestamp};

/// How long an initiator is remembered: TCP keep-alive probes are two hours apart by default (RFC 9293 §3.8.4).
const INITIATOR_MEMORY: Nanos = Nanos::from_secs(3 * 3600);
/// One initiator is remembered for this many flows of the flow table.
const FLOWS_PER_INITIATOR: usize = 8;

#[derive(Clone, Copy, Default)]
struct Remembered {
    initiator: End,
    seen: Timestamp,
}

/// Initiators of connections that are no longer in the flow table; a full table forgets the longest idle one.
pub(super) struct Initiators {
    connections: LruTable<FlowKey, Remembered, 5>,
    /// Connections forgotten before [`INITIATOR_MEMORY`].
    pub(super) forgotten: u64,
}

impl Initiators {
    /// For a flow table of this capacity. Allocates all its memory here (about 80 bytes per connection).
    pub(super) fn new(flows: usize, hash_seed: u64) -> Self {
        Self { connections: LruTable::new(flows / FLOWS_PER_INITIATOR, hash_seed), forgotten: 0 }
    }

    /// Remembers who initiated an answered connection, unless the ports show it.
    #[inline]
    pub(super) fn remember(&mut self, key: &FlowKey, initiator: End, seen: Timestamp) {
        let is_shown_by_ports = key.port(initiator.other()) < SYSTEM_PORTS && key.port(initiator) >= SYSTEM_PORTS;
        if !is_shown_by_ports {
            self.insert(key, initiator, seen);
        }
    }

    #[inline(never)]
    fn insert(&mut self, key: &FlowKey, initiator: End, seen: Timestamp) {
        let slot = loop {
            if let Some((slot, _)) = self.connections.find_or_insert(key) {
                break slot;
            }
            let Some(oldest) = self.connections.oldest() else { return };
            let is_young = seen.since(self.connections.value(oldest).seen) < INITIATOR_MEMORY;
            self.forgotten += u64::from(is_young);
            self.connections.remove(oldest);
        };
        self.connections.touch(slot);
        *self.connections.value_mut(slot) = Remembered { initiator, seen };
    }

    /// The initiator of the connection to which a packet without a flow belongs.
    #[inline]
    pub(super) fn of(&self, key: &FlowKey, packet: &Packet) -> Option<End> {
        // A SYN opens a new connection.
        if packet.protocol != TCP || packet.tcp_flags & tcp_flags::SYN != 0 || self.connections.is_empty() {
            return None;
        }
        self.look_up(key, packet)
    }

    #[inline(never)]
    fn look_up(&self, key: &FlowKey, packet: &Packet) -> Option<End> {
        let remembered = self.connections.value(self.connections.find_by_hash(key)?);
        (packet.timestamp.since(remembered.seen) < INITIATOR_MEMORY).then_some(remembered.initiator)
    }

    /// Forgets everything, after the clock was set back.
    pub(super) fn clear(&mut self) {
        while let Some(oldest) = self.connections.oldest() {
            self.connections.remove(oldest);
        }
    }
}
