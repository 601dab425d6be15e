//! Ports of fragmented datagrams: only the first fragment carries them (RFC 791 §3.2, RFC 8200 §4.5).

use crate::packet::{Fragment, Packet};
use crate::units::{Address, Nanos, Timestamp};
use heapless::Deque;

/// Datagrams remembered at a time.
pub const FRAGMENTED_DATAGRAMS: usize = 64;
/// How long a first fragment is remembered (RFC 8200 §4.5).
pub const REASSEMBLY_TIMEOUT: Nanos = Nanos::from_secs(60);

#[derive(Clone, Copy)]
struct Datagram {
    source: Address,
    destination: Address,
    identification: u32,
    protocol: u8,
    ports: (u16, u16),
    seen: Timestamp,
}

/// First fragments of late, oldest forgotten first.
#[derive(Default)]
pub struct Fragments {
    datagrams: Deque<Datagram, FRAGMENTED_DATAGRAMS>,
    /// Later fragments whose first one was not remembered; metered without ports.
    pub without_first: u64,
    /// First fragments forgotten early, because too many datagrams were in pieces at once.
    pub evicted: u64,
}

impl Fragments {
    /// Gives a later fragment the ports of its first one.
    #[inline]
    pub fn assign_ports(&mut self, packet: &mut Packet) {
        match packet.fragment {
            Fragment::Whole => {}
            Fragment::First(identification) => self.remember(packet, identification),
            Fragment::Later(identification) => self.look_up(packet, identification),
        }
    }

    fn remember(&mut self, packet: &Packet, identification: u32) {
        let datagram = Datagram {
            source: packet.source,
            destination: packet.destination,
            identification,
            protocol: packet.protocol,
            ports: (packet.source_port, packet.destination_port),
            seen: packet.timestamp,
        };
        while let Some(oldest) = self.datagrams.front() {
            if self.datagrams.is_full() {
                self.evicted += u64::from(packet.timestamp.since(oldest.seen) < REASSEMBLY_TIMEOUT);
            } else if packet.timestamp.since(oldest.seen) < REASSEMBLY_TIMEOUT {
                break;
            }
            self.datagrams.pop_front();
        }
        // Room was made above.
        let _ = self.datagrams.push_back(datagram);
    }

    fn look_up(&mut self, packet: &mut Packet, identification: u32) {
        let found = self.datagrams.iter().rev().find(|datagram| {
            datagram.identification == identification
                && datagram.source == packet.source
                && datagram.destination == packet.destination
                && datagram.protocol == packet.protocol
                && packet.timestamp.since(datagram.seen) < REASSEMBLY_TIMEOUT
        });
        match found {
            Some(datagram) => (packet.source_port, packet.destination_port) = datagram.ports,
            None => self.without_first += 1,
        }
    }
}
