//! The fields that make packets one flow, the same for both directions.

use crate::flow::lru::Key;
use crate::packet::{Network, Packet, tcp_flags};
use crate::units::Address;

/// TCP's protocol number (IANA).
pub const TCP: u8 = 6;
/// UDP's protocol number (IANA).
pub const UDP: u8 = 17;
/// ICMP's protocol number (IANA).
pub const ICMP: u8 = 1;
/// ICMPv6's protocol number (IANA).
pub const ICMPV6: u8 = 58;

/// Ports below this are assigned to services by IANA ("system ports", RFC 6335 §6).
const SYSTEM_PORTS: u16 = 1024;

/// Both endpoints, lower one first, with network, protocol and VLAN: 40 bytes. Which one is lower means nothing but that
/// it is the same one for both directions.
///
/// ICMP and ARP have no ports, so all of them between two hosts are one flow, as NFStream and nDPI have it.
#[derive(Clone, Copy, Debug, Default, Eq)]
pub struct FlowKey {
    /// Addresses, eight and eight octets as they lie in memory.
    low: (u64, u64),
    high: (u64, u64),
    /// Lower endpoint's port, the other's, network, protocol, VLAN: 16, 16, 8, 8 and 16 bits.
    rest: u64,
}

impl PartialEq for FlowKey {
    /// Ports first: they differ most often. No call for so few words.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let addresses = (self.low.0 ^ other.low.0)
            | (self.low.1 ^ other.low.1)
            | (self.high.0 ^ other.high.0)
            | (self.high.1 ^ other.high.1);
        self.rest == other.rest && addresses == 0
    }
}

impl Key<5> for FlowKey {
    #[inline]
    fn words(&self) -> [u64; 5] {
        [self.low.0, self.low.1, self.high.0, self.high.1, self.rest]
    }
}

/// Which of the key's two endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// The one with the lower port, then address.
    #[default]
    Low,
    /// The other one.
    High,
}

impl End {
    /// The other one.
    #[inline]
    pub fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

impl FlowKey {
    /// Key of a packet, and the end that sent it.
    #[inline]
    pub fn of(packet: &Packet) -> (Self, End) {
        let (source, destination) = (halves(&packet.source), halves(&packet.destination));
        let (source_port, destination_port) = (u64::from(packet.source_port), u64::from(packet.destination_port));
        let kind = u64::from(packet.network as u8) << 24 | u64::from(packet.protocol) << 16 | u64::from(packet.vlan);
        if source_port < destination_port || (source_port == destination_port && source <= destination) {
            (Self { low: source, high: destination, rest: source_port << 48 | destination_port << 32 | kind }, End::Low)
        } else {
            (
                Self { low: destination, high: source, rest: destination_port << 48 | source_port << 32 | kind },
                End::High,
            )
        }
    }

    /// Address of one end.
    pub fn address(&self, end: End) -> Address {
        let (first, last) = if end == End::Low { self.low } else { self.high };
        Address(bytemuck::cast([first, last]))
    }

    /// Port of one end.
    pub fn port(&self, end: End) -> u16 {
        match end {
            End::Low => (self.rest >> 48) as u16,
            End::High => (self.rest >> 32) as u16,
        }
    }

    /// Network layer.
    pub fn network(&self) -> Network {
        match (self.rest >> 24) as u8 {
            4 => Network::Ipv4,
            6 => Network::Ipv6,
            1 => Network::Arp,
            _ => Network::Other,
        }
    }

    /// Protocol number.
    #[inline]
    pub fn protocol(&self) -> u8 {
        (self.rest >> 16) as u8
    }

    /// VLAN identifier, 0 without a tag.
    pub fn vlan(&self) -> u16 {
        self.rest as u16
    }
}

#[inline]
fn halves(address: &Address) -> (u64, u64) {
    let [first, last] = bytemuck::cast(address.0);
    (first, last)
}

/// Who started the flow that this packet is the first seen one of: the packet's sender, or its receiver where the
/// packet is plainly an answer (SYN+ACK, an ICMP echo reply, or a packet from a system port to a higher one while the
/// opening was not seen).
pub fn initiator(packet: &Packet, sender: End) -> End {
    let answer = match packet.protocol {
        _ if !matches!(packet.network, Network::Ipv4 | Network::Ipv6) => false,
        TCP if packet.tcp_flags & tcp_flags::SYN != 0 => packet.tcp_flags & tcp_flags::ACK != 0,
        ICMP => packet.icmp.0 == 0,
        ICMPV6 => packet.icmp.0 == 129,
        _ => packet.source_port < SYSTEM_PORTS && packet.destination_port >= SYSTEM_PORTS && packet.source_port != 0,
    };
    if answer { sender.other() } else { sender }
}
