//! Later fragments → the ports of their first fragment, the only one that carries them (RFC 791 §3.2, RFC 8200 §4.5).
//!
//! Fragments arrive in any order, and some systems send the last one first. A later fragment whose first has not been
//! seen is therefore held for a short time; then it is metered without ports.

use crate::packet::{Fragment, Network, Packet};
use crate::units::{Address, Nanos, Timestamp};
use alloc::collections::VecDeque;
use heapless::Deque;

/// Limit on remembered datagrams.
pub const FRAGMENTED_DATAGRAMS: usize = 64;
/// How long a first fragment is remembered (RFC 8200 §4.5).
pub const REASSEMBLY_TIMEOUT: Nanos = Nanos::from_secs(60);
/// Limit on held fragments; two datagrams of 64 KiB at an MTU of 1,500 octets have 90.
pub const HELD_FRAGMENTS: usize = 128;
/// How long a later fragment waits for its first.
pub const HOLD: Nanos = Nanos::from_secs(2);

/// Next headers of a fragment that are not its transport protocol: authentication header, destination options and
/// routing header.
const BEFORE_TRANSPORT: [u8; 3] = [51, 60, 43];

#[derive(Clone, Copy)]
struct Datagram {
    source: Address,
    destination: Address,
    identification: u32,
    network: Network,
    protocol: u8,
    vlan: u16,
    ports: (u16, u16),
    seen: Timestamp,
}

impl Datagram {
    fn of(first: &Packet, identification: u32) -> Self {
        Self {
            source: first.source,
            destination: first.destination,
            identification,
            network: first.network,
            protocol: first.protocol,
            vlan: first.vlan,
            ports: (first.source_port, first.destination_port),
            seen: first.timestamp,
        }
    }

    /// True if `packet` is a later fragment of this datagram. Its protocol is that of the header after the fragment
    /// header, which the first fragment may have stepped over.
    fn has(&self, packet: &Packet) -> bool {
        packet.fragment == Fragment::Later(self.identification)
            && self.source == packet.source
            && self.destination == packet.destination
            && self.network == packet.network
            && self.vlan == packet.vlan
            && (self.protocol == packet.protocol || BEFORE_TRANSPORT.contains(&packet.protocol))
    }

    /// Gives a later fragment the fields that only the first has.
    fn complete(&self, packet: &mut Packet) {
        packet.protocol = self.protocol;
        (packet.source_port, packet.destination_port) = self.ports;
    }
}

/// Recent first fragments, and later ones that wait for theirs. A full list of either drops its oldest entry.
pub struct Fragments {
    datagrams: Deque<Datagram, FRAGMENTED_DATAGRAMS>,
    /// Oldest first.
    held: VecDeque<Packet>,
    /// Later fragments metered without ports, because their first fragment was not seen in time.
    pub without_first: u64,
    /// First fragments evicted before their timeout.
    pub evicted: u64,
}

impl Default for Fragments {
    fn default() -> Self {
        Self { datagrams: Deque::new(), held: VecDeque::with_capacity(HELD_FRAGMENTS), without_first: 0, evicted: 0 }
    }
}

impl Fragments {
    /// Copies the ports of its remembered first fragment to a later one; false if it is not remembered.
    pub(super) fn look_up(&self, packet: &mut Packet) -> bool {
        let is_first =
            |datagram: &&Datagram| datagram.has(packet) && packet.timestamp.since(datagram.seen) < REASSEMBLY_TIMEOUT;
        let Some(first) = self.datagrams.iter().rev().find(is_first) else { return false };
        first.complete(packet);
        true
    }

    /// Remembers a first fragment.
    pub(super) fn remember(&mut self, packet: &Packet, identification: u32) {
        while let Some(oldest) = self.datagrams.front() {
            if self.datagrams.is_full() {
                self.evicted += u64::from(packet.timestamp.since(oldest.seen) < REASSEMBLY_TIMEOUT);
            } else if packet.timestamp.since(oldest.seen) < REASSEMBLY_TIMEOUT {
                break;
            }
            self.datagrams.pop_front();
        }
        // Cannot fail: an entry was removed above if the list was full.
        let _ = self.datagrams.push_back(Datagram::of(packet, identification));
    }

    /// Holds a later fragment. A full list returns its oldest one, to be metered without ports.
    pub(super) fn hold(&mut self, packet: &Packet) -> Option<Packet> {
        let oldest = if self.held.len() >= HELD_FRAGMENTS { self.give_up() } else { None };
        self.held.push_back(*packet);
        oldest
    }

    /// Takes a held fragment of the datagram of this first fragment, with its ports; the oldest first.
    pub(super) fn take(&mut self, first: &Packet, identification: u32) -> Option<Packet> {
        let datagram = Datagram::of(first, identification);
        let index = self.held.iter().position(|held| datagram.has(held))?;
        let mut packet = self.held.remove(index)?;
        datagram.complete(&mut packet);
        Some(packet)
    }

    /// When the oldest held fragment stops waiting; [`Timestamp::MAX`] if no fragment is held.
    pub(super) fn deadline(&self) -> Timestamp {
        self.held.front().map_or(Timestamp::MAX, |packet| packet.timestamp.plus(HOLD))
    }

    /// Takes the oldest held fragment, to be metered without ports.
    pub(super) fn give_up(&mut self) -> Option<Packet> {
        let packet = self.held.pop_front()?;
        self.without_first += 1;
        Some(packet)
    }
}
