//! Packet → flow key: the fields that its flow shares, the same for both directions.

use crate::flow::lru::Key;
use crate::packet::{Fragment, Network, Packet, tcp_flags};
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
pub(super) const SYSTEM_PORTS: u16 = 1024;

/// Both endpoints in a fixed order, with network, protocol and VLAN: 40 bytes. The order only makes the key equal for
/// both directions.
///
/// ICMP and ARP have no ports, so all their packets between two hosts form one flow, as in NFStream and nDPI.
#[derive(Clone, Copy, Debug, Default, Eq)]
pub struct FlowKey {
    /// Addresses as two 8-byte halves in memory order.
    low: (u64, u64),
    high: (u64, u64),
    /// Port of `low`, port of `high`, network, protocol, VLAN: 16, 16, 8, 8 and 16 bits.
    rest: u64,
}

impl PartialEq for FlowKey {
    /// Ports first, because they differ most often. Inline, because a call to `memcmp` costs more.
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

/// One of the key's two endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// The endpoint with the lower port; if equal, the lower address.
    #[default]
    Low,
    /// The other endpoint.
    High,
}

impl End {
    /// The other endpoint.
    #[inline]
    pub fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

impl FlowKey {
    /// Key of a packet, and the endpoint that sent it.
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

    /// Address of one endpoint.
    pub fn address(&self, end: End) -> Address {
        let (first, last) = if end == End::Low { self.low } else { self.high };
        Address(bytemuck::cast([first, last]))
    }

    /// Port of one endpoint.
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

/// False if the ICMP type 0 only means that the type was not read.
fn has_icmp_header(packet: &Packet) -> bool {
    packet.irregular.is_none() && !matches!(packet.fragment, Fragment::Later(_))
}

/// Initiator of a flow, judged by its first seen packet: the sender, unless the packet is evidently a response
/// (SYN+ACK, ICMP echo reply, or a packet from a system port to a higher port). Then it is the receiver.
pub fn initiator(packet: &Packet, sender: End) -> End {
    let answer = match packet.protocol {
        _ if !matches!(packet.network, Network::Ipv4 | Network::Ipv6) => false,
        TCP if packet.tcp_flags & tcp_flags::SYN != 0 => packet.tcp_flags & tcp_flags::ACK != 0,
        ICMP => packet.icmp.0 == 0 && has_icmp_header(packet),
        ICMPV6 => packet.icmp.0 == 129,
        _ => packet.source_port < SYSTEM_PORTS && packet.destination_port >= SYSTEM_PORTS && packet.source_port != 0,
    };
    if answer { sender.other() } else { sender }
}
