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

/// Both endpoints, lower one first, with network, protocol and VLAN: 40 bytes.
///
/// ICMP and ARP have no ports, so all of them between two hosts are one flow, as NFStream and nDPI have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowKey {
    words: [u32; 10],
}

impl Key<10> for FlowKey {
    #[inline]
    fn words(&self) -> [u32; 10] {
        self.words
    }
}

/// Which of the key's two endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// The one with the lower address, then port.
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
        let source = (u128::from_be_bytes(packet.source.0), packet.source_port);
        let destination = (u128::from_be_bytes(packet.destination.0), packet.destination_port);
        let (low, high, end) = match source <= destination {
            true => (source, destination, End::Low),
            false => (destination, source, End::High),
        };
        let ports = u32::from(low.1) << 16 | u32::from(high.1);
        let kind = u32::from(packet.network as u8) << 24 | u32::from(packet.protocol) << 16 | u32::from(packet.vlan);
        let [a, b, c, d] = split(low.0);
        let [e, f, g, h] = split(high.0);
        (Self { words: [a, b, c, d, e, f, g, h, ports, kind] }, end)
    }

    /// Address of one end.
    pub fn address(&self, end: End) -> Address {
        let start = if end == End::Low { 0 } else { 4 };
        let mut address = [0; 16];
        for (octets, word) in address.chunks_exact_mut(4).zip(&self.words[start..]) {
            octets.copy_from_slice(&word.to_be_bytes());
        }
        Address(address)
    }

    /// Port of one end.
    pub fn port(&self, end: End) -> u16 {
        match end {
            End::Low => (self.words[8] >> 16) as u16,
            End::High => self.words[8] as u16,
        }
    }

    /// Network layer.
    pub fn network(&self) -> Network {
        match self.words[9] >> 24 {
            4 => Network::Ipv4,
            6 => Network::Ipv6,
            1 => Network::Arp,
            _ => Network::Other,
        }
    }

    /// Protocol number.
    #[inline]
    pub fn protocol(&self) -> u8 {
        (self.words[9] >> 16) as u8
    }

    /// VLAN identifier, 0 without a tag.
    pub fn vlan(&self) -> u16 {
        self.words[9] as u16
    }
}

#[inline]
fn split(address: u128) -> [u32; 4] {
    [(address >> 96) as u32, (address >> 64) as u32, (address >> 32) as u32, address as u32]
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
